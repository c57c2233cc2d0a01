"""The structures of CRAM 2.1, 3.0 and 3.1: variable integers, containers, blocks, slice and compression headers.

Everything is read strictly in order from the bytes at hand; nothing here knows of files. Coordinates are as stored:
1-based starts and spans.

Source: CRAM format specification 3.1, sections 2.3 "Writing bytes to a byte stream" (itf8, ltf8), 6 "File
definition", 7 "Container header structure", 8 "Block structure" and 9 "End of file container". CRAM 2.1 has no
checksums, and its record counters are itf8.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

__all__ = [
    "DEFINITION_SIZE",
    "EOF_MARKERS",
    "FILE_HEADER",
    "GZIP",
    "MULTIPLE",
    "RAW",
    "SLICE_HEADER",
    "UNPLACED_READS",
    "BlockHeader",
    "ContainerHeader",
    "Fields",
    "Nonsense",
    "Short",
    "SliceHeader",
    "header_container",
    "is_end_marker",
    "itf8",
    "ltf8",
    "raw_block",
    "read_block",
    "read_container",
    "read_slice",
    "reference_required",
    "summed",
]

DEFINITION_SIZE = 26
"""Bytes of the file definition: magic, version, file id."""

EOF_MARKERS = {
    2: bytes.fromhex("0b000000ffffffff0fe0454f4600000000010000010006060100" + "01000100"),
    3: bytes.fromhex("0f000000ffffffff0fe0454f46000000000100" + "05bdd94f0001000606010001000100" + "ee63014b"),
}
"""The last bytes of a complete file, by major version: an empty container at a position that spells EOF."""

MULTIPLE = -2
"""Reference of a slice or container whose records lie on several contigs, or on none."""
UNPLACED_READS = -1
"""Reference of a slice whose records have no contig."""

RAW, GZIP = 0, 1
FILE_HEADER, SLICE_HEADER = 0, 2
"""Content types of blocks."""

_LANDMARKS = 200_000
"""A container that states more slices than this is taken for nonsense."""
_METHODS = 8
_CONTENT_TYPES = 5


class Short(Exception):
    """The structure goes on after the bytes at hand."""


class Nonsense(Exception):
    """No structure of the format begins here. What was read of it ends where that became known."""


class Fields:
    """The fields of a structure, read strictly in order: what is found wrong, and where, depends on the bytes alone."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise Short
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def itf8(self) -> int:
        """A 32-bit integer, unsigned."""
        first = self.byte()
        if first < 0x80:
            return first
        if first < 0xC0:
            return (first & 0x3F) << 8 | self.byte()
        if first < 0xE0:
            return (first & 0x1F) << 16 | int.from_bytes(self.take(2), "big")
        if first < 0xF0:
            return (first & 0x0F) << 24 | int.from_bytes(self.take(3), "big")
        rest = self.take(4)
        return (first & 0x0F) << 28 | int.from_bytes(rest[:3], "big") << 4 | rest[3] & 0x0F

    def signed(self) -> int:
        """A 32-bit integer, signed."""
        value = self.itf8()
        return value - (1 << 32) if value >> 31 else value

    def ltf8(self) -> int:
        """A 64-bit integer, unsigned: as many bytes follow the first as it has leading ones."""
        first = self.byte()
        count = 8 - (first ^ 0xFF).bit_length()
        return (first & (0x7F >> count)) << 8 * count | int.from_bytes(self.take(count), "big")

    def checksum(self, start: int) -> None:
        """The CRC-32 of all that was read since ``start``."""
        expected = zlib.crc32(memoryview(self.data)[start : self.at])
        if int.from_bytes(self.take(4), "little") != expected:
            raise Nonsense


class ContainerHeader(NamedTuple):
    """What precedes the blocks of a container."""

    length: int
    """Bytes of the blocks that follow."""
    reference: int
    """Index of the contig, `UNPLACED_READS` or `MULTIPLE`."""
    start: int
    records: int
    counter: int
    """Records of the file before its first one."""
    blocks: int
    landmarks: tuple[int, ...]
    """Offsets of the slices' header blocks from the end of this header."""


def read_container(fields: Fields, major: int) -> ContainerHeader:
    """
    Raises:
        Short, Nonsense: see there; also for a checksum that does not match.
    """
    start = fields.at
    length = int.from_bytes(fields.take(4), "little", signed=True)
    if length < 0:
        raise Nonsense
    reference, first = fields.signed(), fields.signed()
    fields.itf8()  # span
    records = fields.itf8()
    counter = fields.itf8() if major == 2 else fields.ltf8()
    fields.ltf8()  # bases
    blocks, count = fields.itf8(), fields.itf8()
    if count > _LANDMARKS:
        raise Nonsense
    landmarks = tuple([fields.itf8() for _ in range(count)])
    if major == 3:
        fields.checksum(start)
    return ContainerHeader(length, reference, first, records, counter, blocks, landmarks)


class BlockHeader(NamedTuple):
    """What precedes the content of a block."""

    method: int
    content_type: int
    size: int
    """Bytes as stored."""
    raw_size: int
    """Bytes when decompressed."""


def read_block(fields: Fields) -> BlockHeader:
    """
    Raises:
        Short, Nonsense: see there.
    """
    method, content_type = fields.take(2)
    fields.itf8()  # content id
    size, raw_size = fields.signed(), fields.signed()
    if method > _METHODS or content_type > _CONTENT_TYPES or size < 0 or raw_size < 0:
        raise Nonsense
    if method == RAW and size != raw_size:
        raise Nonsense
    return BlockHeader(method, content_type, size, raw_size)


class SliceHeader(NamedTuple):
    """What a slice says of its records."""

    reference: int
    """Index of the contig, `UNPLACED_READS` or `MULTIPLE`."""
    start: int
    """Leftmost base of its records, 1-based."""
    span: int
    """Bases from there to the rightmost one."""
    records: int
    blocks: int
    embedded: bool
    """Whether the reference that it was encoded against lies in one of its blocks."""


def read_slice(fields: Fields, major: int) -> SliceHeader:
    """The content of a slice header block.

    Raises:
        Short, Nonsense: see there.
    """
    reference, start, span, records = fields.signed(), fields.signed(), fields.signed(), fields.signed()
    if major == 2:
        fields.itf8()  # record counter
    else:
        fields.ltf8()
    blocks, ids = fields.itf8(), fields.itf8()
    if ids > len(fields.data):
        raise Nonsense
    for _ in range(ids):
        fields.itf8()
    embedded = fields.signed()
    fields.take(16)  # MD5 of the reference
    if reference < MULTIPLE or span < 0 or records < 0:
        raise Nonsense
    return SliceHeader(reference, start, span, records, blocks, embedded >= 0)


def reference_required(compression_header: bytes) -> bool:
    """Whether the slices of a container are encoded against a reference (the preservation map's RR).

    What cannot be understood counts as yes. Source: specification, section 8.4 "Compression header block".
    """
    fields = Fields(compression_header)
    try:
        fields.itf8()
        for _ in range(fields.itf8()):
            key = fields.take(2)
            if key == b"RR":
                return fields.byte() != 0
            if key == b"TD":
                fields.take(fields.itf8())
            elif key == b"SM":
                fields.take(5)
            else:
                fields.byte()
    except Short:
        return True
    return True


def is_end_marker(data: bytes, major: int) -> bool:
    """Whether bytes are the end marker; htslib, too, leaves out the four bits of an itf8 that mean nothing."""
    marker = EOF_MARKERS[major]
    return data[:8] == marker[:8] and data[8:9] != b"" and data[8] & 15 == 15 and data[9:] == marker[9:]


def itf8(value: int) -> bytes:
    """The shortest encoding of a non-negative integer below 2^32."""
    if value < 1 << 28:
        return ltf8(value)
    return bytes([0xF0 | value >> 28]) + (value >> 4 & 0xFFFFFF).to_bytes(3, "big") + bytes([value & 0x0F])


def ltf8(value: int) -> bytes:
    """The shortest encoding of a non-negative integer below 2^64."""
    count = min(max((value.bit_length() - 1) // 7, 0), 8)
    prefix = 0xFF00 >> count & 0xFF
    return (prefix << 8 * count | value).to_bytes(count + 1, "big")


def summed(data: bytes, major: int) -> bytes:
    """A structure with its CRC-32 behind it, which CRAM 2.1 does not have."""
    return data + struct.pack("<I", zlib.crc32(data)) if major == 3 else data


def raw_block(content_type: int, content: bytes, major: int) -> bytes:
    """A block whose content is not compressed."""
    size = itf8(len(content))
    return summed(bytes([RAW, content_type, 0]) + size + size + content, major)


def header_container(text: bytes, major: int, minor: int) -> bytes:
    """File definition and a header container with that SAM header: what a CRAM file begins with."""
    block = raw_block(FILE_HEADER, struct.pack("<i", len(text)) + text, major)
    # Reference, start, span, records, counter, bases: nothing of that; one block, one landmark at its start.
    header = summed(struct.pack("<i", len(block)) + bytes(6) + b"\1\1\0", major)
    return b"CRAM" + bytes([major, minor]) + bytes(20) + header + block
