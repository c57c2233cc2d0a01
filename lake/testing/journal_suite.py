"""What the parts of the journal's conformance suite share."""

from __future__ import annotations

from typing import Any

import pytest

from lake.digest import digest_of
from lake.journal.base import Journal
from lake.journal.values import Commit, Entry, ObjectRecord, Put, View
from lake.stores.base import Location

__all__ = ["JournalSuite", "names", "object_record", "put"]


def object_record(content: str, **changes: Any) -> ObjectRecord:
    """A made-up object that stands for the text."""
    data = content.encode()
    digest = digest_of(data)
    return ObjectRecord(
        **{
            "digest": digest,
            "size": len(data),
            "format": "text",
            "location": Location(f"objects/{digest[:2]}/{digest}", 0, len(data)),
            **changes,
        }
    )


def put(journal: Journal, path: str, content: str, branch: str = "main", **options: Any) -> Commit:
    """Commit one file; ``options`` are those of `Put`."""
    record = object_record(content)
    return journal.commit(branch, [Put(path, record.digest, **options)], objects=[record], message=f"put {path}")


def names(entries: list[Entry]) -> list[str]:
    return [entry.path for entry in entries]


class JournalSuite:
    """Tests of a journal; a subclass supplies the fixture ``journal`` (empty, writable) and `reopen`."""

    @pytest.fixture
    def journal(self) -> Journal:
        raise NotImplementedError("a subclass supplies an empty journal")

    def reopen(self, journal: Journal) -> Journal:
        """A second journal on the same record of truth, sharing no memory with the first."""
        raise NotImplementedError("a subclass opens the same journal again")

    def head(self, journal: Journal, branch: str = "main") -> View:
        return journal.resolve(branch)
