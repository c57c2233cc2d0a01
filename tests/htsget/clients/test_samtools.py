"""samtools on ticket URLs. Its region belongs into the query: it finds no index beside a ticket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.htsget.clients.conftest import Served, query, requests, run, serving, succeed
from tests.lake.samples import sam_text

REGIONS = {
    "bam/na12878_wgs_b37_unplaced.bam": ["11:4900000-5000000", "20:9999999-10050000", "11"],
    "bam/rnaseq_hcc1395_spliced.bam": ["22"],
    "bam/volvox_bai_csi.bam": ["ctgA:1-1", "ctgA:1000-2000", "ctgA:50001-50001"],
    "cram/na12878_wgs_b37_unplaced_v30_noref.cram": ["11:4900000-5000000", "20:9999999-10050000"],
}


def view(url: str, *options: str, **env: str) -> str:
    done = run("samtools", "view", *options, url, env=env)
    assert done.status == 0, done.err
    assert not done.err
    return done.text


@pytest.mark.parametrize(
    "region", ["chr1", "chr1:1-1", "chr1:20001-30000", "chr2:29950-30000", "{HLA-A*01:01}", "{HLA-A*01:01}:101-200"]
)
def test_a_region(served: Served, made: Path, region: str) -> None:
    assert view(f"{served.url}/reads/runs/s1.bam?{query(region)}") == sam_text(made / "s1.bam", region)


def test_the_whole_file_and_the_unplaced(served: Served, made: Path) -> None:
    assert view(f"{served.url}/reads/runs/s1.bam") == sam_text(made / "s1.bam")
    assert view(f"{served.url}/reads/runs/s1?referenceName=*") == sam_text(made / "s1.bam", "*")


@pytest.mark.parametrize("form", ["BAM", "CRAM", "SAM"])
def test_every_format(served: Served, made: Path, form: str) -> None:
    text = view(f"{served.url}/reads/runs/s1.bam?format={form}&referenceName=chr2&start=999&end=5000")
    assert text == sam_text(made / "s1.bam", "chr2:1000-5000")


def test_the_header_alone(served: Served, made: Path) -> None:
    expected = succeed("samtools", "view", "-H", "--no-PG", made / "s1.bam").decode()
    url = f"{served.url}/reads/runs/s1.bam"
    assert view(f"{url}?class=header", "-H", "--no-PG") == expected
    assert view(url, "-H", "--no-PG") == expected


@pytest.mark.parametrize("name", REGIONS)
def test_real_files(served: Served, real: Path, name: str) -> None:
    url = f"{served.url}/reads/real/{Path(name).name}"
    stored = Path(name).suffix.removeprefix(".").upper()
    assert view(f"{url}?format={stored}") == sam_text(real / name)
    for region in REGIONS[name]:
        for inline in ("auto", "none"):
            assert view(f"{url}?format={stored}&inline={inline}&{query(region)}") == sam_text(real / name, region)


@pytest.mark.parametrize(
    ("name", "form"),
    [("bam/na12878_wgs_b37_unplaced.bam", "CRAM"), ("cram/na12878_wgs_b37_unplaced_v30_noref.cram", "BAM")],
)
def test_real_files_in_the_other_format(served: Served, real: Path, name: str, form: str) -> None:
    def records(text: str) -> list[tuple[str, ...]]:
        # A CRAM keeps MD and NM where they cannot be told from a reference, in an order of its own.
        return [tuple(line.split("\t")[:11]) for line in text.splitlines()]

    url = f"{served.url}/reads/real/{Path(name).name}?format={form}&{query('11:4900000-5000000')}"
    assert records(view(url)) == records(sam_text(real / name, "11:4900000-5000000"))


def test_a_cram_whose_reference_only_the_server_has(served: Served, real: Path, tmp_path: Path) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    reference = {"REF_PATH": f"http:://{host}::{port}/sequence/%s", "REF_CACHE": str(tmp_path / "%2s/%2s/%s")}
    name = real / "cram" / "volvox_v31.cram"
    url = f"{served.url}/reads/real/{name.name}?format=CRAM"
    expected = succeed("samtools", "view", name, "ctgA:2000-3000", env=reference).decode()
    assert expected
    assert view(f"{url}&{query('ctgA:2000-3000')}", **reference) == expected
    assert view(url, **reference) == succeed("samtools", "view", name, env=reference).decode()


def test_other_commands(served: Served, made: Path, tmp_path: Path) -> None:
    url = f"{served.url}/reads/runs/s1.bam?{query('chr1:10001-20000')}"
    succeed("samtools", "view", "-b", "-o", tmp_path / "part.bam", made / "s1.bam", "chr1:10001-20000")
    for command in (("flagstat",), ("stats",), ("depth", "-a")):
        ours, theirs = (
            [line for line in succeed("samtools", *command, place).decode().splitlines() if line[:1] != "#"]
            for place in (url, tmp_path / "part.bam")
        )
        assert ours == theirs


@pytest.mark.parametrize(
    "path",
    [
        "/reads/runs/nothing.bam",
        "/reads/calls/calls.vcf.gz",
        "/reads/runs/s1.bam?referenceName=chrX",
        "/reads/runs/s1.bam?referenceName=chr1&start=20&end=10",
        "/reads/runs/s1.bam?format=VCF",
        "/reads/runs/s1.bam?start=1",
    ],
)
def test_an_error_is_no_empty_file(served: Served, path: str) -> None:
    done = run("samtools", "view", f"{served.url}{path}")
    assert done.status != 0
    assert done.out == b""
    assert "fail" in done.err


def _route(line: dict[str, Any]) -> str:
    """The first part of the path that was asked for."""
    return str(line["route"]).split("/")[1]


class TestToken:
    """``HTS_AUTH_LOCATION`` (htslib, hfile_libcurl.c): sent with the ticket's request, never to the URLs in it."""

    @pytest.fixture
    def environment(self, guarded: Served, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "token").write_text(f"{guarded.token}\n")
        return {
            "HTS_AUTH_LOCATION": str(tmp_path / "token"),
            "HTS_ALLOW_UNENCRYPTED_AUTHORIZATION_HEADER": "I understand the risks",
        }

    def test_nothing_without(self, guarded: Served) -> None:
        done = run("samtools", "view", f"{guarded.url}/reads/runs/s1.bam")
        assert done.status != 0
        assert done.out == b""

    def test_everything_with_it(self, guarded: Served, made: Path, environment: dict[str, str]) -> None:
        for inline in ("auto", "none"):
            url = f"{guarded.url}/reads/runs/s1.bam?inline={inline}"
            assert view(url, **environment) == sam_text(made / "s1.bam")
            assert view(f"{url}&{query('chr1:1001-30000')}", **environment) == sam_text(
                made / "s1.bam", "chr1:1001-30000"
            )

    def test_only_the_ticket_is_asked_with_it(self, guarded: Served, environment: dict[str, str]) -> None:
        before = guarded.log.stat().st_size
        view(f"{guarded.url}/reads/runs/s1.bam?inline=none&referenceName=chr1&start=70&end=30000", **environment)
        asked = requests(guarded, before, lambda lines: any(_route(line) in ("blocks", "slices") for line in lines))
        assert guarded.token not in guarded.log.read_text()
        for line in asked:
            assert line["principal"].startswith("token:") == (_route(line) == "reads")

    def test_a_token_as_json(self, guarded: Served, made: Path, environment: dict[str, str]) -> None:
        place = Path(environment["HTS_AUTH_LOCATION"])
        place.write_text(json.dumps({"access_token": guarded.token, "token_type": "Bearer", "expires_in": 3600}))
        url = f"{guarded.url}/reads/runs/s1.bam?referenceName=chr2"
        assert view(url, **environment) == sam_text(made / "s1.bam", "chr2")

    def test_another_token(self, guarded: Served, environment: dict[str, str]) -> None:
        Path(environment["HTS_AUTH_LOCATION"]).write_text(f"lake_{'0' * 16}_{'x' * 43}")
        assert run("samtools", "view", f"{guarded.url}/reads/runs/s1.bam", env=environment).status != 0


def test_https(guarded: Served, made: Path, tmp_path: Path) -> None:
    """Over TLS the token needs no leave."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    succeed(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
    )
    (tmp_path / "token").write_text(guarded.token)
    trusted = {"CURL_CA_BUNDLE": str(certificate), "HTS_AUTH_LOCATION": str(tmp_path / "token")}
    with serving(guarded.root, tmp_path / "log", "--tls-cert", str(certificate), "--tls-key", str(key)) as url:
        place = f"{url}/reads/runs/s1.bam?inline=none&referenceName=chr2"
        assert view(place, **trusted) == sam_text(made / "s1.bam", "chr2")
        assert run("samtools", "view", place, env={"HTS_AUTH_LOCATION": trusted["HTS_AUTH_LOCATION"]}).status != 0
