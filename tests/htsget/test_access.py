"""What a principal may do, and what others are told."""

from __future__ import annotations

import time

import pytest

from lake.digest import Digest
from lake.errors import (
    AlreadyExists,
    Conflict,
    DamagedObject,
    InvalidInput,
    InvalidRegion,
    LakeError,
    LakeLocked,
    NotFound,
    ReadOnly,
    Unsupported,
)
from lake.grants import region_grant
from lake.htsget.access import ANONYMOUS, Grant, Principal, Verb, object_regions
from lake.htsget.errors import Problem, problem_of, rendered
from lake.htsget.settings import Oidc, Settings
from lake.htsget.signing import Signer, load_secret
from lake.lake import Lake
from tests.lake.samples import make_tree


def refused(principal: Principal, verb: Verb, path: str = "", *, whole: bool = False) -> Problem:
    with pytest.raises(Problem) as caught:
        principal.require(verb, path, whole=whole)
    return caught.value


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*", ["a", "a/b.bam"], []),
        ("study1/*", ["study1/a", "study1/x/y.bam"], ["study1", "study10/a", "x/study1/a"]),
        ("study1", ["study1", "study1/a/b"], ["study10", "study1.bam"]),
        ("study1/", ["study1", "study1/a"], ["study2"]),
        ("a.b", ["a.b", "a.b/c"], ["aXb"]),
        ("*.bam", ["x.bam", "d/x.bam"], ["x.bam.bai", "x.bamx"]),
        ("s?/[ab]*", ["s1/a", "s1/b/c"], ["s1/c", "s10/a"]),
        ("a\nb", ["a\nb"], ["a", "b"]),
    ],
)
def test_patterns(pattern: str, inside: list[str], outside: list[str]) -> None:
    grant = Grant(Verb.READ, pattern)
    assert [path for path in inside + outside if grant.covers(Verb.READ, path)] == inside
    assert not any(grant.covers(Verb.WRITE, path) for path in inside)
    for path in inside:
        parts = path.split("/")
        assert all(grant.reaches("/".join(parts[:depth])) for depth in range(len(parts)))


def test_walks_are_pruned_where_no_grant_reaches() -> None:
    principal = Principal("p", (Grant(Verb.READ, "study1/*.bam"), Grant(Verb.WRITE, "inbox/*")))
    assert [d for d in ("", "study1", "study1/x", "study2", "inbox") if principal.sees_below(d)] == [
        "",
        "study1",
        "study1/x",
    ]


def test_hidden_and_missing_are_told_alike() -> None:
    principal = Principal("p", (Grant(Verb.READ, "mine/*"),))
    hidden = rendered(refused(principal, Verb.READ, "theirs/a.bam"), "/reads/x")
    absent = rendered(problem_of(NotFound("no theirs/b.bam; did you mean theirs/a.bam?")), "/reads/x")
    assert (hidden.status_code, hidden.body, hidden.raw_headers) == (404, absent.body, absent.raw_headers)
    assert refused(principal, Verb.WRITE, "theirs/a.bam").status == 404
    assert refused(principal, Verb.WRITE, "mine/a.bam").status == 403
    assert refused(principal, Verb.SQL).status == 403
    assert refused(ANONYMOUS, Verb.READ, "mine/a.bam").status == 401


def test_regions_limit_whatever_else_is_granted() -> None:
    principal = Principal(
        "p", (Grant(Verb.READ), region_grant("s1.bam=chr17,chr18:1-2,000"), region_grant("s1.*=chrM"))
    )
    assert principal.regions("s1.bam") == ("chr17", "chr18:1-2,000", "chrM")
    assert principal.regions("s2.bam") is None
    assert refused(principal, Verb.READ, "s1.bam", whole=True).status == 403
    principal.require(Verb.READ, "s1.bam")
    principal.require(Verb.READ, "s2.bam", whole=True)


def test_grants_end_with_their_principal() -> None:
    assert not Principal("p", (Grant(Verb.READ),), time.time() - 1).may(Verb.READ, "a")
    assert Principal("p", (Grant(Verb.READ),), time.time() + 100).may(Verb.READ, "a")
    assert Principal("p", (), time.time() + 100).seconds(3600) <= 100
    assert Principal("p", ()).seconds(3600) == 3600


def test_an_object_is_seen_by_its_paths(lk: Lake) -> None:
    lk.put(make_tree(lk.root.parent / "files", {"a.txt": "same", "b.txt": "same"}), "d/")
    digest = Digest(lk.stat("d/a.txt").digest or "")
    limited = Principal("p", (region_grant("d/a.txt=chr1"),))
    assert object_regions(limited, lk, digest) == ("chr1",)
    assert object_regions(Principal("p", (*limited.grants, Grant(Verb.READ, "d/b.txt"))), lk, digest) is None
    assert object_regions(Principal("p", (Grant(Verb.READ),)), lk, digest) is None
    for principal, status in ((Principal("p", (Grant(Verb.READ, "x"),)), 404), (ANONYMOUS, 401)):
        with pytest.raises(Problem) as caught:
            object_regions(principal, lk, digest)
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRegion("chr1:9-1"), 400, "InvalidInput"),
        (InvalidInput("x"), 400, "InvalidInput"),
        (Unsupported("x"), 400, "UnsupportedFormat"),
        (NotFound("x"), 404, "NotFound"),
        (ReadOnly("x"), 403, "PermissionDenied"),
        (AlreadyExists("x"), 409, "AlreadyExists"),
        (Conflict("x"), 409, "Conflict"),
        (LakeLocked("x"), 503, "Unavailable"),
        (DamagedObject("x"), 500, "InternalError"),
    ],
)
def test_errors_of_the_lake(error: LakeError, status: int, kind: str, lk: Lake) -> None:
    problem = problem_of(error, lk.root)
    assert (problem.status, problem.kind) == (status, kind)
    assert str(lk.root) not in problem_of(type(error)(f"{lk.root}/objects is bad"), lk.root).message


def test_a_signature_covers_every_claim_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(b"k" * 32)
    token = signer.sign({"d": "00", "o": 7}, 60)
    assert signer.verify(token) == {"d": "00", "o": 7}
    assert token == signer.sign({"d": "00", "o": 7}, 60)
    body, _, signature = token.partition(".")
    for wrong in ("", ".", body, f"{body}x.{signature}", f"{body}.{signature[:-1]}", f"{body}.é", "x" * 100_000):
        with pytest.raises(Problem) as caught:
            signer.verify(wrong)
        assert caught.value.status == 403
    with pytest.raises(Problem):
        Signer(b"j" * 32).verify(token)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 60 + 65)
    with pytest.raises(Problem, match="expired"):
        signer.verify(token)


def test_the_secret_is_made_once_for_its_owner_alone(lk: Lake) -> None:
    secret = load_secret(lk.root)
    assert len(secret) == 32
    assert load_secret(lk.root) == secret
    assert (lk.root / "server.key").stat().st_mode & 0o777 == 0o600
    assert not list(lk.root.glob("*.new"))
    (lk.root / "server.key").write_text("zz")
    with pytest.raises(LakeError, match=r"server\.key"):
        load_secret(lk.root)


@pytest.mark.parametrize(
    "wrong",
    [
        {"no": 1},
        {"tls_cert": "a"},
        {"workers": 0},
        {"rate": 0},
        {"base_url": "host/x"},
        {"base_url": 'https://h/a"b'},
        {"base_url": "https://h/ä"},
        {"base_url": "https://h/a?b"},
        {"max_regions": -1},
    ],
)
def test_settings_that_cannot_be_used(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Settings.of(wrong)


def test_a_public_server_takes_no_files_and_an_issuer_no_shared_keys() -> None:
    settings = Settings.of({"public": True})
    assert not settings.upload
    assert not settings.open
    for algorithms in (("HS256",), ("none",), ("RS256", "HS512"), ()):
        with pytest.raises(InvalidInput):
            Oidc("i", "a", "keys.json", algorithms)
