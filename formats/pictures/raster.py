"""Headers of PNG (PNG specification, third edition, 11.2.1) and JPEG (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct

from lake.errors import FormatError
from lake.formats.pictures.page import Page
from lake.formats.reader import ByteReader

__all__ = ["jpeg_page", "png_page"]

_PNG = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type; a pixel of a palette is one number."""
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""JPEG markers that no segment follows."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_SEGMENTS = 10_000


def png_page(reader: ByteReader) -> Page:
    """
    Raises:
        FormatError: the header is damaged.
    """
    head = reader.read(0, 33)
    if len(head) < 33 or head[:8] != _PNG or head[8:16] != b"\0\0\0\x0dIHDR":
        raise FormatError("the PNG header is truncated or damaged")
    width, height, bits, colour = struct.unpack_from(">IIBB", head, 16)
    if not width or not height or colour not in _SAMPLES:
        raise FormatError("the PNG header is damaged")
    return Page(width, height, bits, _SAMPLES[colour], "deflate")


def jpeg_page(reader: ByteReader) -> Page:
    """
    Raises:
        FormatError: no frame where the headers end.
    """
    at = 2
    for _ in range(_MOST_SEGMENTS):
        head = reader.read(at, 10)
        if len(head) < 4 or head[0] != 0xFF:
            break
        code = head[1]
        if code == 0xFF or code in _STANDALONE:
            at += 1 if code == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", head, 2)
        if code in _FRAMES and len(head) == 10:
            bits, height, width, samples = struct.unpack(">BHHB", head[4:9] + reader.read(at + 9, 1))
            # A height of 0 is told behind the first scan only, which no writer that is known does.
            return Page(width, height, bits, samples, "JPEG")
        if length < 2 or code in (0xD9, 0xDA):
            break
        at += 2 + length
    raise FormatError("the JPEG headers name no size: the file is truncated or damaged")
