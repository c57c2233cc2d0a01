"""Web pages: what htsget asks for, and pages that an open server must not obey."""

from __future__ import annotations

import httpx
import pytest

from lake.htsget.cors import is_local_name
from lake.lake import Lake
from tests.htsget.conftest import Client

IGV = "https://igv.org"
PATHS = ["/reads/x", "/variants/x", f"/objects/{'0' * 64}", "/blocks/x", "/sequence/x", "/healthz"]


def preflight(client: httpx.Client, path: str, origin: str, **headers: str) -> httpx.Response:
    return client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "GET", **headers})


@pytest.mark.parametrize("path", PATHS)
def test_h46_the_origin_is_echoed_on_every_answer_errors_too(lk: Lake, client: Client, path: str) -> None:
    page = client(lk, open=False)
    for method in ("GET", "HEAD", "POST"):
        answer = page.request(method, path, headers={"Origin": IGV})
        assert answer.headers["access-control-allow-origin"] == IGV
        assert "Content-Range" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in page.get(path).headers


@pytest.mark.parametrize("path", PATHS)
def test_h46_a_preflight_echoes_what_it_asks_for(lk: Lake, client: Client, path: str) -> None:
    page = client(lk, open=False)
    answer = preflight(page, path, IGV, **{"Access-Control-Request-Headers": "range,x-any"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == IGV
    assert answer.headers["access-control-allow-headers"] == "range,x-any"
    assert answer.headers["access-control-max-age"] == "2592000"
    assert {"GET", "POST", "HEAD"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "access-control-allow-headers" not in preflight(page, path, IGV).headers


def test_named_origins_alone(lk: Lake, client: Client) -> None:
    page = client(lk, open=False, cors_origins=(IGV,))
    assert preflight(page, "/reads/x", IGV).status_code == 204
    assert preflight(page, "/reads/x", "https://evil.example").status_code != 204
    other = page.get("/reads/x", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_an_open_server_obeys_pages_of_this_machine_alone(lk: Lake, client: Client) -> None:
    page = client(lk)
    local = page.get("/healthz", headers={"Origin": "http://localhost:3000"})
    assert local.headers["access-control-allow-origin"] == "http://localhost:3000"
    for origin in (IGV, "null", "http://[", "http://10.0.0.1"):
        answer = page.get("/healthz", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        assert page.post("/reads/x", headers={"Origin": origin}, json={}).status_code == 403
        assert preflight(page, "/healthz", origin).status_code != 204


def test_an_open_server_is_not_found_by_a_name_of_the_web(lk: Lake, client: Client) -> None:
    page = client(lk)
    assert page.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    for name in ("localhost:8080", "127.0.0.1", "[::1]:80", "workstation", "lake.localhost"):
        assert page.get("/healthz", headers={"Host": name}).status_code == 200
    assert client(lk, open=False).get("/healthz", headers={"Host": "lake.example"}).status_code == 200
    named = client(lk, base_url="https://lake.example")
    assert named.get("/healthz", headers={"Host": "lake.example"}).status_code == 200


def test_local_names() -> None:
    assert all(map(is_local_name, ["localhost", "127.8.9.1", "::1", "host", "a.localhost", "localhost."]))
    assert not any(map(is_local_name, ["10.0.0.1", "evil.example", "localhost.evil.example", "127.0.0.1.example"]))
