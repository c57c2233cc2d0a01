"""The conformance checklist of htsget 1.3.1, line by line (H01 to H47)."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pysam
import pytest

from lake.formats.decode_options import FIELDS
from lake.lake import Lake
from tests.formats.bam_maker import EOF, parts
from tests.htsget.conftest import running
from tests.htsget.ticket_reader import ask, error_of, fetch, post, samtools_text
from tests.lake.samples import make_bam, sam_text

MEDIA = "application/vnd.ga4gh.htsget.v1.3.1+json"
ERROR = "application/json"
VCF = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=5000>\n##contig=<ID=chr2,length=5000>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    + "".join(f"chr1\t{pos}\t.\tA\tC\t.\tPASS\t.\n" for pos in range(10, 4000, 10))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    make_bam(place / "s1.bam", index="bai")
    (place / "calls.vcf").write_text(VCF)
    pysam.tabix_compress(str(place / "calls.vcf"), str(place / "calls.vcf.gz"))
    return place


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with Lake.init(tmp_path_factory.mktemp("lake")) as lake:
        lake.put([str(folder / "s1.bam"), str(folder / "s1.bam.bai")], "runs/")
        lake.put(str(folder / "calls.vcf.gz"), "calls/")
        lake.tag("v1")
        lake.put(str(folder / "s1.bam"), "späte läufe/ä#1 %41.bam")
        with running(lake.root) as base, httpx.Client(base_url=base, timeout=30, trust_env=False) as found:
            yield found


BAM, CALLS = "/reads/runs/s1.bam", "/variants/calls/calls.vcf.gz"


# -- transport --------------------------------------------------------------------------------------------------------
def test_h01_reads_and_variants_with_slashes_in_the_id(client: httpx.Client) -> None:
    for path in (
        BAM,
        "/reads/runs%2Fs1.bam",
        "/reads/runs/s1",
        "/reads/@v1/runs/s1.bam",
        CALLS,
        "/variants/calls/calls",
    ):
        response = client.get(path)
        assert response.status_code == 200
        json.loads(response.content.decode("utf-8"))
    name = "/reads/sp%C3%A4te%20l%C3%A4ufe/%C3%A4%231%20%2541.bam"
    assert parts(fetch(client, client.get(name)).data) == parts(ask(client, BAM).data)


def test_h01_an_object_by_its_digest(client: httpx.Client, folder: Path) -> None:
    from lake.digest import digest_of

    digest = digest_of((folder / "s1.bam").read_bytes())
    assert ask(client, f"/reads/b3:{digest}").data == (folder / "s1.bam").read_bytes()
    assert error_of(client.get(f"/reads/b3:{'0' * 64}")) == (404, "NotFound")
    assert error_of(client.get("/reads/b3:xyz")) == (400, "InvalidInput")


def test_h02_the_body_begins_with_its_only_key(client: httpx.Client) -> None:
    response = client.get(BAM)
    assert response.content.startswith(b'{"htsget":')
    assert list(response.json()) == ["htsget"]


@pytest.mark.parametrize("accept", [None, "*/*", f"{MEDIA}; charset=utf-8", "application/vnd.ga4gh.htsget.v1.2.0+json"])
def test_h03_h04_the_content_type_whatever_is_accepted(client: httpx.Client, accept: str | None) -> None:
    response = client.get(BAM, headers={} if accept is None else {"Accept": accept})
    assert response.headers["content-type"] == f"{MEDIA}; charset=utf-8"


def test_h05_no_content_coding(client: httpx.Client) -> None:
    response = client.get(BAM, headers={"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in response.headers
    for url in ask(client, BAM, referenceName="chr1", inline="none").remote:
        got = httpx.get(url, headers={"Accept-Encoding": "gzip, br"}, trust_env=False)
        assert "content-encoding" not in got.headers


def test_h06_times_are_iso_8601(client: httpx.Client) -> None:
    made = client.get("/reads/service-info").json()["createdAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made)


@pytest.mark.parametrize(
    ("kind", "formats"), [("reads", ["BAM", "CRAM", "SAM"]), ("variants", ["VCF", "VCFTEXT", "BCF"])]
)
def test_h07_service_info_is_reserved(client: httpx.Client, kind: str, formats: list[str]) -> None:
    about = client.get(f"/{kind}/service-info").json()
    assert {"id", "name", "type", "organization", "version"} <= set(about)
    assert about["type"] == {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.1"}
    described = about["htsget"]
    assert described["datatype"] == kind
    assert sorted(described["formats"]) == sorted(formats)
    assert described["fieldsParameterEffective"] is (kind == "reads")
    assert described["tagsParametersEffective"] is (kind == "reads")


# -- errors -----------------------------------------------------------------------------------------------------------
def test_h10_invalid_authentication(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lake, running(lake.root, open=False) as base:
        response = httpx.get(f"{base}/reads/a.bam", trust_env=False)
        assert error_of(response) == (401, "InvalidAuthentication")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_h12_not_found(client: httpx.Client) -> None:
    for path in ("/reads/none.bam", "/reads/runs", "/reads/@v9/runs/s1.bam", "/reads/", "/reads/calls/calls.vcf.gz"):
        assert error_of(client.get(path)) == (404, "NotFound"), path
    assert error_of(client.get("/variants/runs/s1.bam")) == (404, "NotFound")


def test_h14_unsupported_format(client: httpx.Client) -> None:
    for path, form in ((BAM, "VCF"), (BAM, "FASTQ"), (CALLS, "BAM")):
        assert error_of(client.get(path, params={"format": form})) == (400, "UnsupportedFormat")


@pytest.mark.parametrize("path", ["/reads/../journal.db", "/reads/%2e%2e/%2e%2e/etc/passwd", "/reads/a%00b.bam"])
def test_h15_hostile_ids(client: httpx.Client, path: str) -> None:
    url = httpx.URL(str(client.base_url)).copy_with(raw_path=path.encode())
    response = client.send(httpx.Request("GET", url))
    assert response.status_code in (400, 404)
    assert "/lake" not in response.text


def test_h15_an_id_of_100_kb(client: httpx.Client) -> None:
    # The HTTP server may refuse so long a line before the application sees it.
    assert client.get(f"/reads/{'a' * 5_000}").status_code == 400
    assert client.get(f"/reads/{'a' * 60_000}").status_code in (400, 414)
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as raw:
        raw.sendall(b"GET /reads/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(64).split()[1] in (b"400", b"404", b"414")


# -- parameters of a GET ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "form", "given"),
    [
        (BAM, None, "BAM"),
        (BAM, "bam", "BAM"),
        (BAM, "Cram", "CRAM"),
        (BAM, "sam", "SAM"),
        (CALLS, None, "VCF"),
        (CALLS, "vcftext", "VCFTEXT"),
        (CALLS, "bcf", "BCF"),
    ],
)
def test_h20_formats_in_any_case(client: httpx.Client, path: str, form: str | None, given: str) -> None:
    answer = ask(client, path, **({} if form is None else {"format": form}))
    assert answer.ticket["format"] == given


def test_h21_vcf_is_compressed_and_vcftext_is_not(client: httpx.Client) -> None:
    assert ask(client, CALLS).data.startswith(b"\x1f\x8b")
    assert ask(client, CALLS, format="VCFTEXT").data == VCF.encode()


@pytest.mark.parametrize("form", ["BAM", "CRAM", "SAM"])
def test_h22_a_header_alone(client: httpx.Client, form: str) -> None:
    answer = ask(client, BAM, format=form, class_="header")
    assert set(answer.classes) == {"header"}
    assert samtools_text(answer.data) == ""
    assert "SN:chr1" in samtools_text(answer.data, "samtools", "-H")


def test_h22_class_and_what_may_stand_beside_it(client: httpx.Client) -> None:
    assert error_of(client.get(BAM, params={"class": "body"})) == (400, "InvalidInput")
    for name, value in (("referenceName", "chr1"), ("start", "1"), ("fields", "POS"), ("tags", ""), ("what", "x")):
        assert error_of(client.get(BAM, params={"class": "header", name: value})) == (400, "InvalidInput")
    assert client.get(BAM, params={"class": "header", "format": "BAM"}).status_code == 200


def test_h23_no_reference_name_is_everything_and_a_star_the_unplaced(client: httpx.Client, folder: Path) -> None:
    assert samtools_text(ask(client, BAM).data) == sam_text(folder / "s1.bam")
    unplaced = samtools_text(ask(client, BAM, referenceName="*").data)
    assert unplaced == sam_text(folder / "s1.bam", "*")
    assert len(unplaced.splitlines()) == 5
    assert error_of(client.get(BAM, params={"referenceName": "chrX"})) == (404, "NotFound")
    assert error_of(client.get(CALLS, params={"referenceName": "*"})) == (404, "NotFound")


def test_h23_a_name_with_colons_and_another_usual_name(client: httpx.Client, folder: Path) -> None:
    name = "HLA-A*01:01"
    expected = sam_text(folder / "s1.bam", f"{{{name}}}:101-2000")
    assert samtools_text(ask(client, BAM, referenceName=name, start=100, end=2000).data) == expected
    by_other = samtools_text(ask(client, BAM, referenceName="1", start=100, end=2000).data)
    assert by_other == sam_text(folder / "s1.bam", "chr1:101-2000")


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"start": "1"}, "InvalidInput"),
        ({"end": "1"}, "InvalidInput"),
        ({"referenceName": "*", "start": "1"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "2", "end": "1"}, "InvalidRange"),
        ({"referenceName": "chr1", "start": "-1"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "1.5"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "ten"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "٣"}, "InvalidInput"),
        ({"referenceName": "chr1", "end": str(1 << 32)}, "InvalidInput"),
        ({"referenceName": "chr1", "end": "9" * 5000}, "InvalidInput"),
        ({"referenceName": ""}, "InvalidInput"),
        ({"referenceName": "chr1", "inline": "some"}, "InvalidInput"),
        ({"referenceName": "chr1", "exact": "maybe"}, "InvalidInput"),
    ],
)
def test_h16_h24_coordinates_that_cannot_be(client: httpx.Client, parameters: dict[str, str], kind: str) -> None:
    assert error_of(client.get(BAM, params=parameters)) == (400, kind)


def test_h24_coordinates_are_0_based_and_half_open(client: httpx.Client, folder: Path) -> None:
    for start, end in ((0, 1), (999, 1000), (0, (1 << 32) - 1), (49_999, 50_000)):
        got = samtools_text(ask(client, BAM, referenceName="chr1", start=start, end=end).data)
        assert got == sam_text(folder / "s1.bam", f"chr1:{start + 1}-{end}")
    assert samtools_text(ask(client, BAM, referenceName="chr1", start=40_000).data) == sam_text(
        folder / "s1.bam", "chr1:40001"
    )
    for mode in ("auto", "none"):
        assert samtools_text(ask(client, BAM, referenceName="chr1", start=7, end=7, inline=mode).data) == ""


def test_h24_a_parameter_given_twice(client: httpx.Client) -> None:
    assert error_of(client.get(f"{BAM}?referenceName=chr1&referenceName=chr2")) == (400, "InvalidInput")
    assert error_of(client.get(f"{BAM}?referenceName=%FF")) == (400, "InvalidInput")


def test_h25_fields_are_applied(client: httpx.Client) -> None:
    text = samtools_text(ask(client, BAM, referenceName="chr2", fields="RNAME,POS,FLAG").data)
    for line in text.splitlines():
        columns = dict(zip(FIELDS, line.split("\t"), strict=False))
        assert columns["RNAME"] == "chr2"
        assert columns["POS"] != "0"
        assert (columns["QNAME"], columns["CIGAR"], columns["SEQ"], columns["QUAL"]) == ("*", "*", "*", "*")
    assert len(text.splitlines()) == 400
    kept = samtools_text(ask(client, BAM, referenceName="chr2", fields="QUAL").data).splitlines()[0].split("\t")
    assert len(kept[9]) == len(kept[10]) == 50
    assert error_of(client.get(BAM, params={"fields": "COLOUR"})) == (400, "InvalidInput")


def test_h26_tags_are_applied(tmp_path: Path) -> None:
    path = tmp_path / "t.bam"
    with pysam.AlignmentFile(str(path), "wb", header={"SQ": [{"SN": "c", "LN": 99}]}) as file:
        read = pysam.AlignedSegment(file.header)
        read.query_name, read.reference_id, read.reference_start, read.cigarstring = "r", 0, 1, "4M"
        read.query_sequence = "ACGT"
        read.set_tags([("NM", 1), ("MD", "4"), ("XA", "z")])
        file.write(read)

    def tags_of(**parameters: str) -> set[str]:
        line = samtools_text(ask(found, "/reads/t.bam", **parameters).data).rstrip("\n")
        return {column[:2] for column in line.split("\t")[11:]}

    with (
        Lake.init(tmp_path / "lake") as lake,
        lake.commit("all"),
    ):
        lake.put(str(path))
    with running(tmp_path / "lake") as base, httpx.Client(base_url=base, trust_env=False) as found:
        assert tags_of() == {"NM", "MD", "XA"}
        assert tags_of(tags="NM,XA") == {"NM", "XA"}
        assert tags_of(tags="") == set()
        assert tags_of(notags="XA") == {"NM", "MD"}
        assert error_of(found.get("/reads/t.bam?tags=NM,MD&notags=MD")) == (400, "InvalidInput")
        body = samtools_text(post(found, "/reads/t.bam", tags=[]).data)
        assert len(body.rstrip().split("\t")) == 11


def test_h27_never_less_than_requested(client: httpx.Client, folder: Path) -> None:
    expected = sam_text(folder / "s1.bam", "chr1:101-200").splitlines()
    more = ask(client, BAM, referenceName="chr1", start=100, end=200, exact="false")
    assert set(expected) <= set(samtools_text(more.data).splitlines())


def test_h28_nothing_there_is_a_valid_file(client: httpx.Client) -> None:
    answer = ask(client, CALLS, referenceName="chr2")
    assert samtools_text(answer.data, "bcftools", "-H") == ""
    assert answer.data.endswith(EOF)


# -- POST -------------------------------------------------------------------------------------------------------------
def test_h30_a_post_has_no_parameters_in_its_url(client: httpx.Client) -> None:
    assert error_of(client.post(f"{BAM}?format=BAM", content="{}")) == (400, "InvalidInput")


@pytest.mark.parametrize("media", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_h31_a_body_of_any_type(client: httpx.Client, folder: Path, media: str | None) -> None:
    body = {"format": "bam", "regions": [{"referenceName": "chr1", "start": 5, "end": 900}]}
    headers = {} if media is None else {"Content-Type": media}
    answer = fetch(client, client.post(BAM, content=json.dumps(body), headers=headers))
    assert samtools_text(answer.data) == sam_text(folder / "s1.bam", "chr1:6-900")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("", 400, "InvalidInput"),
        ("[]", 400, "InvalidInput"),
        ('{"referenceName": "chr1", "start": 5}', 400, "InvalidInput"),
        ("nonsense", 400, "InvalidInput"),
        ("\xff", 400, "InvalidInput"),
        ("[" * 100_000, 400, "InvalidInput"),
        ('{"regions": []}', 400, "InvalidInput"),
        ('{"regions": {}}', 400, "InvalidInput"),
        ('{"regions": [1]}', 400, "InvalidInput"),
        ('{"regions": [{}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": 1}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": "chr1", "start": "1"}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": "chr1", "start": true}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": "chr1", "start": -1}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": "chr1", "start": 1e99}]}', 400, "InvalidInput"),
        ('{"regions": [{"referenceName": "chr1", "start": 5, "end": 5}]}', 400, "InvalidRange"),
        ('{"regions": [{"referenceName": "chr1", "start": 6, "end": 5}]}', 400, "InvalidRange"),
        ('{"regions": [{"referenceName": "chrX"}]}', 404, "NotFound"),
        ('{"fields": "POS"}', 400, "InvalidInput"),
        ('{"tags": [1]}', 400, "InvalidInput"),
        ('{"format": 1}', 400, "InvalidInput"),
        ('{"format": "VCF"}', 400, "UnsupportedFormat"),
        ('{"encryptionScheme": "C4GH"}', 400, "InvalidInput"),
    ],
)
def test_h32_bodies_that_cannot_be(client: httpx.Client, body: str, status: int, kind: str) -> None:
    assert error_of(client.post(BAM, content=body.encode("latin-1"))) == (status, kind)


def test_h32_start_and_end_are_each_optional(client: httpx.Client, folder: Path) -> None:
    regions = [{"referenceName": "chr1", "start": 49_000}, {"referenceName": "chr2", "end": 1_000}]
    got = samtools_text(post(client, BAM, regions=regions).data)
    assert got == sam_text(folder / "s1.bam", "chr1:49001", "chr2:1-1000")


def test_h33_file_order_and_each_record_once(client: httpx.Client, folder: Path) -> None:
    regions = [("chr2", 0, 5_000), ("chr1", 900, 5_000), ("chr1", 500, 1_000), ("chr1", 600, 700)]
    body = [{"referenceName": name, "start": start, "end": end} for name, start, end in regions]
    expected = sam_text(folder / "s1.bam", "chr1:501-5000", "chr2:1-5000")
    for mode in ("auto", "all", "none"):
        assert samtools_text(post(client, BAM, regions=body, inline=mode).data) == expected


def test_h34_class_header_goes_with_format_alone(client: httpx.Client) -> None:
    assert set(post(client, BAM, class_="header", format="BAM").classes) == {"header"}
    others: list[dict[str, object]] = [{"regions": [{"referenceName": "chr1"}]}, {"fields": ["POS"]}, {"tags": []}]
    for more in others:
        assert error_of(client.post(BAM, json={"class": "header", **more})) == (400, "InvalidInput")


def test_h13_h35_too_many_regions(client: httpx.Client) -> None:
    region = {"referenceName": "chr1", "start": 1, "end": 2}
    assert error_of(client.post(BAM, json={"regions": [region] * 10_001})) == (413, "PayloadTooLarge")
    assert error_of(client.post(BAM, content=b" " * (17 << 20)))[0] == 413


def test_h35_ten_thousand_regions_are_answered(client: httpx.Client, folder: Path) -> None:
    regions = [{"referenceName": "chr1", "start": start, "end": start + 1} for start in range(0, 50_000, 5)]
    answer = post(client, BAM, regions=regions)
    lines = samtools_text(answer.data)
    assert lines == sam_text(folder / "s1.bam", "chr1")
    assert len(client.post(BAM, json={"regions": regions}).content) < 4 << 20


def test_h36_an_empty_object_is_the_whole_file(client: httpx.Client) -> None:
    answer = post(client, BAM)
    assert answer.ticket["format"] == "BAM"
    assert answer.data == ask(client, BAM).data


# -- the ticket -------------------------------------------------------------------------------------------------------
def test_h40_h41_h42_format_urls_and_headers(client: httpx.Client) -> None:
    for mode in ("auto", "all", "none"):
        ticket = client.get(BAM, params={"referenceName": "chr1", "inline": mode}).json()["htsget"]
        assert isinstance(ticket["format"], str)
        for each in ticket["urls"]:
            if each["url"].startswith("data:"):
                base64.b64decode(each["url"].removeprefix("data:;base64,"), validate=True)
            else:
                assert re.fullmatch(r"https?://[!-~]+", each["url"])
                assert each["headers"] == {}


def test_h43_every_url_has_a_class(client: httpx.Client, folder: Path) -> None:
    for parameters in ({}, {"referenceName": "chr1"}, {"format": "CRAM"}, {"fields": "POS"}, {"inline": "none"}):
        answer = fetch(client, client.get(BAM, params=parameters))
        assert set(answer.classes) == {"header", "body"}
    whole = parts((folder / "s1.bam").read_bytes()).header
    assert parts(ask(client, BAM, referenceName="chr1").header).header == whole


def test_h44_md5_where_it_is_known(client: httpx.Client) -> None:
    """The reader of tickets compares it with the bytes."""
    assert "md5" in ask(client, BAM, referenceName="chr1", start=1, end=50, inline="all").ticket
    assert "md5" not in ask(client, BAM, referenceName="chr1", inline="none").ticket


def test_h45_the_header_is_the_same_for_every_query(client: httpx.Client) -> None:
    headers = {ask(client, BAM, referenceName=name).header for name in ("chr1", "chr2", "*")}
    assert headers == {ask(client, BAM).header}


def test_h46_urls_carry_their_own_leave_and_can_be_asked_in_parts(client: httpx.Client) -> None:
    answer = ask(client, BAM, referenceName="chr1", inline="none")
    assert answer.remote
    for url in answer.remote:
        whole = httpx.get(url, trust_env=False)
        assert int(whole.headers["content-length"]) == len(whole.content)
        part = httpx.get(url, headers={"Range": "bytes=3-9"}, trust_env=False)
        assert (part.status_code, part.content) == (206, whole.content[3:10])
        again = httpx.get(url, headers={"If-None-Match": whole.headers["etag"]}, trust_env=False)
        assert again.status_code == 304
        head = httpx.head(url, trust_env=False)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))
        # In front of the last letter: bits of that one may not count.
        bent = url[:-3] + ("A" if url[-3] != "A" else "B") + url[-2:]
        assert httpx.get(bent, trust_env=False).status_code == 403


def test_h46_the_token_of_one_route_opens_no_other(client: httpx.Client) -> None:
    for url in ask(client, BAM, referenceName="chr1", inline="none").remote:
        other = url.replace("/slices/", "/blocks/") if "/slices/" in url else url.replace("/blocks/", "/slices/")
        assert httpx.get(other, trust_env=False).status_code == 403


def test_h47_an_inline_part_is_no_more_than_asked_for(client: httpx.Client) -> None:
    for mode, most in (("none", 4_096), ("auto", 65_536)):
        response = client.get(BAM, params={"inline": mode, "referenceName": "chr1"})
        for each in response.json()["htsget"]["urls"]:
            if each["url"].startswith("data:"):
                assert len(each["url"]) < most * 4 // 3 + 100


def test_the_same_ticket_again_need_not_be_sent_again(client: httpx.Client) -> None:
    first = client.get(BAM, params={"referenceName": "chr1"})
    assert client.get(BAM, params={"referenceName": "chr1"}).status_code == 200
    again = client.get(BAM, params={"referenceName": "chr1"}, headers={"If-None-Match": first.headers["etag"]})
    other = client.get(BAM, params={"referenceName": "chr2"}, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
    # A new ticket is due every minute or so.
    assert again.status_code == 304 or again.headers["etag"] != first.headers["etag"]
