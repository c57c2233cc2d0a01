"""``backup.json``: what a backup is a copy of, and of which moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

from lake.config import BACKUP_FILE
from lake.errors import NotFound, StorageError, UnsupportedVersion

__all__ = ["Manifest", "Moment", "file_digest"]

_VERSION = 1
_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class Moment:
    """One state of a lake, as a backup holds it."""

    made: int
    """Nanoseconds since the epoch, UTC."""
    seq: int
    """Newest commit, of all branches."""
    identity: str
    """`lake.journal.base.Journal.identity` of the journal that was copied."""
    journal: str
    """BLAKE3 of the copy: tells which moment the ``journal.db`` in place is of."""
    files: int
    """Stored files that the journal needs: objects and packs."""
    bytes: int
    """Of these files, at least: dead ends of packs are not counted."""
    missing: tuple[str, ...] = ()
    """Those of them that the lake had lost when the backup was made."""
    damaged: tuple[str, ...] = ()
    """Those that did not match their digests in the lake; copied as they are, since most of each may be good."""

    @property
    def whole(self) -> bool:
        return not self.missing and not self.damaged


@dataclass(frozen=True, slots=True)
class Manifest:
    """The moments of a backup: the one to be, and the one before, since two files cannot change at once."""

    lake: str
    """`lake.config.LakeConfig.id` of the lake."""
    moments: tuple[Moment, ...]
    """Newest first."""

    def of(self, journal: str) -> Moment | None:
        """The moment whose journal has that digest."""
        return next((moment for moment in self.moments if moment.journal == journal), None)

    def encode(self) -> bytes:
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=2).encode() + b"\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """
        Raises:
            NotFound: the folder is no backup.
            UnsupportedVersion: made by newer software.
            StorageError: it cannot be read, or is damaged.
        """
        path = folder / BACKUP_FILE
        try:
            values = json.loads(path.read_bytes())
            version = values["version"]
            if version == _VERSION:
                return cls(str(values["lake"]), tuple(_moment(moment) for moment in values["moments"]))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{folder} is not a backup: it has no {BACKUP_FILE}; 'lake backup DIR' makes one") from None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} is damaged ({error!r}): run 'lake backup' into it again") from error
        raise UnsupportedVersion(f"{path} has version {version}, this software knows {_VERSION}: upgrade regionlake")


def _moment(values: Mapping[str, Any]) -> Moment:
    return Moment(**{**values, "missing": tuple(values["missing"]), "damaged": tuple(values["damaged"])})


def file_digest(path: Path) -> str:
    """BLAKE3 of a file, in hexadecimal. Raises OSError."""
    hasher = blake3()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
    return hasher.hexdigest()
