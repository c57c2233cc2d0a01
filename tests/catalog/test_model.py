"""Anything in any order: every view equals the lake, and ``files`` equals a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lake.catalog import building
from lake.facts import pack_facts
from lake.formats.facts.kinds import fact_table
from lake.journal.values import Annotate, Artifact, Change, Json, Put, Remove
from lake.lake import Lake
from lake.testing.journal_suite import object_record
from tests.catalog.truth import check

PATHS = st.sampled_from(["a", "b", "it's", "d/a", "d/b", 'ü/"x"'])
CONTENTS = st.sampled_from(["1", "22", "333"])
BRANCHES = st.sampled_from(["main", "b1", "b2"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([1, "x", [None]]), max_size=2)

Tree = dict[str, tuple[int, dict[str, Json]]]
"""Size and attributes by path."""


class CatalogMachine(RuleBasedStateMachine):
    """A lake, a session that is refreshed, and what they have to say."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.lk = Lake.init(Path(self.folder.name) / "lake")
        self.held = self.lk.catalog.connect()
        self.heads: dict[str, Tree] = {"main": {}}
        self.growth = building._GROWTH

    @initialize(growth=st.sampled_from([0, 1, 3]))
    def merge(self, growth: int) -> None:
        building._GROWTH = growth

    def teardown(self) -> None:
        building._GROWTH = self.growth
        self.held.close()
        self.lk.close()
        self.folder.cleanup()

    def commit(self, branch: str, change: Change, content: str = "1") -> None:
        self.lk.repo.journal.commit(branch, [change], objects=[object_record(content)])

    @rule(branch=BRANCHES, path=PATHS, content=CONTENTS, attributes=st.none() | ATTRIBUTES)
    def put(self, branch: str, path: str, content: str, attributes: dict[str, Json] | None) -> None:
        if branch in self.heads:
            old = self.heads[branch].get(path, (0, {}))[1]
            self.commit(branch, Put(path, object_record(content).digest, attributes=attributes), content)
            self.heads[branch][path] = len(content), old if attributes is None else attributes

    @rule(branch=BRANCHES, path=PATHS)
    def remove(self, branch: str, path: str) -> None:
        if path in self.heads.get(branch, {}):
            self.commit(branch, Remove(path))
            del self.heads[branch][path]

    @rule(path=PATHS, destination=PATHS)
    def move(self, path: str, destination: str) -> None:
        if path in self.heads["main"] and destination not in self.heads["main"]:
            self.lk.mv(path, destination)
            self.heads["main"][destination] = self.heads["main"].pop(path)

    @rule(branch=BRANCHES, path=PATHS, value=st.sampled_from([None, 2.5, True]))
    def annotate(self, branch: str, path: str, value: Json) -> None:
        if path in self.heads.get(branch, {}):
            self.commit(branch, Annotate(path, {"k": value}))
            size, old = self.heads[branch][path]
            kept = {key: other for key, other in old.items() if key != "k"}
            self.heads[branch][path] = size, kept if value is None else {**kept, "k": value}

    @rule(content=CONTENTS, names=st.lists(st.sampled_from("xyz"), min_size=1, max_size=3), other=CONTENTS)
    def learn(self, content: str, names: list[str], other: str) -> None:
        """Facts come, and are replaced; `contigs` is of a shared kind."""
        tables = fact_table("samples", [(name,) for name in names]) | fact_table(
            "contigs", [(name, 5, None, None, None) for name in names]
        )
        records = [object_record(content), object_record(other)]
        artifacts = [
            Artifact(record.digest, f"facts.{kind}", "1", pack_facts(table))
            for record in records
            for kind, table in tables.items()
        ]
        self.lk.repo.journal.add_artifacts(artifacts, records)

    @rule(content=CONTENTS, spoil=st.booleans())
    def damage(self, content: str, spoil: bool) -> None:
        digest = object_record(content).digest
        if self.lk.repo.journal.known([digest]):
            if spoil:
                self.lk.repo.journal.record_damage(digest, [(0, 0, 1)])
            else:
                self.lk.repo.journal.clear_damage(digest)

    @rule(start=BRANCHES)
    def fork(self, start: str) -> None:
        name = f"b{len(self.heads)}"
        if start in self.heads and name in ("b1", "b2"):
            self.lk.repo.journal.create_branch(name, start)
            self.heads[name] = dict(self.heads[start])

    @rule()
    def publish(self) -> None:
        self.lk.catalog.publish(force=True)

    @rule()
    def rebuild(self) -> None:
        self.lk.catalog.rebuild()

    @rule()
    def refresh(self) -> None:
        self.held.refresh()
        check(self.lk, self.held)
        assert not self.held.refresh()

    @rule(branch=BRANCHES)
    def ask(self, branch: str) -> None:
        if branch in self.heads:
            with self.lk.catalog.connect(at=branch) as asked:
                check(self.lk, asked, branch)

    @invariant()
    def files(self) -> None:
        found = {entry.path: (entry.size, entry.attributes) for entry in self.lk.ls("", recursive=True) if entry.digest}
        assert found == self.heads["main"]
        rows = self.lk.sql("SELECT path, size FROM files").fetchall()
        assert dict(rows) == {path: size for path, (size, _) in self.heads["main"].items()}


TestCatalogMachine = CatalogMachine.TestCase
TestCatalogMachine.settings = settings(
    max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
