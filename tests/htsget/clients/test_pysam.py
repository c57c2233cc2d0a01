"""pysam opens ticket URLs like files; it reads them from start to end."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

from tests.htsget.clients.conftest import Served


def reads(place: str | Path, region: tuple[str, int, int] | None = None) -> list[str]:
    with pysam.AlignmentFile(str(place), check_sq=False) as file:
        found = file.fetch(*region) if region else file.fetch(until_eof=True)
        return [read.to_string() for read in found]


def variants(place: str | Path, region: tuple[str, int, int] | None = None) -> list[str]:
    with pysam.VariantFile(str(place)) as file:
        return [str(record) for record in (file.fetch(*region) if region else file.fetch())]


@pytest.mark.parametrize("form", ["BAM", "CRAM", "SAM"])
def test_alignments(served: Served, made: Path, form: str) -> None:
    url = f"{served.url}/reads/runs/s1.bam?format={form}"
    assert reads(url) == reads(made / "s1.bam")
    assert reads(f"{url}&referenceName=chr1&start=1000&end=2000") == reads(made / "s1.bam", ("chr1", 1000, 2000))


@pytest.mark.parametrize("form", ["VCF", "VCFTEXT", "BCF"])
def test_variants(served: Served, made: Path, form: str) -> None:
    url = f"{served.url}/variants/calls/calls.vcf.gz?format={form}"
    assert variants(url) == variants(made / "calls.vcf.gz")
    assert variants(f"{url}&referenceName=chr2&start=1000&end=2000") == variants(
        made / "calls.vcf.gz", ("chr2", 1000, 2000)
    )


def test_a_table_of_contigs(served: Served, made: Path) -> None:
    url = f"{served.url}/reads/runs/s1.bam?class=header"
    with pysam.AlignmentFile(url) as ours, pysam.AlignmentFile(str(made / "s1.bam")) as theirs:
        assert ours.header.to_dict() == theirs.header.to_dict()


def test_no_such_file(served: Served) -> None:
    with pytest.raises((OSError, ValueError)):
        reads(f"{served.url}/reads/runs/nothing.bam")
    with pytest.raises((OSError, ValueError)):
        variants(f"{served.url}/variants/calls/calls.vcf.gz?referenceName=chrX")
