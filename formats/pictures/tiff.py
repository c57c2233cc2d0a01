"""Pages of TIFF (TIFF revision 6.0, sections 2 and 8) and BigTIFF, also OME-TIFF: the chain of their directories."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lake.errors import FormatError
from lake.formats.pictures.page import Page
from lake.formats.reader import ByteReader

__all__ = ["tiff_pages"]

_MOST_PAGES = 1 << 16
_MOST_ENTRIES = 4096
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 254, 256, 257, 258, 259, 277
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Codes of types BYTE, SHORT, LONG, LONG8 for `struct`."""
_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT T.4",
    4: "CCITT T.6",
    5: "LZW",
    6: "old JPEG",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}


def tiff_pages(reader: ByteReader) -> list[Page]:
    """Pages in the order of the file; what lies below them (SubIFDs) is left out.

    Raises:
        FormatError: damaged, truncated, or more than 65,536 pages.
    """
    head = reader.read(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    if len(head) < (16 if big else 8):
        raise FormatError("the TIFF header is truncated")
    layout = _Layout(reader, order, big)
    (offset,) = struct.unpack_from(f"{order}Q", head, 8) if big else struct.unpack_from(f"{order}I", head, 4)
    pages: list[Page] = []
    seen: set[int] = set()
    while offset:
        if offset in seen or len(pages) >= _MOST_PAGES:
            raise FormatError("the pages of the TIFF go in a circle, or are more than 65,536")
        seen.add(offset)
        page, offset = layout.page(offset)
        pages.append(page)
    if not pages:
        raise FormatError("a TIFF without a page: it is damaged")
    return pages


class _Layout:
    """How directories are written: order of bytes, and widths of numbers."""

    def __init__(self, reader: ByteReader, order: str, big: bool) -> None:
        self._reader, self._order = reader, order
        self._count = struct.Struct(order + ("Q" if big else "H"))
        self._next = struct.Struct(order + ("Q" if big else "I"))
        self._entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))

    def page(self, offset: int) -> tuple[Page, int]:
        """A page by its directory, and the offset of the next one, or 0."""
        (count,) = self._count.unpack(self._read(offset, self._count.size))
        if not 0 < count <= _MOST_ENTRIES:
            raise FormatError(f"the TIFF directory at byte {offset} states {count} entries: it is damaged")
        size = count * self._entry.size
        body = self._read(offset + self._count.size, size + self._next.size)
        found = dict(self._integers(body[:size]))
        if not found.get(_WIDTH) or not found.get(_HEIGHT):
            raise FormatError(f"the TIFF page at byte {offset} has no size: it is damaged")
        code = found.get(_COMPRESSION, 1)
        made = Page(
            found[_WIDTH],
            found[_HEIGHT],
            found.get(_BITS, 1),
            found.get(_SAMPLES, 1),
            _COMPRESSIONS.get(code, str(code)),
            bool(found.get(_SUBFILE, 0) & 1),
        )
        return made, int(self._next.unpack_from(body, size)[0])

    def _integers(self, entries: bytes) -> Iterator[tuple[int, int]]:
        """The first value of each entry that matters here."""
        for tag, kind, count, place in self._entry.iter_unpack(entries):
            code = _INTEGERS.get(kind)
            if code is None or count < 1 or tag not in (_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES):
                continue
            value = struct.Struct(self._order + code)
            if count * value.size > len(place):
                place = self._read(int.from_bytes(place, "little" if self._order == "<" else "big"), value.size)
            if value.size <= len(place):
                yield tag, int(value.unpack_from(place)[0])

    def _read(self, offset: int, length: int) -> bytes:
        data = self._reader.read(offset, length) if offset < self._reader.size else b""
        if len(data) < length:
            raise FormatError(f"the TIFF points to byte {offset}, behind its end: it is truncated or damaged")
        return data
