"""CRAM files written by htslib from made records, references for them, and the truth about what a region selects."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pysam

__all__ = [
    "CONTIGS",
    "FastaReference",
    "FastaReferences",
    "Mapped",
    "Truth",
    "decoded",
    "made_reference",
    "make_cram",
    "wanted_of",
]

CONTIGS = {"a": 4000, "b": 3000, "c": 2000, "d": 100}


class FastaReference(NamedTuple):
    """A sequence of an open FASTA."""

    fasta: pysam.FastaFile
    name: str

    def fetch(self, start: int, stop: int) -> bytes:
        return str(self.fasta.fetch(self.name, start, stop)).encode()


class FastaReferences:
    """Sequences of FASTA files by their MD5."""

    def __init__(self, *paths: Path) -> None:
        self.asked: list[str] = []
        self._known: dict[str, FastaReference] = {}
        for path in paths:
            fasta = pysam.FastaFile(str(path))
            for name in fasta.references:
                md5 = hashlib.md5(fasta.fetch(name).upper().encode()).hexdigest()
                self._known[md5] = FastaReference(fasta, name)

    def find(self, md5: str, length: int) -> FastaReference | None:
        self.asked.append(md5)
        return self._known.get(md5)


class Truth(NamedTuple):
    """What a file holds."""

    texts: list[str]
    spans: list[tuple[int, int, int]]
    """Contig (-1 for none), start and end, as htslib's ``bam_endpos``."""


def decoded(path: Path, fasta: Path | None = None) -> Truth:
    """All records of a file, by a full scan."""
    texts, spans = [], []
    reference = str(fasta) if fasta is not None else None
    with pysam.AlignmentFile(str(path), "rc", check_sq=False, reference_filename=reference) as file:
        for record in file:
            texts.append(record.to_string())
            start = record.reference_start
            spans.append((record.reference_id, start, record.reference_end or start + 1))
    return Truth(texts, spans)


def wanted_of(truth: Truth, wanted: Sequence[tuple[int, int, int]]) -> list[str]:
    """Texts of the records that overlap one of the intervals, in file order; contig -1 stands for ``*``."""
    return [
        text
        for text, (tid, start, end) in zip(truth.texts, truth.spans, strict=True)
        if any(tid == t and (t < 0 or (start < last and end > first)) for t, first, last in wanted)
    ]


class Mapped(NamedTuple):
    """What matters of a made record."""

    tid: int
    pos: int
    cigar: str = "20M"
    flag: int = 0
    seed: int = 0
    mate: int = 0
    """Distance to the mate's position; 0 for none."""


def made_reference(folder: Path) -> Path:
    """A FASTA with random bases for `CONTIGS`."""
    rng = random.Random(5)
    path = folder / "reference.fa"
    path.write_text("".join(f">{name}\n{''.join(rng.choices('ACGT', k=length))}\n" for name, length in CONTIGS.items()))
    pysam.faidx(str(path))
    return path


def make_cram(
    path: Path, reads: Sequence[Mapped], options: Sequence[str], fasta: Path | None, order: str = "coordinate"
) -> None:
    """Write reads, in the given order, with htslib's format options."""
    lines = [f"@HD\tVN:1.6\tSO:{order}", *(f"@SQ\tSN:{name}\tLN:{length}" for name, length in CONTIGS.items())]
    lines += ["@RG\tID:one\tSM:s", "@RG\tSM:s\tID:two", "@CO\tnothing @RG\tID:no"]
    header = pysam.AlignmentHeader.from_text("\n".join(lines) + "\n")
    bases = {name: pysam.FastaFile(str(fasta)).fetch(name) for name in CONTIGS} if fasta is not None else {}
    with pysam.AlignmentFile(
        str(path),
        "wc",
        header=header,
        reference_filename=str(fasta) if fasta is not None else None,
        format_options=list(options),
    ) as file:
        for number, read in enumerate(reads):
            file.write(_record(read, number, header, bases))


def _record(read: Mapped, number: int, header: pysam.AlignmentHeader, bases: dict[str, str]) -> pysam.AlignedSegment:
    rng = random.Random(read.seed)
    record = pysam.AlignedSegment(header)
    record.query_name = f"read{number % 7 if read.mate else number}"
    record.flag = read.flag
    record.reference_id, record.reference_start = read.tid, read.pos
    mapped = not read.flag & 4 and read.tid >= 0
    if mapped:
        record.cigarstring = read.cigar
        record.mapping_quality = 30
    length = record.infer_query_length() or 20
    sequence = ""
    if mapped and bases:
        # Bases of the reference, a few of them changed, so that differences are what is stored.
        here = bases[list(CONTIGS)[read.tid]][read.pos : read.pos + length].ljust(length, "N")
        sequence = "".join(rng.choice("ACGTN") if rng.random() < 0.1 else base for base in here)
    record.query_sequence = sequence or "".join(rng.choices("ACGTN", k=length))
    record.query_qualities = pysam.qualitystring_to_array("".join(rng.choices("#5?I", k=length)))
    if read.mate and read.tid >= 0:
        record.next_reference_id, record.next_reference_start = read.tid, max(read.pos + read.mate, 0)
        record.template_length = read.mate
    record.set_tag("RG", rng.choice(["one", "two"]))
    if rng.random() < 0.3:
        record.set_tag("XS", rng.randrange(-5, 100_000))
    if mapped and rng.random() < 0.3:
        record.set_tag("NM", rng.randrange(9))
    return record
