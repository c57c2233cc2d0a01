"""What every journal must do: a pytest class to derive from.

::

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def journal(self, tmp_path): return MyJournal(tmp_path)

        def reopen(self, journal): return MyJournal(journal.path)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lake.digest import Digest, digest_of
from lake.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    NotFound,
)
from lake.journal.base import Journal
from lake.journal.sqlite import SqliteJournal
from lake.journal.values import Annotate, Artifact, Change, Put, Token
from lake.stores.base import Location
from lake.testing.journal_checks import CheckConformance
from lake.testing.journal_entries import EntryConformance
from lake.testing.journal_feed import FeedConformance
from lake.testing.journal_log import LogConformance
from lake.testing.journal_refs import RefConformance
from lake.testing.journal_space import SpaceConformance
from lake.testing.journal_suite import names, object_record, put

__all__ = ["JournalConformance", "object_record", "put"]


class JournalConformance(
    CheckConformance, EntryConformance, FeedConformance, LogConformance, RefConformance, SpaceConformance
):
    """Derive, and supply the fixture ``journal`` (empty, writable) and `reopen`."""

    def test_objects(self, journal: Journal) -> None:
        full = object_record(
            "full",
            location=Location("packs/1", 7, 4),
            chunks=b"\x00map",
            problems=("no end marker", "ü"),
            checksums={"md5": "00", "sha256": "11"},
        )
        plain = [object_record(str(n)) for n in range(150)]
        journal.commit("main", [], objects=[full, *plain])
        assert journal.object(full.digest) == full
        assert journal.object(digest_of(b"unknown")) is None
        assert {record.digest: record for record in journal.objects()} == {r.digest: r for r in [full, *plain]}
        journal.commit("main", [], objects=[object_record("full", format="other", location=full.location)])
        assert journal.object(full.digest) == full

    def test_checksums_find_objects(self, journal: Journal) -> None:
        summed, other = object_record("a", checksums={"md5": "0a" * 16}), object_record("b")
        journal.commit("main", [], objects=[summed, other])
        assert journal.with_checksum("0a" * 16) == [summed.digest]
        assert journal.with_checksum("a0" * 15) == []
        journal.add_checksums(other.digest, {"md5": "0a" * 16})
        journal.add_checksums(summed.digest, {"sha256": "0b" * 32})
        assert set(journal.with_checksum("0a" * 16)) == {summed.digest, other.digest}
        assert journal.object(summed.digest) == replace(summed, checksums={"md5": "0a" * 16, "sha256": "0b" * 32})
        with pytest.raises(NotFound):
            journal.add_checksums(digest_of(b"unknown"), {"md5": "00"})

    def test_an_object_can_lie_elsewhere_later(self, journal: Journal) -> None:
        record = object_record("data", chunks=b"\x00map", format="text")
        journal.commit("main", [Put("a", record.digest)], objects=[record])
        packed, unknown = Location("packs/1", 7, 4), object_record("unknown")
        assert journal.locations([record.digest, unknown.digest]) == {record.digest: record.location}
        journal.relocate({record.digest: packed})
        assert journal.locations([record.digest] * 2) == {record.digest: packed}
        assert journal.object(record.digest) == replace(record, location=packed)
        journal.commit("main", [], objects=[replace(record, format="other", chunks=None), unknown])
        assert journal.object(record.digest) == record
        journal.add_artifacts([], [replace(record, location=packed)])
        assert journal.locations([record.digest]) == {record.digest: packed}
        with pytest.raises(InvalidInput):
            journal.relocate({record.digest: packed._replace(length=5)})
        with pytest.raises(InvalidInput):
            journal.commit("main", [], objects=[object_record("data", location=packed._replace(length=3))])
        assert journal.locations([record.digest]) == {record.digest: packed}
        with pytest.raises(NotFound):
            journal.relocate({record.digest: record.location, digest_of(b"nobody knows"): packed})
        assert journal.locations([record.digest]) == {record.digest: packed}

    def test_known_asks_for_many_at_once(self, journal: Journal) -> None:
        records = [object_record(str(n)) for n in range(1200)]
        journal.commit("main", [], objects=records)
        digests = [record.digest for record in records]
        assert journal.known([*digests, digest_of(b"unknown"), *digests]) == set(digests)
        assert journal.known([]) == set()
        with pytest.raises(InvalidInput):
            journal.known([Digest("nonsense")])

    def test_paths_of_an_object(self, journal: Journal) -> None:
        put(journal, "a", "1")
        journal.create_branch("exp", "main")
        put(journal, "b", "1", branch="exp")
        put(journal, "a", "2")
        assert journal.paths_of(object_record("1").digest) == [("b", "exp", 2), ("a", "main", 1)]
        assert journal.paths_of(digest_of(b"unknown")) == []

    def test_artifacts(self, journal: Journal) -> None:
        record, big = object_record("bam"), object_record("big index")
        small = Artifact(record.digest, "bai", "adopted", body=b"index")
        journal.commit("main", [], objects=[record], artifacts=[small])
        assert journal.artifacts(record.digest) == [small]
        newer = Artifact(record.digest, "bai", "adopted", body=b"other")
        outside = Artifact(record.digest, "blocks", "1", target=big.digest, inputs="a,b")
        journal.add_artifacts([newer, outside], [big])
        assert journal.artifacts(record.digest) == [newer, outside]
        assert journal.known([big.digest]) == {big.digest}
        assert journal.artifacts(big.digest) == []
        for wrong in (Artifact(digest_of(b"?"), "k", "c"), Artifact(record.digest, "k", "c", target=digest_of(b"?"))):
            with pytest.raises(Conflict, match="not a live object"):
                journal.add_artifacts([wrong])

    def test_damage(self, journal: Journal) -> None:
        one, two = object_record("1"), object_record("2")
        journal.commit("main", [], objects=[one, two])
        journal.record_damage(one.digest, [(3, 30, 10), (1, 10, 10)])
        journal.record_damage(two.digest, [(0, 0, 5)])
        first = journal.damage(one.digest)
        assert [d[:4] for d in first] == [(one.digest, 1, 10, 10), (one.digest, 3, 30, 10)]
        journal.record_damage(one.digest, [(1, 10, 10)])
        assert journal.damage(one.digest) == first
        assert len(journal.damage()) == 3
        journal.clear_damage(one.digest)
        assert [d.digest for d in journal.damage()] == [two.digest]
        with pytest.raises(NotFound):
            journal.record_damage(digest_of(b"?"), [(0, 0, 1)])

    def test_leases(self, journal: Journal) -> None:
        lease = journal.acquire_lease("me", "staging", 3600)
        other = journal.acquire_lease("me", "pin", 3600)
        assert lease != other
        assert lease.isalnum()
        assert journal.live_leases("staging") == [lease]
        assert journal.expired_leases("staging") == []
        assert journal.renew_lease(lease, 7200)
        journal.release_lease(lease)
        journal.release_lease(lease)
        assert not journal.renew_lease(lease, 60)
        assert journal.live_leases("staging") == []
        assert journal.live_leases("pin") == [other]

    def test_all_leases(self, journal: Journal) -> None:
        assert journal.leases() == []
        late = journal.acquire_lease("me@here:1:x", "staging", 3600)
        early = journal.acquire_lease("you", "pin", -1)
        assert [(lease.id, lease.owner, lease.kind) for lease in journal.leases()] == [
            (early, "you", "pin"),
            (late, "me@here:1:x", "staging"),
        ]

    def test_files_that_live_objects_need(self, journal: Journal) -> None:
        one, two = object_record("1"), object_record("22", location=Location(f"packs/{'0' * 64}", 5, 2))
        journal.commit("main", [], objects=[one, two])
        assert sorted(journal.files()) == [(one.location.handle, 1), (two.location.handle, 7)]

    def test_a_copy_is_of_one_moment(self, journal: Journal, tmp_path: Path) -> None:
        folder = tmp_path / "copies"
        folder.mkdir()
        first = put(journal, "a", "1")
        journal.copy_to(folder / "copy.db")
        put(journal, "b", "2")
        copy = SqliteJournal(folder / "copy.db", readonly=True)
        try:
            assert copy.log(copy.resolve("main")) == [first]
            assert copy.identity() == journal.identity()
            assert copy.verify() == []
        finally:
            copy.close()
        assert [path.name for path in folder.iterdir()] == ["copy.db"]

    def test_tokens(self, journal: Journal) -> None:
        lasting = Token("1" * 16, "me", bytes(range(32)), '[{"verb": "read"}]', 1, None)
        expired = Token("0" * 16, "", bytes(32), "[]", 2, 3)
        assert journal.tokens() == []
        journal.add_token(expired)
        journal.add_token(lasting)
        with pytest.raises(AlreadyExists):
            journal.add_token(expired)
        assert journal.tokens() == [lasting, expired]
        assert self.reopen(journal).token(lasting.id) == lasting
        assert (lasting.live, expired.live) == (True, False)
        journal.revoke_token(lasting.id)
        assert journal.token(lasting.id) is None
        assert journal.tokens() == [expired]
        with pytest.raises(NotFound):
            journal.revoke_token(lasting.id)

    def test_an_expired_lease_is_gone_for_its_owner(self, journal: Journal) -> None:
        lease = journal.acquire_lease("me", "staging", -1)
        assert journal.expired_leases("staging") == [lease]
        assert journal.live_leases("staging") == []
        assert not journal.renew_lease(lease, 60)
        journal.release_lease(lease)
        assert journal.expired_leases("staging") == []

    def test_another_journal_sees_what_is_committed(self, journal: Journal) -> None:
        other = self.reopen(journal)
        try:
            first = put(journal, "a", "1")
            assert other.log(other.resolve("main")) == [first]
            second = put(other, "b", "1")
            assert journal.log(self.head(journal)) == [second, first]
            journal.close()
            put(other, "c", "1")
            assert names(journal.walk(self.head(journal), "")) == ["a", "b", "c"]
        finally:
            other.close()

    def test_ids_depend_on_everything_said(self, journal: Journal) -> None:
        record = object_record("1")
        ids = {journal.commit("main", [], objects=[record]).id}
        said: list[tuple[str, str, list[Change]]] = [
            ("m", "", []),
            ("", "a", []),
            ("", "", [Put("a", record.digest)]),
            ("", "", [Annotate("a", {"k": 1})]),
        ]
        for message, author, change in said:
            ids.add(journal.commit("main", change, message=message, author=author).id)
        assert len(ids) == 5
