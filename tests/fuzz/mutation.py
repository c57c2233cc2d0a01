"""Damages input as faulty disks and hostile people do: blindly, and inside of compression with sound checksums."""

from __future__ import annotations

import gzip
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence

from lake.errors import LakeError
from lake.formats.cram.source import CramSource
from lake.formats.reader import BytesReader
from tests.formats.bam_maker import blocked

__all__ = ["Mutator"]

EXTREMES = (
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    32767,
    65535,
    65536,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e999",
    b"nan",
    b"9" * 400,
)
LONGEST = 4 << 20
"""Bytes that a mutant may have."""
_DIGITS = re.compile(rb"\d+")


class Mutator:
    """Makes mutants of an input; the same seed makes the same ones.

    Args:
        rng: decides.
        words: what is put in here and there: keywords of the format.
    """

    def __init__(self, rng: random.Random, words: Sequence[bytes] = ()) -> None:
        self._rng = rng
        self._words = words
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._byte,
            self._number,
            self._number,
            self._digits,
            self._digits,
            self._cut,
            self._remove,
            self._repeat,
            self._move,
            self._word,
        )

    def mutant(self, data: bytes) -> bytes:
        """One mutant; that of compressed data is half of the time compressed as well as the data was."""
        if self._rng.random() < 0.6:
            if data.startswith(b"\x1f\x8b"):
                return self._packed(data)
            if data.startswith(b"CRAM"):
                return self._summed(data)
        return self._damaged(data)

    def _damaged(self, data: bytes) -> bytes:
        mutable = bytearray(data)
        for _ in range(self._rng.choice((1, 1, 1, 2, 3, 6))):
            self._rng.choice(self._ways)(mutable)
        return bytes(mutable[:LONGEST])

    def _packed(self, data: bytes) -> bytes:
        try:
            content = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return self._damaged(data)
        content = self._damaged(content)
        if data[12:14] != b"BC":
            return gzip.compress(content, 1)
        return blocked(content, [self._rng.choice((200, 5000, 65_000))] * (len(content) // 200 + 1))

    def _summed(self, data: bytes) -> bytes:
        """A container header or a block changed, and its checksum set right (CRAM 3.0, sections 7 and 8)."""
        try:
            source = CramSource(BytesReader(data))
            containers = list(source.containers())
            container = self._rng.choice(containers)
            parts = [(container.offset, container.body)]
            parts += [(block.offset, block.end) for block in source.blocks(container)]
        except (LakeError, IndexError):
            return self._damaged(data)
        start, stop = self._rng.choice(parts)
        sums = 4 if source.major >= 3 else 0
        part = bytearray(data[start : stop - sums])
        # The head of a part has what is worth changing.
        for _ in range(self._rng.choice((1, 2, 3))):
            at = self._rng.randrange(min(len(part), self._rng.choice((12, 60, len(part))))) if part else 0
            if part:
                part[at] = self._rng.choice((0, 1, 0x7F, 0x80, 0xFF, self._rng.randrange(256)))
        check = struct.pack("<I", zlib.crc32(part)) if sums else b""
        return data[:start] + bytes(part) + check + data[stop:]

    def _place(self, data: bytearray) -> int:
        """Anywhere, headers more often."""
        if not data:
            return 0
        return self._rng.randrange(min(len(data), self._rng.choice((64, 1024, len(data), len(data)))))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self._rng.randrange(8)

    def _byte(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] = self._rng.choice((0, 9, 10, 13, 34, 38, 60, 62, 127, 128, 255))

    def _number(self, data: bytearray) -> None:
        size = self._rng.choice((1, 2, 4, 4, 4, 8))
        # Fields of binary headers lie at multiples of their size more often than not.
        step = self._rng.choice((1, 4))
        at = self._place(data) // step * step
        value = self._rng.choice(EXTREMES) & (1 << 8 * size) - 1
        if at + size <= len(data):
            data[at : at + size] = value.to_bytes(size, "little" if self._rng.random() < 0.7 else "big")

    def _digits(self, data: bytearray) -> None:
        start = self._place(data)
        found = _DIGITS.search(data, start, start + 4096)
        if found is not None:
            data[found.start() : found.end()] = self._rng.choice(NUMBERS)

    def _cut(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _span(self, data: bytearray) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._rng.choice((1, 2, 4, 8, 30, 300, 5000)))

    def _remove(self, data: bytearray) -> None:
        start, stop = self._span(data)
        del data[start:stop]

    def _repeat(self, data: bytearray) -> None:
        start, stop = self._span(data)
        data[start:start] = data[start:stop] * self._rng.choice((1, 1, 2, 50))

    def _move(self, data: bytearray) -> None:
        start, stop = self._span(data)
        part = data[start:stop]
        at = self._place(data)
        data[at:at] = part

    def _word(self, data: bytearray) -> None:
        at = self._place(data)
        if self._words:
            data[at:at] = self._rng.choice(self._words)
