"""``backups.json`` in a lake: where its backups went, so that somebody can be told when the last one is old."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from lake.stores.durable import System
from lake.stores.modes import make_file

__all__ = ["KnownBackup", "known_backups", "remember_backup"]

_NAME = "backups.json"
_KEPT = 20


class KnownBackup(NamedTuple):
    directory: str
    """As it was called on the machine that made it."""
    made: int
    """Nanoseconds since the epoch, UTC."""
    seq: int
    """The newest commit in it."""


def known_backups(root: Path) -> list[KnownBackup]:
    """Newest first. A list that is not there or cannot be read is empty: it is a convenience, nothing rests on it."""
    try:
        listed = json.loads((root / _NAME).read_bytes())
        return [KnownBackup(str(item["directory"]), int(item["made"]), int(item["seq"])) for item in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember_backup(root: Path, backup: KnownBackup, system: System) -> None:
    """Put a backup first in the list of a lake. Raises OSError."""
    others = [known for known in known_backups(root) if known.directory != backup.directory]
    text = json.dumps([known._asdict() for known in [backup, *others][:_KEPT]], indent=2).encode() + b"\n"
    fresh = root / f"{_NAME}.{secrets.token_hex(4)}.new"
    with open(make_file(fresh, os.O_WRONLY | os.O_EXCL), "wb", buffering=0) as file:
        file.write(text)
        system.fsync(file.fileno())
    system.replace(os.fspath(fresh), os.fspath(root / _NAME))
