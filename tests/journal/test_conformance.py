"""The SQLite journal does what every journal must do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.journal.base import Journal
from lake.journal.sqlite import SqliteJournal
from lake.testing.journal import JournalConformance


class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    def journal(self, path: Path) -> Iterator[Journal]:
        journal = SqliteJournal(path)
        yield journal
        journal.close()

    def reopen(self, journal: Journal) -> Journal:
        assert isinstance(journal, SqliteJournal)
        return SqliteJournal(journal.path)
