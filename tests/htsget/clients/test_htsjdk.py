"""htsjdk, which GATK, Picard and IGV read with: ``htsget://`` URLs, several intervals by POST."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.htsget.clients.conftest import HERE, Served, requests, run, succeed
from tests.lake.samples import sam_text

pytestmark = [pytest.mark.network, pytest.mark.clients]


_LAST = ("HLA-A*01:01", "5000", "5000")
"""An interval without reads: of the last one, htsjdk 4.1 keeps the first read alone
(``HtsgetBAMFileReader.BAMQueryMultipleIntervalsIteratorFilter``)."""


@pytest.fixture(scope="module")
def program(java_clients: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command that prints regions."""
    folder = tmp_path_factory.mktemp("classes")
    succeed("javac", "-nowarn", "-cp", f"{java_clients}/*", "-d", folder, HERE / "Regions.java")
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}:{java_clients}/*", "Regions"]


def printed(program: list[str | Path], url: str, *regions: str) -> str:
    return succeed(*program, url.replace("http://", "htsget://", 1), *regions).decode()


def fields(text: str) -> list[list[str]]:
    """Records with their tags in any order."""
    return [[*line.split("\t")[:11], *sorted(line.split("\t")[11:])] for line in text.splitlines()]


def test_a_region_and_the_whole_file(served: Served, made: Path, program: list[str | Path]) -> None:
    url = f"{served.url}/reads/runs/s1.bam"
    assert fields(printed(program, url, "chr1", "10001", "20000")) == fields(
        sam_text(made / "s1.bam", "chr1:10001-20000")
    )
    assert fields(printed(program, url)) == fields(sam_text(made / "s1.bam"))


def test_several_intervals_are_one_request(served: Served, made: Path, program: list[str | Path]) -> None:
    before = served.log.stat().st_size
    regions = ("chr2", "100", "200", "chr1", "10001", "20000", "chr1", "15000", "30000", *_LAST)
    text = printed(program, f"{served.url}/reads/runs/s1.bam", *regions)
    assert fields(text) == fields(sam_text(made / "s1.bam", "chr1:10001-30000", "chr2:100-200"))
    posts = requests(served, before, lambda lines: sum(line["method"] == "POST" for line in lines) >= 2)
    assert all(line["status"] == 200 for line in posts)
    assert all("referenceName" not in line["query"] for line in posts)


def test_real_reads(served: Served, real: Path, program: list[str | Path]) -> None:
    name = real / "bam" / "na12878_wgs_b37_unplaced.bam"
    text = printed(
        program, f"{served.url}/reads/real/{name.name}", "11", "4900000", "5000000", "20", "9999999", "10050000"
    )
    assert fields(text) == fields(sam_text(name, "11:4900000-5000000", "20:9999999-10050000"))


def test_no_such_file(served: Served, program: list[str | Path]) -> None:
    done = run(*program, f"{served.url}/reads/runs/nothing.bam".replace("http://", "htsget://", 1))
    assert done.status != 0
    assert "NotFound" in done.err
