"""The text ahead of the records of a file, plain, in gzip or in BGZF, read no further than it goes."""

from __future__ import annotations

from lake.errors import FormatError
from lake.formats.compression.inflated import open_content
from lake.formats.reader import ByteReader

__all__ = ["header_lines"]

_MAX_HEADER = 1 << 28


def header_lines(reader: ByteReader, mark: bytes) -> bytes:
    """The leading lines that begin with ``mark`` (``@`` or ``#``), with their line ends.

    Raises:
        FormatError: damaged, or more than 256 MiB of header.
    """
    text = bytearray()
    at = 0
    for piece in open_content(reader).after(0):
        text += piece.data
        while (end := text.find(b"\n", at)) >= 0:
            if text[at : at + 1] != mark:
                return bytes(text[:at])
            at = end + 1
        if len(text) > at and text[at : at + 1] != mark:
            return bytes(text[:at])
        if len(text) > _MAX_HEADER:
            raise FormatError("the header is larger than 256 MiB, or the file is damaged")
    return bytes(text)
