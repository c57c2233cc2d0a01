"""The cases of ga4gh/htsget-compliance with its ids and its schema of tickets, and those that it has none of.

The suite has twelve: reads as default, BAM, CRAM and variants as default, VCF, BCF, each with ``encryptionScheme`` and
without. It looks at no region, error, POST, service-info or header; its comparisons of VCF compare nothing with
nothing. Here every answer is compared with what samtools and bcftools say of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lake.lake import Lake
from tests.htsget.conftest import running
from tests.htsget.ticket_reader import Answer, ask, error_of, fetch, post, samtools_text
from tests.lake.samples import sam_text

READS, VARIANTS = "/reads/htsnexus_test_NA12878", "/variants/spec-v4.3"
_URL = re.compile(r"(https?://|data:;base64,)")
_FORMATS = {"SAM", "BAM", "CRAM", "VCF", "BCF"}


@pytest.fixture(scope="module")
def client(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with Lake.init(tmp_path_factory.mktemp("lake")) as lake:
        lake.put(str(real / "bam" / "na12878_wgs_b37_unplaced.bam"), "htsnexus_test_NA12878.bam")
        lake.put(str(real / "vcf" / "spec43_small.vcf.gz"), "spec-v4.3.vcf.gz")
        with running(lake.root) as base, httpx.Client(base_url=base, timeout=30, trust_env=False) as found:
            yield found


@pytest.fixture(scope="module")
def reads(real: Path) -> Path:
    return real / "bam" / "na12878_wgs_b37_unplaced.bam"


@pytest.fixture(scope="module")
def variants(real: Path) -> Path:
    return real / "vcf" / "spec43_small.vcf.gz"


def conforms(answer: Answer) -> Answer:
    """Holds a ticket against the schema of the suite."""
    ticket: dict[str, Any] = answer.ticket
    assert ticket["format"] in _FORMATS
    assert ticket["urls"]
    for each in ticket["urls"]:
        assert set(each) <= {"url", "headers", "class"}
        assert _URL.match(each["url"])
        assert all(isinstance(value, str) for value in each.get("headers", {}).values())
    return answer


def records(text: str) -> list[list[str]]:
    """Without what no CRAM keeps: the order of tags, and how reads without a place would align."""
    found = [line.split("\t")[:11] for line in text.splitlines()]
    for record in found:
        if int(record[1]) & 4:
            record[4:6] = ["0", "*"]
    return found


def bcf_text(file: Path, *options: str) -> str:
    return samtools_text(file.read_bytes(), "bcftools", "--no-version", *options)


@pytest.mark.parametrize("form", [None, "BAM", "CRAM"])
@pytest.mark.parametrize("encryption", [None, "none"])
def test_reads(client: httpx.Client, reads: Path, form: str | None, encryption: str | None) -> None:
    asked = {name: value for name, value in (("format", form), ("encryptionScheme", encryption)) if value}
    answer = conforms(ask(client, READS, **asked))
    assert answer.ticket["format"] == (form or "BAM")
    assert records(samtools_text(answer.data)) == records(sam_text(reads))
    if form != "CRAM":
        assert answer.data == reads.read_bytes()


@pytest.mark.parametrize("form", [None, "VCF", "BCF"])
@pytest.mark.parametrize("encryption", [None, "none"])
def test_variants(client: httpx.Client, variants: Path, form: str | None, encryption: str | None) -> None:
    asked = {name: value for name, value in (("format", form), ("encryptionScheme", encryption)) if value}
    answer = conforms(ask(client, VARIANTS, **asked))
    assert answer.ticket["format"] == (form or "VCF")
    assert samtools_text(answer.data, "bcftools", "--no-version") == bcf_text(variants)
    assert bcf_text(variants, "-H")


def test_regions_of_reads(client: httpx.Client, reads: Path) -> None:
    for contig, start, end in (("11", 4_900_000, 4_950_000), ("20", 0, 60_000_000), ("11", 5_000_000, 5_000_001)):
        answer = conforms(ask(client, READS, referenceName=contig, start=start, end=end))
        assert samtools_text(answer.data) == sam_text(reads, f"{contig}:{start + 1}-{end}")
    regions = [
        {"referenceName": "20", "start": 5_000_000, "end": 10_000_000},
        {"referenceName": "11", "start": 4_900_000, "end": 4_950_000},
        {"referenceName": "11", "start": 4_940_000, "end": 5_010_000},
    ]
    answer = conforms(post(client, READS, format="bam", regions=regions))
    assert samtools_text(answer.data) == sam_text(reads, "11:4900001-5010000", "20:5000001-10000000")


def test_a_client_that_always_posts(client: httpx.Client, reads: Path) -> None:
    """As noodles does: JSON, said to be JSON, without regions too."""
    whole = fetch(client, client.post(READS, json={"format": "BAM"}))
    assert conforms(whole).data == reads.read_bytes()
    part = fetch(client, client.post(READS, json={"regions": [{"referenceName": "11", "start": 4_900_000}]}))
    assert samtools_text(conforms(part).data) == sam_text(reads, "11:4900001")


def test_regions_of_variants(client: httpx.Client, variants: Path) -> None:
    for form in ("VCF", "BCF"):
        answer = conforms(ask(client, VARIANTS, format=form, referenceName="20", start=14_369, end=17_330))
        text = samtools_text(answer.data, "bcftools", "-H")
        assert [line.split("\t")[1] for line in text.splitlines()] == ["14370", "17330"]


@pytest.mark.parametrize(("path", "form"), [(READS, "BAM"), (READS, "CRAM"), (VARIANTS, "VCF"), (VARIANTS, "BCF")])
def test_headers(client: httpx.Client, reads: Path, variants: Path, path: str, form: str) -> None:
    answer = conforms(ask(client, path, format=form, class_="header"))
    assert set(answer.classes) == {"header"}
    tool = "samtools" if path == READS else "bcftools"
    assert samtools_text(answer.data, tool) == "" or tool == "bcftools"
    options = ("-H", "--no-PG") if tool == "samtools" else ("-h", "--no-version")
    whole = (reads if path == READS else variants).read_bytes()
    lines = samtools_text(answer.data, tool, *options).splitlines()
    assert [line for line in lines if not line.startswith("@SQ")] == [
        line for line in samtools_text(whole, tool, *options).splitlines() if not line.startswith("@SQ")
    ]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/reads/htsnexus_test_NA12879", 404, "NotFound"),
        ("/reads/spec-v4.3", 404, "NotFound"),
        (f"{READS}?format=VCF", 400, "UnsupportedFormat"),
        (f"{READS}?referenceName=chr99", 404, "NotFound"),
        (f"{READS}?start=1", 400, "InvalidInput"),
        (f"{READS}?referenceName=11&start=20&end=10", 400, "InvalidRange"),
        (f"{READS}?referenceName=11&start=-1", 400, "InvalidInput"),
        (f"{READS}?class=body", 400, "InvalidInput"),
        (f"{READS}?tags=NM&notags=NM", 400, "InvalidInput"),
        (f"{VARIANTS}?format=BAM", 400, "UnsupportedFormat"),
    ],
)
def test_errors(client: httpx.Client, path: str, status: int, kind: str) -> None:
    assert error_of(client.get(path)) == (status, kind)


@pytest.mark.parametrize("kind", ["reads", "variants"])
def test_service_info(client: httpx.Client, kind: str) -> None:
    told = client.get(f"/{kind}/service-info").json()
    assert {"id", "name", "type", "organization", "version"} <= set(told)
    assert (told["type"]["group"], told["type"]["artifact"]) == ("org.ga4gh", "htsget")
    assert told["htsget"]["datatype"] == kind
    assert set(told["htsget"]["formats"]) & _FORMATS
    assert isinstance(told["htsget"]["fieldsParameterEffective"], bool)
    assert isinstance(told["htsget"]["tagsParametersEffective"], bool)
