"""What every journal must do about space: usage, quotas, and letting go of history."""

from __future__ import annotations

import pytest

from lake.errors import Conflict, NotFound, QuotaExceeded
from lake.journal.base import Journal
from lake.journal.values import Put, Quota, Remove, Share
from lake.testing.journal_suite import JournalSuite, names, object_record, put

__all__ = ["SpaceConformance"]


class SpaceConformance(JournalSuite):
    """See `lake.testing.journal`."""

    def test_shares(self, journal: Journal) -> None:
        put(journal, "a/x", "1234", attributes={"project": "p"})
        put(journal, "a/b/y", "1234")
        put(journal, "c", "12")
        view = self.head(journal)
        assert journal.shares(view, "", "1") == ([Share("a", 2, 8, 4)], Share("", 3, 10, 6))
        assert journal.shares(view, "a", "1") == ([Share("b", 1, 4, 4)], Share("", 2, 8, 4))
        assert journal.shares(view, "", "2")[0] == [Share("a/b", 1, 4, 4)]
        assert journal.shares(view, "", "project")[0] == [Share("(none)", 2, 6, 6), Share("p", 1, 4, 4)]
        put(journal, "c", "123456")
        assert journal.shares(view, "", "0")[1] == Share("", 3, 10, 6)
        assert journal.shares(view, "", "0", history=True)[1] == Share("", 4, 16, 12)

    def test_quotas(self, journal: Journal) -> None:
        journal.set_quota(Quota("a", None, 5))
        journal.set_quota(Quota("a", 3, 5))
        assert journal.quotas() == [Quota("a", 3, 5)]
        put(journal, "a/x", "1234")
        view = self.head(journal)
        assert journal.used("a", view) == 4
        with pytest.raises(QuotaExceeded):
            put(journal, "a/y", "12")
        with pytest.raises(QuotaExceeded):
            journal.check_quotas(view, {"a/x": 6})
        journal.check_quotas(view, {"a/x": 5, "b": 1000})
        assert names(journal.walk(self.head(journal), "")) == ["a/x"]
        journal.commit("main", [Remove("a/x"), Put("a/y", object_record("12").digest)], objects=[object_record("12")])
        assert self.reopen(journal).used("a", self.head(journal)) == 2
        journal.remove_quota("a")
        put(journal, "a/z", "123456")
        with pytest.raises(NotFound):
            journal.remove_quota("a")

    def test_expiry(self, journal: Journal) -> None:
        for text in ("1", "2", "3", "4"):
            put(journal, "f", text)
        journal.create_tag("t", "2")
        journal.create_branch("exp", "1")
        journal.delete_branch("exp")
        main = next(kept for kept in journal.histories() if kept.branch == "main")
        assert [seq for seq, _ in main.commits] == [4, 3, 2, 1]
        assert {seq: bool(why) for seq, why in main.held.items()} == {4: True, 2: True}
        before = journal.expirations()
        assert journal.expire([1, 2, 3, 4, 99]) == [1, 3]
        assert journal.expirations() > before
        assert journal.sweep_history() == 2
        assert journal.sweep_history() == 0
        assert journal.drop_branches() == ["exp"]
        assert [commit.seq for commit in journal.log(self.head(journal))] == [4, 2]
        with pytest.raises(NotFound, match="expired"):
            journal.resolve("3")
        assert put(journal, "f", "5").seq == 5

    def test_what_is_expired_is_not_read_in_part_nor_done_again(self, journal: Journal) -> None:
        put(journal, "f", "1")
        journal.commit("main", [Remove("f")], op_id="op")
        held = self.head(journal)
        put(journal, "g", "3")
        assert journal.expire([2]) == [2]
        with pytest.raises(NotFound, match="expired"):
            journal.lookup(held, "f")
        with pytest.raises(NotFound, match="expired"):
            journal.walk(held, "")
        with pytest.raises(Conflict, match="expired"):
            journal.commit("main", [Remove("g")], op_id="op")

    def test_deleted_branches_hold_where_they_begin(self, journal: Journal) -> None:
        """As long as they have commits: unless they are to go, too."""
        put(journal, "f", "1")
        journal.create_branch("exp", "main")
        put(journal, "g", "2", branch="exp")
        journal.delete_branch("exp")
        put(journal, "f", "3")
        held = {alone: journal.histories(alone)[0].held.keys() for alone in (None, "main")}
        assert held == {None: {3}, "main": {1, 3}}
        assert journal.expire([1]) == []
        assert journal.expire([1, 2]) == [1, 2]
