"""Generations that are damaged, gone, of another journal or another time: noticed, answered right, built again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from blake3 import blake3

from lake.catalog import building, generations
from lake.catalog.generations import CatalogFolder, DatabaseFile, Generation
from lake.catalog.reach import Reach
from lake.catalog.session import CatalogConnection
from lake.errors import BadQuery, FormatError, StorageError
from lake.formats.facts.kinds import FACT_KINDS
from lake.lake import Lake
from tests.catalog.conftest import Put
from tests.catalog.truth import check
from tests.lake.samples import flip


def published(lk: Lake) -> dict[str, Path]:
    """Manifest, core and segment of the newest generation."""
    manifest = sorted((lk.root / "catalog").glob("generation-*.json"))[-1]
    generation = Generation.decode(manifest.read_bytes())
    names = {"core": generation.core.name, "segment": generation.segments[-1].name}
    return {"manifest": manifest} | {role: lk.root / "catalog" / name for role, name in names.items()}


def generation_of(lk: Lake) -> Generation | None:
    with lk.catalog.connect() as connection:
        return connection.generation


@pytest.fixture
def full(lk: Lake, put: Put, bams: Path) -> Lake:
    """A lake with a generation and a tail."""
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    put("a.txt", "one", k=1)
    lk.catalog.publish(force=True)
    put("b.txt", "two")
    return lk


def truncate(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"\xff\x00 garbage")


def empty(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"")


def middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [Path.unlink, truncate, garbage, empty, middle], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("role", ["manifest", "core", "segment"])
def test_damage_is_noticed_and_mended(full: Lake, role: str, harm: Callable[[Path], None]) -> None:
    harm(published(full)[role])
    assert generation_of(full) is None
    check(full)
    full.catalog.publish(force=True)
    assert generation_of(full) is not None
    check(full)


def test_damage_shows_to_a_session_that_is_refreshed(full: Lake, put: Put) -> None:
    with full.catalog.connect() as held:
        assert held.generation is not None
        published(full)["segment"].unlink()
        put("c.txt", "three")
        held.refresh()
        check(full, held)


def test_an_older_generation_serves_while_the_newest_is_damaged(full: Lake) -> None:
    first = generation_of(full)
    full.catalog.publish(force=True)
    published(full)["core"].unlink()
    assert generation_of(full) == first
    check(full)


def test_a_large_file_is_not_read_whole_before_it_is_used(full: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "_HASHED", 0)
    assert generation_of(full) is not None
    check(full)


@pytest.mark.parametrize("role", ["core", "segment"])
def test_damage_in_a_large_file_ends_with_the_next_publishing(
    full: Lake, put: Put, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_HASHED", 0)
    path = published(full)[role]
    for offset in range(3 * 4096 + 100, path.stat().st_size, 4096):
        flip(path, offset)
    full.catalog.publish(force=True)
    check(full)


@pytest.mark.parametrize(("role", "left"), [("core", 1), ("segment", None)])
def test_a_question_that_meets_damage_is_asked_again(
    full: Lake, role: str, left: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_HASHED", 0)
    monkeypatch.setattr(building, "_GROWTH", 0)
    shared = published(full)["segment"]
    full.catalog.publish(force=True)
    # The generation before has another core and this segment.
    with full.catalog.connect() as held:
        last = held.generation
        path = published(full)["core"] if role == "core" else shared
        path.chmod(0o600)
        path.write_bytes(bytes(path.stat().st_size))
        error = BadQuery("Corrupt database file: computed checksum 1 does not match stored checksum 2")
        assert not held.distrust(BadQuery("Binder Error: no such column"))

        def question(connection: CatalogConnection) -> int:
            if connection.generation == last:
                raise error
            return len(connection.sql("FROM files").fetchall())

        assert held.asking(question) == len(full.ls("", recursive=True))
        assert (held.generation.number if held.generation is not None else None) == left
        check(full, held)
    check(full)
    full.catalog.publish(force=True)
    assert generation_of(full) is not None
    check(full)


def test_a_check_of_the_lake_finds_damage(full: Lake) -> None:
    assert full.fsck().generations == []
    middle(published(full)["segment"])
    report = full.fsck()
    assert (report.generations, report.ok) == ([1], True)
    assert full.fsck().generations == []
    check(full)


def test_an_error_without_damage_stays_one(full: Lake) -> None:
    with full.catalog.connect() as held:

        def question(connection: CatalogConnection) -> None:
            connection.execute("FROM read_csv('/no/such/file.csv')")

        with pytest.raises(duckdb.IOException):
            held.asking(question)
        assert held.generation is not None
    assert generation_of(full) is not None


def test_a_generation_of_another_journal(full: Lake, tmp_path: Path) -> None:
    with Lake.init(tmp_path / "other") as other:
        shutil.copytree(full.root / "catalog", other.root / "catalog", dirs_exist_ok=True)
        assert generation_of(other) is None
        check(other)
        other.catalog.publish(force=True)
        assert generation_of(other) is not None
        check(other)


@pytest.mark.parametrize("later", [0, 3])
def test_a_journal_that_was_set_back(lk: Lake, put: Put, tmp_path: Path, later: int) -> None:
    put("a.txt", "one")
    lk.close()
    shutil.copy(lk.root / "journal.db", tmp_path / "older")
    shutil.copytree(lk.root / "log", tmp_path / "log")
    with Lake.open_at(lk.root) as forward:
        with forward.open("b.txt", "w") as file:
            file.write("lost")
        forward.catalog.publish(force=True)
    for name in ("journal.db-wal", "journal.db-shm"):
        (lk.root / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "older", lk.root / "journal.db")
    shutil.rmtree(lk.root / "log")
    shutil.copytree(tmp_path / "log", lk.root / "log")
    with Lake.open_at(lk.root) as back:
        for number in range(later):
            with back.open(f"c{number}.txt", "w") as file:
                file.write(f"other {number}")
        assert generation_of(back) is None
        check(back)
        back.catalog.publish(force=True)
        assert generation_of(back) is not None
        check(back)


def test_another_kind_of_facts(full: Lake) -> None:
    kinds = {name: kind for name, kind in FACT_KINDS.items() if name != "datasets"}
    # Put back in their order, too, which generations are told by.
    with mock.patch.dict(FACT_KINDS, kinds, clear=True):
        assert generation_of(full) is None
        check(full)
        full.catalog.publish(force=True)
        assert generation_of(full) is not None
        check(full)


def test_what_is_of_no_use_is_due(full: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from lake import catalogs

    full.catalog.publish(force=True)
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 1)
    assert not full.catalog.due()
    published(full)["segment"].unlink()
    assert full.catalog.due()


def signed(body: dict[str, object]) -> bytes:
    text = json.dumps(body).encode()
    return text + b"\n" + blake3(text).hexdigest().encode() + b"\n"


MANIFEST: dict[str, object] = {
    "version": 2,
    "number": 1,
    "journal": "x",
    "reach": [0, 0, 0, 0],
    "commit": None,
    "families": "",
    "core": {"name": f"core-{'0' * 16}.duckdb", "size": 1, "blake3": "", "rows": {}},
    "segments": [],
    "stale": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"core": None},
        {"core": {"name": "../../secret.duckdb", "size": 1, "blake3": "", "rows": {}}},
        {"core": {"name": "x AS y; COPY z.duckdb", "size": 1, "blake3": "", "rows": {}}},
        {"reach": "none"},
        {"more": 1},
    ],
    ids=str,
)
def test_strange_manifests_are_none(tmp_path: Path, change: dict[str, object]) -> None:
    assert Generation.decode(signed(MANIFEST)).reach == Reach()
    (tmp_path / f"generation-{1:012d}.json").write_bytes(signed(MANIFEST | change))
    assert CatalogFolder(tmp_path).newest() is None
    with pytest.raises((FormatError, KeyError, TypeError, ValueError)):
        Generation.decode(signed(MANIFEST | change))


def test_a_manifest_says_again_what_it_was_told() -> None:
    core = DatabaseFile("core-00000000000000ff.duckdb", 7, "ab", {"files": 3})
    segment = DatabaseFile("facts-00000000000000ff.duckdb", 8, "cd", {})
    generation = Generation(3, "j", Reach(1, 2, 3, 4), "c", "f", core, (segment,), {"chunks": 2})
    assert Generation.decode(generation.encode()) == generation
    with pytest.raises(FormatError, match="digest"):
        Generation.decode(generation.encode().replace(b'"j"', b'"k"'))


def test_old_generations_go(full: Lake, put: Put) -> None:
    for number in range(5):
        put(f"{number}", str(number))
        full.catalog.publish(force=True)
    folder = full.root / "catalog"
    manifests = sorted(folder.glob("generation-*.json"))
    assert len(manifests) == 2
    named = {file.name for path in manifests for file in Generation.decode(path.read_bytes()).files}
    assert {path.name for path in folder.glob("*.duckdb")} == named
    assert not list(folder.glob("building-*"))
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in folder.glob("*.duckdb"))


def test_leftovers_of_a_publisher_that_died_go(full: Lake) -> None:
    left = full.root / "catalog" / "building-dead"
    (left / "spill").mkdir(parents=True)
    (left / "core.duckdb").write_bytes(b"x")
    (full.root / "catalog" / "building-dead.json").write_bytes(b"x")
    full.catalog.publish(force=True)
    assert not list((full.root / "catalog").glob("building-*"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError), CatalogFolder(tmp_path / "file").building():
        pass
