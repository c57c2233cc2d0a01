"""Tokens of an issuer: only good ones count, and its keys are asked for no more often than needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as make_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as make_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lake.errors import InvalidInput
from lake.htsget.access import Grant, Verb
from lake.htsget.configuration import load_settings
from lake.htsget.errors import Problem
from lake.htsget.oidc import Issuer
from lake.htsget.settings import Oidc
from lake.lake import Lake
from tests.htsget.conftest import Live

GRANTS = {"*": (Grant(Verb.READ, "public/*"),), "staff": (Grant(Verb.WRITE, "inbox/*"), Grant(Verb.ADMIN))}
Sign = Callable[..., str]


def public(key: RSAPrivateKey, kid: str | None) -> dict[str, Any]:
    published: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**published, "use": "sig", **({} if kid is None else {"kid": kid})}


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return make_rsa_key(65537, 2048)


@pytest.fixture
def keys(key: RSAPrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public(key, "k1")]}))
    return path


@pytest.fixture
def oidc(keys: Path) -> Oidc:
    return Oidc("https://issuer.example", "lake", str(keys), grants=GRANTS)


@pytest.fixture
def sign(key: RSAPrivateKey) -> Sign:
    def make(
        signed_with: Any = key, algorithm: str = "RS256", kid: str | None = "k1", drop: str = "", **claims: Any
    ) -> str:
        now = int(time.time())
        payload = {"iss": "https://issuer.example", "aud": "lake", "exp": now + 600, "sub": "ann", **claims}
        payload.pop(drop, None)
        return jwt.encode(payload, signed_with, algorithm, headers=None if kid is None else {"kid": kid})

    return make


def refused(issuer: Issuer, token: str, status: int = 401) -> None:
    with pytest.raises(Problem) as caught:
        issuer.principal(token)
    assert caught.value.status == status


def test_groups_become_grants(oidc: Oidc, sign: Sign) -> None:
    issuer = Issuer(oidc)
    ann = issuer.principal(sign())
    assert ann.name == "oidc:ann"
    assert ann.grants == GRANTS["*"]
    assert ann.expires is not None
    assert issuer.principal(sign(groups=["staff", "staff", 7, "unknown"])).grants == (*GRANTS["*"], *GRANTS["staff"])
    assert issuer.principal(sign(groups="other staff")).may(Verb.ADMIN)
    assert issuer.principal(sign(groups={"staff": True})).grants == GRANTS["*"]


@pytest.mark.parametrize("claim", ["realm.roles", "https://x.example/roles"])
def test_the_claim_may_lie_inside_another(oidc: Oidc, keys: Path, sign: Sign, claim: str) -> None:
    issuer = Issuer(Oidc(oidc.issuer, oidc.audience, str(keys), claim=claim, grants=GRANTS))
    inside = {"realm": {"roles": ["staff"]}, "https://x.example/roles": ["staff"]}
    assert issuer.principal(sign(**inside)).may(Verb.ADMIN)
    assert not issuer.principal(sign(realm="staff")).may(Verb.ADMIN)


def test_tokens_that_are_not_good(oidc: Oidc, sign: Sign, key: RSAPrivateKey) -> None:
    issuer, now = Issuer(oidc), int(time.time())
    issuer.principal(sign(aud=["other", "lake"]))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for token in (
        sign(exp=now - 60),
        sign(nbf=now + 60),
        sign(aud="other"),
        sign(iss="https://evil.example"),
        sign(drop="exp"),
        sign(drop="aud"),
        sign(drop="iss"),
        sign(make_rsa_key(65537, 2048)),
        sign("", "none"),
        sign(b"0" * 32, "HS256"),
        jwt.utils.force_bytes(sign())[:-4].decode(),
        sign(make_ec_key(SECP256R1()), "ES256"),
        "a.b.c",
        "",
        "é",
    ):
        refused(issuer, token)
    # The public key as a shared secret: the oldest trick.
    head, body, _ = sign(b"x" * 32, "HS256").split(".")
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = jwt.utils.base64url_encode(mac.sign(f"{head}.{body}".encode(), pem)).decode()
    refused(issuer, f"{head}.{body}.{forged}")


def test_a_shared_key_among_the_published_ones_is_not_used(oidc: Oidc, keys: Path, sign: Sign) -> None:
    secret = jwt.algorithms.HMACAlgorithm.to_jwk(b"s" * 32, as_dict=True)
    keys.write_text(json.dumps({"keys": [{**secret, "kid": "k1"}, {"kty": "unknown", "kid": "k2"}, "?"]}))
    refused(Issuer(oidc), sign(b"s" * 32, "HS256"), 503)


def test_new_keys_are_asked_for_at_most_once_a_minute(
    oidc: Oidc, keys: Path, key: RSAPrivateKey, sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    asked: list[str] = []

    def load(place: str) -> bytes:
        asked.append(place)
        return keys.read_bytes()

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("lake.htsget.oidc._loaded", load)
    issuer = Issuer(oidc)
    for _ in range(3):
        issuer.principal(sign())
        refused(issuer, sign(kid="made-up"))
    assert len(asked) == 1
    clock[0] += 61
    keys.write_text(json.dumps({"keys": [public(key, "k2")]}))
    issuer.principal(sign(kid="k2"))
    refused(issuer, sign(kid="k1"))
    assert len(asked) == 2
    clock[0] += 61
    keys.write_text("broken")
    refused(issuer, sign(kid="k3"))
    issuer.principal(sign(kid="k2"))
    issuer.principal(sign(kid=None))
    clock[0] += 3601
    refused(issuer, sign(kid="k2"), 503)


def test_a_server_with_an_issuer(oidc: Oidc, sign: Sign, lk: Lake, live: Live, http: Any) -> None:
    base = live(lk, open=False, oidc=oidc)
    for token, status in ((sign(groups=["staff"]), 200), (sign(), 403), (sign(aud="x"), 401)):
        answer = http.get(f"{base}/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


def test_a_file_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        """
        port = 9000
        url_seconds = 60
        cors_origins = ["https://igv.org"]
        tls_cert = "a.pem"
        tls_key = "b.pem"
        [oidc]
        issuer = "https://issuer.example"
        audience = "lake"
        jwks = "https://issuer.example/keys"
        algorithms = ["ES256"]
        claim = "realm.roles"
        [oidc.grants]
        staff = [{verb = "read", pattern = "study1/*"}, {verb = "read", pattern = "s.bam", regions = ["chr17"]}]
        """
    )
    settings = load_settings(path, {"port": 1})
    assert (settings.port, settings.url_seconds, settings.cors_origins) == (1, 60, ("https://igv.org",))
    assert settings.tls_cert == Path("a.pem")
    assert settings.oidc is not None
    assert settings.oidc.algorithms == ("ES256",)
    assert settings.oidc.grants["staff"][1] == Grant(Verb.READ, "s.bam", ("chr17",))


@pytest.mark.parametrize(
    "text",
    [
        "port = ",
        "prot = 1",
        'secret = "x"',
        'workers = "many"',
        '[oidc]\nissuer = "x"',
        '[oidc]\nissuer="x"\naudience="y"\njwks="z"\nalgorithms=["HS256"]',
        '[oidc]\nissuer="x"\naudience="y"\njwks="z"\n[oidc.grants]\na=[{verb="fly"}]',
        '[oidc]\nissuer="x"\naudience="y"\njwks="z"\n[oidc.grants]\na="read"',
        "oidc = 3",
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"server\.toml"):
        load_settings(path, {})
