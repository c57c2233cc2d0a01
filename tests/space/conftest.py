"""Journals and lakes to fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.lake import Lake


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake that has to be sound when the test is over."""
    with Lake.init(tmp_path / "lake") as lk:
        yield lk
        report = lk.fsck()
        assert report.ok, report
