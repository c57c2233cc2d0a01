"""Counts of records by contig from the pseudo-bins of BAI, CSI and TBI (SAM specification, section 5.2).

The pseudo-bin stands behind the last real bin, with two "chunks": where the contig's records lie, and how many of
them are mapped and unmapped. Old writers left it out.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.intervals.binning import inflate_index

__all__ = ["Count", "IndexCounts", "index_counts"]

_BIN = struct.Struct("<Ii")
_CSI_BIN = struct.Struct("<IQi")
_TABIX = struct.Struct("<8i")
_COUNTS = struct.Struct("<4Q")
_MOST = 1 << 62


class Count(NamedTuple):
    """Records of one contig."""

    mapped: int
    unmapped: int


class IndexCounts(NamedTuple):
    """What an index says of the number of records."""

    names: tuple[str, ...] | None
    """Contigs of an index made by tabix, which names them itself; else None."""
    counts: tuple[Count | None, ...]
    """An item for each contig; None where the index does not say."""
    unplaced: int | None
    """Records without a position, where the index says."""


class _Bytes:
    """Reads that end in an error, never beyond the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        if self.at + layout.size > len(self._data):
            raise FormatError(f"the index is damaged: it ends inside an item at byte {self.at}")
        values = layout.unpack_from(self._data, self.at)
        self.at += layout.size
        return values

    def skip(self, length: int) -> bytes:
        if not 0 <= length <= len(self._data) - self.at:
            raise FormatError(f"the index is damaged: it states {length} bytes at byte {self.at}")
        self.at += length
        return self._data[self.at - length : self.at]

    @property
    def left(self) -> int:
        return len(self._data) - self.at


_ONE = struct.Struct("<i")


def index_counts(kind: str, data: bytes) -> IndexCounts:
    """Counts of a ``bai``, ``csi`` or ``tbi``.

    Raises:
        FormatError: damaged, or of another kind.
    """
    data = inflate_index(data)
    magic = {"bai": b"BAI\1", "csi": b"CSI\1", "tbi": b"TBI\1"}.get(kind)
    if magic is None or data[:4] != magic:
        raise FormatError(f"the index is not a {kind.upper()}")
    cursor = _Bytes(data, 4)
    names: tuple[str, ...] | None = None
    depth, linear, layout = 5, kind != "csi", _CSI_BIN if kind == "csi" else _BIN
    if kind == "csi":
        _, depth, aux_size = cursor.take(struct.Struct("<3i"))
        if not 1 <= depth <= 16:
            raise FormatError(f"the index is damaged: it states a depth of {depth}")
        aux = cursor.skip(aux_size)
        if aux_size >= _TABIX.size - 4:
            names = _names(aux[28:])
    (contigs,) = cursor.take(_ONE)
    if kind == "tbi":
        head = cursor.take(struct.Struct("<7i"))
        names = _names(cursor.skip(head[6]))
    if not 0 <= contigs <= cursor.left // 4:
        raise FormatError(f"the index is damaged: it states {contigs} contigs")
    pseudo = (8 ** (depth + 1) - 1) // 7 + 1
    counts = tuple(_contig(cursor, layout, pseudo, linear=linear) for _ in range(contigs))
    unplaced = cursor.take(struct.Struct("<Q"))[0] if cursor.left == 8 else None
    return IndexCounts(names, counts, unplaced if unplaced is not None and unplaced < _MOST else None)


def _contig(cursor: _Bytes, layout: struct.Struct, pseudo: int, *, linear: bool) -> Count | None:
    found = None
    (bins,) = cursor.take(_ONE)
    if bins < 0:
        raise FormatError(f"the index is damaged: it states {bins} bins at byte {cursor.at}")
    for _ in range(bins):
        fields = cursor.take(layout)
        number, chunks = fields[0], fields[-1]
        if number == pseudo and chunks == 2:
            _, _, mapped, unmapped = cursor.take(_COUNTS)
            if max(mapped, unmapped) < _MOST:
                found = Count(mapped, unmapped)
        else:
            cursor.skip(16 * chunks)
    if linear:
        (windows,) = cursor.take(_ONE)
        cursor.skip(8 * windows)
    return found


def _names(data: bytes) -> tuple[str, ...]:
    return tuple(name.decode("utf-8", "replace") for name in data.split(b"\0")[:-1])
