"""Damage is told in the words of the format, and healed chunk by chunk from copies elsewhere (I12, R1, R2, R4)."""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
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


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BAM of several chunks."""
    return make_bam(tmp_path_factory.mktemp("reads") / "s1.bam", reads=15_000)


@pytest.fixture
def damaged(bare: Lake, big: Path) -> Lake:
    """A lake with a file of which two chunks are damaged."""
    bare.put(big, "d/")
    for number in (1, 4):
        flip(object_file(bare, "d/big"), bare.reader("d/big").chunks.span(number)[0])
    return bare


def test_the_region_that_is_hit(bare: Lake, reads: Path) -> None:
    bare.put(reads, "study1/")
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


def test_without_its_beginning_no_region_of_a_file_can_be_cut(bare: Lake, reads: Path) -> None:
    bare.put(reads, "study1/")
    flip(object_file(bare, "study1/s1.bam"), 10)
    [finding] = bare.fsck().findings
    assert "no region can be cut" in str(finding)
    with Lake.open_at(bare.root, readonly=True) as other, pytest.raises(DamagedObject):
        other.slice("study1/s1.bam", "chr2:1-100").to_bytes()


def test_sequences_that_are_hit(bare: Lake, tmp_path: Path) -> None:
    """The lines of a.fa have 70 bases, its chunks end somewhere in them."""
    letters = {"a": 300_000, "b:1": 200_001, "none": 0, "c": 100}
    source, text = random.Random(3), ""
    for name, length in letters.items():
        bases = "".join(source.choices("ACGT", k=length))
        text += f">{name} of a test\n" + "".join(f"{bases[at : at + 70]}\n" for at in range(0, length, 70))
    (tmp_path / "a.fa").write_text(text)
    bare.put(tmp_path / "a.fa")
    bare.slice("a.fa", "c:1-10").to_bytes()
    chunks = bare.reader("a.fa").chunks
    told: list[Bases] = []
    for number in range(len(chunks)):
        start, length = chunks.span(number)
        flip(object_file(bare, "a.fa"), start + length // 2)
        [finding] = bare.fsck(["a.fa"]).findings
        assert all(isinstance(hit, Bases) for hit in finding.hits)
        told += [hit for hit in finding.hits if isinstance(hit, Bases)]
        flip(object_file(bare, "a.fa"), start + length // 2)
    assert len(chunks) > 1
    for name, length in letters.items():
        mine = [hit for hit in told if hit.contig == name]
        assert sum(hit.stop - hit.start for hit in mine) == length
        assert all(before.stop == after.start for before, after in itertools.pairwise(mine))
    assert str(Bases("b:1", 9, 2000)) == "{b:1}:10-2,000"


def test_spectra_that_are_hit(bare: Lake, shared_data: Path) -> None:
    run = next(iter(sorted(shared_data.rglob("*.mzML"))))
    bare.put(run, "run.mzML")
    chunks = bare.reader("run.mzML").chunks
    number = len(chunks) // 2
    flip(object_file(bare, "run.mzML"), chunks.span(number)[0] + 10)
    [finding] = bare.fsck().findings
    assert any(isinstance(hit, Spectra) for hit in finding.hits)
    assert " (scans " in str(finding) or "spectra " in str(finding)


def test_arrays_that_are_hit(bare: Lake, tmp_path: Path) -> None:
    """One row of HDF5's own chunks is damaged: others can be cut."""
    rows = np.random.default_rng(1).integers(0, 1 << 60, (60, 20_000))
    with h5py.File(tmp_path / "a.h5", "w") as made:
        made.create_dataset("m", data=rows, chunks=(1, 20_000))
    data = (tmp_path / "a.h5").read_bytes()
    bare.put(tmp_path / "a.h5")
    flip(object_file(bare, "a.h5"), data.index(rows[40].tobytes()) + 1000)
    [finding] = bare.fsck().findings
    [hit] = finding.hits
    assert isinstance(hit, Bytes)
    assert hit.start <= data.index(rows[40].tobytes()) + 1000 < hit.stop
    with Lake.open_at(bare.root, readonly=True) as other:
        with h5py.File(io.BytesIO(other.slice("a.h5", "/m[2:4]").to_bytes())) as file:
            assert np.array_equal(file["m"][()], rows[2:4])
        with pytest.raises(DamagedObject, match=r"a\.h5: chunk \d+"):
            other.slice("a.h5", "/m[39:42]").to_bytes()


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
    before = object_file(damaged, "d/big").read_bytes()
    report = damaged.fsck(repair=True, sources=[tmp_path / "a"])
    assert not report.ok
    told = [(finding.healed, [chunk[0] for chunk in finding.chunks]) for finding in report.findings]
    assert told == [(True, [4]), (False, [1])]
    assert damaged.stat("d/big").damaged == (1,)
    start, length = chunks.span(4)
    assert damaged.reader("d/big").read(start, length) == NOISE[start : start + length]
    assert [aside.read_bytes() for aside in (damaged.root / "quarantine").iterdir()] == [before]
    assert staged(damaged) == []
    assert damaged.fsck(repair=True, sources=[tmp_path / "b"]).ok
    assert object_file(damaged, "d/big").read_bytes() == NOISE


def test_where_nobody_has_a_chunk_nothing_is_written(damaged: Lake, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(len(NOISE)))
    before = object_file(damaged, "d/big").stat()
    [finding] = damaged.fsck(repair=True, sources=[tmp_path / "other"]).findings
    assert (finding.healed, damaged.stat("d/big").damaged) == (False, (1, 4))
    assert object_file(damaged, "d/big").stat().st_ino == before.st_ino
    assert list((damaged.root / "quarantine").iterdir()) == []


@pytest.mark.parametrize("kept", [0, 100_000])
def test_of_a_file_that_is_gone_or_cut_short_comes_back_what_there_is(bare: Lake, big: Path, kept: int) -> None:
    bare.put(big, "d/")
    chunks = bare.reader("d/big").chunks
    start, length = chunks.span(2)
    file = object_file(bare, "d/big")
    file.unlink()
    if kept:
        file.write_bytes(NOISE[:kept])
    big.write_bytes(NOISE[:start] + bytes(length) + NOISE[start + length :])
    lost, healed = sorted(bare.fsck(repair=True, sources=[big]).findings, key=lambda finding: finding.healed)
    assert (healed.healed, lost.problem, [number for number, _, _ in lost.chunks]) == (True, "damaged", [2])
    assert bare.stat("d/big").damaged == (2,)
    assert bare.reader("d/big").read(0, start) == NOISE[:start]
    with pytest.raises(DamagedObject):
        bare.reader("d/big").read(start, 1)
    big.write_bytes(NOISE)
    assert bare.fsck(repair=True, sources=[big]).ok
    assert bare.fsck().findings == []


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


def test_of_a_pack_comes_back_what_there_is(bare: Lake, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {f"{number}.txt": f"content {number}" for number in range(80)})
    bare.put(f"{tree}/.", "small")
    [pack] = (bare.root / "packs").iterdir()
    flip(pack, 3)
    flip(pack, 200)
    both = bare.fsck().findings
    assert len(both) == 2
    names = [finding.paths[0].removeprefix("small/").removesuffix("@main") for finding in both]
    report = bare.fsck(repair=True, sources=[tree / names[0]])
    assert sorted((finding.healed, *finding.paths) for finding in report.findings) == [
        (False, f"small/{names[1]}@main"),
        (True, f"small/{names[0]}@main"),
    ]
    assert bare.reader(f"small/{names[0]}").read(0, 99) == (tree / names[0]).read_bytes()
    assert bare.fsck(repair=True, sources=[tree]).ok
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
