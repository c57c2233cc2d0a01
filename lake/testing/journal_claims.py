"""What every journal must do for gc."""

from __future__ import annotations

import pytest

from lake.digest import Digest
from lake.errors import Collected, LakeLocked, NotFound
from lake.journal.base import Journal
from lake.journal.values import Artifact, ObjectRecord, PackUse, Probe, Put
from lake.stores.base import Location
from lake.testing.journal_suite import JournalSuite, object_record, put

__all__ = ["ClaimConformance"]

_LATER = 1 << 60


class ClaimConformance(JournalSuite):
    """Objects that go to the trash, and come back or are forgotten."""

    def _dead(self, journal: Journal, *records: ObjectRecord) -> list[str]:
        """Let objects go to the trash; the files that follow them."""
        journal.commit("main", [], objects=records)
        dead, files = journal.set_aside(journal.loose_objects(), _LATER)
        assert [Digest(each.raw.hex()) for each in dead] == [record.digest for record in records]
        return files

    def test_what_is_named_or_derived_from_that_is_not_loose(self, journal: Journal) -> None:
        put(journal, "a", "1")
        put(journal, "a", "2")
        owner, table, facts = object_record("3"), object_record("4"), object_record("5")
        journal.commit("main", [Put("b", owner.digest)], objects=[facts, table, owner])
        journal.add_artifacts([Artifact(owner.digest, "t", "1", target=table.digest)])
        journal.add_artifacts([Artifact(table.digest, "f", "1", target=facts.digest)])
        assert journal.loose_objects() == []
        alone, derived = object_record("6"), object_record("7")
        journal.commit("main", [], objects=[derived, alone])
        journal.add_artifacts([Artifact(alone.digest, "t", "1", target=derived.digest)])
        found = journal.described(journal.loose_objects())
        assert {each.raw.hex() for each in found} == {alone.digest, derived.digest}
        numbers = journal.loose_objects()
        journal.commit("main", [Put("c", alone.digest)])
        assert journal.set_aside(numbers, _LATER) == ([], [])

    def test_a_commit_sees_claims_that_are_later_than_its_probe(self, journal: Journal) -> None:
        record = object_record("1")
        (handle,) = self._dead(journal, record)
        assert handle == record.location.handle
        assert journal.known([record.digest]) == set()
        newest, unmoved = journal.probe([handle, "packs/1"])
        assert unmoved == [handle]
        late = ObjectRecord(record.digest, record.size, "text", record.location, probe=newest - 1)
        seen = ObjectRecord(record.digest, record.size, "text", record.location, probe=newest)
        for refused in (late, seen):
            with pytest.raises(Collected) as error:
                journal.commit("main", [Put("a", record.digest)], objects=[refused])
            assert error.value.digests == (record.digest,)
        with pytest.raises(Collected):
            journal.commit("main", [Put("a", record.digest)])
        journal.claims_moved([(handle, 1)])
        assert journal.probe([handle]) == Probe(newest, [])
        with pytest.raises(Collected):
            journal.add_artifacts([], [late])
        journal.commit("main", [Put("a", record.digest)], objects=[seen])
        assert journal.claims([handle]) == []
        assert journal.known([record.digest]) == {record.digest}
        assert journal.probe([]).newest == newest

    def test_what_was_forgotten_is_noticed(self, journal: Journal) -> None:
        record, other = object_record("1"), object_record("2")
        (handle,) = self._dead(journal, record)
        assert journal.due_claims(None) == []
        journal.claims_moved([(handle, 5)])
        before = journal.tip()
        assert journal.due_claims(_LATER - 1) == []
        claims = journal.due_claims(_LATER)
        assert [(claim.handle, claim.size) for claim in claims] == [(handle, 5)]
        assert journal.forget_claims(claims) == (claims, 1)
        assert journal.forget_claims(claims) == ([], 0)
        assert journal.trashed() == {}
        assert journal.tip().object == before.object
        ((_, digest, *_, state, _, _, _),) = journal.feed_objects(before, journal.tip(), 0, 9)
        assert (digest, state) == (None, "trash")
        with pytest.raises(Collected):
            journal.commit("main", [], objects=[other])
        probed = ObjectRecord(other.digest, 1, "text", other.location, probe=journal.probe([]).newest)
        journal.commit("main", [], objects=[probed])
        with pytest.raises(Collected):
            journal.relocate({other.digest: Location("packs/1", 0, 1)})
        with pytest.raises(NotFound):
            journal.relocate({record.digest: record.location}, probed.probe)

    def test_what_comes_back_has_what_was_derived(self, journal: Journal) -> None:
        owner, table = object_record("1"), object_record("2")
        journal.commit("main", [], objects=[owner, table])
        made = Artifact(owner.digest, "facts.t", "1", target=table.digest)
        journal.add_artifacts([made])
        _, files = journal.set_aside(journal.loose_objects(), _LATER)
        journal.claims_moved([(handle, 1) for handle in files])
        before = journal.tip()
        places = journal.trashed([owner.digest])
        assert places == {owner.digest: owner.location, table.digest: table.location}
        newest = journal.restore(list(places), files)
        assert (newest, journal.claims(files), journal.trashed()) == (journal.probe([]).newest, [], {})
        assert journal.artifacts(owner.digest) == [made]
        assert journal.feed_artifacts("facts.", before.artifact, before.object, 9) != []

    def test_packs(self, journal: Journal) -> None:
        pack = "packs/" + "0" * 64
        members = [object_record(name, location=Location(pack, at, 1)) for at, name in enumerate("abc")]
        journal.commit("main", [Put("a", members[0].digest)], objects=members)
        dead, files = journal.set_aside(journal.loose_objects(), _LATER)
        assert (len(dead), files, journal.pack_uses()) == (2, [], [PackUse(pack, 1)])
        assert list(journal.pack_members(pack)) == [members[0].digest]
        assert journal.unnamed_files([pack, "packs/1"]) == journal.claim_files([pack, "packs/1"], _LATER) == ["packs/1"]
        assert journal.unnamed_files(["packs/1"]) == []
        assert journal.dead_members(0) == []
        numbers = journal.dead_members(None)
        assert journal.forget_members(numbers) == 2
        assert journal.forget_members(numbers) == 0

    def test_nothing_goes_during_a_backup(self, journal: Journal) -> None:
        journal.commit("main", [], objects=[object_record("1")])
        lease = journal.acquire_lease("me", "backup", 60)
        with pytest.raises(LakeLocked):
            journal.set_aside(journal.loose_objects(), _LATER)
        with pytest.raises(LakeLocked):
            journal.claim_files(["packs/1"], _LATER)
        journal.release_lease(lease)
        assert len(journal.set_aside(journal.loose_objects(), _LATER)[0]) == 1
