"""The log and the figures: what happened, and nothing that lets somebody in."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import httpx
import pytest

from lake.grants import Grant, Verb
from lake.htsget.logs import JsonFormatter, redacted
from lake.htsget.signing import Signer
from lake.lake import Lake
from tests.htsget.conftest import WAIT, Client

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/reads/study1/s1.bam", "/reads/study1/s1.bam"),
        ("referenceName=chr1&start=5", "referenceName=chr1&start=5"),
        (f"x lake_{'0' * 16}_{'s' * 43} y", "x … y"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer …"),
        (f"q={JWT}&x=1", "q=…&x=1"),
        ("access_token=abc&x=1", "access_token=…&x=1"),
        ("X-Amz-Signature=abc", "X-Amz-Signature=…"),
        (f"/blocks/{Signer(b'k').sign({'d': 'abc'}, 60)}", "/blocks/…"),
        (f"/slices/{Signer(b'k').sign({'d': 'abc'}, 60)}/x.bam", "/slices/…/x.bam"),
    ],
)
def test_secrets_are_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter = JsonFormatter()
    return [json.loads(formatter.format(record)) for record in caplog.records if record.name.startswith("lake.")]


def logged(caplog: pytest.LogCaptureFixture, count: int) -> list[dict[str, Any]]:
    """The lines, once there are so many: a request is logged when its answer has gone."""
    deadline = time.monotonic() + WAIT
    while len(caplog.records) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return lines(caplog)


def test_a_line_a_request(lk: Lake, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    issued = lk.tokens.create([Grant(Verb.ADMIN)])
    web = client(lk, open=False)
    with caplog.at_level(logging.INFO, "lake.htsget.access"):
        web.get(f"/metrics?access_token={issued.text}", headers={"Authorization": f"Bearer {issued.text}"})
        web.head("/healthz")
        web.get("/nothing%0Ahere")
        first, second, third = logged(caplog, 3)
    assert (first["status"], first["route"], first["query"]) == (200, "/metrics", "access_token=…")
    assert first["principal"] == f"token:{issued.token.id}"
    assert first["sent"] > 100
    assert (second["method"], second["route"], second["sent"]) == ("HEAD", "/healthz", 0)
    assert (third["status"], third["route"]) == (404, "")
    assert issued.text.split("_")[2] not in caplog.text + json.dumps([first, second, third])


def test_a_failure_is_in_the_log_under_the_number_that_the_client_gets(
    lk: Lake, client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = client(lk)

    def fail(*_: object) -> None:
        raise RuntimeError(f"secret of {lk.root}")

    monkeypatch.setattr("lake.journal.sqlite.SqliteJournal.resolve", fail)
    answer = web.get("/healthz")
    assert answer.status_code == 500
    found = re.search("under ([0-9a-f]{12})", answer.json()["detail"])
    assert found is not None
    assert str(lk.root) not in answer.text
    assert "RuntimeError" not in answer.text
    record = next(line for line in lines(caplog) if found[1] in line.get("message", ""))
    assert "RuntimeError: secret" in record["exception"]
    assert web.get("/reads/x").status_code in (404, 500)


def test_figures_are_counted_a_route_and_not_for_everybody(lk: Lake, client: Client, http: httpx.Client) -> None:
    web = client(lk)
    for path in ("/healthz", "/healthz", "/no/such/path"):
        web.get(path)
    text = web.get("/metrics").text
    assert 'lake_http_requests_total{method="GET",route="/healthz",status="200"} 2.0' in text
    assert 'lake_http_requests_total{method="GET",route="",status="404"} 1.0' in text
    assert 'lake_http_sent_bytes_total{route="/healthz"} 30.0' in text
    assert "lake_http_requests_running 1.0" in text
    assert "/no/such/path" not in text
    assert client(lk, open=False).get("/metrics").status_code == 401
    assert client(lk, public=True).get("/metrics").status_code == 401


def test_the_description_tells_what_is_answered(lk: Lake, client: Client) -> None:
    document = client(lk, open=False).get("/openapi.json").json()
    operation = document["paths"]["/metrics"]["get"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/problem"}
    assert "422" not in operation["responses"]
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    answer = client(lk, open=False).get("/metrics")
    schema = document["components"]["responses"]["problem"]["content"][answer.headers["content-type"]]["schema"]
    assert set(schema["required"]) == set(answer.json())
    assert {} in client(lk).get("/openapi.json").json()["paths"]["/metrics"]["get"]["security"]
