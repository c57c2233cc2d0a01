"""Lakes for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.lake import Lake
from tests.lake.samples import make_bam, staged


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake."""
    with Lake.init(tmp_path / "lake") as lk:
        yield lk


@pytest.fixture
def lk(bare: Lake) -> Iterator[Lake]:
    """An empty lake that has to be sound, with nothing left in staging, when the test is over."""
    yield bare
    report = bare.fsck()
    assert report.ok, report.findings
    assert report.foreign == []
    assert staged(bare) == []


@pytest.fixture(scope="session")
def bams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a.bam`` with its BAI, ``b.bam`` with its CSI, ``c.bam`` without any."""
    folder = tmp_path_factory.mktemp("bams")
    make_bam(folder / "a.bam", seed=1, index="bai")
    make_bam(folder / "b.bam", seed=2, index="csi")
    make_bam(folder / "c.bam", seed=3)
    return folder
