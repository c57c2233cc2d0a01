"""bcftools on ticket URLs, the region in the query."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.htsget.clients.conftest import Served, query, run, succeed

REAL = {
    "vcf/1kg_5samples_chr22.vcf.gz": ["22:50300078-50400000", "22:50300086-50300086"],
    "bcf/phasing_panel_300samples.bcf": [],
}


def text(*arguments: str | Path, options: tuple[str, ...] = ("-H",), env: Mapping[str, str] | None = None) -> str:
    done = run("bcftools", "view", "--no-version", *options, *arguments, env=env)
    assert done.status == 0, done.err
    assert "[E::" not in done.err
    return done.text


@pytest.mark.parametrize("form", ["VCF", "VCFTEXT", "BCF"])
def test_whole_and_a_region_in_every_format(served: Served, made: Path, form: str) -> None:
    url, file = f"{served.url}/variants/calls/calls.vcf.gz?format={form}", made / "calls.vcf.gz"
    assert text(url, options=()) == text(file, options=())
    for region in ("chr1", "chr1:100-100", "chr1:10001-20000", "chr2:29990-30000"):
        assert text(f"{url}&{query(region)}") == text("-r", region, file)


def test_the_header_alone(served: Served, made: Path) -> None:
    url = f"{served.url}/variants/calls/calls?class=header"
    assert text(url, options=("-h",)) == text(made / "calls.vcf.gz", options=("-h",))


@pytest.mark.parametrize("name", REAL)
def test_real_files(served: Served, real: Path, name: str) -> None:
    url = f"{served.url}/variants/real/{Path(name).name}"
    stored = "BCF" if name.endswith(".bcf") else "VCF"
    # Where a header lacks contigs bcftools takes them from an index beside the file; beside a ticket there is none.
    assert text(f"{url}?format={stored}") == text(real / name)
    regions = REAL[name]
    if not regions:
        sites = succeed("bcftools", "query", "-f", "%CHROM:%POS\n", real / name).decode().split()
        regions = [f"{sites[100]}-{sites[900].rpartition(':')[2]}", f"{sites[-1]}-{sites[-1].rpartition(':')[2]}"]
    for region in regions:
        expected = text("-r", region, real / name)
        assert expected
        assert text(f"{url}?format={stored}&{query(region)}") == expected
        assert text(f"{url}?format={stored}&inline=none&{query(region)}") == expected


def test_contigs_that_a_header_lacks_cannot_be_bcf(served: Served, real: Path) -> None:
    """BCF names contigs by their place in the header; bcftools itself cannot write it from such a stream."""
    done = run("bcftools", "view", f"{served.url}/variants/real/1kg_5samples_chr22.vcf.gz?format=BCF")
    assert done.status != 0
    assert done.out == b""


def test_other_commands(served: Served, made: Path, tmp_path: Path) -> None:
    url = f"{served.url}/variants/calls/calls.vcf.gz?{query('chr1:10001-20000')}"
    succeed("bcftools", "view", "-Oz", "-r", "chr1:10001-20000", "-o", tmp_path / "part.vcf.gz", made / "calls.vcf.gz")
    for command in (("query", "-f", "%CHROM %POS %INFO/DP\n"), ("stats",), ("view", "-H", "-i", "INFO/DP>50")):
        ours, theirs = (succeed("bcftools", *command, place).decode() for place in (url, tmp_path / "part.vcf.gz"))
        assert [line for line in ours.splitlines() if line[:1] != "#" and not line.startswith("ID\t")] == [
            line for line in theirs.splitlines() if line[:1] != "#" and not line.startswith("ID\t")
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/variants/calls/nothing.vcf.gz",
        "/variants/runs/s1.bam",
        "/variants/calls/calls.vcf.gz?referenceName=chrX",
        "/variants/calls/calls.vcf.gz?referenceName=chr1&start=20&end=10",
        "/variants/calls/calls.vcf.gz?format=BAM",
    ],
)
def test_an_error_is_no_empty_file(served: Served, path: str) -> None:
    done = run("bcftools", "view", f"{served.url}{path}")
    assert done.status != 0
    assert done.out == b""


def test_a_token(guarded: Served, made: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(guarded.token)
    with_token = {
        "HTS_AUTH_LOCATION": str(tmp_path / "token"),
        "HTS_ALLOW_UNENCRYPTED_AUTHORIZATION_HEADER": "I understand the risks",
    }
    url = f"{guarded.url}/variants/calls/calls.vcf.gz?inline=none&{query('chr1:10001-20000')}"
    assert run("bcftools", "view", url).status != 0
    assert text(url, env=with_token) == text("-r", "chr1:10001-20000", made / "calls.vcf.gz")
