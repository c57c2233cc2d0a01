"""Chunk maps: how an object is cut into runs of bytes, each with its own digest."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import NamedTuple

from blake3 import blake3

from lake.digest import Digest, digest_of
from lake.errors import FormatError
from lake.formats.cutters import TARGET, BgzfCutter, ContentCutter, CramCutter, Cutter, Learned, LearningCutter
from lake.formats.line_cutters import FastqCutter, LineCutter
from lake.formats.spectra.end_cutters import BlockCutter, ElementCutter

__all__ = [
    "CUTTERS",
    "Chunk",
    "ChunkMap",
    "ChunkWatcher",
    "Cutter",
    "CutterRule",
    "cutter_for",
    "register_cutter",
]

_DIGEST = 32
_HEADER = struct.Struct("<BI")
_VERSION = 1
_GATHERED = 1 << 20
"""Small pieces are gathered up to this size before a cutter sees them: cutters look back a little at each piece."""
_LARGE = 64 << 20
"""Files from this size on are cut more coarsely where the table leaves it open."""
_MANY = 1 << 20
"""Chunks on average from which on chunks are larger instead of more: a map has to fit into memory."""
_LARGEST_AVERAGE = 4 << 20
"""Bytes; FastCDC takes no larger ones, and verifying a chunk should not take long."""


class Chunk(NamedTuple):
    """A run of an object's bytes."""

    ord: int
    """0-based number."""
    offset: int
    """First byte in the object, 0-based."""
    length: int
    digest: Digest


@dataclass(frozen=True)
class ChunkMap:
    """All chunks of an object, in order, without gaps."""

    lengths: tuple[int, ...]
    """Bytes of each chunk."""
    digests: bytes
    """32 bytes for each chunk."""

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First byte of each chunk, and behind them the size of the object."""
        return tuple(accumulate(self.lengths, initial=0))

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.offsets[-1]

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Chunk]:
        for number, length in enumerate(self.lengths):
            yield Chunk(number, self.offsets[number], length, self.digest(number))

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a chunk."""
        return self.offsets[number], self.lengths[number]

    def digest(self, number: int) -> Digest:
        """The digest of a chunk."""
        return Digest(self.digests[number * _DIGEST : (number + 1) * _DIGEST].hex())

    def locate(self, offset: int, length: int) -> range:
        """Numbers of the chunks that hold the bytes ``[offset, offset + length)``, clamped to the object."""
        first, last = max(offset, 0), min(offset + length, self.size) - 1
        if last < first:
            return range(0)
        return range(bisect_right(self.offsets, first) - 1, bisect_right(self.offsets, last))

    def verify(self, number: int, data: bytes | bytearray | memoryview) -> bool:
        """Whether the bytes are those of the chunk."""
        return len(data) == self.lengths[number] and digest_of(data) == self.digest(number)

    def root(self) -> Digest:
        """Digest of the encoding: names the map."""
        return digest_of(self.encode())

    def encode(self) -> bytes:
        """Version (1 byte), number of chunks (4), each length (4), each digest (32); integers little-endian."""
        count = len(self.lengths)
        return _HEADER.pack(_VERSION, count) + struct.pack(f"<{count}I", *self.lengths) + self.digests

    @classmethod
    def decode(cls, data: bytes, size: int) -> ChunkMap:
        """The map of an object of ``size`` bytes.

        Raises:
            FormatError: not an encoded map, or that of an object of another size.
        """
        if len(data) < _HEADER.size:
            raise FormatError(f"chunk map of {len(data)} bytes is too short: rebuild it with lake fsck")
        version, count = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise FormatError(f"chunk map has version {version}, this software reads {_VERSION}: update it")
        lengths_end = _HEADER.size + 4 * count
        if len(data) != lengths_end + _DIGEST * count:
            raise FormatError(f"chunk map of {len(data)} bytes does not hold the {count} chunks that it states")
        lengths = struct.unpack_from(f"<{count}I", data, _HEADER.size)
        if sum(lengths) != size or (count > 1 and 0 in lengths):
            raise FormatError(f"chunk map covers {sum(lengths)} bytes, the object has {size}")
        return cls(lengths, data[lengths_end:])


class ChunkWatcher:
    """A store's watcher that cuts and hashes chunks while the bytes of an object pass."""

    def __init__(self, cutter: Cutter | None) -> None:
        """Without a cutter the object is one chunk, and nothing is done."""
        self._cutter = cutter
        self._gathered = bytearray()
        self._cuts: deque[int] = deque()
        self._hasher = blake3()
        self._start = 0
        """Offset of the chunk that is being hashed."""
        self._seen = 0
        self._lengths: list[int] = []
        self._digests = bytearray()

    def update(self, piece: memoryview, /) -> None:
        if self._cutter is None:
            return
        if not self._gathered and len(piece) >= _GATHERED:
            self._take(self._cutter, piece)
            return
        self._gathered += piece
        if len(self._gathered) >= _GATHERED:
            self._take_gathered(self._cutter)

    @property
    def whole(self) -> bool:
        """After `finish`: the file's own structure was followed from its start to its very end."""
        return self._cutter is not None and self._cutter.whole

    @property
    def learned(self) -> Learned | None:
        """After `finish`: what the pass gave beside the cuts."""
        return self._cutter.learned if isinstance(self._cutter, LearningCutter) else None

    def finish(self) -> ChunkMap | None:
        """After the last piece: the chunks, or None when the object is one."""
        if self._cutter is None:
            return None
        self._take_gathered(self._cutter)
        self._cuts.extend(self._cutter.finish(self._seen))
        if not self._lengths:
            return None
        if self._seen > self._start:
            self._close_chunk(self._seen)
        return ChunkMap(tuple(self._lengths), bytes(self._digests)) if len(self._lengths) > 1 else None

    def _take_gathered(self, cutter: Cutter) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        self._take(cutter, memoryview(gathered))

    def _take(self, cutter: Cutter, piece: memoryview) -> None:
        base = self._seen
        self._seen += len(piece)
        self._cuts.extend(cutter.update(piece))
        done = 0
        while self._cuts and self._cuts[0] <= self._seen:
            cut = self._cuts.popleft()
            self._hasher.update(piece[done : cut - base])
            done = cut - base
            self._close_chunk(cut)
        self._hasher.update(piece[done:])

    def _close_chunk(self, end: int) -> None:
        self._lengths.append(end - self._start)
        self._digests += self._hasher.digest()
        self._hasher.reset()
        self._start = end


class CutterRule(NamedTuple):
    """How files of a kind are cut."""

    smallest: int
    """Files of up to this many bytes are one chunk, whatever they hold."""
    make: Callable[[], Cutter]
    average: int = 0
    """Bytes that a chunk usually has, where `larger` knows more of them."""
    larger: Callable[[int], Cutter] | None = None
    """Gives a cutter of chunks that are so many times larger; a power of two."""

    def cutter(self, size: int | None) -> Cutter:
        """A cutter for a file of that size; that of a huge one makes larger chunks, so that there are not too many."""
        if size is None or self.larger is None:
            return self.make()
        times = 1
        while size > self.average * times * _MANY and 2 * self.average * times <= _LARGEST_AVERAGE:
            times *= 2
        return self.larger(times)


def _by_content(smallest: int, average: int, largest: int) -> CutterRule:
    return _by_sizes(ContentCutter, smallest << 10, average << 10, largest << 10)


def _by_lines(cutter: type[LineCutter], smallest: int, average: int, largest: int) -> CutterRule:
    return _by_sizes(cutter, smallest << 10, average << 10, largest << 10)


def _by_sizes(cutter: Callable[[int, int, int], Cutter], smallest: int, average: int, largest: int) -> CutterRule:
    def larger(times: int) -> Cutter:
        return cutter(smallest * times, average * times, largest * times)

    return CutterRule(smallest, partial(larger, 1), average, larger)


def _mzml() -> Cutter:
    from lake.formats.spectra.cutter import MzmlCutter

    return MzmlCutter()


def _by_elements(tag: bytes) -> CutterRule:
    return _by_sizes(partial(ElementCutter, tag), 64 << 10, 256 << 10, 1 << 20)


_FINE = _by_content(16, 64, 256)
_COARSE = _by_content(64, 256, 1024)

CUTTERS: dict[str, CutterRule] = {
    # Containers first: what is inside a BGZF file does not matter.
    "bgzf": CutterRule(1 << 20, BgzfCutter, TARGET, lambda times: BgzfCutter(TARGET * times)),
    "CRAM": CutterRule(1 << 20, CramCutter, TARGET, lambda times: CramCutter(TARGET * times)),
    **dict.fromkeys(("SAM", "VCF", "BED", "GFF3", "GTF", "FASTA"), _by_lines(LineCutter, 16, 64, 256)),
    "FASTQ": _by_lines(FastqCutter, 16, 64, 256),
    "mzML": CutterRule(0, _mzml),
    "MGF": _by_lines(BlockCutter, 64, 256, 1024),
    "imzML": _by_elements(b"</spectrum>"),
    "mzXML": _by_elements(b"</scan>"),
    **dict.fromkeys(("gzip", "bzip2", "xz", "zstd", "zip"), _COARSE),
    **dict.fromkeys(("text", "CSV", "TSV", "JSON", "XML", "HTML"), _FINE),
    **dict.fromkeys(("HDF5", "h5ad", "mzMLb", "netCDF", "Parquet", "Arrow", "SQLite", "DuckDB"), _COARSE),
    **dict.fromkeys(("TIFF", "PNG", "JPEG", "PDF", "ibd", "2bit", "BigWig", "BigBed"), _COARSE),
}
"""Which kind of file gets which cutter: by container, then by format. What is not listed goes by its size."""


def register_cutter(name: str, factory: Callable[[], Cutter], smallest: int = 0) -> None:
    """Let a format, or a container, have a cutter of its own.

    ``smallest`` is the size in bytes up to which a file is one chunk whatever it holds.
    """
    CUTTERS[name] = CutterRule(smallest, factory)


def cutter_for(container: str | None, format_name: str, size: int | None = None) -> Cutter | None:
    """A new cutter for a file, or None where it is one chunk whatever its bytes.

    Args:
        container: the compression around the content, as detection names it: ``bgzf``, ``gzip``, …; None for none.
        format_name: the format's name: ``BAM``, ``CRAM``, ``csv``, …
        size: bytes of the file where known.
    """
    rule = CUTTERS.get(container) if container is not None else None
    rule = rule or CUTTERS.get(format_name) or (_COARSE if size is not None and size >= _LARGE else _FINE)
    return None if size is not None and size <= rule.smallest else rule.cutter(size)
