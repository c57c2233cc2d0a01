"""What every journal must do: a pytest class to derive from.

::

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def journal(self, tmp_path): return MyJournal(tmp_path)

        def reopen(self, journal): return MyJournal(journal.path)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lake.digest import Digest, digest_of
from lake.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    InvalidPath,
    InvalidRef,
    IsDirectory,
    NotDirectory,
    NotFound,
)
from lake.journal.base import (
    ABSENT,
    PRESENT,
    Annotate,
    Artifact,
    Change,
    Commit,
    Entry,
    Expect,
    Journal,
    Kind,
    MakeDirectory,
    ObjectRecord,
    Put,
    Remove,
    View,
)
from lake.stores.base import Location

__all__ = ["JournalConformance", "object_record", "put"]


def object_record(content: str, **changes: Any) -> ObjectRecord:
    """A made-up object that stands for the text."""
    data = content.encode()
    digest = digest_of(data)
    return ObjectRecord(
        **{
            "digest": digest,
            "size": len(data),
            "format": "text",
            "location": Location(f"objects/{digest[:2]}/{digest}", 0, len(data)),
            **changes,
        }
    )


def put(journal: Journal, path: str, content: str, branch: str = "main", **options: Any) -> Commit:
    """Commit one file; ``options`` are those of `Put`."""
    record = object_record(content)
    return journal.commit(branch, [Put(path, record.digest, **options)], objects=[record], message=f"put {path}")


def names(entries: list[Entry]) -> list[str]:
    return [entry.path for entry in entries]


class JournalConformance:
    """Derive, and supply the fixture ``journal`` (empty, writable) and `reopen`."""

    @pytest.fixture
    def journal(self) -> Journal:
        raise NotImplementedError("a subclass supplies an empty journal")

    def reopen(self, journal: Journal) -> Journal:
        """A second journal on the same record of truth, sharing no memory with the first."""
        raise NotImplementedError("a subclass opens the same journal again")

    def head(self, journal: Journal, branch: str = "main") -> View:
        return journal.resolve(branch)

    # -- entries ------------------------------------------------------------------------------------------------
    def test_an_empty_lake(self, journal: Journal) -> None:
        view = self.head(journal)
        assert (view.seq, view.name) == (0, "main")
        assert journal.lookup(view, "a") is None
        assert journal.is_directory(view, "")
        assert not journal.is_directory(view, "a")
        assert journal.children(view, "") == []
        assert journal.walk(view, "") == []
        assert journal.log(view) == []
        assert [(b.name, b.head, b.parent, b.forked) for b in journal.branches()] == [("main", 0, None, 0)]

    def test_an_entry_has_all_its_fields(self, journal: Journal) -> None:
        record = object_record("hello", format="fasta")
        change = Put("a/b.fa", record.digest, attributes={"n": 1, "a": [True, None, "ü"]}, modified=123)
        commit = journal.commit("main", [change], objects=[record])
        entry = journal.lookup(self.head(journal), "a/b.fa")
        assert entry is not None
        assert entry[:5] == ("a/b.fa", Kind.FILE, 5, 123, commit.seq)
        assert entry.hex == record.digest
        assert entry.format == "fasta"
        assert entry.attributes == {"n": 1, "a": [True, None, "ü"]}
        assert entry.attrs == '{"a":[true,null,"ü"],"n":1}'

    def test_time_of_the_commit_is_the_default_of_modified(self, journal: Journal) -> None:
        commit = put(journal, "a", "1")
        entry = journal.lookup(self.head(journal), "a")
        assert entry is not None
        assert entry.modified == commit.created > 0

    def test_old_views_keep_what_they_saw(self, journal: Journal) -> None:
        first = put(journal, "a", "1")
        old = self.head(journal)
        put(journal, "a", "22")
        journal.commit("main", [Remove("a")])
        seen = journal.lookup(old, "a")
        assert seen is not None
        assert (seen.commit, seen.size) == (first.seq, 1)
        assert journal.children(old, "") == [seen]
        assert journal.walk(old, "") == [seen]
        assert journal.lookup(self.head(journal), "a") is None
        assert journal.walk(self.head(journal), "") == []

    def test_children_are_files_and_directories_sorted(self, journal: Journal) -> None:
        for path in ("a/b/1", "a/b/c/2", "a/b-x", "a/b.x", "a/b0", "a/é", "a", "b"):
            if path != "a":
                put(journal, path, path)
        journal.commit("main", [MakeDirectory("a/d"), MakeDirectory("a/b")])
        view = self.head(journal)
        listed = journal.children(view, "a")
        assert names(listed) == ["a/b", "a/b-x", "a/b.x", "a/b0", "a/d", "a/é"]
        assert [entry.kind for entry in listed] == [2, 1, 1, 1, 2, 1]
        assert listed[0].commit > 0
        root = journal.children(view, "")
        assert names(root) == ["a", "b"]
        assert root[0] == Entry("a", Kind.DIRECTORY, 0, 0, 0, None, None, None)
        assert journal.children(view, "nothing") == []
        assert names(journal.children(view, "a/b")) == ["a/b/1", "a/b/c"]

    def test_children_skip_what_lies_deep(self, journal: Journal) -> None:
        record = object_record("x")
        paths = [f"d{n}/{m:04}" for n in range(3) for m in range(700)] + ["d1", "d1.txt", "e"][1:]
        journal.commit("main", [Put(path, record.digest) for path in paths], objects=[record])
        view = self.head(journal)
        assert names(journal.children(view, "")) == ["d0", "d1", "d1.txt", "d2", "e"]
        assert len(journal.children(view, "d2")) == 700

    def test_walk_lists_entries_at_any_depth(self, journal: Journal) -> None:
        for path in ("a/b/1", "a/2", "ab/3", "a.b"):
            put(journal, path, path)
        journal.commit("main", [MakeDirectory("a/z")])
        view = self.head(journal)
        assert names(journal.walk(view, "a")) == ["a/2", "a/b/1", "a/z"]
        assert names(journal.walk(view, "")) == ["a.b", "a/2", "a/b/1", "a/z", "ab/3"]

    def test_directories_exist_through_their_files_or_once_made(self, journal: Journal) -> None:
        put(journal, "a/b/1", "1")
        journal.commit("main", [MakeDirectory("made")])
        view = self.head(journal)
        assert all(journal.is_directory(view, path) for path in ("", "a", "a/b", "made"))
        assert not any(journal.is_directory(view, path) for path in ("a/b/1", "b", "mad"))
        assert journal.lookup(view, "a") is None
        made = journal.lookup(view, "made")
        assert made is not None
        assert (made.kind, made.size, made.digest, made.format) == (Kind.DIRECTORY, 0, None, None)
        journal.commit("main", [Remove("a/b/1"), Remove("made")])
        assert journal.children(self.head(journal), "") == []
        assert not journal.is_directory(self.head(journal), "a")

    def test_making_a_directory_twice_changes_nothing(self, journal: Journal) -> None:
        journal.commit("main", [MakeDirectory("a", attributes={"k": 1})])
        assert journal.commit("main", [MakeDirectory("a", attributes={"k": 2})]).changes == 0
        entry = journal.lookup(self.head(journal), "a")
        assert entry is not None
        assert entry.attributes == {"k": 1}
        put(journal, "file", "x")
        with pytest.raises(AlreadyExists):
            journal.commit("main", [MakeDirectory("file")])

    def test_no_file_is_a_directory(self, journal: Journal) -> None:
        put(journal, "a/b", "1")
        for path in ("a/b/c", "a/b/c/d"):
            with pytest.raises(NotDirectory, match="a/b is a file"):
                put(journal, path, "2")
            with pytest.raises(NotDirectory):
                journal.commit("main", [MakeDirectory(path)])
        with pytest.raises(IsDirectory):
            put(journal, "a", "2")
        journal.commit("main", [MakeDirectory("d")])
        with pytest.raises(IsDirectory):
            put(journal, "d", "2")
        with pytest.raises(InvalidPath):
            put(journal, "", "2")

    def test_changes_of_one_commit_see_one_another(self, journal: Journal) -> None:
        record = object_record("1")
        put(journal, "a", "1")
        digest = record.digest
        changes: list[Change] = [
            Remove("a"),
            Put("a/b", digest),
            Annotate("a/b", {"k": 1}),
            Put("c/d", digest),
            Remove("c/d"),
            Put("c", digest),
            MakeDirectory("e"),
            Remove("e"),
            Put("e", digest, expect=ABSENT),
            Put("e", digest, patch={"again": True}, expect=PRESENT),
        ]
        commit = journal.commit("main", changes)
        view = self.head(journal)
        assert names(journal.walk(view, "")) == ["a/b", "c", "e"]
        assert {entry.path: entry.attributes for entry in journal.walk(view, "")} == {
            "a/b": {"k": 1},
            "c": {},
            "e": {"again": True},
        }
        assert all(entry.commit == commit.seq for entry in journal.walk(view, ""))
        for last in (Put("c/x", digest), MakeDirectory("c/x")):
            with pytest.raises(NotDirectory):
                journal.commit("main", [Remove("c"), Put("c/y", digest), Remove("c/y"), Put("c", digest), last])
        with pytest.raises(IsDirectory):
            journal.commit("main", [Put("n/1", digest), Put("n", digest)])

    # -- attributes ---------------------------------------------------------------------------------------------
    def test_attributes_are_kept_replaced_and_patched(self, journal: Journal) -> None:
        def attributes() -> dict[str, Any]:
            entry = journal.lookup(self.head(journal), "a")
            assert entry is not None
            return entry.attributes

        put(journal, "a", "1", attributes={"x": 1, "y": "t"})
        put(journal, "a", "2")
        assert attributes() == {"x": 1, "y": "t"}
        put(journal, "a", "3", patch={"y": None, "z": 2.5})
        assert attributes() == {"x": 1, "z": 2.5}
        put(journal, "a", "4", attributes={"n": None, "o": None}, patch={"m": 2, "o": None})
        assert attributes() == {"n": None, "m": 2}
        journal.commit("main", [Annotate("a", {"n": None, "o": {"deep": []}})])
        assert attributes() == {"m": 2, "o": {"deep": []}}
        journal.commit("main", [Remove("a")])
        put(journal, "a", "5")
        assert attributes() == {}
        with pytest.raises(InvalidInput, match="attributes of a"):
            journal.commit("main", [Annotate("a", {"k": float("nan")})])

    def test_annotate_keeps_content_and_time(self, journal: Journal) -> None:
        put(journal, "a", "1", modified=5)
        journal.commit("main", [Annotate("a", {"k": 1})])
        entry = journal.lookup(self.head(journal), "a")
        assert entry is not None
        assert (entry.size, entry.modified, entry.format, entry.hex) == (1, 5, "text", object_record("1").digest)
        assert journal.commit("main", [Annotate("a", {"k": 1})]).changes == 0

    # -- preconditions ------------------------------------------------------------------------------------------
    def test_expectations(self, journal: Journal) -> None:
        first = put(journal, "a", "1", expect=ABSENT)
        with pytest.raises(Conflict, match="a: expected nothing there, found the version of commit 1"):
            put(journal, "a", "2", expect=ABSENT)
        with pytest.raises(Conflict, match="b: expected an entry, found nothing"):
            put(journal, "b", "2", expect=PRESENT)
        second = put(journal, "a", "2", expect=Expect(True, first.seq))
        with pytest.raises(Conflict, match=f"expected the version of commit {first.seq}, found .* {second.seq}"):
            put(journal, "a", "3", expect=Expect(True, first.seq))
        for change in (Remove("a", Expect(True, first.seq)), Annotate("a", {"k": 1}, Expect(True, first.seq))):
            with pytest.raises(Conflict):
                journal.commit("main", [change])
        with pytest.raises(Conflict):
            journal.commit("main", [MakeDirectory("a", ABSENT)])
        put(journal, "d/1", "x")
        with pytest.raises(Conflict):
            journal.commit("main", [MakeDirectory("d", ABSENT)])
        journal.commit("main", [MakeDirectory("d", PRESENT)])

    def test_what_is_not_there_cannot_be_removed_or_annotated(self, journal: Journal) -> None:
        put(journal, "d/1", "1")
        for path in ("a", "d"):
            with pytest.raises(NotFound, match=path):
                journal.commit("main", [Remove(path)])
            with pytest.raises(NotFound, match=path):
                journal.commit("main", [Annotate(path, {"k": 1})])
        assert journal.commit("main", [Remove("a", expect=None)]).changes == 0

    def test_a_commit_is_all_or_nothing(self, journal: Journal) -> None:
        put(journal, "a", "1")
        before = self.head(journal)
        fresh = object_record("fresh")
        with pytest.raises(NotFound):
            journal.commit("main", [Put("b", fresh.digest), Remove("a"), Remove("missing")], objects=[fresh])
        assert self.head(journal) == before
        assert names(journal.walk(before, "")) == ["a"]
        assert journal.known([fresh.digest]) == set()
        assert len(journal.log(before)) == 1

    def test_compare_and_swap_of_the_head(self, journal: Journal) -> None:
        first = put(journal, "a", "1")
        put(journal, "b", "1")
        with pytest.raises(Conflict, match="head"):
            journal.commit("main", [Remove("a")], expected_head=first.seq)
        journal.commit("main", [Remove("a")], expected_head=first.seq + 1)

    def test_only_live_objects_can_be_named(self, journal: Journal) -> None:
        with pytest.raises(Conflict, match="not a live object"):
            journal.commit("main", [Put("a", digest_of(b"never stored"))])

    def test_a_replay_gives_the_first_result(self, journal: Journal) -> None:
        record = object_record("1")
        change = Put("a", record.digest, expect=ABSENT)
        first = journal.commit("main", [change], objects=[record], op_id="op", author="me", expected_head=0)
        put(journal, "a", "2")
        again = journal.commit("main", [change], objects=[record], op_id="op", author="me", expected_head=0)
        assert again == first._replace(replayed=True)
        assert not first.replayed
        assert len(journal.log(self.head(journal))) == 2
        entry = journal.lookup(self.head(journal), "a")
        assert entry is not None
        assert entry.hex == object_record("2").digest

    def test_an_unknown_branch(self, journal: Journal) -> None:
        journal.create_branch("experiment", "main")
        with pytest.raises(NotFound, match="did you mean experiment"):
            put(journal, "a", "1", branch="experimnt")

    # -- commits ------------------------------------------------------------------------------------------------
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

    # -- refs ---------------------------------------------------------------------------------------------------
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

    # -- branches -----------------------------------------------------------------------------------------------
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

    # -- diff and suggestions -----------------------------------------------------------------------------------
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

    # -- objects and artifacts ----------------------------------------------------------------------------------
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
        journal.commit("main", [], objects=[object_record("full", format="other")])
        assert journal.object(full.digest) == full

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

    # -- leases -------------------------------------------------------------------------------------------------
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

    def test_an_expired_lease_is_gone_for_its_owner(self, journal: Journal) -> None:
        lease = journal.acquire_lease("me", "staging", -1)
        assert journal.expired_leases("staging") == [lease]
        assert journal.live_leases("staging") == []
        assert not journal.renew_lease(lease, 60)
        journal.release_lease(lease)
        assert journal.expired_leases("staging") == []

    # -- durability ---------------------------------------------------------------------------------------------
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
