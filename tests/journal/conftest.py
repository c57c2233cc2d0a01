"""Journals to test with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.journal.sqlite import SqliteJournal, create


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an empty journal."""
    path = tmp_path / "journal.db"
    create(path)
    return path


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    journal.close()
