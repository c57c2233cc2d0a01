"""What every journal must tell the catalog."""

from __future__ import annotations

from typing import Any

from lake.digest import digest_of
from lake.journal.base import Journal
from lake.journal.values import Annotate, Artifact, Kind, MakeDirectory, Mark, Put, Remove, View
from lake.stores.base import Location
from lake.testing.journal_suite import JournalSuite, object_record, put

__all__ = ["FeedConformance"]

Row = tuple[Any, ...]


def all_files(journal: Journal, view: View, limit: int) -> list[Row]:
    found: list[Row] = []
    after: str | None = ""
    while after is not None:
        rows, after = journal.feed_files(view, after, limit)
        found += rows
    return found


def walked(journal: Journal, view: View) -> list[Row]:
    """Rows as the feed has them, without the object's id."""
    return [
        (entry.path, entry.digest, entry.size, entry.format, entry.modified, entry.commit, entry.attrs)
        for entry in journal.walk(view, "")
        if entry.kind == Kind.FILE
    ]


def without_id(row: Row) -> Row:
    return (row[0], *row[2:])


class FeedConformance(JournalSuite):
    """Rows for the catalog."""

    def test_files_are_those_of_a_walk(self, journal: Journal) -> None:
        views = self._busy(journal)
        for view in views:
            for limit in (1, 2, 100):
                assert [without_id(row) for row in all_files(journal, view, limit)] == walked(journal, view)

    def test_changed_files_lead_from_one_view_to_another(self, journal: Journal) -> None:
        views = self._busy(journal)
        for old in views:
            for new in views:
                files = {row[0]: row for row in all_files(journal, old, 100)}
                changed = journal.feed_changed_files(old, new)
                assert [path for path, _ in changed] == sorted({path for path, _ in changed})
                for path, row in changed:
                    files.pop(path, None)
                    if row is not None:
                        files[path] = row
                assert files == {row[0]: row for row in all_files(journal, new, 100)}

    def _busy(self, journal: Journal) -> list[View]:
        """Views of branches with versions, tombstones, directories and attributes."""
        views = [self.head(journal)]
        put(journal, "a", "1")
        put(journal, "d/b", "22", attributes={"k": 1})
        journal.commit("main", [MakeDirectory("empty"), MakeDirectory("d/e")])
        views.append(self.head(journal))
        journal.create_branch("exp", "main")
        journal.create_tag("v1", "main")
        put(journal, "a", "333")
        journal.commit("main", [Remove("d/b"), Annotate("a", {"x": [None, "ü"]})])
        put(journal, "c", "1")
        journal.commit("exp", [Remove("a")])
        put(journal, "it's", "22", branch="exp")
        journal.commit("exp", [Annotate("d/b", {"k": None}), Annotate("empty", {"of": "a directory"})])
        journal.create_branch("deep", "exp")
        put(journal, "a", "4444", branch="deep")
        journal.commit("deep", [Put("d/e/f", object_record("1").digest), Remove("it's")])
        refs = ("main", "exp", "deep", "v1", "main~1", "exp~2")
        return [*views, *(journal.resolve(ref) for ref in refs)]

    def test_objects_come_once_and_again_when_they_changed(self, journal: Journal) -> None:
        first = object_record("1", chunks=b"\x00map", problems=("ü",), checksums={"md5": "00"})
        journal.commit("main", [], objects=[first, object_record("2"), object_record("3")])
        start = journal.tip()
        page = journal.feed_objects(Mark(), start, 0, 2)
        rest = journal.feed_objects(Mark(), start, page[-1][0], 2)
        assert [row[1].hex() for row in [*page, *rest]] == [object_record(text).digest for text in "123"]
        assert page[0][2:] == (1, "text", '["ü"]', '{"md5": "00"}', b"\x00map", "live", None, *first.location[:2])
        assert journal.feed_objects(start, journal.tip(), 0, 9) == []
        journal.record_damage(first.digest, [(0, 0, 1), (1, 1, 1)])
        journal.commit("main", [], objects=[object_record("4")])
        found = journal.feed_objects(start, journal.tip(), 0, 9)
        assert [(row[0] == page[0][0], row[8]) for row in found] == [(True, "0,1"), (False, None)]
        damaged = journal.tip()
        journal.clear_damage(first.digest)
        assert [row[8] for row in journal.feed_objects(damaged, journal.tip(), 0, 9)] == [None]
        moved = Location("packs/" + "0" * 64, 7, first.size)
        before = journal.tip()
        journal.relocate({first.digest: moved})
        assert [row[9:] for row in journal.feed_objects(before, journal.tip(), 0, 9)] == [moved[:2]]

    def test_directories_that_were_made_on_purpose(self, journal: Journal) -> None:
        made = journal.commit("main", [MakeDirectory("b", attributes={"k": 1}), MakeDirectory("a/x")])
        put(journal, "c/file", "1")
        journal.create_branch("exp", "main")
        journal.commit("exp", [Remove("a/x"), MakeDirectory("d")])
        main = journal.feed_directories(journal.resolve("main"))
        assert main == [("a/x", made.created, made.seq, None), ("b", made.created, made.seq, '{"k":1}')]
        assert [row[0] for row in journal.feed_directories(journal.resolve("exp"))] == ["b", "d"]

    def test_commits_of_all_branches(self, journal: Journal) -> None:
        made = [put(journal, "a", "1")]
        journal.create_branch("exp", "main")
        made += [put(journal, "b", "1", branch="exp"), put(journal, "c", "1")]
        wanted = [(c.seq, c.id, c.branch, c.created, c.author, c.message, c.changes) for c in made]
        assert journal.feed_commits(0, 3, 9) == wanted
        assert journal.feed_commits(0, 3, 1) == wanted[:1]
        assert journal.feed_commits(1, 2, 9) == wanted[1:2]
        assert journal.feed_commits(3, 9, 9) == []

    def test_artifacts_that_are_replaced_come_again(self, journal: Journal) -> None:
        record, big = object_record("1"), object_record("big")
        journal.commit("main", [], objects=[record])
        for body in (b"old", b"new"):
            before = journal.tip()
            journal.add_artifacts([Artifact(record.digest, "facts.x", "1", body=body)])
            ((number, owner, *rest),) = journal.feed_artifacts("facts.", before.artifact, before.object, 9)
            assert number == journal.tip().artifact > before.artifact
            assert rest == ["facts.x", body, None]
        journal.add_artifacts([Artifact(record.digest, "bai", "1", body=b"index")])
        journal.add_artifacts([Artifact(record.digest, "facts.y", "1", target=big.digest)], [big])
        rows = journal.feed_artifacts("facts.", 0, journal.tip().object, 9)
        assert [row[1:] for row in rows] == [
            (owner, "facts.x", b"new", None),
            (owner, "facts.y", None, bytes.fromhex(big.digest)),
        ]
        assert journal.feed_artifacts("facts.", 0, journal.tip().object, 1) == rows[:1]
        assert journal.feed_artifacts("facts.", 0, owner - 1, 9) == []
        others = journal.feed_other_artifacts("facts.", 0, journal.tip().object, 9)
        assert [row[1:] for row in others] == [(owner, "bai", "1", "", None, b"index")]
        assert journal.feed_other_artifacts("facts.", others[0][0], journal.tip().object, 9) == []

    def test_marks_and_identity(self, journal: Journal) -> None:
        assert journal.tip() == Mark()
        put(journal, "a", "1")
        other = self.reopen(journal)
        try:
            assert other.identity() == journal.identity()
            assert other.tip() == journal.tip() == Mark(1, 1, 0, 0)
        finally:
            other.close()
        journal.record_damage(digest_of(b"1"), [(0, 0, 1)])
        assert journal.tip().change > 0
