"""Random operations against a model: a dictionary of paths for every commit of every branch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lake.errors import AlreadyExists, IsDirectory, NotDirectory, NotFound
from lake.journal import entries
from lake.journal.sqlite import SqliteJournal, create
from lake.journal.values import Annotate, Change, Entry, Kind, MakeDirectory, Put, Remove, View
from lake.testing.journal import object_record

Value = tuple[int, str | None, tuple[tuple[str, Any], ...]]
"""Kind, content and attributes of an entry."""
Tree = dict[str, Value]

PATHS = st.sampled_from(["a", "a/b", "a/b/c", "a/b-x", "a.b", "a/d", "e", "e/f", "e/f/g", "é"])
CONTENTS = {text: object_record(text) for text in ("1", "22", "333")}
TEXT_OF = {record.digest: text for text, record in CONTENTS.items()}


def inside(path: str, directory: str) -> bool:
    return not directory or path.startswith(f"{directory}/")


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def applied(tree: Tree, change: Change) -> Tree:
    """The tree after a change; raises what the journal should raise."""
    path, old = change.path, tree.get(change.path)
    below = any(inside(other, path) for other in tree)
    files_above = [above for above in parents(path) if tree.get(above, (0,))[0] == Kind.FILE]
    new: Value
    match change:
        case Put():
            if files_above:
                raise NotDirectory(path)
            if below or (old is not None and old[0] == Kind.DIRECTORY):
                raise IsDirectory(path)
            new = (Kind.FILE, TEXT_OF[change.digest], () if old is None else old[2])
        case MakeDirectory():
            if old is not None and old[0] == Kind.FILE:
                raise AlreadyExists(path)
            if files_above:
                raise NotDirectory(path)
            if old is not None:
                return tree
            new = (Kind.DIRECTORY, None, ())
        case Remove():
            if old is None:
                raise NotFound(path)
            return {key: value for key, value in tree.items() if key != path}
        case Annotate():
            if old is None:
                raise NotFound(path)
            new = (old[0], old[1], tuple(sorted({**dict(old[2]), **change.patch}.items())))
    return {**tree, path: new}


def value_of(entry: Entry) -> Value:
    content = None if entry.digest is None else TEXT_OF[entry.hex]
    return (entry.kind, content, tuple(sorted(entry.attributes.items())))


def child(path: str, directory: str) -> str:
    cut = len(directory) + 1 if directory else 0
    return path[:cut] + path[cut:].partition("/")[0]


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(Put, PATHS, st.sampled_from([record.digest for record in CONTENTS.values()])),
    st.builds(MakeDirectory, PATHS),
    st.builds(Remove, PATHS),
    st.builds(Annotate, PATHS, st.fixed_dictionaries({"k": st.integers(0, 2)})),
)


class JournalMachine(RuleBasedStateMachine):
    """Every view that was ever seen must go on being seen as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "journal.db"
        create(path)
        self.journal = SqliteJournal(path)
        self.heads: dict[str, Tree] = {"main": {}}
        self.seen: dict[View, Tree] = {}
        self.page = entries._PAGE

    @initialize(page=st.sampled_from([1, 2, 3, 64]))
    def register(self, page: int) -> None:
        entries._PAGE = page  # small pages: their seams must not show
        self.journal.commit("main", [], objects=CONTENTS.values())

    def teardown(self) -> None:
        entries._PAGE = self.page
        self.journal.close()
        self.folder.cleanup()

    @rule(data=st.data(), changes=st.lists(CHANGES, min_size=1, max_size=6))
    def commit(self, data: st.DataObject, changes: list[Change]) -> None:
        branch = data.draw(st.sampled_from(sorted(self.heads)))
        tree = self.heads[branch]
        kept: list[Change] = []
        refused: Exception | None = None
        for change in changes:
            try:
                tree = applied(tree, change)
            except (AlreadyExists, IsDirectory, NotDirectory, NotFound) as error:
                refused = error
                try:
                    self.journal.commit(branch, [*kept, change])
                except type(error):
                    continue
                raise AssertionError(f"{change} after {kept} should have raised {error!r}") from None
            kept.append(change)
        assert refused is not None or kept == changes
        self.journal.commit(branch, kept)
        self.heads[branch] = tree
        self.remember(branch)

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(sorted(self.seen, key=str))) if self.seen else None
        name = f"b{len(self.journal.branches())}"
        if view is None or view.name is None or len(self.heads) > 5:
            return
        if self.journal.resolve(str(view.seq)).branch != view.branch:
            return
        self.journal.create_branch(name, str(view.seq))
        self.heads[name] = self.seen[view]
        self.remember(name)

    def remember(self, branch: str) -> None:
        self.seen[self.journal.resolve(branch)] = self.heads[branch]

    @rule(path=PATHS, directory=st.one_of(st.just(""), PATHS))
    def read(self, path: str, directory: str) -> None:
        for view, tree in list(self.seen.items())[-8:]:
            found = self.journal.lookup(view, path)
            assert (None if found is None else value_of(found)) == tree.get(path)
            below = {key: value for key, value in tree.items() if inside(key, directory)}
            walked = self.journal.walk(view, directory)
            assert [entry.path for entry in walked] == sorted(below)
            assert {entry.path: value_of(entry) for entry in walked} == below
            listed = self.journal.children(view, directory)
            assert [entry.path for entry in listed] == sorted({child(key, directory) for key in below})
            for entry in listed:
                assert value_of(entry) == tree.get(entry.path, (Kind.DIRECTORY, None, ()))
            own = tree.get(path)
            expected = any(inside(key, path) for key in tree) or (own is not None and own[0] == Kind.DIRECTORY)
            assert self.journal.is_directory(view, path) == expected

    @rule(data=st.data(), prefix=st.one_of(st.just(""), PATHS))
    def diff(self, data: st.DataObject, prefix: str) -> None:
        if not self.seen:
            return
        views = st.sampled_from(sorted(self.seen, key=str))
        old, new = data.draw(views), data.draw(views)
        before, after = self.seen[old], self.seen[new]
        expected = []
        for path in sorted(before.keys() | after.keys()):
            was, now = before.get(path), after.get(path)
            if was == now or not (inside(path, prefix) or path == prefix):
                continue
            if was is None or now is None:
                expected.append((path, "added" if was is None else "removed"))
            else:
                expected.append((path, "modified" if was[:2] != now[:2] else "annotated"))
        assert [(d.path, d.change) for d in self.journal.diff(old, new, prefix)] == expected

    @invariant()
    def no_file_is_a_directory(self) -> None:
        for branch in self.heads:
            walked = self.journal.walk(self.journal.resolve(branch), "")
            files = {entry.path for entry in walked if entry.kind == Kind.FILE}
            assert not any(above in files for entry in walked for above in parents(entry.path))


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
