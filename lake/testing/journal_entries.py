"""What every journal must do with entries, their attributes, and the preconditions of commits."""

from __future__ import annotations

from typing import Any

import pytest

from lake.digest import digest_of
from lake.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    InvalidPath,
    IsDirectory,
    NotDirectory,
    NotFound,
)
from lake.journal.base import Journal
from lake.journal.values import ABSENT, PRESENT, Annotate, Change, Entry, Expect, Kind, MakeDirectory, Put, Remove
from lake.testing.journal_suite import JournalSuite, names, object_record, put

__all__ = ["EntryConformance"]


class EntryConformance(JournalSuite):
    """Entries."""

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
        with pytest.raises(Conflict):
            journal.commit("main", [MakeDirectory("d", Expect(True, 99))])
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
