"""Publishing: when, in which order, and never at the cost of a commit."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from lake import catalogs
from lake.catalog import generations
from lake.catalog.building import publishing_lock
from lake.errors import ReadOnly, StorageError
from lake.lake import Lake
from lake.stores.durable import System
from tests.catalog.conftest import Put
from tests.catalog.truth import check
from tests.lake.samples import flip


def manifests(lk: Lake) -> list[Path]:
    return sorted((lk.root / "catalog").glob("generation-*.json"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few commits make a generation due, and every commit looks."""
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 3)
    monkeypatch.setattr(catalogs, "_LOOK", 1)


def test_nothing_is_published_before_it_is_due(lk: Lake, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 3)
    for number in range(2):
        put(str(number), "x")
    assert not lk.catalog.due()
    assert lk.catalog.publish() is None
    put("2", "x")
    assert lk.catalog.due()
    made = lk.catalog.publish()
    assert made is not None
    assert made.reach.seq == 3
    assert not lk.catalog.due()
    assert lk.catalog.publish() is None


@pytest.mark.parametrize("limit", ["PUBLISH_OBJECTS", "PUBLISH_FACTS"])
def test_objects_and_facts_count_too(lk: Lake, bams: Path, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, limit, 2)
    lk.put([bams / "a.bam", bams / "b.bam"])
    assert lk.catalog.due()


def test_commits_publish_aside_and_close_waits(hasty: None, lk: Lake, put: Put) -> None:
    for number in range(4):
        put(str(number), "x")
    lk.close()
    assert manifests(lk)
    assert not [thread for thread in threading.enumerate() if thread.name == "regionlake-catalog"]
    check(lk)


def test_a_close_publishes_what_is_due(lk: Lake, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 3)
    for number in range(3):
        put(str(number), "x")
    assert not manifests(lk)
    lk.close()
    assert manifests(lk)


def test_who_has_to_read_much_publishes(lk: Lake, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        put(str(number), "x")
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 3)
    with Lake.open_at(lk.root) as reader:
        assert len(reader.sql("FROM files").fetchall()) == 3
    assert len(manifests(lk)) == 1


def test_no_commit_waits_for_a_publisher(hasty: None, lk: Lake, put: Put) -> None:
    (lk.root / "catalog").mkdir(exist_ok=True)
    with publishing_lock(lk.root / "catalog" / "publish.lock", wait=False) as mine:
        assert mine
        for number in range(5):
            put(str(number), "x")
        assert lk.catalog.publish() is None
        assert len(lk.sql("FROM files").fetchall()) == 5
        lk.close()
    assert not manifests(lk)


class Disk(System):
    """Writes down what is made durable, and fails where told."""

    steps: list[str]
    failing: str

    def fsync(self, fd: int) -> None:
        if self.failing == "fsync":
            raise OSError(28, "No space left on device")
        self.steps.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name.split("-")[0])

    def sync_directory(self, path: str | Path) -> None:
        if self.failing == "folder":
            raise OSError(28, "No space left on device")
        names = os.listdir(path)
        self.steps.append(f"folder with {sum(name.endswith('.json') and name[0] == 'g' for name in names)}")


@pytest.fixture
def disk(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> type[Disk]:
    Disk.steps, Disk.failing = [], ""
    monkeypatch.setattr(lk.repo, "system", Disk())
    return Disk


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_every_step_is_durable_before_the_next(lk: Lake, bams: Path, disk: type[Disk]) -> None:
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.catalog.publish(force=True)
    files, rest = sorted(disk.steps[:2]), disk.steps[2:]
    assert files == ["core.duckdb", "facts.duckdb"]
    assert rest == ["folder with 0", "building", "folder with 1"]


@pytest.mark.parametrize("failing", ["fsync", "folder"])
def test_a_full_disk_costs_no_commit(
    hasty: None, lk: Lake, put: Put, disk: type[Disk], failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    disk.failing = failing
    with caplog.at_level(logging.WARNING, "lake.catalog"):
        for number in range(5):
            put(str(number), "x")
        lk.close()
    assert "was not published" in caplog.text
    assert not manifests(lk)
    with pytest.raises(StorageError, match="No space left"):
        lk.catalog.publish(force=True)
    assert not list((lk.root / "catalog").glob("building-*"))
    check(lk)
    disk.failing = ""
    lk.catalog.publish(force=True)
    check(lk)


def test_a_folder_that_is_none(hasty: None, lk: Lake, put: Put) -> None:
    (lk.root / "catalog").rmdir()
    (lk.root / "catalog").write_bytes(b"")
    for number in range(5):
        put(str(number), "x")
    check(lk)
    with pytest.raises(StorageError, match="cannot write the catalog"):
        lk.catalog.publish(force=True)
    lk.close()
    (lk.root / "catalog").unlink()
    lk.catalog.publish(force=True)
    check(lk)


def test_a_lake_that_is_read_only(lk: Lake, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("a", "x")
    monkeypatch.setattr(catalogs, "PUBLISH_COMMITS", 1)
    with Lake.open_at(lk.root, readonly=True) as seen:
        check(seen)
        with pytest.raises(ReadOnly):
            seen.catalog.publish(force=True)
        with pytest.raises(ReadOnly):
            seen.catalog.rebuild(facts=True)
    assert not manifests(lk)


def test_damage_of_a_large_file_is_not_handed_on(
    lk: Lake, put: Put, bams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_HASHED", 0)
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    lk.catalog.publish(force=True)
    (segment,) = (lk.root / "catalog").glob("facts-*")
    flip(segment, segment.stat().st_size // 2)
    put("a.txt", "x")
    made = lk.catalog.publish(force=True)
    assert made is not None
    assert segment.name not in [file.name for file in made.files]
    check(lk)
