"""Copying the sealed log up to an event: whole segments, and of the last one the lines that the journal knows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from lake.backup.copying import Folder
from lake.stores.modes import make_folder

__all__ = ["copy_log", "drop_log"]

_SEAL = 65
"""Bytes at the end of a segment: the hash that all of it goes into, and a line feed (docs/format.md, "Log")."""


def copy_log(source: Path, folder: Folder, newest: int) -> None:
    """Make ``log/`` of a backup that of the lake, up to the event ``newest``. What it has already is not copied again.

    Raises:
        OSError, ValueError: a segment cannot be read, or copied.
    """
    log = folder.root / "log"
    if not log.exists():
        make_folder(log)
    names = sorted(name for name in os.listdir(source) if name.endswith(".log")) if source.is_dir() else []
    wanted = [name for name in names if int(name[:-4]) <= newest]
    for name in set(os.listdir(log)) - set(wanted):
        (log / name).unlink()
    for number, name in enumerate(wanted):
        if number + 1 < len(wanted):
            if not _same(source / name, log / name):
                folder.place(source / name, f"log/{name}")
            continue
        staged = folder.staging / name
        with open(source / name, "rb") as read, open(staged, "xb") as written:
            _copy_lines(read, written, newest)
        folder.place(staged, f"log/{name}")


def drop_log(folder: Folder) -> None:
    """Remove the log of another journal: a backup without one is whole, with a wrong one it is not."""
    log = folder.root / "log"
    for name in os.listdir(log) if log.is_dir() else ():
        (log / name).unlink()


def _same(one: Path, other: Path) -> bool:
    try:
        size = one.stat().st_size
        return size == other.stat().st_size and _seal(one, size) == _seal(other, size)
    except FileNotFoundError:
        return False


def _seal(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, size - _SEAL))
        return file.read()


def _copy_lines(source: BinaryIO, target: BinaryIO, newest: int) -> None:
    for number, line in enumerate(source):
        text, tab, _ = line.partition(b"\t")
        # The first line is a header; a line that somebody is writing has no end yet.
        if not tab or not line.endswith(b"\n") or (number and json.loads(text)["event"] > newest):
            return
        target.write(line)
