"""Secrets: nowhere but with those who hold them, and good for no longer than they are meant to be."""

from __future__ import annotations

import base64
import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from lake.grants import Grant, Verb
from lake.htsget.errors import Problem
from lake.htsget.logs import JsonFormatter
from lake.htsget.signing import HOLDER, Signer, load_secret
from lake.lake import Lake
from lake.tokens import IssuedToken, Tokens
from tests.htsget.conftest import Client
from tests.lake.samples import make_bam

READ = [Grant(Verb.READ)]
QUESTION: dict[str, str | int] = {"referenceName": "chr1", "start": 3000, "end": 30_000}


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    lk.put([make_bam(tmp_path / "a.bam", reads=4000, index="bai"), tmp_path / "a.bam.bai"])
    return lk


def bearer(issued: IssuedToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {issued.text}"}


def signed_urls(web: httpx.Client, issued: IssuedToken, digest: str) -> list[str]:
    """URLs of a ticket, of text made when it is fetched, and of DRS, given for a token."""
    urls = []
    for form in ("BAM", "SAM"):
        ticket = web.get("/reads/a.bam", params={**QUESTION, "format": form}, headers=bearer(issued))
        assert ticket.status_code == 200, ticket.text
        urls += [each["url"] for each in ticket.json()["htsget"]["urls"] if each["url"].startswith("http")]
    access = web.get(f"/ga4gh/drs/v1/objects/{digest}/access/https", headers=bearer(issued))
    assert access.status_code == 200, access.text
    urls.append(access.json()["url"])
    assert any("/blocks/" in url for url in urls)
    assert any("/slices/" in url for url in urls)
    return urls


def claims_of(url: str) -> dict[str, Any]:
    body = url.rpartition("/")[2].partition(".")[0]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def digest_of(lk: Lake, path: str) -> str:
    digest = lk.stat(path).digest
    assert digest is not None
    return digest


def test_signed_urls_end_with_the_token_that_was_shown(
    filled: Lake, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.htsget.authentication._TOKEN_SECONDS", 0.0)
    web = client(filled, open=False)
    one, other = filled.tokens.create(READ), filled.tokens.create(READ)
    digest = digest_of(filled, "a.bam")
    urls, others = signed_urls(web, one, digest), signed_urls(web, other, digest)
    assert not set(urls) & set(others)
    assert {claims_of(url)[HOLDER] for url in urls} == {one.token.id}
    assert {web.get(url).status_code for url in urls} == {200}
    filled.tokens.revoke(one.token.id)
    for url in urls:
        answer = web.get(url)
        assert (answer.status_code, "good no more" in answer.text) == (403, True)
        assert web.head(url).status_code in (403, 405)
    assert {web.get(url).status_code for url in others} == {200}


def test_signed_urls_end_when_the_token_does(filled: Lake, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.htsget.authentication._TOKEN_SECONDS", 0.0)
    web = client(filled, open=False)
    short = filled.tokens.create(READ, expires=timedelta(seconds=100))
    urls = signed_urls(web, short, digest_of(filled, "a.bam"))
    assert short.token.expires is not None
    for url in urls:
        assert claims_of(url)["exp"] <= short.token.expires / 1e9
    # The clock that tokens know: even a URL whose own end is wrong ends with its token.
    monkeypatch.setenv("REGIONLAKE_CLOCK", "101")
    assert {web.get(url).status_code for url in urls} == {403}


def test_whoever_holds_urls_is_looked_up_once_in_a_while(
    filled: Lake, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    is_good = Tokens.is_good

    def counted(tokens: Tokens, token: str) -> bool:
        asked.append(token)
        return is_good(tokens, token)

    monkeypatch.setattr(Tokens, "is_good", counted)
    monkeypatch.setattr("lake.htsget.authentication._TOKEN_SECONDS", 600.0)
    web = client(filled, open=False)
    issued = filled.tokens.create(READ)
    urls = signed_urls(web, issued, digest_of(filled, "a.bam"))
    assert {web.get(url).status_code for url in urls * 5} == {200}
    assert asked == [issued.token.id]


def test_a_signature_never_outlasts_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(b"k" * 32)
    now = time.time()
    signed = signer.sign({"d": "0"}, 3600, "0" * 16, now + 10)
    assert signer.verify(signed) == {"d": "0", HOLDER: "0" * 16}
    monkeypatch.setattr("time.time", lambda: now + 11)
    with pytest.raises(Problem, match="expired"):
        signer.verify(signed)


def test_no_secret_is_kept_told_or_logged(
    filled: Lake, client: Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    web = client(filled, open=False, upload=True)
    verbs = [Grant(verb) for verb in Verb]
    issued, gone = filled.tokens.create(verbs, name="ann"), filled.tokens.create(verbs)
    filled.tokens.revoke(gone.token.id)
    headers = bearer(issued)
    answers: list[httpx.Response] = []
    with caplog.at_level(logging.DEBUG):
        urls = signed_urls(web, issued, digest_of(filled, "a.bam"))
        answers += [web.get(url) for url in urls]
        answers += [web.get(url[:-1] + ("A" if url[-1] != "A" else "B")) for url in urls]
        for path in ("/files/a.bam", "/metrics", "/service-info", "/nothing", "/openapi.json", "/files/%ff", "/sql"):
            answers.append(web.get(path, headers=headers))
            answers.append(web.get(path, headers=bearer(gone)))
            answers.append(web.get(f"{path}?access_token={issued.text}&token={issued.text}"))
        answers.append(web.put("/files/new.txt", headers=headers, content=b"new"))
        answers.append(web.post("/sql", headers=headers, json={"query": f"SELECT '{issued.token.id}', broken"}))
        answers.append(web.get(f"/reads/{issued.text}", headers=headers))
        answers.append(web.get("/healthz", headers={"Authorization": f"Basic {issued.text}"}))
    filled.catalog.publish(force=True)
    # What the client of this test says of itself is not the server's.
    records = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert len(records) >= len(answers)
    log = "".join(JsonFormatter().format(record) for record in records)
    key = load_secret(filled.root).hex()
    secrets = {each.text.split("_", 2)[2] for each in (issued, gone)}
    assert [len(secret) for secret in secrets] == [43, 43]
    signatures = {url.rpartition(".")[2] for url in urls}
    for record in records:
        log += json.dumps(getattr(record, "fields", {}), default=str)
    for secret in secrets | signatures | {key}:
        place = log.find(secret)
        assert place < 0, log[max(0, place - 300) : place + 100]
    for secret in secrets | {key}:
        for answer in answers:
            if issued.text not in str(answer.request.url):
                assert secret not in answer.text + str(answer.headers), answer.request.url
    kept = {path: path.read_bytes() for path in filled.root.rglob("*") if path.is_file() and path.name != "server.key"}
    assert any(path.name == "journal.db" for path in kept)
    for file, data in kept.items():
        for secret in {*secrets, *signatures, key}:
            assert secret.encode() not in data, file
        assert bytes.fromhex(key) not in data, file
    for thing in (issued.token, filled, filled.repo, filled.repo.journal, Signer(bytes.fromhex(key)), *answers):
        assert not any(secret in repr(thing) for secret in secrets | {key})
