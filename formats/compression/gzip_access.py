"""Any byte of a gzip file without inflating all that comes before it: access points, kept by indexed_gzip.

An access point holds the 32 KiB of content before it, with which inflating can begin. The CRC of a member is checked
when the points are made, in one pass over everything, and is passed over later: whoever reads through them must have
proved the file's bytes by other means.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator

import indexed_gzip  # type: ignore[import-untyped]

from lake.errors import FormatError
from lake.formats.compression.inflated import GzipContent, Piece, inflate_gzip
from lake.formats.reader import ByteReader
from lake.formats.sealed import seal, unseal
from lake.seekable import SeekableFile

__all__ = ["GZIP_INDEX_KIND", "GzipAccess", "GzipAccessContent", "build_gzip_index"]

GZIP_INDEX_KIND = "gzip-index/1"

_MAGIC = b"RLGZIDX\x01"
_SIZE = struct.Struct("<Q")
_SPACING = 4 << 20
_BUFFER = 256 << 10
_PIECE = 256 << 10


class _ReaderFile(SeekableFile):
    """A `ByteReader` as the file that indexed_gzip wants; what goes wrong in it is kept, for the library loses it."""

    def __init__(self, reader: ByteReader) -> None:
        super().__init__(reader.size)
        self._reader = reader
        self.failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        length = self._size - self._position if size < 0 else size
        try:
            data = self._reader.read(self._position, max(length, 0))
        except Exception as error:
            self.failure = error
            raise
        self._position += len(data)
        return data


def _open(file: _ReaderFile) -> indexed_gzip.IndexedGzipFile:
    return indexed_gzip.IndexedGzipFile(
        fileobj=file, spacing=_SPACING, readbuf_size=_BUFFER, buffer_size=_BUFFER, auto_build=True
    )


def _damaged(file: _ReaderFile, error: Exception) -> Exception:
    """What to raise: the failure of the storage where there was one, else that the file is damaged."""
    return file.failure or FormatError(f"the gzip data cannot be inflated ({error}); the file is damaged")


def build_gzip_index(reader: ByteReader) -> bytes:
    """Access points every 4 MiB of content, from one pass over the file, sealed.

    Raises:
        FormatError: the file is damaged, cut off, or not gzip.
    """
    # indexed_gzip may take a file that is cut off for one that ends there: its size comes from a pass that does not.
    size = sum(map(len, inflate_gzip(reader)))
    file, out = _ReaderFile(reader), io.BytesIO()
    if not size:
        return seal(_MAGIC, reader.size, _SIZE.pack(0))
    try:
        with _open(file) as access:
            access.build_full_index()
            access.seek(size - 1)
            last = access.read(2)
            access.export_index(fileobj=out)
    except (OSError, EOFError, ValueError, indexed_gzip.ZranError) as error:
        raise _damaged(file, error) from error
    if len(last) != 1:
        raise FormatError(f"the gzip data inflates to {size} bytes, but access points do not end there; damaged")
    return seal(_MAGIC, reader.size, _SIZE.pack(size) + out.getvalue())


class GzipAccess:
    """Reads of ranges of the content of a gzip file. Safe for use by several threads."""

    def __init__(self, reader: ByteReader, index: bytes) -> None:
        """
        Raises:
            FormatError: the index is damaged or belongs to another file.
        """
        body = unseal(_MAGIC, reader.size, index, "gzip index")
        self.size: int = _SIZE.unpack_from(body)[0]
        """Bytes of the content."""
        self.reader = reader
        self._file = _ReaderFile(reader)
        self._access = _open(self._file)
        if self.size:
            self._access.import_index(fileobj=io.BytesIO(body[_SIZE.size :]))
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)`` of the content, clamped at its end.

        Raises:
            FormatError: the file is damaged there.
        """
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            with self._lock:
                self._access.seek(offset)
                data: bytes = self._access.read(length)
        except (OSError, EOFError, ValueError, indexed_gzip.ZranError) as error:
            raise _damaged(self._file, error) from error
        if len(data) != length:
            raise FormatError(f"the gzip data ends inside the {length} bytes at {offset}; the file is damaged")
        return data

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The content ``[start, stop)`` in pieces of at most 256 KiB."""
        while start < stop:
            piece = self.read(start, min(_PIECE, stop - start))
            yield piece
            start += len(piece)


class GzipAccessContent(GzipContent):
    """The content of a gzip file with access points."""

    def __init__(self, access: GzipAccess) -> None:
        super().__init__(access.reader)
        self.access = access

    def after(self, address: int) -> Iterator[Piece]:
        for data in self.access.pieces(address, self.access.size):
            yield Piece.at(data, address)
            address += len(data)
