"""What every journal must do with commits, refs and branches, and what lies between two views."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lake.errors import (
    AlreadyExists,
    InvalidInput,
    InvalidRef,
    NotFound,
)
from lake.journal.base import Journal
from lake.journal.values import Annotate, Put, Remove, View
from lake.testing.journal_suite import JournalSuite, names, object_record, put

__all__ = ["RefConformance"]


class RefConformance(JournalSuite):
    """Commits, refs, branches, differences."""

    def test_a_commit_says_what_it_is(self, journal: Journal) -> None:
        record = object_record("1")
        first = journal.commit("main", [Put("a", record.digest)], objects=[record], message="m", author="ä")
        assert (first.seq, first.branch, first.author, first.message) == (1, "main", "ä", "m")
        assert (first.parents, first.changes, first.replayed) == ((), 1, False)
        assert len(bytes.fromhex(first.id)) == 32
        second = journal.commit("main", [])
        assert (second.seq, second.parents, second.changes) == (2, (first.id,), 0)
        assert journal.log(self.head(journal)) == [second, first]

    def test_identical_puts_are_recorded_but_change_nothing(self, journal: Journal) -> None:
        first = put(journal, "a", "1", modified=5)
        assert put(journal, "a", "1").changes == 0
        assert put(journal, "a", "1", modified=5).changes == 0
        entry = journal.lookup(self.head(journal), "a")
        assert entry is not None
        assert entry.commit == first.seq
        assert put(journal, "a", "1", modified=6).changes == 1

    def test_log_by_limit_and_path(self, journal: Journal) -> None:
        seqs = [put(journal, path, str(n)).seq for n, path in enumerate(["a/1", "b", "a/2", "a/1", "ab"])]
        view = self.head(journal)
        assert [c.seq for c in journal.log(view, limit=2)] == [seqs[4], seqs[3]]
        assert journal.log(view, limit=0) == []
        assert [c.seq for c in journal.log(view, path="a")] == [seqs[3], seqs[2], seqs[0]]
        assert [c.seq for c in journal.log(view, path="a/1")] == [seqs[3], seqs[0]]
        assert [c.seq for c in journal.log(view, limit=1, path="a/1")] == [seqs[3]]
        assert [c.seq for c in journal.log(journal.resolve("main~2"), path="a")] == [seqs[2], seqs[0]]

    def test_history_of_a_path(self, journal: Journal) -> None:
        first = put(journal, "a", "1")
        put(journal, "b", "1")
        gone = journal.commit("main", [Remove("a")])
        journal.create_branch("exp", "main")
        put(journal, "a", "unseen")
        back = put(journal, "a", "22", branch="exp")
        versions = journal.history(self.head(journal, "exp"), "a")
        assert [commit.seq for commit, _ in versions] == [back.seq, gone.seq, first.seq]
        assert versions[0][0] == back
        assert [entry and entry.size for _, entry in versions] == [2, None, 1]
        assert journal.history(self.head(journal), "nothing") == []

    def test_refs(self, journal: Journal) -> None:
        commits = [put(journal, "a", str(n)) for n in range(4)]
        journal.create_tag("v1", "main~2")
        view = journal.resolve("main")
        assert view == View(view.branch, 4, "main")
        for ref, seq in {
            "main~0": 4,
            "main~": 3,
            "main~1~1": 2,
            "main~3": 1,
            "v1": 2,
            "v1~1": 1,
            "3": 3,
            "3~2": 1,
        }.items():
            assert journal.resolve(ref) == View(view.branch, seq, None), ref
        for ref in ("main~4", "5", "0", "nothing", "v2", "main@{1999-01-01}", "main~99999999999999999999", "9" * 5000):
            with pytest.raises(NotFound):
                journal.resolve(ref)
        with pytest.raises(InvalidRef):
            journal.resolve("main^1")
        assert [t[:2] for t in journal.tags()] == [("v1", 2)]
        assert commits[1].created <= journal.tags()[0].created

    def test_refs_by_time(self, journal: Journal) -> None:
        put(journal, "a", "1")
        second = put(journal, "a", "2")
        today = datetime.fromtimestamp(second.created / 1e9).date()
        assert journal.resolve(f"main@{{{today}}}").seq == 2
        assert journal.resolve(f"main@{{{today}}}~1").seq == 1
        exact = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=second.created // 1000)
        assert journal.resolve(f"main@{{{exact.isoformat()}}}").seq == 2
        assert journal.resolve(f"main@{{{exact.replace(tzinfo=None).isoformat()}Z}}").seq == 2
        with pytest.raises(NotFound, match="no commit had been made"):
            journal.resolve(f"main@{{{(exact - timedelta(hours=1)).isoformat()}}}")

    def test_tags_and_branches_have_names_of_their_own(self, journal: Journal) -> None:
        with pytest.raises(NotFound):
            journal.create_tag("early", "main")
        put(journal, "a", "1")
        journal.create_branch("b", "main")
        journal.create_tag("t", "main")
        for name in ("b", "t", "main"):
            with pytest.raises(AlreadyExists):
                journal.create_branch(name, "main")
            with pytest.raises(AlreadyExists):
                journal.create_tag(name, "main")
        for name in ("", "a/b", "12", "a b", "a~1", "x@y", "-x", "a^", "a:b", "a\x00"):
            with pytest.raises(InvalidRef):
                journal.create_branch(name, "main")
            with pytest.raises(InvalidRef):
                journal.create_tag(name, "main")
        with pytest.raises(NotFound):
            journal.create_branch("c", "nothing")
        journal.delete_tag("t")
        for missing in (journal.delete_tag, journal.delete_branch):
            with pytest.raises(NotFound):
                missing("t")
        assert journal.tags() == []
        with pytest.raises(InvalidInput):
            journal.delete_branch("main")

    def test_a_branch_sees_its_parent_up_to_the_fork(self, journal: Journal) -> None:
        put(journal, "kept", "1")
        put(journal, "replaced", "1")
        put(journal, "removed", "1")
        branch = journal.create_branch("exp", "main")
        assert branch[:4] == ("exp", 3, "main", 3)
        put(journal, "later", "1")
        put(journal, "kept", "22")
        put(journal, "replaced", "333", branch="exp")
        journal.commit("exp", [Remove("removed")])
        put(journal, "own", "1", branch="exp")
        exp, main = self.head(journal, "exp"), self.head(journal)
        assert names(journal.walk(exp, "")) == names(journal.children(exp, "")) == ["kept", "own", "replaced"]
        assert [entry.size for entry in journal.walk(exp, "")] == [1, 1, 3]
        assert names(journal.walk(main, "")) == ["kept", "later", "removed", "replaced"]
        assert journal.lookup(exp, "removed") is None
        assert journal.lookup(exp, "later") is None
        assert [c.seq for c in journal.log(exp)] == [8, 7, 6, 3, 2, 1]
        assert journal.branches()[1].head == 8
        journal.commit("exp", [Remove("replaced")])
        put(journal, "removed/below", "1", branch="exp")
        assert names(journal.children(self.head(journal, "exp"), "")) == ["kept", "own", "removed"]

    def test_parents_of_commits_go_across_the_fork(self, journal: Journal) -> None:
        first = put(journal, "a", "1")
        second = put(journal, "a", "2")
        journal.create_branch("exp", "main~1")
        assert journal.resolve("exp").seq == first.seq
        child = put(journal, "a", "3", branch="exp")
        assert child.parents == (first.id,)
        assert child.id != second.id
        assert journal.resolve("exp~1") == View(journal.resolve("main").branch, first.seq, None)
        entry = journal.lookup(journal.resolve("exp~1"), "a")
        assert entry is not None
        assert entry.commit == first.seq

    def test_forks_in_the_past_and_of_forks(self, journal: Journal) -> None:
        for n in range(3):
            put(journal, "a", "x" * (n + 1))
        journal.create_branch("one", "main~1")
        put(journal, "b", "1", branch="one")
        put(journal, "a", "123456", branch="one")
        journal.create_branch("two", "one~1")
        journal.create_branch("three", "1")
        put(journal, "c", "1", branch="two")

        def sizes(branch: str) -> dict[str, int]:
            return {entry.path: entry.size for entry in journal.walk(self.head(journal, branch), "")}

        assert sizes("main") == {"a": 3}
        assert sizes("one") == {"a": 6, "b": 1}
        assert sizes("two") == {"a": 2, "b": 1, "c": 1}
        assert sizes("three") == {"a": 1}
        journal.delete_branch("one")
        assert sizes("two") == {"a": 2, "b": 1, "c": 1}
        assert [b.name for b in journal.branches()] == ["main", "two", "three"]
        with pytest.raises(NotFound):
            journal.resolve("one")
        journal.create_branch("one", "main")
        assert sizes("one") == {"a": 3}

    def test_diff(self, journal: Journal) -> None:
        for path in ("d/same", "d/modified", "d/annotated", "d/removed", "d/back"):
            put(journal, path, path)
        old = self.head(journal)
        put(journal, "d/modified", "new")
        journal.commit("main", [Annotate("d/annotated", {"k": 1}), Remove("d/removed"), Remove("d/back")])
        put(journal, "d/back", "d/back")
        put(journal, "e", "1")
        new = self.head(journal)
        expected = [
            ("d/annotated", "annotated"),
            ("d/modified", "modified"),
            ("d/removed", "removed"),
            ("e", "added"),
        ]
        differences = journal.diff(old, new)
        assert [(d.path, d.change) for d in differences] == expected
        assert all(d.old == journal.lookup(old, d.path) for d in differences)
        assert all(d.new == journal.lookup(new, d.path) for d in differences)
        assert [d.path for d in journal.diff(old, new, "d")] == ["d/annotated", "d/modified", "d/removed"]
        assert [d.path for d in journal.diff(old, new, "e")] == ["e"]
        assert [(d.path, d.change) for d in journal.diff(new, old)][-1] == ("e", "removed")
        assert journal.diff(new, new) == []

    def test_diff_of_branches(self, journal: Journal) -> None:
        put(journal, "a", "1")
        put(journal, "b", "1")
        journal.create_branch("one", "main")
        journal.create_branch("two", "main~1")
        put(journal, "a", "2")
        put(journal, "c", "1", branch="one")
        put(journal, "a", "2", branch="two")
        one, two = self.head(journal, "one"), self.head(journal, "two")
        found = journal.diff(one, two)
        assert [(d.path, d.change) for d in found] == [("a", "modified"), ("b", "removed"), ("c", "removed")]
        assert [(d.path, d.change) for d in journal.diff(self.head(journal), two)] == [("b", "removed")]

    def test_near_paths(self, journal: Journal) -> None:
        for path in ("runs/sample1.bam", "runs/sample2.bam", "other/deep/calls.vcf.gz"):
            put(journal, path, path)
        view = self.head(journal)
        assert journal.near(view, "runs/sampel1.bam")[0] == "runs/sample1.bam"
        assert journal.near(view, "calls.vcf.gz") == ["other/deep/calls.vcf.gz"]
        assert "runs" in journal.near(view, "rnus/sample1.bam")
        assert len(journal.near(view, "runs/sample", limit=1)) <= 1
        assert journal.near(view, "qqqqqqqqq") == []
