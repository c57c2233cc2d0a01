"""Moves, copies, removals and restores, spelled out as changes. Reads entries, touches no bytes."""

from __future__ import annotations

from collections.abc import Iterable

from lake.errors import AlreadyExists, InvalidInput, IsDirectory, NotDirectory
from lake.journal.values import PRESENT, Annotate, Change, Entry, Expect, Kind, MakeDirectory, Put, Remove
from lake.paths import clean_path, join
from lake.tree import Tree

__all__ = ["plan_copy", "plan_move", "plan_remove", "plan_restore"]


def plan_copy(source: Tree, path: str, target: Tree, destination: str, *, recursive: bool) -> list[Change]:
    """What ``cp`` does: a file to a path or into a directory; a directory with ``recursive``.

    Raises:
        NotFound, IsDirectory, NotDirectory, InvalidInput: as ``cp`` refuses.
    """
    entries = source.below(path)
    if not recursive and not _is_file(entries, path):
        raise IsDirectory(f"{path or 'the top of the lake'} is a directory: copy it with -r (recursive)")
    base = _landing(source, path, target, destination)
    return [_placed(entry, _moved(entry.path, path, base)) for entry in entries]


def plan_move(tree: Tree, path: str, destination: str) -> list[Change]:
    """What ``mv`` does. Each source must still be the version that was read when the commit happens.

    Raises:
        NotFound, IsDirectory, NotDirectory, InvalidInput: as ``mv`` refuses.
        AlreadyExists: a directory would replace one that is not empty.
    """
    if not path:
        raise InvalidInput("the top of the lake cannot be moved")
    entries = tree.below(path)
    base = _landing(tree, path, tree, destination)
    if not _is_file(entries, path) and tree.walk(base):
        raise AlreadyExists(f"{base} is a directory that is not empty: {path} cannot take its place")
    changes: list[Change] = [Remove(entry.path, _version(entry)) for entry in reversed(entries)]
    changes.extend(_placed(entry, _moved(entry.path, path, base)) for entry in entries)
    return changes


def plan_remove(tree: Tree, path: str, *, recursive: bool) -> list[Change]:
    """What ``rm`` does; a directory, even an empty one, needs ``recursive``.

    Raises:
        NotFound: nothing is there.
        IsDirectory: a directory without ``recursive``.
    """
    entries = tree.below(path)
    if not recursive and not _is_file(entries, path):
        raise IsDirectory(f"{path or 'the top of the lake'} is a directory: remove it with -r (recursive)")
    return [Remove(entry.path) for entry in reversed(entries)]


def plan_restore(old: Tree, path: str, new: Tree) -> list[Change]:
    """Make a path what it was: content and attributes come back, what was not there then goes (``git restore``).

    Raises:
        NotFound: nothing was there then.
    """
    wanted = {entry.path: entry for entry in old.below(path)}
    present: Iterable[Entry] = [entry] if (entry := new.find(path)) is not None and path else []
    found = {entry.path: entry for entry in (*present, *new.walk(path))}
    changes: list[Change] = [Remove(gone) for gone in sorted(found.keys() - wanted.keys(), reverse=True)]
    for entry in wanted.values():
        now = found.get(entry.path)
        if now is None:
            changes.append(_placed(entry, entry.path))
        elif now.kind != entry.kind:
            changes.extend([Remove(entry.path), _placed(entry, entry.path)])
        elif (now.digest, now.attributes) != (entry.digest, entry.attributes):
            changes.append(_placed(entry, entry.path) if entry.kind == Kind.FILE else _reannotated(now, entry))
    return changes


def _landing(source: Tree, path: str, target: Tree, destination: str) -> str:
    """Where a source goes, by the rules of ``cp`` and ``mv``."""
    place = clean_path(destination)
    source_is_file = source.is_file(path)
    if target.is_directory(place) or (source_is_file and destination.endswith("/")):
        if place and target.is_file(place):
            raise NotDirectory(f"{place} is a file, not a directory")
        name = path.rsplit("/", 1)[-1]
        place = join(place, name) if name else place
        if source_is_file and target.is_directory(place):
            raise IsDirectory(f"{place} is a directory: it cannot be replaced by the file {path}")
    if not source_is_file and target.is_file(place):
        raise NotDirectory(f"{place} is a file: it cannot be replaced by the directory {path}")
    if source.view.branch == target.view.branch and source.view.name == target.view.name:
        if place == path:
            raise InvalidInput(f"{path} and {place} are the same")
        if not source_is_file and (place.startswith(f"{path}/") or not path):
            raise InvalidInput(f"{path or 'the top of the lake'} cannot go into itself ({place})")
    return place


def _moved(path: str, old: str, new: str) -> str:
    return new if path == old else join(new, path[len(old) + 1 :] if old else path)


def _placed(entry: Entry, path: str) -> Change:
    if entry.kind == Kind.DIRECTORY:
        return MakeDirectory(path, attributes=entry.attributes)
    return Put(path, entry.hex, attributes=entry.attributes, modified=entry.modified)


def _reannotated(now: Entry, entry: Entry) -> Change:
    return Annotate(entry.path, {**dict.fromkeys(now.attributes), **entry.attributes})


def _is_file(entries: list[Entry], path: str) -> bool:
    return len(entries) == 1 and entries[0].kind == Kind.FILE and entries[0].path == path


def _version(entry: Entry) -> Expect:
    return Expect(True, entry.commit) if entry.commit else PRESENT
