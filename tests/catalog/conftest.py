"""Lakes to ask, and the model that they are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake.lake import Lake
from tests.lake.samples import make_bam

Put = Callable[..., int]


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake."""
    with Lake.init(tmp_path / "lake") as lk:
        yield lk


@pytest.fixture
def put(lk: Lake) -> Put:
    """``put(path, text, **attributes)`` stores a text file; returns the number of its commit."""

    def write(path: str, content: str, /, **attributes: object) -> int:
        with lk.open(path, "w", attributes=attributes) as file:  # type: ignore[arg-type]
            file.write(content)
        return lk.stat(path).commit

    return write


@pytest.fixture(scope="session")
def bams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a.bam`` with its BAI, ``b.bam`` without any index."""
    folder = tmp_path_factory.mktemp("bams")
    make_bam(folder / "a.bam", seed=1, index="bai")
    make_bam(folder / "b.bam", seed=2)
    return folder
