"""Spectra over HTTP: tickets that lead to valid files with the same peaks, conversions, errors, who may; and PROXI."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.formats.reader import BytesReader
from lake.formats.spectra.mzml import scan_mzml
from lake.grants import Grant, Verb
from lake.htsget.conditions import parse_conditions, parse_spectra_body
from lake.htsget.errors import Problem
from lake.htsget.spectrum_parts import SpectrumPart, spectrum_claims, spectrum_part
from lake.lake import Lake
from tests.formats.spectra.judges import pyteomics_spectra
from tests.formats.spectra.mzxml_maker import make_mzxml, some_scans
from tests.htsget.conftest import WAIT, Client, running
from tests.htsget.ticket_reader import ask, error_of, post

RUNS = {
    "small.mzML": "mzdata__small.mzML",
    "packed.mzML.gz": "mzdata__small.mzML.gz",
    "runs/agilent.mzML": "ms_deisotope__has_missing_charge_state_info.mzML",
    "runs/plain.mzML": "OpenMS__FeatureFinderMultiplex_9_input.mzML",
    "runs/bz.mzML.bz2": "OpenMS__MzMLFile_6_uncompressed.mzML.bz2",
    "runs/inside.mzMLb": "OpenMS__test_old.mzMLb",
    "peaks.mgf": "mzdata__small.mgf",
    "image.imzML": "mzdata__Example_Processed.imzML",
    "image.ibd": "mzdata__Example_Processed.ibd",
}
MZML = ("small.mzML", "packed.mzML.gz", "runs/agilent.mzML", "runs/plain.mzML")


class Served:
    """A server of real runs, and the files themselves."""

    def __init__(self, client: httpx.Client, lake: Lake, folder: Path) -> None:
        self.client = client
        self.lake = lake
        self.folder = folder

    def text(self, name: str) -> bytes:
        """What a stored file holds."""
        data = (self.folder / RUNS[name]).read_bytes()
        if name.endswith(".bz2"):
            return bz2.decompress(data)
        return gzip.decompress(data) if name.endswith(".gz") else data


@pytest.fixture(scope="module")
def served(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = shared_data / "massspec"
    with Lake.init(tmp_path_factory.mktemp("served") / "lake") as lake:
        for name, source in RUNS.items():
            lake.put(str(folder / source), name)
        lake.put(__file__, "notes.py")
        old = tmp_path_factory.mktemp("made") / "old.mzXML"
        old.write_bytes(make_mzxml(some_scans()))
        lake.put(str(old), "runs/old.mzXML")
        with running(lake.root) as base, httpx.Client(base_url=base, timeout=WAIT, trust_env=False) as client:
            yield Served(client, lake, folder)


def spectra(data: bytes) -> list[dict[str, Any]]:
    return pyteomics_spectra(io.BytesIO(data), peaks=True)


def mgf_spectra(data: bytes) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mgf

        with mgf.MGF(io.StringIO(data.decode())) as reader:
            return list(reader)


def assert_valid(data: bytes) -> None:
    """By the schema of mzML that pyOpenMS brings along."""
    from lxml import etree  # type: ignore[import-untyped]

    found = find_spec("pyopenms")
    assert found is not None
    assert found.origin is not None
    place = Path(found.origin).parent / "share" / "OpenMS" / "SCHEMAS" / "mzML_1_10.xsd"
    schema = etree.XMLSchema(etree.parse(str(place)))
    schema.validate(etree.fromstring(data))
    assert [error.message for error in schema.error_log] == []


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [each["id"] for each in found] == [each["id"] for each in expected]
    for one, other in zip(found, expected, strict=True):
        for key in ("m/z array", "intensity array"):
            assert one.get(key, np.empty(0)).tobytes() == other.get(key, np.empty(0)).tobytes()


def level(spectrum: dict[str, Any]) -> int:
    return int(spectrum.get("ms level", 0))


@pytest.mark.parametrize("name", MZML)
@pytest.mark.parametrize("inline", ["auto", "all", "none"])
def test_a_ticket_leads_to_an_mzml_with_the_same_peaks(served: Served, name: str, inline: str) -> None:
    whole = spectra(served.text(name))
    answer = ask(served.client, f"/spectra/{name}", ms_level=2, format="mzml", inline=inline)
    assert answer.ticket["format"] == "MZML"
    assert_same(spectra(answer.data), [each for each in whole if level(each) == 2])
    first = ask(served.client, f"/spectra/{name}", index="0-2", inline=inline)
    assert_same(spectra(first.data), whole[:3])


def test_all_of_a_run_is_its_own_bytes(served: Served) -> None:
    answer = ask(served.client, "/spectra/small.mzML")
    assert answer.data == served.text("small.mzML")
    assert answer.header.rstrip().endswith(b">")
    assert b"<spectrumList" not in answer.header
    assert all("/blocks/" in url for url in answer.remote)
    assert ask(served.client, "/spectra/packed").data == served.text("packed.mzML.gz")
    assert spectra(ask(served.client, "/spectra/runs/bz").data)


def test_the_header_is_the_same_for_every_query_and_stored_bytes_have_block_urls(served: Served) -> None:
    one = ask(served.client, "/spectra/small.mzML", scan=5, inline="none")
    two = ask(served.client, "/spectra/small.mzML", rt="10-30", ms_level=2, inline="none")
    assert one.header == two.header != b""
    assert any("/blocks/" in url for url in one.remote)


def test_what_lies_scattered_is_one_made_part(served: Served) -> None:
    several = [{"index": number} for number in range(0, 3000, 2)]
    answer = post(served.client, "/spectra/runs/plain.mzML", regions=several, inline="none")
    assert len(answer.remote) <= 3
    assert any("/spectra-slices/" in url for url in answer.remote)
    assert_same(spectra(answer.data), spectra(served.text("runs/plain.mzML"))[:3000:2])


def test_class_header_is_the_run_without_spectra(served: Served) -> None:
    for name in ("small.mzML", "packed.mzML.gz"):
        answer = ask(served.client, f"/spectra/{name}", class_="header")
        assert set(answer.classes) == {"header"}
        assert spectra(answer.data) == []
        assert b"<instrumentConfiguration " in answer.data
    assert ask(served.client, "/spectra/small", class_="header", format="JSON").data == b"[]\n"


def test_a_post_is_a_union_with_each_spectrum_once(served: Served) -> None:
    regions = [{"scan": "5-9"}, {"rt": "0-20", "ms_level": 2}, {"scan": 7}]
    answer = post(served.client, "/spectra/small.mzML", regions=regions, format="MZML")
    whole = spectra(served.text("small.mzML"))
    times = [float(each["scanList"]["scan"][0]["scan start time"]) * 60 for each in whole]
    wanted = [
        each
        for number, (each, time) in enumerate(zip(whole, times, strict=True), 1)
        if 5 <= number <= 9 or (time <= 20 and level(each) == 2)
    ]
    assert_same(spectra(answer.data), wanted)
    assert post(served.client, "/spectra/small.mzML").data == served.text("small.mzML")


def test_ids_with_and_without_suffix_at_refs_and_by_digest(served: Served) -> None:
    digest = served.lake.stat("small.mzML").digest
    data = [ask(served.client, f"/spectra/{name}", scan=3).data for name in ("small", "@main/small", f"b3:{digest}")]
    assert len(set(data)) == 1
    native = "controllerType=0 controllerNumber=1 scan=3"
    assert ask(served.client, "/spectra/small", id=native).data == data[0]
    assert ask(served.client, "/spectra/small", id=native.replace("=", "%3D"), polarity="+").data == data[0]
    assert served.client.get("/spectra/small?scan=3&polarity=+").json()["htsget"]["format"] == "MZML"


@pytest.mark.parametrize(("name", "wanted"), [("small.mzML", 2), ("packed.mzML.gz", 2), ("runs/inside.mzMLb", 1)])
def test_conversions_have_the_same_peaks(served: Served, name: str, wanted: int) -> None:
    expected = [
        s for s in served.lake.peaks(name, f"ms_level={wanted}", layout="ragged").read_all().to_pylist() if s["mz"]
    ]
    assert expected
    path = f"/spectra/{name}"
    found = json.loads(ask(served.client, path, ms_level=wanted, format="JSON").data)
    assert [(s["index"], s["mz"], s["intensity"]) for s in found if s["mz"]] == [
        (s["ord"], s["mz"], s["intensity"]) for s in expected
    ]
    arrow = pa.ipc.open_stream(ask(served.client, path, ms_level=wanted, format="ARROW").data).read_all()
    parquet = pq.read_table(io.BytesIO(ask(served.client, path, ms_level=wanted, format="parquet").data))
    for table in (arrow, parquet):
        assert [s["mz"] for s in table.to_pylist() if s["mz"]] == [s["mz"] for s in expected]
        assert table.num_rows == len(found)
    read = mgf_spectra(ask(served.client, path, ms_level=wanted, format="MGF").data)
    fragments = [s for s in found if "precursor_mz" in s]
    assert bool(fragments) is (wanted == 2)
    assert [(s["params"]["pepmass"][0], s["m/z array"].tolist()) for s in read] == [
        (s["precursor_mz"], s["mz"]) for s in fragments
    ]


def test_other_stored_formats(served: Served) -> None:
    inside = spectra(ask(served.client, "/spectra/runs/inside", ms_level=1).data)
    levels = served.lake.facts("runs/inside.mzMLb")["spectra"]["ms_level"].to_pylist()
    assert len(inside) == levels.count(1)
    answer = ask(served.client, "/spectra/peaks.mgf", index="0-4")
    assert answer.ticket["format"] == "MGF"
    assert len(mgf_spectra(answer.data)) == 5
    assert error_of(served.client.get("/spectra/peaks.mgf?format=MZXML")) == (400, "UnsupportedFormat")


@pytest.mark.parametrize(("name", "count"), [("peaks.mgf", 35), ("image.imzML", 9), ("runs/old.mzXML", 6)])
def test_other_formats_are_written_as_mzml(served: Served, name: str, count: int) -> None:
    answer = ask(served.client, f"/spectra/{name}", format="MZML")
    stored = served.lake.peaks(name, layout="ragged").read_all().to_pylist()
    read = spectra(answer.data)
    assert len(read) == count == len(stored)
    assert [each["m/z array"].tolist() for each in read] == [each["mz"] or [] for each in stored]
    assert [each["intensity array"].tolist() for each in read] == [each["intensity"] or [] for each in stored]
    table = scan_mzml(BytesReader(answer.data)).spectra
    assert [None if np.isnan(mz) else mz for mz in table.precursor_mz] == [each["precursor_mz"] for each in stored]
    assert [None if np.isnan(rt) else rt for rt in table.rt] == [each["rt"] for each in stored]
    assert_valid(answer.data)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("small.mzML?mslevel=2", 400, "InvalidInput"),
        ("small.mzML?scan=1&scan=2", 400, "InvalidInput"),
        ("small.mzML?scan=", 400, "InvalidInput"),
        ("small.mzML?rt=12", 400, "InvalidInput"),
        ("small.mzML?rt=%ff", 400, "InvalidInput"),
        ("small.mzML?scan=1%26ms_level=1", 400, "InvalidInput"),
        ("small.mzML?rt=720-600", 400, "InvalidRange"),
        ("small.mzML?scan=9-3", 400, "InvalidRange"),
        ("small.mzML?format=BAM", 400, "UnsupportedFormat"),
        ("small.mzML?class=header&scan=1", 400, "InvalidInput"),
        ("small.mzML?class=body", 400, "InvalidInput"),
        ("small.mzML?inline=some", 400, "InvalidInput"),
        ("small.mzML?referenceName=chr1", 400, "InvalidInput"),
        ("small.mzML?id=nobody", 404, "NotFound"),
        ("nothing.mzML", 404, "NotFound"),
        ("notes.py", 404, "NotFound"),
        ("..%2fx", 400, "InvalidInput"),
        ("a%00b", 400, "InvalidInput"),
    ],
)
def test_errors(served: Served, path: str, status: int, kind: str) -> None:
    assert error_of(served.client.get(f"/spectra/{path}")) == (status, kind)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("[]", 400, "InvalidInput"),
        ("{", 400, "InvalidInput"),
        ('{"regions": []}', 400, "InvalidInput"),
        ('{"regions": [{}]}', 400, "InvalidInput"),
        ('{"regions": ["rt=1-2"]}', 400, "InvalidInput"),
        ('{"regions": [{"rt": null}]}', 400, "InvalidInput"),
        ('{"regions": [{"ms_level": true}]}', 400, "InvalidInput"),
        ('{"regions": [{"rt": "9-3"}]}', 400, "InvalidRange"),
        ('{"regions": [{"rt": "1-2", "rt": "3-4"}]}', 400, "InvalidInput"),
        ('{"regions": [{"rt": NaN}]}', 400, "InvalidInput"),
        ('{"rt": "1-2"}', 400, "InvalidInput"),
        ('{"format": 3}', 400, "InvalidInput"),
        ('{"format": "CRAM"}', 400, "UnsupportedFormat"),
        ('{"class": "header", "regions": [{"scan": 1}]}', 400, "InvalidInput"),
        (json.dumps({"regions": [{"scan": 1}] * 10_001}), 413, "PayloadTooLarge"),
        (" " * 5_000_000, 413, "PayloadTooLarge"),
    ],
)
def test_errors_of_bodies(served: Served, body: str, status: int, kind: str) -> None:
    assert error_of(served.client.post("/spectra/small.mzML", content=body)) == (status, kind)
    assert error_of(served.client.post("/spectra/small.mzML?scan=1", content="{}")) == (400, "InvalidInput")


def test_a_conversion_of_more_regions_than_a_url_names_is_refused(served: Served) -> None:
    regions = [{"rt": f"{number}.{number * 7919 % 1000}-{number + 1}"} for number in range(5000)]
    body = json.dumps({"regions": regions, "format": "JSON"})
    assert error_of(served.client.post("/spectra/small.mzML", content=body)) == (413, "PayloadTooLarge")


def test_a_ticket_is_known_by_its_etag(served: Served) -> None:
    first = served.client.get("/spectra/small.mzML?scan=1-5&ms_level=1")
    again = served.client.get("/spectra/small.mzML?ms_level=1&scan=1,2,3-5")
    assert first.headers["etag"].split(".")[0] == again.headers["etag"].split(".")[0]
    assert first.headers["content-type"].startswith("application/vnd.ga4gh.htsget")
    known = served.client.get("/spectra/small.mzML?scan=1-5&ms_level=1", headers={"If-None-Match": "*"})
    assert known.status_code == 304
    other = served.client.get("/spectra/small.mzML?scan=1-4&ms_level=1")
    assert other.headers["etag"] != first.headers["etag"]


def test_made_parts_are_signed_and_tell_when_they_are_known(served: Served) -> None:
    [url] = ask(served.client, "/spectra/small.mzML", format="JSON", scan=4).remote
    got = served.client.get(url)
    assert got.headers["content-type"] == "application/json"
    assert served.client.get(url, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert served.client.get(f"{url[:-2]}xx").status_code == 403
    block = next(url for url in ask(served.client, "/spectra/small.mzML", inline="none").remote if "/blocks/" in url)
    assert served.client.get(block.replace("/blocks/", "/spectra-slices/")).status_code == 403


def test_claims_say_all_of_a_part(served: Served) -> None:
    digest = served.lake.stat("small.mzML").digest
    assert digest is not None
    many = tuple(f"id=scan={number}%2C&rt=1-2" for number in range(500))
    for part in (
        SpectrumPart(digest, "MZML", (), header=True),
        SpectrumPart(digest, "JSON", ("id=a%26b",), side="body"),
        SpectrumPart(digest, "MGF", many, side="header"),
    ):
        assert spectrum_part(spectrum_claims(part)) == part
    assert spectrum_part({"k": "slice"}) is None
    with pytest.raises(Problem, match="too many regions"):
        spectrum_claims(SpectrumPart(digest, "MGF", ("id=" + "x" * (1 << 20),)))


def test_texts_of_conditions() -> None:
    assert parse_conditions(b"").query.everything
    assert parse_conditions(b"ms_level=2&rt=1%2D2").regions == ("rt=1-2&ms_level=2",)
    assert parse_conditions(b"id=a%26b+c").regions == ("id=a%26b c",)
    assert str(parse_conditions(b"id=a%26b").query) == "id=a%26b"
    assert parse_spectra_body(b'{"regions":[{"scan":1},{"scan":"1"}]}', 2).regions == ("scan=1",)


def test_service_info(served: Served) -> None:
    about = served.client.get("/spectra/service-info").json()
    assert about["type"] == {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.1"}
    assert about["htsget"]["formats"] == ["MZML", "MZXML", "MGF", "JSON", "ARROW", "PARQUET"]
    assert "precursor_mz" in about["htsget"]["conditions"]
    listed = {each["url"].rsplit("/", 1)[-1] for each in served.client.get("/services").json()}
    assert "spectra" in listed


def test_reads_point_to_spectra(served: Served) -> None:
    response = served.client.get("/reads/small.mzML")
    assert error_of(response) == (404, "NotFound")
    assert "/spectra" in response.json()["htsget"]["message"]


def test_openapi_tells_of_all_parameters(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    names = {each["name"] for each in paths["/spectra/{id}"]["get"]["parameters"]}
    assert {"id", "rt", "ms_level", "precursor_mz", "scan", "chromatograms", "format", "class", "inline"} <= names
    assert "requestBody" in paths["/spectra/{id}"]["post"]
    assert "/spectra-slices/{token}" in paths
    assert paths["/proxi/v0.1/spectra"]["get"]["responses"]["default"]["$ref"].endswith("/proxi")


def test_a_token_for_regions_of_a_genome_reads_no_spectra(served: Served, client: Client) -> None:
    with Lake.open_at(served.lake.root) as lake:
        some = lake.tokens.create([Grant(Verb.READ, "small.mzML", ("chr1",))]).text
        whole = lake.tokens.create([Grant(Verb.READ, "small.mzML")]).text
    shut = client(served.lake, open=False)
    assert error_of(shut.get("/spectra/small.mzML")) == (401, "InvalidAuthentication")
    headers = {"Authorization": f"Bearer {some}"}
    assert error_of(shut.get("/spectra/small.mzML", headers=headers)) == (403, "PermissionDenied")
    assert shut.get("/proxi/v0.1/spectra?usi=mzspec:x:small:scan:2", headers=headers).status_code == 404
    headers = {"Authorization": f"Bearer {whole}"}
    assert shut.get("/spectra/small.mzML", headers=headers).status_code == 200
    assert shut.get("/proxi/v0.1/spectra?usi=mzspec:x:small:scan:2", headers=headers).status_code == 200
    assert error_of(shut.get("/spectra/runs/agilent.mzML", headers=headers)) == (404, "NotFound")
    hidden = shut.get("/proxi/v0.1/spectra?usi=mzspec:x:agilent:index:2", headers=headers)
    assert hidden.status_code == 404
    assert "runs" not in hidden.text
    assert shut.get("/proxi/v0.1/spectra?usi=mzspec:x:small:scan:2").status_code == 401


# -- PROXI ------------------------------------------------------------------------------------------------------------
def test_proxi_gives_one_spectrum(served: Served) -> None:
    usi = "mzspec:PXD000001:agilent:index:3:PEPTIDE/2"
    response = served.client.get("/proxi/v0.1/spectra", params={"usi": usi, "resultType": "full"})
    assert response.status_code == 200
    [spectrum] = response.json()
    expected = spectra(served.text("runs/agilent.mzML"))[3]
    assert spectrum["usi"] == usi
    assert spectrum["status"] == "READABLE"
    assert spectrum["interpretations"] == ["PEPTIDE/2"]
    assert spectrum["mzs"] == expected["m/z array"].tolist()
    assert spectrum["intensities"] == expected["intensity array"].tolist()
    terms = {each["accession"]: each["value"] for each in spectrum["attributes"]}
    assert terms["MS:1000511"] == str(expected["ms level"])
    [compact] = served.client.get("/proxi/v0.1/spectra", params={"usi": usi, "resultType": "compact"}).json()
    assert "mzs" not in compact
    assert compact["attributes"] == spectrum["attributes"]


def test_proxi_takes_bare_native_ids(served: Served) -> None:
    [spectrum] = served.client.get("/proxi/v0.1/spectra?usi=mzspec:x:small:nativeId:0,1,3").json()
    assert any(each["value"].endswith("scan=3") for each in spectrum["attributes"])


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("", 400),
        ("?usi=", 400),
        ("?usi=mzspec:x:small", 400),
        ("?usi=mzspec:x:small:scan:x", 400),
        ("?usi=mzspec:x:small:scan:2&resultType=all", 400),
        ("?usi=mzspec:x:small:trace:2", 501),
        ("?usi=mzspec:x:small:scan:99999", 404),
        ("?usi=mzspec:x:nobody:scan:1", 404),
        ("?usi=mzspec:x:" + "y" * 5000, 400),
    ],
)
def test_proxi_errors(served: Served, question: str, status: int) -> None:
    response = served.client.get(f"/proxi/v0.1/spectra{question}")
    assert response.status_code == status
    document = response.json()
    assert set(document) == {"code", "message"}
    assert document["code"] == status
