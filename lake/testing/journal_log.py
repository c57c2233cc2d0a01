"""What every journal must do with its sealed log."""

from __future__ import annotations

from lake.journal.base import Journal
from lake.testing.journal_suite import JournalSuite, object_record, put

__all__ = ["LogConformance"]


class LogConformance(JournalSuite):
    """Every truth is in the log when the call that made it returns; what can be made again is not."""

    def test_the_log_has_every_truth(self, journal: Journal) -> None:
        before = journal.log_state().events
        put(journal, "a", "1")
        journal.create_branch("exp", "main")
        journal.create_tag("v1", "main")
        journal.add_checksums(object_record("1").digest, {"md5": "00"})
        journal.delete_tag("v1")
        journal.delete_branch("exp")
        state = journal.log_state()
        assert (state.events - before, state.behind) == (6, 0)
        assert journal.log_problems() == []
        assert self.reopen(journal).log_state() == state

    def test_the_log_has_nothing_else(self, journal: Journal) -> None:
        before = journal.log_state()
        journal.release_lease(journal.acquire_lease("me", "staging", 10))
        journal.add_artifacts([], [object_record("derived")])
        assert journal.log_state() == before
