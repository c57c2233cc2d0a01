"""Which block of a BGZF file holds which bytes of its content: the question that a ``.gzi`` answers.

Format of a GZI: bgzip(1): a count, then for every block but the first its offset in the file and that of its data in
the content, all unsigned 64-bit little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.bgzf import MAX_BLOCK, BgzfReader, block_size, inflate
from lake.formats.reader import ByteReader
from lake.formats.sealed import seal, unseal

__all__ = [
    "BLOCK_MAP_KIND",
    "BlockMap",
    "decode_block_map",
    "encode_block_map",
    "map_blocks",
    "parse_gzi",
    "read_content",
    "reason_to_refuse_gzi",
]

BLOCK_MAP_KIND = "bgzf-content/1"

_MAGIC = b"RLBGZCM\x01"
_PIECE = 4 << 20

I64 = NDArray[np.int64]


class BlockMap(NamedTuple):
    """Blocks with data, in file order; empty for a file that is not BGZF."""

    coffset: I64
    """Offset of each block in the file."""
    uoffset: I64
    """Offset of its data in the content."""
    size: int
    """Bytes of the content."""


def map_blocks(reader: ByteReader, *, prove: bool = False) -> BlockMap:
    """The map of a file from the headers and trailers of its blocks.

    Args:
        reader: the file.
        prove: inflate every block, since one that states a wrong size shifts all the content behind it.

    Raises:
        FormatError: the chain of blocks is broken, or a block is not what it states.
    """
    coffsets, sizes = [], []
    offset = 0
    while offset < reader.size:
        piece = reader.read(offset, _PIECE)
        cursor = 0
        while cursor < len(piece):
            size = block_size(piece, cursor)
            if size is None and len(piece) - cursor < MAX_BLOCK and cursor:
                break
            if size is None:
                raise FormatError(f"no BGZF block at {offset + cursor}; the file is damaged")
            if cursor + size > len(piece):
                break
            stated = int.from_bytes(piece[cursor + size - 4 : cursor + size], "little")
            if stated > MAX_BLOCK:
                raise FormatError(f"the BGZF block at {offset + cursor} states {stated} inflated bytes: damaged")
            if prove or not stated:
                # A block that lost bytes swallows the end marker, and then states what the marker states: nothing.
                inflate(piece[cursor : cursor + size], offset + cursor)
            if stated:
                coffsets.append(offset + cursor)
                sizes.append(stated)
            cursor += size
        if not cursor:
            raise FormatError(f"the BGZF block at {offset} is cut off at the end of the file")
        offset += cursor
    ends = np.cumsum(np.array(sizes, np.int64))
    return BlockMap(np.array(coffsets, np.int64), ends - np.array(sizes, np.int64), int(ends[-1]) if sizes else 0)


def parse_gzi(data: bytes) -> tuple[I64, I64]:
    """Offsets of blocks in the file and of their data in the content; of every block but the first.

    Raises:
        FormatError: its size is not what its count demands.
    """
    if len(data) < 8 or len(data) != 8 + 16 * struct.unpack_from("<Q", data)[0]:
        raise FormatError("the .gzi is damaged: its size is not what the number of its entries demands")
    pairs = np.frombuffer(data, "<i8", offset=8).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def reason_to_refuse_gzi(blocks: BlockMap, data: bytes) -> str | None:
    """Why a ``.gzi`` cannot belong to the file of these blocks (one sentence), or None."""
    try:
        coffset, uoffset = parse_gzi(data)
    except FormatError as error:
        return str(error)
    # The last entry may be that of the end marker.
    kept = uoffset < blocks.size
    if not (np.array_equal(coffset[kept], blocks.coffset[1:]) and np.array_equal(uoffset[kept], blocks.uoffset[1:])):
        return "the .gzi does not have the blocks of the file: stale, or of another file"
    return None


def encode_block_map(blocks: BlockMap, size: int) -> bytes:
    """The map of a file of ``size`` bytes, sealed."""
    pairs = np.stack([blocks.coffset, blocks.uoffset], axis=1).astype("<i8")
    return seal(_MAGIC, size, struct.pack("<Q", blocks.size) + pairs.tobytes())


def decode_block_map(data: bytes, size: int) -> BlockMap:
    """
    Raises:
        FormatError: damaged, or of another file.
    """
    body = unseal(_MAGIC, size, data, "block map")
    pairs = np.frombuffer(body, "<i8", offset=8).reshape(-1, 2).astype(np.int64)
    return BlockMap(pairs[:, 0], pairs[:, 1], struct.unpack_from("<Q", body)[0])


def read_content(blocks: BgzfReader, known: BlockMap, start: int, stop: int) -> Iterator[bytes]:
    """The bytes ``[start, stop)`` of the content, block by block.

    Raises:
        FormatError: a block is damaged, or is not what the map says.
    """
    row = int(np.searchsorted(known.uoffset, start, side="right")) - 1
    while start < stop:
        if not 0 <= row < len(known.coffset):
            raise FormatError(f"the content ends before byte {stop}: file or index are damaged")
        data = blocks.block(int(known.coffset[row])).data
        begin = int(known.uoffset[row])
        end = int(known.uoffset[row + 1]) if row + 1 < len(known.uoffset) else known.size
        if len(data) != end - begin:
            raise FormatError(f"the BGZF block at {int(known.coffset[row])} is not of the size that it states: damaged")
        yield data[start - begin : stop - begin]
        start = end
        row += 1
