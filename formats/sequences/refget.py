"""Names of sequences by their content: MD5 as in ``M5`` of SAM, and the GA4GH digest.

Sources: SAM specification, section 1.3.2 "Reference MD5 calculation"; refget 2.0, "Checksum calculation":
``SQ.`` and the first 24 bytes of SHA-512 in base64url.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.compression.inflated import open_content
from lake.formats.reader import ByteReader

__all__ = ["SequenceDigests", "sequences"]

_UPPER = bytes(range(256)).upper()
_DROPPED = bytes([*range(33), *range(127, 256)])
"""Everything outside of ``!`` to ``~``, as the SAM specification has it."""
_LONGEST_TITLE = 1 << 20


class SequenceDigests(NamedTuple):
    """A sequence of a FASTA."""

    name: str
    length: int
    md5: str
    """32 hex digits."""
    ga4gh: str
    """``SQ.`` and 32 characters."""


def sequences(reader: ByteReader) -> Iterator[SequenceDigests]:
    """Every sequence of a FASTA, plain, BGZF or gzip, in file order; lower case counts as upper case.

    One pass, in memory that does not grow with the sequences.

    Raises:
        FormatError: not FASTA, or damaged.
    """
    current: _Hashes | None = None
    rest, fresh = b"", True
    """What of a header line came before this piece, and whether the piece begins a line."""
    for piece in open_content(reader).all():
        data = rest + piece.data
        rest, cursor = b"", 0
        while cursor < len(data):
            if fresh and data[cursor] == 62:
                end = data.find(b"\n", cursor)
                if end < 0:
                    rest = data[cursor:]
                    if len(rest) > _LONGEST_TITLE:
                        raise FormatError("a header line of the FASTA has no end within 1 MiB")
                    break
                if current is not None:
                    yield current.result()
                current = _Hashes(data[cursor + 1 : end])
                cursor = end + 1
                continue
            end = data.find(b"\n>", cursor) + 1 or len(data)
            bases = data[cursor:end].translate(_UPPER, _DROPPED)
            if current is not None:
                current.update(bases)
            elif bases:
                raise FormatError("the first line that is not blank does not begin with '>': not FASTA")
            cursor = end
            fresh = data[cursor - 1] == 10
        else:
            fresh = bool(data) and data[-1] == 10
    if rest:
        if current is not None:
            yield current.result()
        current = _Hashes(rest[1:])
    if current is None:
        raise FormatError("no sequence in the file: not FASTA, or empty")
    yield current.result()


class _Hashes:
    """Digests of one sequence, growing."""

    def __init__(self, title: bytes) -> None:
        words = title.split(None, 1)
        self._name = words[0].decode("utf-8", "surrogateescape") if words else ""
        self._length = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()

    def update(self, bases: bytes) -> None:
        self._length += len(bases)
        self._md5.update(bases)
        self._sha512.update(bases)

    def result(self) -> SequenceDigests:
        ga4gh = base64.urlsafe_b64encode(self._sha512.digest()[:24]).decode()
        return SequenceDigests(self._name, self._length, self._md5.hexdigest(), f"SQ.{ga4gh}")
