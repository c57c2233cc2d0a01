"""DRS 1.5, line by line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from lake.grants import Grant, Verb
from lake.htsget import drs
from lake.htsget.access import Principal
from lake.htsget.drs import DrsCatalog, Totals
from lake.htsget.errors import Problem
from lake.lake import Lake
from tests.htsget.conftest import Client, running
from tests.lake.samples import make_bam

BASE = "/ga4gh/drs/v1"


class Served:
    """A lake behind a server, and one of its files."""

    def __init__(self, lk: Lake, client: httpx.Client, content: bytes) -> None:
        self.lk = lk
        self.client = client
        self.content = content
        self.id = str(lk.stat("study/reads 1.bam").digest)

    def object(self, id: str | None = None) -> dict[str, Any]:
        answer = self.client.get(f"{BASE}/objects/{id or self.id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("drs")
    bam = make_bam(folder / "reads 1.bam", index="bai")
    (folder / "notes.txt").write_text("hello\n")
    (folder / "empty.txt").write_text("")
    with Lake.init(folder / "lake") as lk:
        lk.put([str(bam), str(folder / "notes.txt"), str(folder / "empty.txt")], "study/")
        lk.cp("study/notes.txt", "copy.txt")
        with running(lk.root) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            yield Served(lk, client, bam.read_bytes())


def test_d01_base_path(served: Served) -> None:
    assert served.client.get("/ga4gh/drs/v1/service-info").status_code == 200


def test_d02_an_object_has_what_the_specification_demands(served: Served) -> None:
    found = served.object()
    assert found["id"] == served.id
    assert found["self_uri"] == f"drs://127.0.0.1/{served.id}"
    assert found["size"] == len(served.content)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["created_time"])
    assert abs(datetime.fromisoformat(found["created_time"]).timestamp() - datetime.now().timestamp()) < 3600
    assert found["name"] == "reads_1.bam"
    assert found["aliases"] == ["study/reads 1.bam"]
    assert "contents" not in found
    assert found["access_methods"]


def test_d02_checksums_that_clients_know(served: Served) -> None:
    checksums = {each["type"]: each["checksum"] for each in served.object()["checksums"]}
    assert checksums == {
        "sha-256": hashlib.sha256(served.content).hexdigest(),
        "md5": hashlib.md5(served.content).hexdigest(),
        "blake3": served.id,
    }
    kept = served.lk.stat("study/reads 1.bam").checksums
    assert dict(kept) == {"sha256": checksums["sha-256"], "md5": checksums["md5"]}


def test_d02_big_objects_have_further_checksums_later(
    lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drs, "_AT_ONCE", 3)
    (tmp_path / "big").write_bytes(b"content")
    lk.put(tmp_path / "big")
    readers = Principal("me", (Grant(Verb.READ),))
    catalog = DrsCatalog(lk)
    id = str(lk.stat("big").digest)
    catalog.file(readers, id, compute=False)
    assert dict(lk.stat("big").checksums) == {}
    catalog.file(readers, id, compute=True)
    with catalog._background:  # until it is done
        assert catalog.file(readers, id, compute=False).checksums["md5"] == hashlib.md5(b"content").hexdigest()


def test_d02_a_lake_that_cannot_be_written_shows_checksums_too(lk: Lake, tmp_path: Path, client: Client) -> None:
    (tmp_path / "a.txt").write_bytes(b"content")
    lk.put(tmp_path / "a.txt")
    reader = client(lk, upload=False)
    checksum = hashlib.sha256(b"content").hexdigest()
    assert reader.get(f"{BASE}/objects/checksum/{checksum}").status_code == 404
    found = reader.get(f"{BASE}/objects/{lk.stat('a.txt').digest}").json()
    assert {"type": "sha-256", "checksum": checksum} in found["checksums"]
    assert reader.get(f"{BASE}/objects/checksum/{checksum}").status_code == 200


def test_d03_access_methods(served: Served) -> None:
    methods = {method["type"]: method for method in served.object()["access_methods"]}
    assert set(methods) == {"https", "htsget"}
    for method in methods.values():
        assert method["access_id"]
        assert method["access_url"]["headers"] == []
    assert served.client.get(methods["https"]["access_url"]["url"]).content == served.content
    assert methods["htsget"]["access_url"]["url"].endswith(f"/reads/b3:{served.id}")
    notes = served.object(str(served.lk.stat("study/notes.txt").digest))
    assert [method["type"] for method in notes["access_methods"]] == ["https"]


def test_d04_access_urls_carry_their_own_permission(served: Served) -> None:
    for method in ("get", "post"):
        answer = getattr(served.client, method)(f"{BASE}/objects/{served.id}/access/https")
        assert set(answer.json()) == {"url", "headers"}
        assert served.client.get(answer.json()["url"]).content == served.content
    tickets = served.client.get(f"{BASE}/objects/{served.id}/access/htsget").json()
    assert tickets["url"].endswith(f"/reads/b3:{served.id}")
    assert served.client.get(f"{BASE}/objects/{served.id}/access/s3").status_code == 404
    assert served.client.get(f"{BASE}/objects/{'0' * 64}/access/https").status_code == 404


def test_d04_an_empty_object_can_be_fetched(served: Served) -> None:
    id = served.lk.stat("study/empty.txt").digest
    url = served.client.get(f"{BASE}/objects/{id}/access/https").json()["url"]
    answer = served.client.get(url)
    assert (answer.status_code, answer.content) == (200, b"")


def test_d05_many_objects_at_once(served: Served) -> None:
    unknown = "0" * 64
    answer = served.client.post(f"{BASE}/objects", json={"bulk_object_ids": [served.id, unknown, "x"]}).json()
    assert answer["summary"] == {"requested": 3, "resolved": 1, "unresolved": 2}
    assert answer["unresolved_drs_objects"] == [{"error_code": 404, "object_ids": [unknown, "x"]}]
    assert [each["id"] for each in answer["resolved_drs_object"]] == [served.id]


def test_d05_many_access_urls_at_once(served: Served) -> None:
    body = {
        "passports": ["ignored"],
        "bulk_object_access_ids": [
            {"bulk_object_id": served.id, "bulk_access_ids": ["https", "htsget", "s3"]},
            {"bulk_object_id": "x", "bulk_access_ids": ["https"]},
        ],
    }
    answer = served.client.post(f"{BASE}/objects/access", json=body).json()
    assert answer["summary"] == {"requested": 4, "resolved": 2, "unresolved": 2}
    assert answer["unresolved_drs_objects"] == [{"error_code": 404, "object_ids": [served.id, "x"]}]
    urls = answer["resolved_drs_object_access_urls"]
    assert [(each["drs_object_id"], each["drs_access_id"]) for each in urls] == [
        (served.id, "https"),
        (served.id, "htsget"),
    ]
    assert served.client.get(urls[0]["url"]).content == served.content


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/objects", {"bulk_object_ids": ["x"] * 1001}, 413),
        (
            "/objects/access",
            {"bulk_object_access_ids": [{"bulk_object_id": "x", "bulk_access_ids": ["h"] * 1001}]},
            413,
        ),
        ("/objects", {}, 400),
        ("/objects", [], 400),
        ("/objects", {"bulk_object_ids": "x"}, 400),
        ("/objects", {"bulk_object_ids": [1]}, 400),
        ("/objects/access", {}, 400),
        ("/objects/access", {"bulk_object_access_ids": [{}]}, 400),
        ("/objects/access", {"bulk_object_access_ids": [{"bulk_object_id": "x", "bulk_access_ids": [1]}]}, 400),
        ("/objects/x", [], 400),
    ],
)
def test_d08_bodies_that_cannot_be(served: Served, path: str, body: object, status: int) -> None:
    answer = served.client.post(BASE + path, json=body)
    assert answer.status_code == status
    assert answer.json()["status_code"] == status
    assert answer.json()["msg"]


def test_d06_how_to_say_who_one_is(served: Served) -> None:
    answer = served.client.options(f"{BASE}/objects/{served.id}")
    assert answer.json() == {"drs_object_id": served.id, "supported_types": ["None"]}
    assert served.client.options(f"{BASE}/objects/{'0' * 64}").status_code == 404
    many = served.client.request("OPTIONS", f"{BASE}/objects", json={"bulk_object_ids": [served.id, "x"]}).json()
    assert many["summary"] == {"requested": 2, "resolved": 1, "unresolved": 1}
    assert many["resolved_drs_object"] == [{"drs_object_id": served.id, "supported_types": ["None"]}]


def test_d06_where_a_token_is_needed_the_answer_tells_nothing_of_objects(served: Served, client: Client) -> None:
    closed = client(served.lk, open=False)
    for id in (served.id, "0" * 64):
        answer = closed.options(f"{BASE}/objects/{id}")
        assert answer.json() == {"drs_object_id": id, "supported_types": ["BearerAuth"]}
        for refused in (closed.get(f"{BASE}/objects/{id}"), closed.get(f"{BASE}/objects/{id}/access/https")):
            assert refused.status_code == 401
            assert refused.json()["status_code"] == 401
    assert closed.get(f"{BASE}/objects/checksum/{served.id}").status_code == 401


def test_d06_a_token_opens_what_it_may_read(served: Served, client: Client) -> None:
    closed = client(served.lk, open=False)
    token = served.lk.tokens.create([Grant(Verb.READ, "study/*")]).text
    closed.headers["Authorization"] = f"Bearer {token}"
    found = closed.get(f"{BASE}/objects/{served.id}").json()
    https, htsget = found["access_methods"]
    assert "access_url" not in https
    assert https["authorizations"]["supported_types"] == ["BearerAuth"]
    assert htsget["access_url"]["url"].endswith(f"/reads/b3:{served.id}")
    signed = closed.get(f"{BASE}/objects/{served.id}/access/https").json()["url"]
    del closed.headers["Authorization"]
    assert closed.get(signed).content == served.content
    assert closed.get(f"{BASE}/objects/{served.id}").status_code == 401


def test_d07_service_info(served: Served) -> None:
    info = served.client.get(f"{BASE}/service-info").json()
    assert info["type"] == {"group": "org.ga4gh", "artifact": "drs", "version": "1.5.0"}
    assert info["maxBulkRequestLength"] == info["drs"]["maxBulkRequestLength"] == 1000
    assert info["drs"]["objectCount"] == 3
    assert info["drs"]["totalObjectSize"] == len(served.content) + 6
    assert {"id", "name", "organization", "version"} <= set(info)


def test_d07_counts_are_of_what_the_client_may_see(served: Served, client: Client) -> None:
    catalog = DrsCatalog(served.lk)
    assert catalog.totals(Principal("", ())) == Totals(0, 0)
    assert catalog.totals(Principal("me", (Grant(Verb.READ, "copy.txt"),))) == Totals(1, 6)
    closed = client(served.lk, open=False).get(f"{BASE}/service-info").json()
    assert closed["drs"]["objectCount"] == 0


@pytest.mark.parametrize("id", ["x", "0" * 64, "0" * 63, "a" * 5000, "..%2f..", "%00", "é"])
def test_d08_errors_have_the_form_of_drs(served: Served, id: str) -> None:
    answer = served.client.get(f"{BASE}/objects/{id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"msg", "status_code"}


def test_d09_an_id_means_the_same_bytes_for_ever(served: Served, tmp_path: Path, lk: Lake, client: Client) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", served.id)
    assert served.object(f"b3:{served.id}")["id"] == served.id
    assert served.object(served.id.upper())["id"] == served.id
    (tmp_path / "a.txt").write_text("old")
    lk.put(tmp_path / "a.txt")
    old = str(lk.stat("a.txt").digest)
    (tmp_path / "a.txt").write_text("new")
    lk.put(tmp_path / "a.txt")
    reader = client(lk)
    url = reader.get(f"{BASE}/objects/{old}/access/https").json()["url"]
    assert reader.get(url).text == "old"


def test_d09_a_name_is_one_that_the_client_may_see(served: Served) -> None:
    catalog = DrsCatalog(served.lk)
    id = str(served.lk.stat("copy.txt").digest)
    found = catalog.file(Principal("me", (Grant(Verb.READ, "study/*"),)), id, compute=False)
    assert found.paths == ("study/notes.txt",)
    for grants in ((Grant(Verb.READ, "elsewhere/*"),), (Grant(Verb.READ, "*", ("chr1",)),)):
        with pytest.raises(Problem) as refused:
            catalog.file(Principal("me", grants), id, compute=False)
        assert refused.value.status == 404


def test_d10_there_are_no_bundles_and_passports_are_not_looked_at(served: Served) -> None:
    assert served.client.get(f"{BASE}/objects/{served.id}?expand=true").json() == served.object()
    answer = served.client.post(f"{BASE}/objects/{served.id}", json={"expand": True, "passports": ["x"]})
    assert answer.json() == served.object()


def test_objects_are_found_by_checksum(served: Served) -> None:
    served.object()
    for checksum in (
        served.id,
        hashlib.sha256(served.content).hexdigest(),
        hashlib.md5(served.content).hexdigest().upper(),
    ):
        answer = served.client.get(f"{BASE}/objects/checksum/{checksum}")
        assert [each["id"] for each in answer.json()["resolved_drs_object"]] == [served.id]
    for checksum in ("x", "0" * 32, "0" * 33, "0" * 64, "%25"):
        assert served.client.get(f"{BASE}/objects/checksum/{checksum}").status_code == 404


def test_the_root_tells_what_there_is(served: Served) -> None:
    listed = served.client.get("/services").json()
    assert {each["type"]["artifact"] for each in listed} == {"htsget", "refget-sequence", "refget-seqcol", "drs"}
    root = served.client.get("/service-info").json()
    assert root["type"]["artifact"] == "service-registry"
    assert root["services"] == listed
    for each in listed:
        if each["type"]["artifact"] != "htsget":
            assert served.client.get(f"{each['url']}/service-info").json()["id"] == each["id"]
