"""BGZF: gzip in blocks of at most 64 KiB, each of which states its own size (SAM specification, section 4.1).

A virtual offset names a byte of the inflated data: ``coffset << 16 | uoffset``, with the offset of a block in the
file and the offset of the byte inside the inflated block.
"""

from __future__ import annotations

import io
import os
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple, cast

from isal import igzip, igzip_lib, isal_zlib

from lake.errors import FormatError
from lake.formats.reader import ByteReader

__all__ = [
    "ENCODER",
    "EOF_BLOCK",
    "HEADER_SIZE",
    "MAX_BLOCK",
    "BgzfReader",
    "Block",
    "Run",
    "block_size",
    "block_size_at",
    "bulk_runs",
    "check_chain",
    "compress",
    "ends_with_marker",
    "inflate",
    "single_runs",
    "split_blocks",
    "virtual_offset",
]

EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that ends a file (SAM specification, section 4.1.2)."""

ENCODER = f"isal/{version('isal')}"
"""What compresses edges: another version may write other bytes for the same records."""

HEADER_SIZE = 18
"""Bytes of a block's header when its extra field holds nothing but BC, as every known writer has it."""

MAX_BLOCK = 1 << 16
"""Largest size of a block, deflated or inflated."""

_PAYLOAD = 65_280
"""Inflated bytes in a block that we write: the same as bgzip, so that an incompressible block still fits."""

_FIXED = struct.Struct("<4BI2BH")
_TRAILER = struct.Struct("<II")
_CACHE_BYTES = 8 << 20

_RUN_BYTES = 2 << 20
_RUN_INFLATED = 4 << 20
"""Bounds of a run that is read in bulk, compressed and inflated: up to some hundred blocks."""


class Block(NamedTuple):
    """An inflated block."""

    data: bytes
    next: int
    """File offset of the block after it."""


class Run(NamedTuple):
    """Consecutive inflated blocks."""

    data: bytes
    coffsets: list[int]
    """File offset of each block."""
    bounds: list[int]
    """Where the data of each block starts in ``data``."""
    next: int
    """File offset of the block after them."""


def virtual_offset(coffset: int, uoffset: int) -> int:
    """The virtual offset of byte ``uoffset`` of the block at ``coffset``."""
    return coffset << 16 | uoffset


def _extra_end(header: bytes, offset: int) -> int:
    return offset + 12 + int.from_bytes(header[offset + 10 : offset + 12], "little")


def block_size(header: bytes, offset: int = 0) -> int | None:
    """Size of the block whose header is at ``offset``, in bytes; None when no BGZF block starts there.

    ``header`` must hold the extra field: 18 bytes for a usual block, at most 65,547.
    """
    if header[offset : offset + 4] != b"\x1f\x8b\x08\x04" or len(header) < offset + HEADER_SIZE:
        return None
    if header[offset + 10 : offset + 16] == b"\x06\x00BC\x02\x00":
        size = int.from_bytes(header[offset + 16 : offset + 18], "little") + 1
        return size if size >= HEADER_SIZE + 8 else None
    cursor, stop = offset + 12, _extra_end(header, offset)
    if stop > len(header):
        return None
    while cursor + 4 <= stop:
        length = int.from_bytes(header[cursor + 2 : cursor + 4], "little")
        if header[cursor : cursor + 2] == b"BC" and length == 2 and cursor + 6 <= stop:
            size = int.from_bytes(header[cursor + 4 : cursor + 6], "little") + 1
            return size if size >= stop - offset + 8 else None
        cursor += 4 + length
    return None


def inflate(block: bytes, where: int) -> bytes:
    """The data of one whole block; ``where`` is its file offset, for messages.

    Raises:
        FormatError: the deflate data is broken, or size or CRC32 disagree with the block's trailer.
    """
    crc, size = _TRAILER.unpack_from(block, len(block) - 8)
    if size > MAX_BLOCK:
        raise FormatError(f"BGZF block at {where}: states {size} inflated bytes, more than 65,536")
    try:
        # The bound on the output keeps a bomb from growing; asking for one byte more shows a block that lies.
        stream = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE, 15)
        data: bytes = stream.decompress(block[_extra_end(block, 0) : -8], size + 1)
    except (isal_zlib.error, EOFError) as error:  # type: ignore[misc]  # the stub has it as an instance
        raise FormatError(f"BGZF block at {where}: cannot be inflated ({error}); the file is damaged") from error
    if len(data) != size or not (stream.eof or size == 0):
        raise FormatError(f"BGZF block at {where}: inflates to another size than it states; the file is damaged")
    if isal_zlib.crc32(data) != crc:
        raise FormatError(f"BGZF block at {where}: CRC32 does not match; the file is damaged")
    return data


def compress(data: bytes | memoryview) -> bytes:
    """Whole BGZF blocks that inflate to ``data``, without an end marker."""
    view = memoryview(data)
    blocks = []
    for start in range(0, len(view), _PAYLOAD):
        payload = view[start : start + _PAYLOAD]
        body = isal_zlib.compress(payload, 1, -15)
        if len(body) + HEADER_SIZE + 8 > MAX_BLOCK:
            # A stored deflate block: one final block, its length and the complement of it.
            body = struct.pack("<BHH", 1, len(payload), len(payload) ^ 0xFFFF) + bytes(payload)
        size = len(body) + HEADER_SIZE + 8
        blocks.append(EOF_BLOCK[:16] + struct.pack("<H", size - 1) + body)
        blocks.append(_TRAILER.pack(isal_zlib.crc32(payload), len(payload)))
    return b"".join(blocks)


def ends_with_marker(reader: ByteReader) -> bool:
    """Whether the file ends with the BGZF end marker."""
    return reader.size >= len(EOF_BLOCK) and reader.read(reader.size - len(EOF_BLOCK), len(EOF_BLOCK)) == EOF_BLOCK


def split_blocks(piece: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Offset in ``piece`` and size of each block that lies whole in it; ``offset`` is the piece's place in the file.

    Raises:
        FormatError: something that is not a BGZF block starts where one should.
    """
    cursor = 0
    while cursor < len(piece):
        size = block_size(piece, cursor)
        if size is None:
            if len(piece) - cursor < MAX_BLOCK:
                return
            raise FormatError(f"no BGZF block at {offset + cursor}; the file is damaged")
        if cursor + size > len(piece):
            return
        yield cursor, size
        cursor += size


class BgzfReader:
    """Inflated blocks by file offset, the last used ones kept. Safe for use by several threads."""

    def __init__(self, reader: ByteReader, cache_bytes: int = _CACHE_BYTES) -> None:
        self.reader = reader
        self._limit = cache_bytes
        self._held = 0
        self._cache: OrderedDict[int, Block] = OrderedDict()
        self._lock = threading.Lock()
        self._complete: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether the file ends with the BGZF end marker, so that it cannot have lost its tail."""
        if self._complete is None:
            self._complete = ends_with_marker(self.reader)
        return self._complete

    def block(self, coffset: int) -> Block:
        """The block at ``coffset``; at the end of the file, an empty one whose ``next`` is ``coffset``.

        Raises:
            FormatError: no whole, sound block starts there.
        """
        with self._lock:
            found = self._cache.get(coffset)
            if found is not None:
                self._cache.move_to_end(coffset)
                return found
        if coffset == self.reader.size:
            return Block(b"", coffset)
        raw = self.reader.read(coffset, MAX_BLOCK) if 0 <= coffset < self.reader.size else b""
        size = block_size(raw)
        if size is None:
            raise FormatError(f"no BGZF block at {coffset}; the file or its index is damaged")
        if size > len(raw):
            raise FormatError(f"BGZF block at {coffset} is cut off at the end of the file")
        block = Block(inflate(raw[:size], coffset), coffset + size)
        with self._lock:
            if coffset not in self._cache:
                self._cache[coffset] = block
                self._held += len(block.data)
            while self._held > self._limit and len(self._cache) > 1:
                self._held -= len(self._cache.popitem(last=False)[1].data)
        return block

    def next_offset(self, coffset: int) -> int:
        """File offset of the block after the one at ``coffset``, from its header alone.

        Raises:
            FormatError: no whole block starts there.
        """
        with self._lock:
            found = self._cache.get(coffset)
        if found is not None:
            return found.next
        size = block_size_at(self.reader, coffset)
        if size is None or coffset + size > self.reader.size:
            raise FormatError(f"no whole BGZF block at {coffset}; the file or its index is damaged")
        return coffset + size


def single_runs(blocks: BgzfReader, coffset: int) -> Iterator[Run]:
    """Runs of one block, from the block at ``coffset`` to the end of the file."""
    while True:
        block = blocks.block(coffset)
        if block.next == coffset:
            return
        yield Run(block.data, [coffset], [0], block.next)
        coffset = block.next


def bulk_runs(reader: ByteReader, coffset: int, threads: int = 2, *, views: bool = False) -> Iterator[Run]:
    """Runs of some MiB, from the block at ``coffset`` to the end of the file, inflated ahead by threads.

    With ``views`` the data of a run is a memoryview, one copy of everything less, for those who only index and slice.
    """
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Run]] = deque()
        while ahead or coffset < reader.size:
            while coffset < reader.size and len(ahead) <= threads:
                piece = reader.read(coffset, _RUN_BYTES)
                blocks = _some_blocks(piece, coffset)
                ahead.append(pool.submit(_inflate_run, piece, blocks, coffset))
                coffset += sum(blocks[-1])
            run = ahead.popleft().result()
            yield run if views else run._replace(data=bytes(run.data))


def _some_blocks(piece: bytes, coffset: int) -> list[tuple[int, int]]:
    """The first blocks of a piece, at least one, that do not inflate to more than a run may hold."""
    blocks: list[tuple[int, int]] = []
    inflated = 0
    for offset, size in split_blocks(piece, coffset):
        inflated += min(int.from_bytes(piece[offset + size - 4 : offset + size], "little"), MAX_BLOCK)
        if blocks and inflated > _RUN_INFLATED:
            break
        blocks.append((offset, size))
    if not blocks:
        raise FormatError(f"the BGZF block at {coffset} is damaged, or cut off at the end of the file")
    return blocks


def _inflate_run(piece: bytes, blocks: list[tuple[int, int]], where: int) -> Run:
    import numpy as np

    sizes = [int.from_bytes(piece[offset + size - 4 : offset + size], "little") for offset, size in blocks]
    bounds = [0, *accumulate(min(size, MAX_BLOCK) for size in sizes)]
    # Always the same size, so that memory that one run has given back fits the next.
    data = np.empty(max(_RUN_INFLATED, bounds[-1]), np.uint8).data[: bounds.pop()]
    if max(sizes) > MAX_BLOCK or not _inflate_at_once(piece, blocks, data):
        for (offset, size), start, length in zip(blocks, bounds, sizes, strict=True):
            data[start : start + length] = inflate(piece[offset : offset + size], where + offset)
    return Run(cast("bytes", data), [where + offset for offset, _ in blocks], bounds, where + sum(blocks[-1]))


def _inflate_at_once(piece: bytes, blocks: list[tuple[int, int]], out: memoryview) -> bool:
    """Inflate blocks as one gzip file, checked by its reader, and say whether each gave just what its trailer states.

    One call for hundreds of blocks: threads that wait for the interpreter after every single one spend half their
    time on that. Zeros between the members of a gzip file mean nothing, but a member that does not end with its block
    runs into them; how many there are is left to chance, so that a file made on purpose to pass by other boundaries
    passes once in 256 times, and one that is merely damaged does not. Then no block gives less than its trailer
    states, and the sum tells that none gives more.
    """
    gaps = os.urandom(len(blocks))
    members = (piece[offset : offset + size] + bytes(1 + gap) for (offset, size), gap in zip(blocks, gaps, strict=True))
    filled = 0
    try:
        with igzip.IGzipFile(fileobj=io.BytesIO(b"".join(members))) as file:  # type: ignore[no-untyped-call]
            while filled < len(out):
                count = file.readinto(out[filled:])
                if not count:
                    return False
                filled += count
            return not file.read(1)
    except (isal_zlib.error, EOFError, OSError):  # type: ignore[misc]  # the stub has it as an instance
        return False


def block_size_at(reader: ByteReader, coffset: int) -> int | None:
    """Size of the block at ``coffset`` of a file, in bytes; None when no block starts there."""
    header = reader.read(coffset, HEADER_SIZE)
    size = block_size(header)
    if size is None and header[:4] == b"\x1f\x8b\x08\x04":
        return block_size(reader.read(coffset, MAX_BLOCK))
    return size


def check_chain(reader: ByteReader, *, whole: bool = False) -> list[str]:
    """Walk the headers of all blocks: what is wrong with the chain, one sentence each.

    ``whole`` says that the walk has been done and led to the end of the file: only the end marker is looked at.
    """
    if reader.size == 0:
        return ["the file is empty"]
    offset = reader.size if whole else 0
    while offset < reader.size:
        size = block_size_at(reader, offset)
        if size is None and offset == 0:
            return ["not BGZF: no block header at the start of the file"]
        if size is None:
            left = reader.size - offset
            return [f"no BGZF block at {offset}, {left} bytes before the end: damaged, or followed by other bytes"]
        if offset + size > reader.size:
            return [f"truncated: the BGZF block at {offset} is cut off at the end of the file"]
        offset += size
    if not ends_with_marker(reader):
        return ["truncated: the BGZF end marker is missing, so records may be missing"]
    return []
