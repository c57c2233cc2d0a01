"""refget 2.0, line by line; the cases are those of the compliance suite of GA4GH, with sequences made here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lake.grants import Grant, Verb
from lake.lake import Lake
from tests.htsget.conftest import Client, Live, running
from tests.htsget.references import bases, fasta, ga4gh_of, md5_of, write_fasta
from tests.lake.samples import flip, object_file

LINEAR = bases(230_218, 1)
CIRCULAR = bases(5_386, 2)
TEXT = "text/vnd.ga4gh.refget.v2.0.0+plain"
JSON = "application/vnd.ga4gh.refget.v2.0.0+json"
I = f"/sequence/{md5_of(LINEAR)}"  # noqa: E741  # the suite calls it so
NC = f"/sequence/{md5_of(CIRCULAR)}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("refget")
    write_fasta(folder / "yeast.fa", {"I": LINEAR.lower(), "same": "ACGT", "twice": "AAAA"})
    write_fasta(folder / "phix.bgz.fa.gz", {"NC_001422.1": CIRCULAR}, 70)
    write_fasta(folder / "other.fa.gz", {"BK006935.2": LINEAR, "wheel": "GGAA", "twice": "CCCC", "empty": ""})
    with Lake.init(folder / "lake") as lk:
        lk.put([str(folder / name) for name in ("yeast.fa", "phix.bgz.fa.gz", "other.fa.gz")], "ref/")
        lk.set_meta("ref/phix.bgz.fa.gz", {"circular": True})
        lk.set_meta("ref/yeast.fa", {"circular": ["same"]})
        lk.set_meta("ref/other.fa.gz", {"circular": "round, wheel"})
        with running(lk.root) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            yield client


def test_r01_a_whole_sequence_is_bare_upper_case_text(server: httpx.Client) -> None:
    answer = server.get(I)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == TEXT
    assert answer.headers["content-length"] == str(len(LINEAR))
    assert "content-encoding" not in answer.headers
    assert answer.text == LINEAR


@pytest.mark.parametrize(
    "accept",
    [TEXT, f"{TEXT}; charset=us-ascii", "text/plain", "*/*", "text/*", "text/html;q=0.9, text/plain;q=0.1"],
)
def test_r01_degraded_media_types_are_taken(server: httpx.Client, accept: str) -> None:
    answer = server.get(f"{I}?start=0&end=5", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == TEXT
    assert answer.text == LINEAR[:5]


def test_r01_a_client_of_version_1_gets_its_type(server: httpx.Client) -> None:
    answer = server.get(I, headers={"Accept": "text/vnd.ga4gh.refget.v1.0.0+plain"})
    assert answer.headers["content-type"].partition(";")[0] == "text/vnd.ga4gh.refget.v1.0.0+plain"


@pytest.mark.parametrize("accept", ["embl/some_json", "text/html", "text/plain;q=0", "text/*;q=x"])
@pytest.mark.parametrize("path", ["", "/metadata"])
def test_r07_what_cannot_be_sent_is_406(server: httpx.Client, path: str, accept: str) -> None:
    assert server.get(I + path, headers={"Accept": accept}).status_code == 406


def test_r01_head_has_the_headers_alone(server: httpx.Client) -> None:
    answer = server.head(I)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(LINEAR))
    assert answer.headers["accept-ranges"] == "bytes"


def test_r02_every_identifier_finds_the_sequence(server: httpx.Client) -> None:
    assert ga4gh_of("ACGT") == "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"
    trunc512 = "68a178f7c740c5c240aa67ba41843b119d3bf9f8b0f0ac36"
    digest = "aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"
    md5 = md5_of("ACGT")
    ids = [md5, md5.upper(), f"md5:{md5}", f"SQ.{digest}", f"ga4gh:SQ.{digest}", trunc512, f"trunc512:{trunc512}"]
    for id in [*ids, "lake:same", "same"]:
        assert server.get(f"/sequence/{id}").text == "ACGT", id
    assert server.get("/sequence/insdc:BK006935.2?end=9").text == LINEAR[:9]
    assert server.get("/sequence/refseq:NC_001422.1?end=9").text == CIRCULAR[:9]


@pytest.mark.parametrize(
    "id",
    [
        "Garbagechecksum",
        "0" * 32,
        "SQ." + "A" * 32,
        "md5:same",
        "insdc:same",
        "refseq:BK006935.2",
        "unknown:same",
        "a" * 5000,
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "é",
        "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw",
    ],
)
def test_r02_what_is_not_there_is_404(server: httpx.Client, id: str) -> None:
    assert server.get(f"/sequence/{id}").status_code == 404
    assert server.get(f"/sequence/{id}/metadata").status_code == 404


def test_r02_a_name_of_two_sequences_is_a_conflict(server: httpx.Client) -> None:
    answer = server.get("/sequence/lake:twice")
    assert answer.status_code == 409
    assert ga4gh_of("AAAA") in answer.json()["detail"]
    assert server.get("/sequence/lake:twice/metadata").status_code == 409


@pytest.mark.parametrize(
    ("query", "start", "stop"),
    [
        ("start=10&end=10", 10, 10),
        ("start=10&end=20", 10, 20),
        ("start=10&end=11", 10, 11),
        ("start=230208", 230_208, None),
        ("end=5", None, 5),
        ("start=230217&end=230218", 230_217, 230_218),
        ("start=0", 0, None),
        ("&end=230218", None, 230_218),
        ("start=0&end=230218", 0, 230_218),
        ("start=1&end=230218", 1, 230_218),
        ("start=230217", 230_217, None),
        ("end=0", None, 0),
    ],
)
@pytest.mark.parametrize("accept", [TEXT])
def test_r03_positions(server: httpx.Client, query: str, start: int | None, stop: int | None, accept: str) -> None:
    answer = server.get(f"{I}?{query}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.text == LINEAR[start:stop]
    assert int(answer.headers["content-length"]) == len(LINEAR[start:stop])
    assert answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (I, "start=abc&end=20", 400),
        (I, "start=-10&end=-29", 400),
        (I, "start=abc", 400),
        (I, "start=1.5", 400),
        (I, "start=", 400),
        (I, "end=%D9%A3", 400),
        (I, f"end={'9' * 5000}", 400),
        (I, "end=99999999999", 416),
        (NC, "start=67&end=5387", 416),
        (NC, "start=5386&end=5375", 416),
        (NC, "start=5386&end=5386", 416),
        (NC, "start=5386&end=5", 416),
        (I, "start=220218&end=671", 416),  # not circular
    ],
)
def test_r03_positions_that_cannot_be(server: httpx.Client, path: str, query: str, status: int) -> None:
    assert server.get(f"{path}?{query}").status_code == status


@pytest.mark.parametrize(("start", "stop"), [(5374, 5), (5374, 0), (5380, 25)])
def test_r03_across_the_origin_of_a_circular_sequence(server: httpx.Client, start: int, stop: int) -> None:
    answer = server.get(f"{NC}?start={start}&end={stop}")
    assert answer.status_code == 200
    assert answer.text == CIRCULAR[start:] + CIRCULAR[:stop]
    assert int(answer.headers["content-length"]) == len(answer.text)


def test_r03_which_sequences_are_circular_is_told_by_an_attribute(server: httpx.Client) -> None:
    assert server.get("/sequence/same?start=3&end=1").text == "TA"
    assert server.get("/sequence/wheel?start=3&end=3").text == ""
    assert server.get("/sequence/wheel?start=3&end=2").text == "AGG"


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=10-19", 10, 20),
        ("bytes=10-230217", 10, None),
        ("bytes=10-999999", 10, None),
        ("bytes=0-230217", 0, None),
        ("bytes=0-999999", 0, None),
        ("bytes=0-0", 0, 1),
        ("bytes=230217-230217", 230_217, None),
        ("bytes=230000-", 230_000, None),
        ("bytes=-7", -7, None),
    ],
)
def test_r04_ranges(server: httpx.Client, header: str, start: int, stop: int | None) -> None:
    answer = server.get(I, headers={"Range": header})
    expected = LINEAR[start:stop]
    first = start % len(LINEAR)
    assert answer.status_code == 206
    assert answer.text == expected
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(LINEAR)}"


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        (I, "units=20-30", 400),
        (I, "bytes=ab-19", 400),
        (I, "bytes=-10--19", 400),
        (I, "bytes=10--19", 400),
        (I, "bytes=-10-", 400),
        (I, "bytes==10-19", 400),
        (I, "bytes=0-1,4-5", 400),
        (I, "bytes=-", 400),
        (NC, "bytes=5200-19", 416),
        (NC, "bytes=59-50", 416),
        (NC, "bytes=5385-5382", 416),
        (NC, "bytes=5387-5391", 416),
        (NC, "bytes=5386-5387", 416),
        (NC, "bytes=9999-99999", 416),
        (NC, "bytes=-0", 416),
    ],
)
def test_r04_ranges_that_cannot_be(server: httpx.Client, path: str, header: str, status: int) -> None:
    answer = server.get(path, headers={"Range": header})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(CIRCULAR)}"


def test_r04_range_and_positions_exclude_each_other(server: httpx.Client) -> None:
    for query in ("start=1", "end=9", "start=1&end=9"):
        assert server.get(f"{I}?{query}", headers={"Range": "bytes=0-4"}).status_code == 400


def test_r04_a_range_of_another_version_is_not_cut(server: httpx.Client) -> None:
    etag = server.head(I).headers["etag"]
    assert etag == f'"{ga4gh_of(LINEAR)}"'
    assert server.get(I, headers={"Range": "bytes=0-4", "If-Range": etag}).status_code == 206
    assert server.get(I, headers={"Range": "bytes=0-4", "If-Range": '"x"'}).status_code == 200


def test_r05_metadata(server: httpx.Client) -> None:
    answer = server.get(f"{I}/metadata")
    assert answer.headers["content-type"].partition(";")[0] == JSON
    assert set(answer.json()) == {"metadata"}
    metadata = answer.json()["metadata"]
    aliases = metadata.pop("aliases")
    assert metadata.pop("trunc512")
    assert metadata == {"md5": md5_of(LINEAR), "ga4gh": ga4gh_of(LINEAR), "length": len(LINEAR)}
    assert {(alias["alias"], alias["naming_authority"]) for alias in aliases} == {
        ("I", "lake"),
        ("BK006935.2", "insdc"),
    }


def test_r06_service_info(server: httpx.Client) -> None:
    answer = server.get("/sequence/service-info", headers={"Accept": JSON})
    assert answer.headers["content-type"].partition(";")[0] == JSON
    info = answer.json()
    assert {"id", "name", "type", "organization", "version"} <= set(info)
    assert info["type"] == {"group": "org.ga4gh", "artifact": "refget-sequence", "version": "2.0.0"}
    assert info["refget"] == {
        "circular_supported": True,
        "algorithms": ["md5", "ga4gh", "trunc512"],
        "identifier_types": ["insdc", "refseq"],
        "subsequence_limit": None,
    }


def test_r07_web_pages_may_ask(server: httpx.Client) -> None:
    answer = server.get(f"{I}?end=4", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] in ("*", "http://localhost:3000")


def test_r07_a_checksum_never_changes_its_meaning_but_a_name_may(server: httpx.Client) -> None:
    assert "immutable" in server.head(I).headers["cache-control"]
    assert server.head("/sequence/lake:same").headers["cache-control"] == "no-cache"
    etag = server.head(I).headers["etag"]
    assert server.get(I, headers={"If-None-Match": etag}).status_code == 304
    assert server.get(I, headers={"If-Match": '"x"'}).status_code == 412


def test_r07_without_a_token_nothing_tells_what_there_is(lk: Lake, tmp_path: Path) -> None:
    write_fasta(tmp_path / "a.fa", {"a": "ACGT"})
    lk.put(tmp_path / "a.fa")
    with running(lk.root, open=False) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answers = [
            client.get(f"/sequence/{md5}{more}") for md5 in (md5_of("ACGT"), "0" * 32) for more in ("", "/metadata")
        ]
        assert [answer.status_code for answer in answers] == [401] * 4
        assert len({answer.text for answer in answers}) == 1
        assert client.get("/sequence/service-info").status_code == 200


def test_r07_a_token_finds_the_sequences_of_the_files_that_it_may_read(lk: Lake, tmp_path: Path, live: Live) -> None:
    lk.put(write_fasta(tmp_path / "a.fa", {"mine": "ACGT", "both": "GG"}), "mine/")
    lk.put(write_fasta(tmp_path / "b.fa", {"theirs": "TTTT", "again": "GG"}), "theirs/")
    token = lk.tokens.create([Grant(Verb.READ, "mine/*")]).text
    limited = lk.tokens.create([Grant(Verb.READ, "mine/*", ("mine:1-2",))]).text
    url = live(lk, open=False)
    with httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.get(f"/sequence/{md5_of('ACGT')}").text == "ACGT"
        assert client.get(f"/sequence/{md5_of('TTTT')}").status_code == 404
        assert client.get("/sequence/lake:again").status_code == 404
        aliases = client.get(f"/sequence/{md5_of('GG')}/metadata").json()["metadata"]["aliases"]
        assert [alias["alias"] for alias in aliases] == ["both"]
        assert client.head(f"/sequence/{md5_of('GG')}").headers["cache-control"].startswith("private")
        assert client.get("/seqcol/list/collection").json()["pagination"]["total"] == 1
        client.headers["Authorization"] = f"Bearer {limited}"
        assert client.get(f"/sequence/{md5_of('ACGT')}").status_code == 404


def test_a_sequence_that_is_put_while_the_server_runs_is_found(lk: Lake, tmp_path: Path) -> None:
    with running(lk.root) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get(f"/sequence/{md5_of('GATTACA')}").status_code == 404
        lk.put(write_fasta(tmp_path / "new.fa", {"n": "GATTACA"}))
        assert client.get(f"/sequence/{md5_of('GATTACA')}").text == "GATTACA"


def test_another_file_goes_on_where_one_is_damaged(lk: Lake, tmp_path: Path, client: Client) -> None:
    long = bases(3_000_000, 7)
    lk.put(write_fasta(tmp_path / "a.fa", {"a": long}))
    server = client(lk)
    path = f"/sequence/{md5_of(long)}"
    flip(object_file(lk, "a.fa"), 2_500_000)
    assert server.get(f"{path}?start=2400000&end=2500000").status_code == 500
    lk.put(write_fasta(tmp_path / "b.fa", {"b": long}, 100))
    assert server.get(path).text == long


def test_samtools_decodes_a_cram_whose_reference_it_knows_through_the_server_only(lk: Lake, tmp_path: Path) -> None:
    samtools = shutil.which("samtools")
    if samtools is None:
        pytest.skip("samtools is not installed")
    contigs = {"chr1": bases(30_000, 3), "chr2": bases(9_000, 4).lower()}
    reference = write_fasta(tmp_path / "reference.fa", contigs)
    reads = [f"@SQ\tSN:{name}\tLN:{len(sequence)}" for name, sequence in contigs.items()]
    for name, sequence in contigs.items():
        reads += [
            f"r{at}\t0\t{name}\t{at + 1}\t60\t100M\t*\t0\t0\t{sequence[at : at + 100].upper()}\t{'F' * 100}"
            for at in range(0, len(sequence) - 100, 37)
        ]
    sam = tmp_path / "reads.sam"
    sam.write_text("\n".join(reads) + "\n")
    cram = tmp_path / "reads.cram"
    subprocess.run([samtools, "view", "-C", "-T", reference, "-o", cram, sam], check=True, capture_output=True)
    command = [samtools, "view", str(cram)]
    expected = subprocess.run([*command, "-T", reference], check=True, capture_output=True).stdout
    lk.put(reference, "ref/")
    for file in tmp_path.glob("reference.fa*"):
        file.unlink()  # the header names it
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = {**clean, "REF_CACHE": str(tmp_path / "cache/%2s/%2s/%s"), "REF_PATH": str(tmp_path / "none/%s")}
    assert subprocess.run(command, env=environment, capture_output=True).returncode != 0
    with running(lk.root) as url:
        port = url.rpartition(":")[2]
        environment["REF_PATH"] = f"http:://127.0.0.1::{port}/sequence/%s"
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert expected.count(b"\n") > 1000
    assert done.stdout == expected
    cached = {path.read_text() for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert cached == {sequence.upper() for sequence in contigs.values()}


def test_a_fasta_file_of_every_kind_gives_the_same_sequences(lk: Lake, tmp_path: Path) -> None:
    long = bases(2_500_000, 5)
    sequences = {"short": "ACGTNNN", "long": long, "last": bases(61, 6)}
    ragged = fasta({"first": "AC"}) + f">long\n{long[:100]}\n{long[100:]}\n>long\nGGG\n>tail\nAcG-*t"
    for name in ("plain.fa", "blocks.bgz.fa.gz", "gzip.fa.gz"):
        one = Lake.init(tmp_path / f"{name}.lake")
        one.put(write_fasta(tmp_path / name, sequences, 61))
        one.close()
    (tmp_path / "ragged.fa").write_text(ragged)
    lk.put(tmp_path / "ragged.fa")
    for root in [*tmp_path.glob("*.lake"), lk.root]:
        with running(root) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            path = f"/sequence/{md5_of(long)}"
            assert client.get(path).text == long, root
            assert client.get(f"{path}?start=1048570&end=2097160").text == long[1_048_570:2_097_160], root
            assert client.get(f"{path}?start=2499999").text == long[-1:], root
    with running(lk.root) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get(f"/sequence/{md5_of('GGG')}").text == "GGG"
        assert client.get(f"/sequence/{md5_of('ACG-*T')}").text == "ACG-*T"
