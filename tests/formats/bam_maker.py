"""BAM files made byte by byte, and the truth about what a region selects, both independent of the code under test."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

import pysam

from lake.formats.reader import ByteReader
from lake.segments import Plan, Slice

__all__ = [
    "EOF",
    "PADDING",
    "Made",
    "Read",
    "block",
    "blocked",
    "bytes_of",
    "made_bam",
    "parts",
    "selected",
    "spans_of",
]

EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_OPS = "MIDNSHP=X"

PADDING = b"XXZ" + b"padding " * 60 + b"\0"
"""A tag that makes a record long."""


class Read(NamedTuple):
    """What matters of a record; ``cigar`` in text, empty for none."""

    tid: int
    pos: int
    cigar: str = ""
    flag: int = 0
    bases: int | None = None
    """Bases of the sequence: None for as many as the CIGAR has, or ten."""
    name: str = "r"
    tags: bytes = b""

    def operations(self) -> list[tuple[int, str]]:
        found, number = [], ""
        for letter in self.cigar:
            if letter.isdigit():
                number += letter
            else:
                found.append((int(number), letter))
                number = ""
        return found

    def encode(self) -> bytes:
        name = self.name.encode() + b"\0"
        ops = b"".join(struct.pack("<I", length << 4 | _OPS.index(op)) for length, op in self.operations())
        bases = self.bases
        if bases is None:
            bases = sum(length for length, op in self.operations() if op in "MIS=X") if ops else 10
        body = struct.pack(
            "<iiBBHHHiiii",
            *(self.tid, self.pos, len(name), 30, 0, len(ops) // 4, self.flag, bases, -1, -1, 0),
        )
        body += name + ops + b"\x11" * ((bases + 1) // 2) + b"\x1e" * bases + self.tags
        return struct.pack("<i", len(body)) + body


class Made(NamedTuple):
    """An inflated BAM in parts."""

    header: bytes
    records: list[bytes]

    @property
    def inflated(self) -> bytes:
        return self.header + b"".join(self.records)


def made_bam(contigs: Sequence[tuple[str, int]], reads: Iterable[Read], text: str = "@HD\tVN:1.6\n") -> Made:
    text += "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in contigs)
    header = b"BAM\1" + struct.pack("<i", len(text)) + text.encode() + struct.pack("<i", len(contigs))
    for name, length in contigs:
        header += struct.pack("<i", len(name) + 1) + name.encode() + b"\0" + struct.pack("<i", length)
    return Made(header, [read.encode() for read in reads])


def block(data: bytes, extra: bytes = b"", level: int = 6) -> bytes:
    """One BGZF block; ``extra`` are subfields that stand before BC."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", 6 + len(extra)) + extra + b"BC\x02\0"
    size = len(head) + 2 + len(body) + 8
    return head + struct.pack("<H", size - 1) + body + struct.pack("<II", zlib.crc32(data), len(data))


def blocked(data: bytes, sizes: Iterable[int], *, eof: bool = True) -> bytes:
    """Data in BGZF blocks of these inflated sizes, the last size repeated; 0 makes an end marker in mid-file."""
    blocks, at = [], 0
    wanted = list(sizes)
    assert wanted
    assert wanted[-1] > 0
    for size in chain(wanted, repeat(wanted[-1])):
        if at >= len(data):
            break
        blocks.append(EOF if size == 0 else block(data[at : at + size]))
        at += size
    return b"".join(blocks) + (EOF if eof else b"")


def bytes_of(reader: ByteReader, plan: Plan) -> bytes:
    """The slice that a plan describes."""
    answer = Slice(
        plan.media_type, plan.segments, "x", plan.verbatim, lambda span: reader.read(span.offset, span.length)
    )
    return answer.to_bytes()


def parts(bam: bytes) -> Made:
    """Header and records of a BAM, by Python's own gzip."""
    data = gzip.decompress(bam)
    assert data[:4] == b"BAM\1"
    at = 8 + struct.unpack_from("<i", data, 4)[0]
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    for _ in range(count):
        at += 8 + struct.unpack_from("<i", data, at)[0]
    return Made(data[:at], list(_records(data, at)))


def _records(data: bytes, at: int) -> Iterator[bytes]:
    while at < len(data):
        size = 4 + struct.unpack_from("<i", data, at)[0]
        assert at + size <= len(data)
        yield data[at : at + size]
        at += size


def spans_of(path: Path) -> list[tuple[int, int, int]]:
    """Contig, start and end of every record in file order, as htslib has them."""
    with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
        return [
            (read.reference_id, read.reference_start, read.reference_start + max(_length(read), 1))
            for read in file.fetch(until_eof=True)
        ]


def _length(read: pysam.AlignedSegment) -> int:
    return 0 if read.is_unmapped or read.reference_end is None else read.reference_end - read.reference_start


def selected(spans: Sequence[tuple[int, int, int]], wanted: Iterable[tuple[int, int, int]]) -> list[int]:
    """Indexes of the records that overlap one of the intervals ``(tid, start, stop)``; tid -1 for unplaced ones."""
    intervals = list(wanted)
    return [
        index
        for index, (tid, start, end) in enumerate(spans)
        if any(tid == t and (tid < 0 or (start < stop and end > first)) for t, first, stop in intervals)
    ]
