"""Damage is told in the words of the format, and healed chunk by chunk from copies elsewhere (I12, R1, R2, R4)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lake.crashpoints import REPAIR_STEPS
from lake.errors import DamagedObject, InvalidInput, NotFound, ReadOnly
from lake.fsck.findings import Bases, Bytes, Spectra
from lake.lake import Lake
from tests.lake.samples import NOISE, flip, make_bam, make_tree, object_file, staged


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big"
    file.write_bytes(NOISE)
    return file


@pytest.fixture
def damaged(bare: Lake, big: Path) -> Lake:
    """A lake with a file of which two chunks are damaged."""
    bare.put(big, "d/")
    for number in (1, 4):
        flip(object_file(bare, "d/big"), bare.reader("d/big").chunks.span(number)[0])
    return bare


def test_the_region_that_is_hit(bare: Lake, tmp_path: Path) -> None:
    bare.put(make_bam(tmp_path / "s1.bam", reads=15_000), "study1/")
    chunks = bare.reader("study1/s1.bam").chunks
    assert len(chunks) > 1
    offset, length = chunks.span(len(chunks) - 2)
    flip(object_file(bare, "study1/s1.bam"), offset + length // 2)
    [finding] = bare.fsck().findings
    assert all(isinstance(hit, Bases) for hit in finding.hits)
    hit = finding.hits[0]
    assert isinstance(hit, Bases)
    assert str(finding).startswith(f"damaged: study1/s1.bam@main {hit.contig}:{hit.start + 1:,}-{hit.stop:,}")
    assert "% reads fine" in str(finding)
    assert 0 < finding.good < 1
    told = finding.as_json()["regions"][0]
    assert (told["contig"], told["start"], told["stop"]) == tuple(hit)
    with Lake.open_at(bare.root, readonly=True) as other:
        with pytest.raises(DamagedObject):
            other.slice("study1/s1.bam", f"{hit.contig}:{hit.start + 1}-{hit.stop}").to_bytes()
        assert other.slice("study1/s1.bam", "chr1:1-100").to_bytes()


def test_spectra_that_are_hit(bare: Lake, shared_data: Path) -> None:
    run = next(iter(sorted(shared_data.rglob("*.mzML"))))
    bare.put(run, "run.mzML")
    chunks = bare.reader("run.mzML").chunks
    number = len(chunks) // 2
    flip(object_file(bare, "run.mzML"), chunks.span(number)[0] + 10)
    [finding] = bare.fsck().findings
    assert any(isinstance(hit, Spectra) for hit in finding.hits)
    assert " (scans " in str(finding) or "spectra " in str(finding)


def test_other_files_are_hit_by_bytes(damaged: Lake) -> None:
    [finding] = damaged.fsck().findings
    chunks = damaged.reader("d/big").chunks
    spans = [chunks.span(number) for number in (1, 4)]
    assert finding.hits == tuple(Bytes(start, start + length) for start, length in spans)


def test_a_missing_file_names_path_commit_and_hash(bare: Lake, big: Path) -> None:
    commit = bare.put(big, "d/").commit
    assert commit is not None
    bare.rm("d/big")
    file = object_file(bare, "d/big", ref=str(commit.seq))
    file.unlink()
    [finding] = bare.fsck(fast=True).findings
    assert (finding.problem, finding.paths, finding.commits) == ("missing", (f"d/big@{commit.seq}",), (commit.seq,))
    assert str(finding) == f"missing: d/big@{commit.seq} (commit {commit.seq}); b3:{file.name}"


@pytest.mark.parametrize("place", ["lake", "file", "folder", "longer"])
def test_healing(damaged: Lake, big: Path, tmp_path: Path, place: str) -> None:
    source = {"lake": tmp_path / "other", "file": big, "folder": tmp_path / "copies", "longer": tmp_path / "more"}[
        place
    ]
    if place == "lake":
        with Lake.init(source) as other:
            other.put(big, "elsewhere/name")
    elif place == "folder":
        make_tree(source, {"no.txt": "no"})
        (source / "deep").mkdir()
        shutil.copy(big, source / "deep/copy")
    elif place == "longer":
        source.write_bytes(NOISE + b"appended since")
    file = object_file(damaged, "d/big")
    before = file.read_bytes()
    with damaged.open("d/big", "rb") as held:
        report = damaged.fsck(repair=True, sources=[source])
        assert held.read() == before
    [finding] = report.findings
    assert (report.ok, finding.healed) == (True, True)
    assert file.read_bytes() == NOISE
    assert file.stat().st_mode & 0o777 == 0o444
    assert [aside.read_bytes() for aside in (damaged.root / "quarantine").iterdir()] == [before]
    assert damaged.stat("d/big").damaged == ()
    assert damaged.reader("d/big").read(0, len(NOISE)) == NOISE
    assert damaged.fsck().findings == []


def test_each_chunk_may_come_from_another_place(damaged: Lake, tmp_path: Path) -> None:
    chunks = damaged.reader("d/big").chunks
    for number, name in ((1, "a"), (4, "b")):
        wrong = bytearray(NOISE)
        start, length = chunks.span(number)
        wrong[start : start + length] = bytes(length)
        (tmp_path / name).write_bytes(wrong)
    assert not damaged.fsck(repair=True, sources=[tmp_path / "a"]).ok
    assert damaged.stat("d/big").damaged == (1, 4)
    assert object_file(damaged, "d/big").read_bytes() != NOISE
    assert list((damaged.root / "quarantine").iterdir()) == []
    assert staged(damaged) == []
    assert damaged.fsck(repair=True, sources=[tmp_path / "a", tmp_path / "b"]).ok
    assert object_file(damaged, "d/big").read_bytes() == NOISE


@pytest.mark.parametrize("kept", [0, 100_000])
def test_a_file_that_is_gone_or_cut_short(bare: Lake, big: Path, kept: int) -> None:
    bare.put(big, "d/")
    file = object_file(bare, "d/big")
    file.unlink()
    if kept:
        file.write_bytes(NOISE[:kept])
    assert bare.fsck(repair=True, sources=[big]).ok
    assert file.read_bytes() == NOISE


def test_packs(bare: Lake, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {f"{number}.txt": f"content {number}" for number in range(80)})
    bare.put(f"{tree}/.", "small")
    [pack] = (bare.root / "packs").iterdir()
    flip(pack, 3)
    flip(pack, 200)
    assert len(bare.fsck().findings) == 2
    assert bare.fsck(repair=True, sources=[tree]).ok
    assert bare.fsck().findings == []
    pack.unlink()
    assert len(bare.fsck(fast=True).findings) == 80
    assert bare.fsck(repair=True, sources=[tree]).ok
    assert not pack.exists()
    assert bare.fsck().findings == []


def test_bytes_of_a_pack_that_no_object_needs(bare: Lake, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {f"{number}.txt": f"content {number}" for number in range(80)})
    bare.put(f"{tree}/.", "small")
    [pack] = (bare.root / "packs").iterdir()
    digest = bare.stat("small/5.txt").digest
    assert digest is not None
    record = bare.repo.journal.object(digest)
    assert record is not None
    bare.repo.plain_file(digest)
    flip(pack, record.location.offset)
    report = bare.fsck()
    assert (report.ok, report.findings, report.packs) == (True, [], [f"packs/{pack.name}"])
    assert bare.fsck(repair=True).packs == []
    assert bare.fsck().packs == []


def test_what_makes_no_sense(damaged: Lake, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--repair"):
        damaged.fsck(sources=[tmp_path])
    with pytest.raises(InvalidInput, match="--fast"):
        damaged.fsck(fast=True, repair=True)
    with pytest.raises(InvalidInput, match="percent"):
        damaged.fsck(percent=0)
    with pytest.raises(NotFound, match="nothing to heal from"):
        damaged.fsck(repair=True, sources=[tmp_path / "none"])
    with Lake.open_at(damaged.root, readonly=True) as other, pytest.raises(ReadOnly):
        other.fsck(repair=True)


@pytest.mark.parametrize("step", REPAIR_STEPS)
def test_killed_at_every_step(damaged: Lake, big: Path, step: str) -> None:
    damaged.fsck()
    damaged.close()
    code = f"from lake.lake import Lake; Lake.open_at({str(damaged.root)!r}).fsck(repair=True, sources=[{str(big)!r}])"
    environment = os.environ | {"REGIONLAKE_CRASHPOINT": step}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Lake.open_at(damaged.root) as again:
        start, length = again.reader("d/big").chunks.span(2)
        assert again.reader("d/big").read(start, length) == NOISE[start : start + length]
        assert again.fsck(repair=True, sources=[big]).ok
        assert again.fsck().findings == []
        assert again.stat("d/big").damaged == ()
        assert object_file(again, "d/big").read_bytes() == NOISE
