"""Every benchmark runs, on inputs so small that its figures mean nothing: the scripts stay alive."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pysam
import pytest

from tests.benchmarks.measuring import Figure, Series, percentile

_READS = 3000


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "small.bam"
    header = pysam.AlignmentHeader.from_dict(
        {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": 300_000} for name in ("one", "two")]}
    )
    chance = random.Random(3)
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for tid in range(2):
            for number in range(_READS):
                read = pysam.AlignedSegment(header)
                read.query_name = f"read{number}"
                read.reference_id, read.reference_start = tid, 90 * number
                read.query_sequence = "".join(chance.choices("ACGT", k=100))
                read.cigarstring = "100M"
                file.write(read)
    pysam.index(str(path))
    return path


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("put", ["--turns", "1", "--bam", "BAM"]),
        ("small_files", ["--turns", "1", "--files", "150", "--size", "64"]),
        ("fsspec_read", ["--turns", "1", "--file", "BAM"]),
        ("listing", ["--turns", "1", "--entries", "200", "--asked", "50"]),
        ("commits", ["--turns", "1", "--processes", "2", "--commits", "5"]),
        ("lookup", ["--turns", "1", "--depth", "20", "--paths", "20"]),
        ("slices", ["--turns", "1", "--bam", "BAM", "--queries", "20", "--big", "100000"]),
        ("import_time", ["--turns", "1"]),
        ("memory", ["--bam", "BAM", "--files", "10"]),
    ],
)
def test_benchmark_runs(script: str, arguments: Sequence[str], bam: Path, tmp_path: Path) -> None:
    if script in {"put", "slices", "memory"} and shutil.which("samtools") is None:
        pytest.skip("no samtools to compare with")
    work = tmp_path / "work"
    given = [str(bam) if argument == "BAM" else argument for argument in arguments]
    figures: list[Figure] = import_module(f"tests.benchmarks.{script}").main(["--work", str(work), *given])
    assert figures
    assert all(figure.value > 0 or script == "import_time" for figure in figures)
    assert not work.exists() or not list(work.iterdir()), "temporary data stayed behind"


def test_percentile_is_a_value_that_enough_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([5.0], 50) == 5


def test_a_figure_knows_whether_its_bound_is_kept() -> None:
    assert [Figure("a", 2, "x", at_most=2).met, Figure("a", 2, "x", at_least=3).met] == [True, False]
    assert Figure("a", 2, "x").met is None
    assert "MISSED" in str(Figure("a", 2, "x", at_most=1.5))
    assert Series((3.0, 1.0, 2.0)).median == 2
