"""``lake.toml``: format version, identity and settings of a lake; how a lake is found."""

from __future__ import annotations

import os
import re
import tomllib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from blake3 import blake3

from lake.errors import AlreadyExists, NotALake, StorageError, UnsupportedVersion

__all__ = ["BACKUP_FILE", "FORMAT_VERSION", "LakeConfig", "create_config", "find_root", "load_config"]

FORMAT_VERSION = 1
"""Version of the layout on disk that this software writes."""

FILE_NAME = "lake.toml"

BACKUP_FILE = "backup.json"
"""What makes the copy of a lake a backup, which nobody writes to but ``lake backup``."""

_CHECKSUM = re.compile(r'^.*"[0-9a-f]{64}".*\n?', re.MULTILINE)
"""Whatever has become of its name: a line that only a checksum looks like."""


@dataclass(frozen=True, slots=True)
class LakeConfig:
    version: int
    id: uuid.UUID
    """Identity of the lake; copies of a lake share it."""
    created: datetime
    shared: bool = False
    """Whether it was made for a group: `lake.stores.modes`."""


def load_config(root: Path) -> LakeConfig:
    """Read ``lake.toml``; checked before anything else of a lake is touched.

    Raises:
        NotALake: there is none.
        UnsupportedVersion: written by a newer version of the software.
        StorageError: it cannot be read or is damaged.
    """
    path = root / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
        version = table["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"format = {version!r}")
        if version > FORMAT_VERSION:
            raise UnsupportedVersion(
                f"{root} is a lake of format {version}, this software reads up to {FORMAT_VERSION}: upgrade regionlake"
            )
        _check(text, table.get("checksum"))
        shared = table.get("shared", False)
        if not isinstance(shared, bool):
            raise ValueError(f"shared = {shared!r}")
        return LakeConfig(version, uuid.UUID(table["id"]), datetime.fromisoformat(table["created"]), shared)
    except (FileNotFoundError, NotADirectoryError):
        raise NotALake(f"{root} is not a lake: it has no {FILE_NAME}; make one with 'lake init {root}'") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UnsupportedVersion):
            raise
        raise StorageError(f"{path} is damaged ({error}); restore it from a copy of the lake") from error


def create_config(root: Path, *, shared: bool = False) -> LakeConfig:
    """Write the ``lake.toml`` of a new lake, durably; it is what makes a directory a lake, hence comes last.

    Raises:
        AlreadyExists: there is one.
    """
    config = LakeConfig(FORMAT_VERSION, uuid.uuid4(), datetime.now(UTC).replace(microsecond=0), shared)
    text = (
        "# A regionlake. Everything in this directory belongs to it: change nothing by hand.\n"
        f"format = {config.version}\n"
        f'id = "{config.id}"\n'
        f'created = "{config.created.isoformat()}"\n'
    )
    if shared:
        text += "shared = true\n"
    path = root / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{root} is a lake already") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o660 if shared else 0o600)
        file.write(text + _checksum(text))
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(root, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return config


def _checksum(text: str) -> str:
    """The last line of a configuration: BLAKE3 of all lines but itself. Lakes made by older software have none."""
    return f'checksum = "{blake3(text.encode()).hexdigest()}"\n'


def _check(text: str, checksum: object) -> None:
    """Raises ValueError unless the checksum is right, or there never was one."""
    line = _CHECKSUM.search(text)
    if line is None and checksum is None:
        return
    if line is None or line[0] != _checksum(text.replace(line[0], "")):
        raise ValueError("it does not match its checksum")


def find_root(start: Path | None = None) -> Path:
    """The lake of ``LAKE_ROOT``, else the nearest one upward from ``start`` (the working directory).

    Raises:
        NotALake: there is none.
    """
    if start is None and (named := os.environ.get("LAKE_ROOT")):
        return Path(named)
    origin = (start or Path.cwd()).absolute()
    for directory in (origin, *origin.parents):
        if (directory / FILE_NAME).is_file():
            return directory
    raise NotALake(f"no lake at {origin} or above: 'lake init DIR' makes one; -C DIR or LAKE_ROOT names another")
