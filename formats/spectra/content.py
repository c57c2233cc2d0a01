"""The content of a file of spectra, whether it is stored plainly or compressed, read by ranges."""

from __future__ import annotations

import bz2
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO, cast

from isal import isal_zlib

from lake.digest import Digest
from lake.errors import FormatError, LakeError
from lake.formats.compression.bgzf import BgzfReader
from lake.formats.compression.gzi import BLOCK_MAP_KIND, decode_block_map, map_blocks, read_content
from lake.formats.compression.gzip_access import GzipAccess, build_gzip_index
from lake.formats.compression.inflated import container_of
from lake.formats.reader import ByteReader
from lake.seekable import SeekableFile

__all__ = ["MEDIA_TYPES", "compress", "compression_of", "content_reader"]

MEDIA_TYPES = {"bgzf": "application/gzip", "gzip": "application/gzip", "bzip2": "application/x-bzip2"}
"""By what `compression_of` says; what is stored plainly has that of its format."""


def compression_of(reader: ByteReader) -> str:
    """``plain``, ``bgzf``, ``gzip`` or ``bzip2``, by the first bytes."""
    return "bzip2" if reader.read(0, 3) == b"BZh" else container_of(reader)


def content_reader(reader: ByteReader, kind: str | None = None, index: bytes | None = None) -> ByteReader:
    """Reads of ranges of the content of a file; the file itself where it is stored plainly.

    Args:
        reader: the file.
        kind: of the index.
        index: access points of gzip, or the block map of BGZF; without one the file is read once to make it. bzip2
            has none: it is decompressed from its start, for reads behind the last one from there.

    Raises:
        FormatError: file or index are damaged.
    """
    compression = compression_of(reader)
    if compression == "plain":
        return reader
    if compression == "bzip2":
        return _Bzip2Content(reader)
    if compression == "bgzf":
        return _BgzfContent(reader, index if kind == BLOCK_MAP_KIND else None)
    return _GzipContent(reader, index if index is not None else build_gzip_index(reader))


def compress(pieces: Iterator[bytes], compression: str) -> Iterator[bytes]:
    """One gzip member (RFC 1952) without name and time, or one bzip2 stream: the same pieces, the same bytes."""
    if compression == "bzip2":
        packer = bz2.BZ2Compressor()
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()
        return
    member = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    for piece in pieces:
        yield member.compress(piece)
    yield member.flush()


class _GzipContent:
    def __init__(self, reader: ByteReader, index: bytes) -> None:
        self._access = GzipAccess(reader, index)
        self.source: Digest = reader.source
        self.size = self._access.size

    def read(self, offset: int, length: int) -> bytes:
        return self._access.read(offset, length)


class _BgzfContent:
    def __init__(self, reader: ByteReader, index: bytes | None) -> None:
        self._blocks = BgzfReader(reader)
        if not self._blocks.complete:
            raise FormatError("the BGZF end marker is missing: the file may be truncated, and the answer incomplete")
        self._map = decode_block_map(index, reader.size) if index is not None else map_blocks(reader, prove=True)
        self.source: Digest = reader.source
        self.size = self._map.size

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(read_content(self._blocks, self._map, offset, min(offset + length, self.size)))


class _ReaderFile(SeekableFile):
    """A `ByteReader` as a file."""

    def __init__(self, reader: ByteReader) -> None:
        super().__init__(reader.size)
        self._reader = reader

    def read(self, size: int = -1) -> bytes:
        data = self._reader.read(self._position, self._size - self._position if size < 0 else size)
        self._position += len(data)
        return data


class _Bzip2Content:
    def __init__(self, reader: ByteReader) -> None:
        self.source: Digest = reader.source
        self._file = bz2.BZ2File(cast("BinaryIO", _ReaderFile(reader)))
        self._lock = threading.Lock()

    @cached_property
    def size(self) -> int:
        with self._lock:
            try:
                return self._file.seek(0, 2)
            except (OSError, EOFError) as error:
                raise _damaged(error) from error

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            try:
                self._file.seek(offset)
                return self._file.read(length)
            except (OSError, EOFError) as error:
                raise _damaged(error) from error


def _damaged(error: OSError | EOFError) -> Exception:
    """What to raise: the failure of the storage where it was one, else that the file is damaged."""
    if isinstance(error, LakeError):
        return error
    return FormatError(f"the bzip2 data cannot be decompressed ({error}); the file is damaged")
