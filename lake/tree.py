"""The entries of one ref, with the changes of an open transaction laid over them."""

from __future__ import annotations

from lake.errors import IsDirectory, NotFound
from lake.journal.base import Journal
from lake.journal.values import Entry, Kind, View
from lake.transaction import Transaction

__all__ = ["Tree"]


class Tree:
    """Looks entries up at a resolved ref. Cheap to make; sees one state for as long as it lives."""

    def __init__(self, journal: Journal, view: View, transaction: Transaction | None = None) -> None:
        self._journal = journal
        self._transaction = transaction
        self.view = view

    def find(self, path: str) -> Entry | None:
        """The entry of a path, or None."""
        if self._transaction is not None and self._transaction.knows(path):
            return self._transaction.entry(path)
        return self._journal.lookup(self.view, path)

    def is_file(self, path: str) -> bool:
        entry = self.find(path)
        return entry is not None and entry.kind == Kind.FILE

    def is_directory(self, path: str) -> bool:
        if not path:
            return True
        if self._transaction is None:
            return self._journal.is_directory(self.view, path)
        return self._transaction.is_directory(path) or bool(self.walk(path)) or self._is_own_directory(path)

    def _is_own_directory(self, path: str) -> bool:
        entry = self.find(path)
        return entry is not None and entry.kind == Kind.DIRECTORY

    def file(self, path: str) -> Entry:
        """The entry of a file.

        Raises:
            IsDirectory: the path is a directory.
            NotFound: nothing is there; close names are told.
        """
        entry = self.find(path)
        if entry is not None and entry.kind == Kind.FILE:
            return entry
        if self.is_directory(path):
            raise IsDirectory(f"{path or 'the top of the lake'} is a directory")
        raise self.missing(path)

    def missing(self, path: str) -> NotFound:
        """The error that says so, with names that come close."""
        near = self._journal.near(self.view, path)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return NotFound(f"no such file or directory in the lake: {path}{hint}")

    def walk(self, directory: str) -> list[Entry]:
        """Every entry below a directory, at any depth, sorted by path."""
        entries = self._journal.walk(self.view, directory)
        return entries if self._transaction is None else self._transaction.overlay(entries, directory)

    def children(self, directory: str) -> list[Entry]:
        """What lies directly below a directory, sorted by path; implied directories have commit 0."""
        if self._transaction is None:
            return self._journal.children(self.view, directory)
        found: dict[str, Entry] = {}
        start = len(directory) + 1 if directory else 0
        for entry in self.walk(directory):
            end = entry.path.find("/", start)
            if end < 0:
                found[entry.path] = entry
            else:
                path = entry.path[:end]
                found.setdefault(path, Entry(path, Kind.DIRECTORY, 0, entry.modified, 0, None, None, None))
        return [found[path] for path in sorted(found)]

    def below(self, path: str) -> list[Entry]:
        """A file's entry, or a directory's own entry (if any) and everything below it.

        Raises:
            NotFound: nothing is there.
        """
        own = self.find(path) if path else None
        if own is not None and own.kind == Kind.FILE:
            return [own]
        entries = ([own] if own is not None else []) + self.walk(path)
        if not entries and path:
            raise self.missing(path)
        return entries
