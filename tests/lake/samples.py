"""Small files to put into lakes, and looks at a lake that bypass the code under test."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pysam

from lake.digest import Digest
from lake.lake import Lake

__all__ = [
    "CONTIGS",
    "NOISE",
    "branch_files",
    "flip",
    "local_tree",
    "make_bam",
    "make_tree",
    "object_file",
    "sam_text",
    "staged",
    "stored_objects",
]

NOISE = random.Random(11).randbytes(3 << 20)
"""Bytes that become several chunks, all different."""

CONTIGS = {"chr1": 50_000, "chr2": 30_000, "HLA-A*01:01": 5_000}


def make_bam(path: Path, *, reads: int = 400, seed: int = 1, index: str | None = None) -> Path:
    """A sorted BAM with reads of 50 bases on each contig and a few unplaced; ``index``: ``bai`` or ``csi``."""
    source = random.Random(seed)
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": name, "LN": length} for name, length in CONTIGS.items()],
    }
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for tid, length in enumerate(CONTIGS.values()):
            for number, start in enumerate(sorted(source.randrange(length - 50) for _ in range(reads))):
                bam.write(_read(bam.header, f"r{seed}.{tid}.{number}", tid, start, source))
        for number in range(5):
            bam.write(_read(bam.header, f"r{seed}.none.{number}", -1, -1, source))
    if index is not None:
        pysam.index("-c" if index == "csi" else "-b", str(path))
    return path


def _read(
    header: pysam.AlignmentHeader, name: str, tid: int, start: int, source: random.Random
) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(header)
    read.query_name = name
    read.query_sequence = "".join(source.choices("ACGT", k=50))
    read.query_qualities = pysam.qualitystring_to_array("".join(source.choices("#+3;CDEFGHI", k=50)))
    read.reference_id, read.reference_start = tid, start
    if tid < 0:
        read.flag = 4
    else:
        read.mapping_quality, read.cigarstring = 60, "50M"
    return read


def sam_text(path: Path, *regions: str) -> str:
    """What samtools prints of a BAM, without header."""
    # Several regions need -M to give each record once; that way of asking does not know {names:with:colons}.
    done = subprocess.run(
        ["samtools", "view", *(["-M"] if len(regions) > 1 else []), str(path), *regions],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def make_tree(folder: Path, files: dict[str, str]) -> Path:
    """Text files below a folder; a name that ends in ``/`` becomes an empty directory."""
    for name, text in files.items():
        if name.endswith("/"):
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder


def local_tree(folder: Path) -> dict[str, bytes | None]:
    """Files below a folder with their bytes, and empty directories with None."""
    found: dict[str, bytes | None] = {}
    for place, folders, files in os.walk(folder):
        name = os.path.relpath(place, folder)
        if not folders and not files and name != ".":
            found[name] = None
        for file in files:
            found[os.path.normpath(os.path.join(name, file))] = Path(place, file).read_bytes()
    return found


def branch_files(lk: Lake, ref: str | None = None) -> dict[str, bytes | None]:
    """`local_tree` of a branch: read from the objects' files. Directories count when nothing lies in them."""
    entries = lk.ls("", ref=ref, recursive=True)
    found: dict[str, bytes | None] = {}
    for entry in entries:
        if entry.digest is not None:
            found[entry.path] = _stored_bytes(lk, entry.hex)
        elif not any(other.path.startswith(f"{entry.path}/") for other in entries):
            found[entry.path] = None
    return found


def _stored_bytes(lk: Lake, digest: Digest) -> bytes:
    record = lk.repo.journal.object(digest)
    assert record is not None
    with open(lk.root / record.location.handle, "rb") as file:
        file.seek(record.location.offset)
        return file.read(record.location.length)


def object_file(lk: Lake, path: str, ref: str | None = None) -> Path:
    """Where the bytes of a path lie."""
    digest = lk.stat(path, ref=ref).digest
    assert digest is not None
    return lk.root / "objects" / digest[:2] / digest


def stored_objects(lk: Lake) -> dict[str, tuple[int, int, int]]:
    """Inode, time of change and mode of every stored file."""
    return {
        file.name: (status.st_ino, status.st_mtime_ns, status.st_mode & 0o777)
        for file in (lk.root / "objects").glob("*/*")
        for status in [file.stat()]
    }


def staged(lk: Lake) -> list[str]:
    """Files that wait in staging."""
    return [file.name for file in (lk.root / "staging").rglob("*") if file.is_file()]


def flip(file: Path, offset: int) -> None:
    """Damage a stored file: another value for one of its bytes."""
    mode = file.stat().st_mode
    file.chmod(0o600)
    with open(file, "r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 0xFF]))
    file.chmod(mode & 0o777)
