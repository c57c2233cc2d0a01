"""Every view says what the lake says, wherever its rows come from."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from lake.catalog import building
from lake.facts import load_facts, pack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.formats.facts.sources import WHEN_ASKED
from lake.lake import Lake
from tests.catalog.conftest import Put
from tests.catalog.truth import catalog_rows, check
from tests.lake.samples import NOISE


def segments(lk: Lake) -> int:
    """Published segments of the newest generation."""
    with lk.catalog.connect() as connection:
        return len(connection.generation.segments) if connection.generation is not None else 0


def test_an_empty_lake(lk: Lake) -> None:
    check(lk)
    lk.catalog.publish(force=True)
    check(lk)
    assert lk.sql("SELECT count(*) FROM files").fetchall() == [(0,)]


def test_files_without_a_generation_with_one_and_with_a_tail(lk: Lake, put: Put, bams: Path) -> None:
    lk.put([bams / "a.bam", bams / "a.bam.bai"], "runs/")
    put("note.txt", "hello")
    check(lk)
    lk.catalog.publish(force=True)
    check(lk)
    lk.put(bams / "b.bam", "runs/")
    put("note.txt", "changed")
    check(lk)
    lk.catalog.publish(force=True)
    check(lk)


def test_segments_merge_and_keep_every_row(lk: Lake, bams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for growth, wanted in ((0, 4), (10**9, 1)):
        monkeypatch.setattr(building, "_GROWTH", growth)
        for number in range(4 if not growth else 1):
            lk.put(bams / "a.bam", f"{growth}/{number}.bam", index=False, meta={"n": number})
            (Path(lk.root).parent / "text").write_bytes(random.Random(growth + number).randbytes(200_000))
            lk.put(Path(lk.root).parent / "text", f"{growth}/{number}.txt")
            lk.put(bams / "b.bam", f"{growth}/b{number}.bam")
            lk.catalog.publish(force=True)
            check(lk)
        assert segments(lk) == wanted


def test_never_more_segments_than_a_session_likes(
    lk: Lake, put: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(building, "_GROWTH", 0)
    monkeypatch.setattr(building, "_MOST_SEGMENTS", 3)
    for number in range(5):
        (tmp_path / "noise").write_bytes(NOISE + bytes([number]))
        lk.put(tmp_path / "noise", f"{number}")
        lk.catalog.publish(force=True)
        assert segments(lk) <= 3
    check(lk)


@pytest.mark.parametrize("published", ["never", "before", "between"])
def test_whatever_happens_to_a_file(lk: Lake, put: Put, bams: Path, tmp_path: Path, published: str) -> None:
    put("a.txt", "a", size=1)
    put("b.txt", "b")
    (tmp_path / "noise").write_bytes(NOISE)
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.put(tmp_path / "noise", "d/noise", checksums=True)
    if published != "never":
        lk.catalog.publish(force=True)
    with lk.catalog.connect() as held:
        for change in (
            lambda: lk.put(bams / "a.bam", "same.bam"),
            lambda: lk.mv("a.txt", 'dir/it\'s "new".txt'),
            lambda: lk.rm("b.txt"),
            lambda: lk.set_meta(["a.bam", "d/noise"], {"sample": "NA12878", "n": 3}),
            lambda: lk.mkdir("empty"),
            lambda: lk.index("a.bam"),
            lambda: lk.repo.journal.record_damage(lk.reader("d/noise").source, [(1, 5, 5)]),
            lambda: lk.rm("d", recursive=True),
            lambda: lk.restore("d", "main~1"),
            lambda: lk.repo.journal.clear_damage(lk.reader("d/noise").source),
            lambda: put("a.bam", "no BAM any more"),
        ):
            change()
            check(lk)
            held.refresh()
            check(lk, held)
            if published == "between":
                lk.catalog.publish(force=True)
                check(lk)
                check(lk, held)


def test_facts_that_are_renewed_replace_the_old_ones(lk: Lake, bams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_GROWTH", 0)
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.put(bams / "b.bam", index=False)
    lk.catalog.publish(force=True)
    exact = "SELECT DISTINCT exact FROM chunks WHERE contig IS NOT NULL"
    assert lk.sql(exact).fetchall() == [(False,)]
    lk.index("a.bam")
    assert lk.sql(exact).fetchall() == [(True,)]
    check(lk)
    lk.catalog.publish(force=True)
    assert lk.sql(exact).fetchall() == [(True,)]
    check(lk)
    lk.index("b.bam")
    lk.catalog.publish(force=True)
    assert segments(lk) == 3
    check(lk)
    monkeypatch.setattr(building, "_GROWTH", 10**9)
    lk.put(bams / "a.bam.bai", "other.bai")
    lk.catalog.publish(force=True)
    load_facts(lk.repo, lk.reader("b.bam"))
    lk.put(bams / "b.bam", "third.bam")
    lk.catalog.publish(force=True)
    check(lk)


def test_facts_without_rows_replace_those_with_some(lk: Lake, bams: Path) -> None:
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.catalog.publish(force=True)
    digest = lk.stat("a.bam").digest
    assert digest is not None
    kept = next(found for found in lk.repo.journal.artifacts(digest) if found.kind == "facts.chunks")
    none = pack_facts(FACT_KINDS["chunks"].schema.empty_table())
    lk.repo.journal.add_artifacts([replace(kept, body=none, target=None)], [])
    check(lk)
    lk.catalog.publish(force=True)
    check(lk)


@pytest.mark.parametrize("publish", [False, True])
def test_commits_of_every_branch_show_at_once(lk: Lake, put: Put, publish: bool) -> None:
    first = put("a.txt", "one")
    lk.tag("v1")
    lk.branch("exp")
    if publish:
        lk.catalog.publish(force=True)
    lk.sql("FROM commits").fetchall()
    second = put("@exp/b.txt", "two")
    if publish:
        lk.catalog.publish(force=True)
    assert lk.sql("SELECT seq, branch FROM commits ORDER BY seq").fetchall() == [(first, "main"), (second, "exp")]
    for ref in ("v1", str(first)):
        with lk.catalog.connect(at=ref) as past:
            assert past.sql("SELECT seq FROM commits").fetchall() == [(first,)]


def test_facts_are_those_that_the_file_tells(lk: Lake, bams: Path) -> None:
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    for kind, table in lk.facts("a.bam").items():
        if kind != "chunks":
            columns = ", ".join(f'"{name}"' for name in table.column_names)
            assert lk.sql(f"SELECT {columns} FROM {kind} ORDER BY ord").fetchall() == [
                tuple(row.values()) for row in table.to_pylist()
            ]


ATTRIBUTES = {
    "text": "it's \"quoted\" 'twice' ünïcödé \U0001f9ec\n",
    "empty": "",
    "whole": 3,
    "negative": -(2**63),
    "large": 2**63,
    "larger": -(10**30),
    "real": 0.1,
    "round": 1.0,
    "tiny": 5e-324,
    "yes": True,
    "no": False,
    "list": [1, None, "x", {"deep": [True]}],
    "object": {"a": {"b": None}, "ü": "ö"},
    "nothing": {},
    'key "with" quotes': 1,
    "key.with.dots[0]": "dots",
    "$": "dollar",
    "null as text": "null",
    "number as text": "12",
}


@pytest.mark.parametrize("published", [False, True])
def test_attributes_of_every_type(lk: Lake, put: Put, published: bool) -> None:
    put("a.txt", "a", **ATTRIBUTES)
    put("none.txt", "a")
    lk.mkdir("dir")
    lk.set_meta("dir", {"of": "a directory"})
    if published:
        lk.catalog.publish(force=True)
    check(lk)
    rows = lk.sql("""SELECT "key", "type", "value", "number" FROM attributes WHERE path = 'a.txt'""").fetchall()
    assert {row[0] for row in rows} == ATTRIBUTES.keys()
    assert lk.sql("SELECT path FROM files WHERE attributes->>'whole' = '3'").fetchall() == [("a.txt",)]
    lk.set_meta("a.txt", dict.fromkeys(ATTRIBUTES))
    check(lk)
    assert lk.sql("FROM attributes").fetchall() == []


def test_refs(lk: Lake, put: Put, bams: Path) -> None:
    put("a.txt", "one", v=1)
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.repo.journal.create_tag("v1", "main")
    lk.repo.journal.create_branch("exp", "main")
    moment = lk.log()[0].created
    lk.rm("a.bam")
    put("@exp/a.txt", "two", v=2)
    put("@exp/only/here.txt", "x")
    lk.rm("@exp/a.bam.bai")
    lk.catalog.publish(force=True)
    put("a.txt", "three")
    put("@exp/after.txt", "x")
    at = f"main@{{{moment / 1e9:.6f}}}"
    for ref in ("main", "exp", "v1", "1", "main~1", "exp~1"):
        with lk.catalog.connect(at=ref) as connection:
            check(lk, connection, ref)
    assert at
    with Lake.open_at(lk.root, ref="exp") as other:
        assert other.sql("SELECT count(*) FROM files WHERE path = 'only/here.txt'").fetchall() == [(1,)]
        check(lk, other, "exp")


def test_all_real_files(lk: Lake, shared_data: Path) -> None:
    """Live, published, published on top, and rebuilt from the objects: the same rows."""
    lk.put(shared_data / "genomics", "genomics", raise_failure=False)
    check(lk)
    lk.catalog.publish(force=True)
    lk.put([shared_data / "massspec", shared_data / "arrays"], raise_failure=False)
    # A rebuild from the objects also makes the facts that else wait until somebody asks.
    for entry in lk.ls("", recursive=True):
        if entry.format in WHEN_ASKED and not lk.reader(entry.path).record.problems:
            lk.facts(entry.path)
    live = catalog_rows(lk)
    check(lk)
    lk.catalog.publish(force=True)
    assert catalog_rows(lk) == live
    lk.catalog.rebuild()
    assert catalog_rows(lk) == live
    lk.catalog.rebuild(facts=True)
    again = catalog_rows(lk)
    for view in FACT_KINDS:
        assert again[view] == live[view], view
    assert {view: again[view] for view in ("files", "commits")} == {view: live[view] for view in ("files", "commits")}
