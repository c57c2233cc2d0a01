"""Many changes that become one commit, and how they look to their own reads before that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from lake.clock import now
from lake.digest import Digest
from lake.errors import NotFound
from lake.journal.values import (
    Annotate,
    Artifact,
    Change,
    Commit,
    Entry,
    Json,
    Kind,
    MakeDirectory,
    ObjectRecord,
    Put,
    Remove,
)
from lake.paths import parent
from lake.repository import Repository
from lake.stores.base import Batch

__all__ = ["Transaction"]


class Transaction:
    """Changes of one branch, gathered until `commit`."""

    def __init__(
        self,
        repo: Repository,
        branch: str,
        message: str,
        expected_head: int | None = None,
        op_id: str | None = None,
    ) -> None:
        self._repo = repo
        self.branch = branch
        self.message = message
        self._expected_head = expected_head
        self._op_id = op_id
        self._changes: list[Change] = []
        self._objects: dict[Digest, ObjectRecord] = {}
        self._artifacts: list[Artifact] = []
        self._batches: list[Batch] = []
        self._entries: dict[str, Entry | None] = {}
        self._below: dict[str, dict[str, None]] = {}
        """Changed paths below each directory, at any depth, so that a look at one costs what lies in it."""
        self.result: Commit | None = None
        """The commit, once it stands; None for a transaction that changed nothing."""

    def add(
        self,
        changes: Sequence[Change],
        objects: Iterable[ObjectRecord],
        artifacts: Iterable[Artifact],
        found: dict[str, Entry | None],
    ) -> None:
        """Take changes in. ``found`` holds the entries that they meet, as seen before them."""
        for record in objects:
            self._objects[record.digest] = record
            self._repo.shelf.add(record)
        self._artifacts.extend(artifacts)
        for change in changes:
            old = self._entries[change.path] if change.path in self._entries else found.get(change.path)
            self._entries[change.path] = self._apply(change, old)
            directory = change.path
            while directory:
                directory = parent(directory)
                self._below.setdefault(directory, {})[change.path] = None
        self._changes.extend(changes)

    def hold(self, batches: Iterable[Batch]) -> None:
        """Keep batches open whose sources have to go once the commit stands."""
        self._batches.extend(batches)

    def close(self) -> None:
        """Close the batches that were held; sources that were not released stay where they are."""
        for batch in self._batches:
            batch.__exit__(None, None, None)

    def commit(self) -> Commit | None:
        """Make everything one commit; None when nothing was changed."""
        if self._changes:
            self.result = self._repo.commit(
                self.branch,
                self._changes,
                objects=self._objects.values(),
                artifacts=self._artifacts,
                message=self.message,
                op_id=self._op_id,
                expected_head=self._expected_head,
            )
            for batch in self._batches:
                batch.release()
        return self.result

    # -- how it looks from inside -------------------------------------------------------------------------------
    def knows(self, path: str) -> bool:
        return path in self._entries

    def entry(self, path: str) -> Entry | None:
        return self._entries[path]

    def overlay(self, entries: Iterable[Entry], directory: str) -> list[Entry]:
        """Entries below a directory at any depth, as `Journal.walk` gives them, with the changes applied."""
        seen = {entry.path: entry for entry in entries}
        for path in self._below.get(directory, ()):
            changed = self._entries[path]
            if changed is None:
                seen.pop(path, None)
            else:
                seen[path] = changed
        return [seen[path] for path in sorted(seen)]

    def _apply(self, change: Change, old: Entry | None) -> Entry | None:
        present = now()
        match change:
            case Put(path=path, digest=digest):
                record = self._objects.get(digest) or self._repo.shelf.reader(digest).record
                attributes = (
                    dict(change.attributes) if change.attributes is not None else (old.attributes if old else {})
                )
                return Entry(
                    path,
                    Kind.FILE,
                    record.size,
                    change.modified or present,
                    0,
                    _encode(attributes, change.patch or {}),
                    bytes.fromhex(digest),
                    record.format,
                )
            case MakeDirectory(path=path):
                return old or Entry(
                    path, Kind.DIRECTORY, 0, present, 0, _encode(dict(change.attributes or {}), {}), None, None
                )
            case Remove():
                return None
            case Annotate(path=path, patch=patch):
                if old is None:
                    raise NotFound(f"no such file: {path}")
                return old._replace(attrs=_encode(old.attributes, patch), commit=0)

    def is_directory(self, path: str) -> bool:
        """Whether the changes themselves make the path a directory."""
        known = self._entries.get(path)
        if known is not None and known.kind == Kind.DIRECTORY:
            return True
        return any(self._entries[below] is not None for below in self._below.get(path, ()))


def _encode(attributes: dict[str, Json], patch: dict[str, Json] | object) -> str | None:
    assert isinstance(patch, dict) or hasattr(patch, "items")
    merged = {**attributes, **dict(patch)}  # type: ignore[call-overload]
    kept = {key: value for key, value in merged.items() if value is not None}
    return json.dumps(kept, sort_keys=True) if kept else None
