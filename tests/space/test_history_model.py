"""Random histories, thinned at random: what is kept reads as before, and nothing else is held."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lake.errors import LakeError, NotFound, QuotaExceeded
from lake.expiry import expire
from lake.journal.sqlite import SqliteJournal, create
from lake.journal.values import Change, Kind, Put, Quota, Remove
from lake.retention import Policy
from lake.testing.journal import object_record

PATHS = ["a/x", "a/y", "a/b/z", "c", "c2"]
CONTENTS = [object_record("x" * size) for size in (1, 2, 5, 11)]
Tree = dict[str, tuple[str, int]]


class HistoryMachine(RuleBasedStateMachine):
    """Branches, tags, quotas and expiry, beside dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        create(self.path)
        self.journal = SqliteJournal(self.path)
        self.heads: dict[str, Tree] = {"main": {}}
        self.states: dict[int, Tree] = {}
        """What was at every commit."""
        self.held: dict[str, int] = {}
        """Tags."""
        self.starts: set[int] = set()
        self.quotas: dict[str, int] = {}
        self.count = 0

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()

    @initialize()
    def register(self) -> None:
        self.states[self.journal.commit("main", [], objects=CONTENTS).seq] = {}

    def used(self, tree: Tree, prefix: str) -> int:
        return sum(
            size for path, (_, size) in tree.items() if not prefix or path == prefix or path.startswith(f"{prefix}/")
        )

    @rule(
        data=st.data(),
        puts=st.dictionaries(st.sampled_from(PATHS), st.sampled_from([*CONTENTS, None]), min_size=1, max_size=4),
    )
    def commit(self, data: st.DataObject, puts: dict[str, object]) -> None:
        branch = data.draw(st.sampled_from(sorted(self.heads)))
        tree = dict(self.heads[branch])
        changes: list[Change] = []
        for path, record in puts.items():
            if record is None:
                changes.append(Remove(path, expect=None))
                tree.pop(path, None)
            else:
                changes.append(Put(path, record.digest))  # type: ignore[attr-defined]
                tree[path] = (record.digest, record.size)  # type: ignore[attr-defined]
        over = [
            prefix
            for prefix, bound in self.quotas.items()
            if self.used(tree, prefix) > max(bound, self.used(self.heads[branch], prefix))
        ]
        try:
            made = self.journal.commit(branch, changes)
        except QuotaExceeded:
            assert over
            return
        assert not over
        self.heads[branch] = self.states[made.seq] = tree

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.states)))
        self.count += 1
        self.journal.create_branch(f"b{self.count}", str(seq))
        self.heads[f"b{self.count}"] = self.states[seq]

    @rule(data=st.data())
    def tag(self, data: st.DataObject) -> None:
        self.count += 1
        seq = data.draw(st.sampled_from(sorted(self.states)))
        self.journal.create_tag(f"t{self.count}", str(seq))
        self.held[f"t{self.count}"] = seq

    @rule(data=st.data())
    def untag(self, data: st.DataObject) -> None:
        if self.held:
            name = data.draw(st.sampled_from(sorted(self.held)))
            self.journal.delete_tag(name)
            del self.held[name]

    @rule(data=st.data())
    def delete_branch(self, data: st.DataObject) -> None:
        if len(self.heads) > 1:
            name = data.draw(st.sampled_from(sorted(self.heads.keys() - {"main"})))
            self.journal.delete_branch(name)
            del self.heads[name]

    @rule(prefix=st.sampled_from(["", "a", "a/b", "c"]), hard=st.integers(0, 30))
    def bound(self, prefix: str, hard: int) -> None:
        self.journal.set_quota(Quota(prefix, None, hard))
        self.quotas[prefix] = hard

    @rule(last=st.integers(1, 3), one=st.booleans(), data=st.data())
    def thin(self, last: int, one: bool, data: st.DataObject) -> None:
        branch = data.draw(st.sampled_from(sorted(self.heads))) if one else None
        planned = expire(self.journal, Policy(last=last), branch, dry_run=True)
        report = expire(self.journal, Policy(last=last), branch)
        assert report.expired == planned.expired
        gone = {seq for thinned in report.branches for seq in thinned.expired}
        assert not gone & set(self.held.values())
        for seq in gone:
            del self.states[seq]
            with pytest.raises(NotFound, match="has been expired"):
                self.journal.resolve(str(seq))
        self.check_objects()

    @invariant()
    def every_ref_reads_as_it_was(self) -> None:
        for ref, tree in (
            *((str(seq), tree) for seq, tree in self.states.items()),
            *self.heads.items(),
            *((tag, self.states[seq]) for tag, seq in self.held.items()),
        ):
            view = self.journal.resolve(ref)
            found = {entry.path: (entry.hex, entry.size) for entry in self.journal.walk(view, "")}
            assert found == tree
            assert all((self.journal.lookup(view, path) is not None) == (path in tree) for path in PATHS)

    @invariant()
    def bytes_are_counted_right(self) -> None:
        for branch, tree in self.heads.items():
            view = self.journal.resolve(branch)
            for prefix in self.quotas:
                assert self.journal.used(prefix, view) == self.used(tree, prefix)

    def check_objects(self) -> None:
        """What the entries name, gc keeps: no more than what can be read."""
        with closing(sqlite3.connect(self.path)) as sql:
            named = {
                raw.hex()
                for (raw,) in sql.execute("SELECT DISTINCT o.digest FROM entry e JOIN object o ON o.id = e.object")
            }
        assert named == {digest for tree in self.states.values() for digest, _ in tree.values()}


HistoryMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestHistories = HistoryMachine.TestCase


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    """The size of a directory's entry, and of a tombstone, is nothing: sums of sizes are sums of files."""
    create(tmp_path / "journal.db")
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.commit("main", [Put("a", CONTENTS[0].digest)], objects=CONTENTS)
    journal.commit("main", [Remove("a")])
    with closing(sqlite3.connect(tmp_path / "journal.db")) as sql:
        assert sql.execute("SELECT sum(size) FROM entry WHERE kind != ?", (Kind.FILE,)).fetchone() == (0,)
    journal.close()
    assert issubclass(QuotaExceeded, LakeError)
