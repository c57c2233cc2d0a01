"""Record numbers of a FASTQ: where some records begin, so that any record is found after a short walk."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.inflated import Content, Piece
from lake.formats.sealed import seal, unseal
from lake.formats.sequences.fastq_records import Batch, read_fastq

__all__ = [
    "RECORDS_KIND",
    "FastqRecords",
    "RecordIndex",
    "decode_records",
    "encode_records",
    "first_word",
    "index_records",
]

RECORDS_KIND = "fastq-records/1"

_MAGIC = b"RLFQREC\x01"
_HEAD = struct.Struct("<QQQ")
_SPACING = 32 << 10
"""Bytes of text between records that are listed."""

I64 = NDArray[np.int64]


class RecordIndex(NamedTuple):
    """Some records of a FASTQ, the first one among them."""

    total: int
    """Records of the file."""
    end: int
    """Address behind the last byte of the content."""
    number: I64
    """0-based."""
    address: I64


def index_records(content: Content) -> RecordIndex:
    """The index, from one pass over everything.

    Raises:
        FormatError: malformed, with the number of the read; damaged or cut off.
    """
    numbers: list[I64] = []
    addresses: list[I64] = []
    total, last, text = 0, -1, 0

    def counted() -> Iterator[Piece]:
        nonlocal text
        for piece in content.all():
            text += len(piece.data)
            yield piece

    for batch in read_fastq(counted()):
        step = batch.text_start // _SPACING
        listed = np.flatnonzero(step > np.r_[last, step[:-1]])
        numbers.append(listed + batch.number)
        addresses.append(batch.address[listed])
        total, last = batch.number + len(batch.start), int(step[-1])
    number = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    address = np.concatenate(addresses) if addresses else np.zeros(0, np.int64)
    return RecordIndex(total, content.end(text), number, address)


def encode_records(index: RecordIndex, size: int) -> bytes:
    """The index of a file of ``size`` bytes, sealed."""
    head = _HEAD.pack(index.total, index.end, len(index.number))
    return seal(_MAGIC, size, head + index.number.astype("<i8").tobytes() + index.address.astype("<i8").tobytes())


def decode_records(data: bytes, size: int) -> RecordIndex:
    """
    Raises:
        FormatError: damaged, or of another file.
    """
    body = unseal(_MAGIC, size, data, "read index")
    total, end, count = _HEAD.unpack_from(body)
    columns = np.frombuffer(body, "<i8", offset=_HEAD.size).astype(np.int64)
    return RecordIndex(total, end, columns[:count], columns[count:])


class FastqRecords:
    """Records of one FASTQ by number. Safe for use by several threads."""

    def __init__(self, content: Content, index: RecordIndex) -> None:
        self.content = content
        self.index = index

    def address(self, number: int) -> int:
        """Where a record begins; for the number of records, where the content ends.

        Raises:
            FormatError: the file is damaged there, or the index is wrong.
        """
        if number >= self.index.total:
            return self.index.end
        batch, row = self._locate(number)
        return int(batch.address[row])

    def named(self, numbers: Iterable[int], name: bytes) -> Iterator[int]:
        """Those of some records, given in ascending order, that have the name."""
        batch: Batch | None = None
        first = 0
        for number in numbers:
            if batch is None or number - first >= len(batch.start):
                batch, row = self._locate(number)
                first = number - row
            row = number - first
            if first_word(batch.data[int(batch.start[row]) + 1 : int(batch.title_stop[row])]) == name:
                yield number

    def _locate(self, number: int) -> tuple[Batch, int]:
        """Some records with the one of that number, and its row."""
        listed = int(np.searchsorted(self.index.number, number, side="right")) - 1
        if listed >= 0:
            first = int(self.index.number[listed])
            for batch in read_fastq(self.content.after(int(self.index.address[listed])), first):
                row = number - first - batch.number
                if row < len(batch.start):
                    return batch, row
        raise FormatError(f"the file does not have the {self.index.total} reads of its index: make it again")


def first_word(title: bytes) -> bytes:
    """The name of a read: what comes before the first blank."""
    words = title.split(None, 1)
    return words[0] if words and not title[:1].isspace() else b""
