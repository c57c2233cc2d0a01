"""What lake:// lists: entries of the journal as the dictionaries that fsspec speaks of. Pure."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from lake.journal.values import Entry, Kind
from lake.paths import encode_name, join, parent

__all__ = ["Info", "describe", "found_below", "implied", "prefix_of", "tree_levels", "uncollected", "walk_levels"]

Info: TypeAlias = dict[str, Any]
"""``name, size, type, mtime, digest, format, commit``.

``mtime`` is a datetime in UTC, None for a directory that exists only through its files; ``digest`` the BLAKE3 of the
content in hexadecimal and ``format`` its name, both None for directories; ``commit`` the number of the commit that made
this version, 0 for directories without an entry. Everything in it belongs to the version: it never changes by itself.
"""

Level: TypeAlias = tuple[dict[str, Info], dict[str, Info]]
"""Directories and files of one directory, by their last name."""

_TYPES = ("", "file", "directory")
"""By `Kind`."""


def prefix_of(ref: str | None) -> str:
    """What stands before a path in a name: nothing, or the ref that the caller chose in front of it."""
    return f"@{ref}/" if ref is not None else ""


def implied(path: str) -> Entry:
    """The entry of a directory that exists only through its files."""
    return Entry(path, Kind.DIRECTORY, 0, 0, 0, None, None, None)


def describe(entries: Iterable[Entry], prefix: str) -> list[Info]:
    """One `Info` for each entry."""
    # Files that were put together share their time, and datetimes are slow to make.
    moments: dict[int, datetime | None] = {0: None}

    def moment(nanoseconds: int) -> datetime | None:
        if nanoseconds not in moments:
            moments[nanoseconds] = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
        return moments[nanoseconds]

    known = moments.get
    return [
        {
            "name": prefix + (path if "%" not in path and "#" not in path else encode_name(path)),
            "size": size,
            "type": _TYPES[kind],
            "mtime": known(modified) or moment(modified),
            "digest": digest.hex() if digest is not None else None,
            "format": form,
            "commit": commit,
        }
        for path, kind, size, modified, commit, _, digest, form in entries
    ]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection inside the ``with``.

    A long listing makes very many objects at once, none of them garbage: looking through them again and again would
    take a quarter of its time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def found_below(entries: Sequence[Entry], top: str, maxdepth: int | None, withdirs: bool) -> list[Entry]:
    """What ``find`` keeps of the entries below a directory; with ``withdirs`` also the directories in between."""
    start = len(top) + 1 if top else 0
    kept: dict[str, Entry] = {}
    for entry in entries:
        if withdirs:
            above = parent(entry.path)
            while len(above) > len(top) and above not in kept:
                kept[above] = implied(above)
                above = parent(above)
        if withdirs or entry.kind == Kind.FILE:
            kept[entry.path] = entry
    if maxdepth is None:
        return list(kept.values())
    return [entry for path, entry in kept.items() if path.count("/", start) < maxdepth]


def tree_levels(infos: Iterable[Info], top: str) -> dict[str, Level]:
    """Names below a directory, sorted into the directories that hold them; a file itself goes under ``""``."""
    levels: dict[str, Level] = {}
    for info in infos:
        name = info["name"]
        directory, _, last = name.rpartition("/")
        if name == top:
            if info["type"] == "directory":
                continue
            directory, last = top, ""
        level = levels.setdefault(directory, ({}, {}))
        level[0 if info["type"] == "directory" else 1][last] = info
    return levels


def walk_levels(
    levels: dict[str, Level], top: str, maxdepth: int | None, topdown: bool, detail: bool
) -> Iterator[tuple[str, Any, Any]]:
    """As ``os.walk``: what the caller removes of the directories is not entered."""
    directories, files = levels.get(top, ({}, {}))
    shown: tuple[Any, Any] = (dict(directories), dict(files)) if detail else (list(directories), list(files))
    if topdown:
        yield top, *shown
    if maxdepth is None or maxdepth > 1:
        for name in list(shown[0]):
            yield from walk_levels(levels, join(top, name), maxdepth and maxdepth - 1, topdown, detail)
    if not topdown:
        yield top, *shown
