"""The client ``htsget`` of PyPI (ga4gh/htsget), as a program in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.htsget.clients.conftest import Served, run, succeed
from tests.lake.samples import sam_text

pytestmark = [pytest.mark.network, pytest.mark.clients]


def test_reads_of_a_region(served: Served, made: Path, python_clients: Path, tmp_path: Path) -> None:
    url = f"{served.url}/reads/runs/s1.bam"
    for form in ("BAM", "CRAM"):
        succeed(
            *(python_clients / "htsget", url, "-r", "chr1", "-s", "999", "-e", "20000", "-f", form),
            *("-O", tmp_path / "part"),
        )
        assert succeed("samtools", "view", tmp_path / "part").decode() == sam_text(made / "s1.bam", "chr1:1000-20000")


def test_a_whole_file_is_the_same_file(served: Served, made: Path, python_clients: Path, tmp_path: Path) -> None:
    succeed(python_clients / "htsget", f"{served.url}/reads/runs/s1.bam", "-O", tmp_path / "s1.bam")
    assert (tmp_path / "s1.bam").read_bytes() == (made / "s1.bam").read_bytes()


def test_variants(served: Served, made: Path, python_clients: Path) -> None:
    url = f"{served.url}/variants/calls/calls.vcf.gz"
    part = succeed(python_clients / "htsget", url, "-r", "chr2", "-s", "999", "-e", "20000")
    theirs = succeed("bcftools", "view", "-H", "-r", "chr2:1000-20000", made / "calls.vcf.gz")
    assert [line for line in _inflated(part).splitlines() if line[:1] != b"#"] == theirs.splitlines()


def test_a_token(guarded: Served, made: Path, python_clients: Path, tmp_path: Path) -> None:
    program, url = python_clients / "htsget", f"{guarded.url}/reads/runs/s1.bam"
    where = ("-r", "chr2", "-O", tmp_path / "part.bam")
    refused = run(program, url, *where)
    assert refused.status != 0
    assert "InvalidAuthentication" in refused.err
    succeed(program, url, *where, "--bearer-token", guarded.token)
    assert succeed("samtools", "view", tmp_path / "part.bam").decode() == sam_text(made / "s1.bam", "chr2")


@pytest.mark.parametrize(("name", "region", "kind"), [("nothing", "chr1", "NotFound"), ("s1.bam", "chrX", "NotFound")])
def test_errors(served: Served, python_clients: Path, tmp_path: Path, name: str, region: str, kind: str) -> None:
    done = run(python_clients / "htsget", f"{served.url}/reads/runs/{name}", "-r", region, "-O", tmp_path / "part")
    assert done.status != 0
    assert kind in done.err


def _inflated(data: bytes) -> bytes:
    import gzip

    return gzip.decompress(data)
