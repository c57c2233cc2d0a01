"""Checking a lake finds what is wrong, says where, and deletes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake.lake import Lake
from tests.lake.samples import NOISE, flip, make_tree, object_file, stored_objects


@pytest.fixture
def filled(bare: Lake, tmp_path: Path, bams: Path) -> Lake:
    make_tree(tmp_path / "tree", {"small.txt": "small"})
    (tmp_path / "tree/big").write_bytes(NOISE)
    bare.put(f"{tmp_path}/tree/.", "d")
    bare.put(bams / "c.bam", "d")
    bare.branch("exp")
    bare.rm("d/small.txt")
    return bare


def test_a_sound_lake(filled: Lake) -> None:
    report = filled.fsck()
    assert report.ok
    assert (report.findings, report.orphans, report.foreign) == ([], 0, [])
    assert report.objects == len(stored_objects(filled))
    assert report.bytes == sum(file.stat().st_size for file in (filled.root / "objects").glob("*/*"))
    assert report.as_json()["ok"] is True


def test_a_flipped_byte_is_named_by_path_and_chunk(filled: Lake) -> None:
    chunk = list(filled.reader("d/big").chunks)[2]
    flip(object_file(filled, "d/big"), chunk.offset)
    [finding] = filled.fsck().findings
    assert finding.problem == "damaged"
    assert finding.paths[0] == "d/big@main"
    assert finding.chunks == ((2, chunk.offset, chunk.length),)
    assert f"chunk 2 at {chunk.offset}" in str(finding)
    assert filled.stat("d/big").damaged == (2,)


def test_damage_is_forgotten_when_the_bytes_are_right_again(filled: Lake) -> None:
    for _ in range(2):
        flip(object_file(filled, "d/big"), 0)
        filled.fsck()
    assert filled.stat("d/big").damaged == ()


def test_what_only_history_names(filled: Lake) -> None:
    flip(object_file(filled, "d/small.txt", ref="exp"), 0)
    [finding] = filled.fsck().findings
    assert any(name.startswith("d/small.txt@") for name in finding.paths)
    assert finding.chunks == ((0, 0, 5),)


@pytest.mark.parametrize("size", [0, 1000, len(NOISE) + 10])
def test_another_size(filled: Lake, size: int) -> None:
    file = object_file(filled, "d/big")
    file.chmod(0o600)
    os.truncate(file, size)
    [finding] = filled.fsck().findings
    assert finding.problem == "size"
    assert bool(finding.chunks) == (size < len(NOISE))


def test_a_missing_object(filled: Lake) -> None:
    object_file(filled, "d/big").unlink()
    [finding] = filled.fsck().findings
    assert (finding.problem, finding.paths[0]) == ("missing", "d/big@main")


def test_orphans_and_foreign_names_are_no_damage(filled: Lake) -> None:
    before = set(stored_objects(filled))
    folder = filled.root / "objects/ab"
    folder.mkdir(exist_ok=True)
    (folder / ("ab" + "0" * 62)).write_bytes(b"left by a crash")
    (folder / "notes.txt").write_bytes(b"?")
    (filled.root / "objects/README").write_bytes(b"?")
    report = filled.fsck()
    assert report.ok
    assert report.orphans == 1
    assert sorted(report.foreign) == ["objects/README", "objects/ab/notes.txt"]
    assert set(stored_objects(filled)) == before | {"ab" + "0" * 62, "notes.txt"}


def test_a_lake_that_cannot_be_written(filled: Lake) -> None:
    flip(object_file(filled, "d/big"), 0)
    with Lake.open_at(filled.root, readonly=True) as other:
        assert not other.fsck().ok
    assert filled.stat("d/big").damaged == ()


def test_an_index_that_is_damaged_costs_no_answer(filled: Lake, bams: Path) -> None:
    filled.put(bams / "a.bam.bai", "d")
    filled.put(bams / "a.bam", "d")
    wanted = filled.slice("d/a.bam", "chr2:1-9,000").to_bytes()
    flip(object_file(filled, "d/a.bam.bai"), 0)
    with Lake.open_at(filled.root) as other:
        assert other.slice("d/a.bam", "chr2:1-9,000").to_bytes() == wanted
