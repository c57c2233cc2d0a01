"""What every journal must do for those who check it."""

from __future__ import annotations

from lake.clock import now
from lake.digest import digest_of
from lake.journal.base import Journal
from lake.journal.values import Artifact, Checked
from lake.stores.base import Location
from lake.testing.journal_suite import JournalSuite, object_record, put

__all__ = ["CheckConformance"]


class CheckConformance(JournalSuite):
    def test_a_sound_journal(self, journal: Journal) -> None:
        for number in range(5):
            put(journal, "a", f"{number}")
        journal.create_branch("exp", "3")
        put(journal, "b", "on a branch", branch="exp")
        assert journal.verify() == []
        assert journal.verify(rows=False) == []

    def test_what_lies_in_a_file(self, journal: Journal) -> None:
        pack = f"packs/{'5' * 64}"
        packed = [object_record(text, location=Location(pack, offset, 3)) for offset, text in ((3, "def"), (0, "abc"))]
        plain = object_record("plain")
        journal.commit("main", [], objects=[*packed, plain])
        assert journal.objects_in(pack) == [packed[1], packed[0]]
        assert journal.objects_in(plain.location.handle) == [plain]
        assert journal.objects_in(f"packs/{'6' * 64}") == []
        assert journal.objects_in(f"objects/{packed[0].digest[:2]}/{packed[0].digest}") == []

    def test_what_an_object_was_derived_from(self, journal: Journal) -> None:
        source, index = object_record("source"), object_record("index")
        journal.commit("main", [], objects=[source, index])
        journal.add_artifacts([Artifact(source.digest, "bai", "1", target=index.digest)])
        assert journal.derived_from(index.digest) == [(source.digest, "bai")]
        assert journal.derived_from(source.digest) == []

    def test_what_was_checked(self, journal: Journal) -> None:
        put(journal, "good", "good")
        put(journal, "bad", "bad")
        assert {item.checked for item in journal.scrubbed()} == {0}
        moment, bad = now(), digest_of(b"bad")
        journal.record_scrub(
            [
                Checked(digest_of(b"good"), moment),
                Checked(bad, moment, "damaged", ((0, 0, 3),)),
                Checked(digest_of(b"gone"), moment),
            ]
        )
        assert {(item.handle[-64:], item.checked, item.sound) for item in journal.scrubbed()} == {
            (digest_of(b"good"), moment, True),
            (bad, moment, False),
        }
        assert [(found.digest, found.ord, found.length) for found in journal.damage()] == [(bad, 0, 3)]
        journal.record_scrub([Checked(bad, moment + 1, "missing")])
        assert len(journal.damage(bad)) == 1
        journal.record_scrub([Checked(bad, moment + 2)])
        assert journal.damage() == []
        assert all(item.sound for item in journal.scrubbed())

    def test_a_check_begins_once(self, journal: Journal) -> None:
        started = journal.begin_scrub()
        assert journal.begin_scrub() == self.reopen(journal).begin_scrub() == started
        assert journal.begin_scrub(restart=True) > started
        journal.end_scrub()
        assert journal.begin_scrub() > started
