"""Random calls on a whole lake, its care among them, against dictionaries (`tests.reliability.model`).

Few and short ones, or as many and as long as ``MODEL_EXAMPLES`` and ``MODEL_STEPS`` in the environment say.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lake.errors import LakeError
from lake.lake import Lake
from lake.retention import Policy
from tests.lake.samples import staged
from tests.reliability import model
from tests.reliability.model import Item, Refused, Tree

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
DATA = st.builds(
    lambda word, times: word * times, st.sampled_from([b"1", b"two"]), st.sampled_from([0, 1, 2000, 70_000])
)
BRANCHES = st.sampled_from(["main", "dev", "try"])
TAGS = st.sampled_from(["v1", "v2"])
VALUES = st.sampled_from([None, 1, "x", [True]])

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "15"))
STEPS = int(os.environ.get("MODEL_STEPS", "30"))


class Machine(RuleBasedStateMachine):
    """Two handles of one lake do what the rules say by turns; either must see what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "lake"
        self.lk, self.other = Lake.init(self.root), Lake.open_at(self.root)
        self.lk.mkdir("a")
        self.branches: dict[str, Tree] = {"main": {"a": Item(None, {})}}
        self.tags: dict[str, Tree] = {}

    def teardown(self) -> None:
        self.lk.close()
        self.other.close()
        self.folder.cleanup()

    @property
    def refs(self) -> dict[str, Tree]:
        return self.branches | self.tags

    def change(self, branch: str, call: Callable[[], object], wanted: Callable[[Tree], Tree]) -> None:
        """A call that changes a branch does what the model does, or is refused as there."""
        tree = None
        with contextlib.suppress(Refused, KeyError):
            tree = wanted(self.branches[branch])
        if tree is None:
            with pytest.raises(LakeError):
                call()
            return
        call()
        self.branches[branch] = tree

    # -- files --------------------------------------------------------------------------------------------------
    @rule(branch=BRANCHES, path=NAMES, data=DATA)
    def write(self, branch: str, path: str, data: bytes) -> None:
        def call() -> None:
            with self.lk.open(f"@{branch}/{path}", "wb") as file:
                file.write(data)

        self.change(branch, call, lambda tree: model.written(tree, path, data, {}))

    @rule(branch=BRANCHES, folder=NAMES, data=st.dictionaries(st.sampled_from("abc"), DATA, min_size=1), value=VALUES)
    def put(self, branch: str, folder: str, data: dict[str, bytes], value: str | None) -> None:
        meta = {} if value is None else {"of": value}

        def call() -> None:
            with tempfile.TemporaryDirectory() as place:
                for name, content in data.items():
                    Path(place, name).write_bytes(content)
                sources = [Path(place, name) for name in data]
                self.lk.put(sources, f"@{branch}/{folder}/", meta=meta, all_or_nothing=True)

        def wanted(tree: Tree) -> Tree:
            for name, content in data.items():
                tree = model.written(tree, f"{folder}/{name}", content, dict(meta))
            return tree

        self.change(branch, call, wanted)

    @rule(branch=BRANCHES, path=NAMES)
    def mkdir(self, branch: str, path: str) -> None:
        self.change(branch, lambda: self.lk.mkdir(f"@{branch}/{path}"), lambda tree: model.made(tree, path))

    @rule(branch=BRANCHES, path=NAMES, recursive=st.booleans())
    def rm(self, branch: str, path: str, recursive: bool) -> None:
        self.change(
            branch,
            lambda: self.lk.rm(f"@{branch}/{path}", recursive=recursive),
            lambda tree: model.removed(tree, path, recursive=recursive),
        )

    @rule(branch=BRANCHES, path=NAMES, destination=NAMES)
    def mv(self, branch: str, path: str, destination: str) -> None:
        self.change(
            branch,
            lambda: self.lk.mv(f"@{branch}/{path}", f"@{branch}/{destination}"),
            lambda tree: model.moved(tree, path, destination),
        )

    @rule(source=BRANCHES | TAGS, path=NAMES, branch=BRANCHES, destination=NAMES, recursive=st.booleans())
    def cp(self, source: str, path: str, branch: str, destination: str, recursive: bool) -> None:
        self.change(
            branch,
            lambda: self.lk.cp(f"@{source}/{path}", f"@{branch}/{destination}", recursive=recursive),
            lambda tree: model.copied(
                self.refs[source], path, tree, destination, same=source == branch, recursive=recursive
            ),
        )

    @rule(branch=BRANCHES, path=NAMES, key=st.sampled_from("kq"), value=VALUES)
    def meta(self, branch: str, path: str, key: str, value: str | None) -> None:
        self.change(
            branch,
            lambda: self.lk.set_meta(f"@{branch}/{path}", {key: value}),
            lambda tree: model.tagged(tree, path, key, value),
        )

    @rule(branch=BRANCHES, path=NAMES, source=BRANCHES | TAGS)
    def restore(self, branch: str, path: str, source: str) -> None:
        self.change(
            branch,
            lambda: self.lk.restore(f"@{branch}/{path}", source),
            lambda tree: model.restored(self.refs[source], path, tree),
        )

    # -- refs ---------------------------------------------------------------------------------------------------
    @rule(name=BRANCHES, start=BRANCHES | TAGS)
    def branch(self, name: str, start: str) -> None:
        if name in self.branches or start not in self.refs:
            with pytest.raises(LakeError):
                self.lk.branch(name, start)
            return
        self.lk.branch(name, start)
        self.branches[name] = self.refs[start]

    @rule(name=st.sampled_from(["dev", "try"]))
    def delete_branch(self, name: str) -> None:
        if self.branches.pop(name, None) is not None:
            self.lk.delete_branch(name)

    @rule(name=TAGS, start=BRANCHES)
    def tag(self, name: str, start: str) -> None:
        if name not in self.tags and start in self.branches:
            self.lk.tag(name, start)
            self.tags[name] = self.branches[start]

    @rule(name=TAGS)
    def delete_tag(self, name: str) -> None:
        if self.tags.pop(name, None) is not None:
            self.lk.delete_tag(name)

    # -- care ---------------------------------------------------------------------------------------------------
    @rule()
    def take_turns(self) -> None:
        self.lk, self.other = self.other, self.lk

    @rule()
    def reopen(self) -> None:
        self.lk.close()
        self.lk = Lake.open_at(self.root)

    @rule()
    def publish(self) -> None:
        self.lk.catalog.publish(force=True)

    @rule(trash=st.sampled_from([0, 3600]), empty=st.booleans())
    def gc(self, trash: float, empty: bool) -> None:
        self.lk.gc(grace=0, trash=trash, empty_trash=empty)

    @rule(last=st.integers(1, 3))
    def expire(self, last: int) -> None:
        self.lk.expire(Policy(last=last))

    @rule()
    def untrash(self) -> None:
        """What comes back has its digest for a name, and the bytes of that digest."""
        self.lk.untrash()
        tree = self.branches["main"]
        for entry in self.lk.ls("", ref="main", recursive=True):
            if entry.path.startswith("lost+found/") and entry.path not in tree:
                content = self.content("main", entry.path, entry.digest)
                assert content is not None
                assert entry.path == f"lost+found/{blake3(content).hexdigest()}"
                tree = model.written(tree, entry.path, content, {})
        self.branches["main"] = tree

    @rule()
    def fsck(self) -> None:
        report = self.lk.fsck()
        assert report.ok, report.findings
        assert report.foreign == []
        assert report.generations == []

    # -- what must hold -----------------------------------------------------------------------------------------
    @invariant()
    def every_ref_is_as_the_model_says(self) -> None:
        assert {branch.name for branch in self.other.repo.journal.branches()} == set(self.branches)
        for ref, tree in self.refs.items():
            entries = self.other.ls("", ref=ref, recursive=True)
            found = {
                entry.path: Item(self.content(ref, entry.path, entry.digest), entry.attributes) for entry in entries
            }
            assert found == tree, ref

    def content(self, ref: str, path: str, digest: bytes | None) -> bytes | None:
        if digest is None:
            return None
        with self.other.open(path, "rb", ref=ref, verify=True) as file:
            return bytes(file.read())

    @rule(ref=BRANCHES | TAGS)
    def sql(self, ref: str) -> None:
        if ref in self.refs:
            with self.other.catalog.connect(at=ref) as asked:
                found = dict(asked.sql("SELECT path, size FROM files").fetchall())
            assert found == {
                path: len(item.content) for path, item in self.refs[ref].items() if item.content is not None
            }

    @invariant()
    def nothing_waits_in_staging(self) -> None:
        assert staged(self.lk) == []


Machine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestModel = Machine.TestCase
