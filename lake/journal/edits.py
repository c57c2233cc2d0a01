"""The changes of one commit, applied in order inside its transaction, and the commit's id."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from lake.digest import Digest
from lake.errors import (
    AlreadyExists,
    Collected,
    Conflict,
    InvalidInput,
    InvalidPath,
    IsDirectory,
    NotDirectory,
    NotFound,
)
from lake.journal.entries import Version, find, has_below, span_below
from lake.journal.objects import Live
from lake.journal.values import PRESENT, Annotate, Change, Entry, Expect, Json, Kind, MakeDirectory, Put, Remove, View

__all__ = ["Edit", "State", "commit_id"]

_LATEST = (1 << 63) - 1


class State(NamedTuple):
    """A new version of a path, without its key."""

    kind: Kind
    object: int | None
    size: int
    modified: int
    attrs: str | None
    digest: bytes | None
    chunk_root: bytes | None


class Edit:
    """Writes the entries of commit ``view.seq`` on ``view.branch``; each change sees those before it."""

    def __init__(self, sql: sqlite3.Connection, view: View, created: int, objects: Mapping[Digest, Live]) -> None:
        self._sql = sql
        self._view = view
        self._created = created
        self._objects = objects
        self._directories: set[str] = {""}
        """Directories that are known not to be files."""
        self.delta: dict[str, State] = {}
        """The new version of every changed path."""

    def apply(self, change: Change) -> None:
        if not change.path:
            raise InvalidPath("the root of a lake is no entry: name a path below it")
        found = find(self._sql, self._view, change.path)
        entry = None if found is None or found.entry.kind == Kind.TOMBSTONE else found.entry
        match change:
            case Put():
                self._put(change, found, entry)
            case MakeDirectory():
                self._make_directory(change, found, entry)
            case Remove():
                self._remove(change, found, entry)
            case Annotate():
                self._annotate(change, found, entry)

    def _put(self, change: Put, found: Version | None, entry: Entry | None) -> None:
        path = change.path
        known = self._objects.get(change.digest)
        if known is None:
            message = f"{path}: {change.digest} is not a live object: store it again, then retry"
            raise Collected(message, [change.digest])
        _check(path, change.expect, entry)
        if entry is None:
            self._check_parents(path)
        if (entry is not None and entry.kind == Kind.DIRECTORY) or (entry is None and self._anything_below(path)):
            raise IsDirectory(f"{path} is a directory: remove what lies below it, or choose another name")
        kept = {} if entry is None else entry.attributes
        attrs = _encode(path, _merged(kept if change.attributes is None else change.attributes, change.patch))
        digest = bytes.fromhex(change.digest)
        if (
            entry is not None
            and (entry.digest, entry.attrs) == (digest, attrs)
            and change.modified in (None, entry.modified)
        ):
            return
        # Filesystems know later times than SQLite's integers do; such a time is no more than noise.
        modified = self._created if change.modified is None else max(-_LATEST, min(change.modified, _LATEST))
        self._write(path, found, State(Kind.FILE, known.id, known.size, modified, attrs, digest, known.chunk_root))

    def _make_directory(self, change: MakeDirectory, found: Version | None, entry: Entry | None) -> None:
        path = change.path
        _check(path, change.expect, entry, implied=entry is None and self._anything_below(path))
        if entry is not None:
            if entry.kind == Kind.FILE:
                raise AlreadyExists(f"cannot make the directory {path}: there is a file of that name")
            return
        self._check_parents(path)
        attrs = _encode(path, _merged(change.attributes or {}, None))
        self._write(path, found, State(Kind.DIRECTORY, None, 0, self._created, attrs, None, None))

    def _remove(self, change: Remove, found: Version | None, entry: Entry | None) -> None:
        if entry is None and change.expect == PRESENT:
            raise NotFound(f"cannot remove {change.path}: there is no such entry")
        _check(change.path, change.expect, entry)
        if entry is not None:
            self._directories = {""}
            self._write(change.path, found, State(Kind.TOMBSTONE, None, 0, self._created, None, None, None))

    def _annotate(self, change: Annotate, found: Version | None, entry: Entry | None) -> None:
        path = change.path
        if change.expect != PRESENT:
            _check(path, change.expect, entry)
        if entry is None:
            raise NotFound(f"cannot annotate {path}: there is no such entry")
        attrs = _encode(path, _merged(entry.attributes, change.patch))
        if attrs == entry.attrs:
            return
        self._write(path, found, self._same(entry)._replace(attrs=attrs))

    def _same(self, entry: Entry) -> State:
        if entry.digest is None:
            return State(Kind(entry.kind), None, entry.size, entry.modified, entry.attrs, None, None)
        query = "SELECT id, chunk_root FROM object WHERE digest = ?"
        number, root = self._sql.execute(query, (entry.digest,)).fetchone()
        return State(Kind(entry.kind), number, entry.size, entry.modified, entry.attrs, entry.digest, root)

    def _check_parents(self, path: str) -> None:
        """No file is a directory. Stops at the first parent that is known to be one: all above it are too."""
        fresh = []
        parent = path.rpartition("/")[0]
        while parent not in self._directories:
            found = find(self._sql, self._view, parent)
            if found is not None and found.entry.kind == Kind.FILE:
                raise NotDirectory(f"{path}: {parent} is a file, nothing can lie below it")
            fresh.append(parent)
            parent = parent.rpartition("/")[0]
        self._directories.update(fresh)

    def _anything_below(self, path: str) -> bool:
        # Most paths have no row below them on any branch, which one seek tells.
        query = "SELECT 1 FROM entry WHERE path >= ? AND path < ? LIMIT 1"
        if self._sql.execute(query, span_below(path)).fetchone() is None:
            return False
        return has_below(self._sql, self._view, path)

    def _write(self, path: str, found: Version | None, state: State) -> None:
        branch, seq = self._view.branch, self._view.seq
        if found is not None and found.branch == branch and found.entry.commit < seq:
            self._sql.execute(
                "UPDATE entry SET until = ? WHERE path = ? AND branch = ? AND seq = ?",
                (seq, path, branch, found.entry.commit),
            )
        self._sql.execute(
            "INSERT OR REPLACE INTO entry(path, branch, seq, kind, object, size, mtime, attrs)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (path, branch, seq, state.kind, state.object, state.size, state.modified, state.attrs),
        )
        self.delta[path] = state


def commit_id(
    parents: Sequence[str], delta: Mapping[str, State], *, branch: str, author: str, created: int, message: str
) -> bytes:
    """BLAKE3 over canonical JSON: the parents, every change sorted by path, and what is said about the commit."""
    changes = [
        [path, state.kind, _hex(state.digest), state.size, state.modified, state.attrs, _hex(state.chunk_root)]
        for path, state in sorted(delta.items())
    ]
    canonical = json.dumps([list(parents), changes, author, created, message, branch], separators=(",", ":"))
    return blake3(canonical.encode("ascii")).digest()


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def _check(path: str, expect: Expect | None, entry: Entry | None, implied: bool = False) -> None:
    """Raises `Conflict`. A directory that exists only through its files (``implied``) has version 0."""
    if expect is None:
        return
    present = implied or entry is not None
    version = 0 if entry is None else entry.commit
    if present == expect.present and (not present or expect.commit in (None, version)):
        return
    if not expect.present:
        wanted = "nothing there"
    elif expect.commit is None:
        wanted = "an entry"
    else:
        wanted = f"the version of commit {expect.commit}"
    if not present:
        got = "nothing"
    elif entry is None:
        got = "a directory"
    else:
        got = f"the version of commit {version}"
    raise Conflict(f"{path}: expected {wanted}, found {got}: read it again, then retry")


def _merged(base: Mapping[str, Json], patch: Mapping[str, Json] | None) -> dict[str, Json]:
    """The patch put over the attributes; None in it removes a key."""
    if not patch:
        return dict(base)
    kept = {key: value for key, value in base.items() if key not in patch}
    return kept | {key: value for key, value in patch.items() if value is not None}


def _encode(path: str, attributes: Mapping[str, Any]) -> str | None:
    if not attributes:
        return None
    try:
        text = json.dumps(attributes, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"attributes of {path} are no JSON: {error}") from error
    return text
