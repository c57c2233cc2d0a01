"""What a path cannot do is said with what it can (RFC 9110, section 15.5.6)."""

from __future__ import annotations

import pytest

from lake.lake import Lake
from tests.htsget.conftest import Client


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/reads/a/b.bam", "GET, HEAD, POST"),
        ("/variants/service-info", "GET, HEAD"),
        ("/files/a", "DELETE, GET, HEAD, PUT"),
        ("/files", "GET, HEAD"),
        ("/seqcol/comparison/a", "POST"),
    ],
)
def test_405_names_all_methods_of_a_path(lk: Lake, client: Client, path: str, allowed: str) -> None:
    response = client(lk).request("PROPFIND", path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed


def test_a_url_too_long_is_a_problem_like_others(lk: Lake, client: Client) -> None:
    response = client(lk).get("/files", params={"after": "x" * 20_000})
    assert response.status_code == 414
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) == {"type", "title", "status", "detail", "error"}


def test_openapi_tells_what_needs_no_token(lk: Lake, client: Client) -> None:
    paths = client(lk, open=False).get("/openapi.json").json()["paths"]
    assert {} in paths["/ga4gh/drs/v1/service-info"]["get"]["security"]
    assert {} not in paths["/objects/{digest}"]["get"]["security"]
