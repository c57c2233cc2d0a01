"""Tokens of a lake, from their making to their end."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from lake.errors import InvalidInput, NotFound
from lake.grants import Grant, Verb, grants_of, region_grant
from lake.htsget.authentication import Doorman
from lake.htsget.errors import Problem
from lake.lake import Lake
from lake.tokens import granted
from tests.htsget.conftest import Live

ADMIN = [Grant(Verb.ADMIN)]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_a_token_is_kept_as_a_hash_alone(lk: Lake) -> None:
    issued = lk.tokens.create([Grant(Verb.READ, "study1/*"), region_grant("s1.bam=chr17")], name="ann")
    secret = issued.text.split("_", 2)[2]
    assert issued.text.startswith(f"lake_{issued.token.id}_")
    assert len(secret) == 43
    (kept,) = lk.tokens.list()
    assert kept == issued.token
    assert secret not in repr(kept)
    files = [path.read_bytes() for path in lk.root.iterdir() if path.name.startswith("journal.db")]
    assert not [data for data in files if secret.encode() in data]
    assert granted(kept) == (Grant(Verb.READ, "study1/*"), Grant(Verb.READ, "s1.bam", ("chr17",)))


def test_only_the_whole_text_is_good(lk: Lake) -> None:
    issued = lk.tokens.create(ADMIN)
    other = lk.tokens.create(ADMIN)
    assert lk.tokens.verify(issued.text) == issued.token
    start, secret = issued.text.rsplit("_", 1)[0], other.text.split("_", 2)[2]
    for wrong in ("", "lake_", issued.text[:-1], issued.text + "A", issued.text[:-2] + "é!", f"{start}_{secret}"):
        assert lk.tokens.verify(wrong) is None


def test_expired_and_revoked_tokens_are_good_no_more(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    short = lk.tokens.create(ADMIN, expires=timedelta(hours=1))
    never = lk.tokens.create(ADMIN, expires=None)
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: (short.token.expires or 0) + 1)
        assert lk.tokens.verify(short.text) is None
        assert lk.tokens.verify(never.text) is not None
    lk.tokens.revoke(never.token.id)
    assert lk.tokens.verify(never.text) is None
    with pytest.raises(NotFound):
        lk.tokens.revoke(never.token.id)


def test_what_makes_no_token(lk: Lake) -> None:
    with pytest.raises(InvalidInput, match="--read"):
        lk.tokens.create([])
    with pytest.raises(InvalidInput, match="expired"):
        lk.tokens.create(ADMIN, expires=timedelta())
    with pytest.raises(InvalidInput, match="one line"):
        lk.tokens.create(ADMIN, name="a\nb")
    assert lk.tokens.list() == []


@pytest.mark.parametrize(
    "data",
    [
        {"verb": "fly"},
        {},
        {"verb": "read", "pattern": 7},
        {"verb": "read", "pattern": "/"},
        {"verb": "read", "regions": "chr1"},
        {"verb": "read", "regions": []},
        {"verb": "write", "regions": ["chr1"]},
        {"verb": "read", "region": ["chr1"]},
    ],
)
def test_a_grant_that_is_not_understood_is_none(data: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        grants_of([data])


def test_h08_the_bearer_token_opens_a_server(lk: Lake, live: Live, http: httpx.Client) -> None:
    base = live(lk, open=False)
    good = lk.tokens.create(ADMIN)
    refused = http.get(f"{base}/metrics")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert http.get(f"{base}/metrics", headers=bearer("nonsense")).status_code == 401
    assert http.get(f"{base}/metrics", headers={"Authorization": f"Basic {good.text}"}).status_code == 401
    assert http.get(f"{base}/metrics", headers=bearer(good.text)).status_code == 200
    weak = lk.tokens.create([Grant(Verb.READ)])
    assert http.get(f"{base}/metrics", headers=bearer(weak.text)).status_code == 403
    assert http.get(f"{base}/healthz").status_code == 200


def test_a_server_forgets_a_revoked_token_soon(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    doorman = Doorman(lk, None)
    issued = lk.tokens.create(ADMIN)
    doorman.remember(issued.text, doorman.principal(issued.text))
    lk.tokens.revoke(issued.token.id)
    clock[0] += 4
    assert doorman.remembered(issued.text) is not None
    clock[0] += 2
    assert doorman.remembered(issued.text) is None
    with pytest.raises(Problem) as caught:
        doorman.principal(issued.text)
    assert caught.value.status == 401
