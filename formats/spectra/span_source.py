"""Points of formats that keep those of a spectrum together, and not an array at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError, Unsupported
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ, Values
from lake.formats.spectra.source import Points, batches
from lake.formats.spectra.table import RunTable

__all__ = ["DecodePair", "SpanSource"]

Rows = NDArray[np.int64]

DecodePair = Callable[[bytes, int], tuple[Values, Values]]
"""m/z and intensities out of the bytes of a spectrum, which has so many points (-1: not known).

Raises `FormatError` or `Unsupported`.
"""

_GAP = 32 << 10
"""Bytes between two spectra up to which both are read at once."""
_READ = 4 << 20


class SpanSource:
    """A `lake.formats.spectra.source.SpectrumSource` that decodes a spectrum from its span."""

    def __init__(self, reader: ByteReader, table: RunTable, decode: DecodePair) -> None:
        """
        Args:
            reader: of the content to which the offsets of the table refer.
            table: of the same content.
            decode: what makes points of the bytes of a span.
        """
        self.table = table
        self._reader = reader
        self._decode = decode

    def points(self, rows: Rows, kinds: Sequence[int]) -> Iterator[Points]:
        """See `lake.formats.spectra.source.SpectrumSource.points`; there are m/z and intensities only."""
        spectra = self.table.spectra
        known = {MZ: 0, INTENSITY: 1}
        wanted = {kind: known[kind] for kind in kinds if kind in known}
        missing = set(kinds) - known.keys() - {MOBILITY}
        for start, stop in batches(np.maximum(spectra.n_points[rows], 0), spectra.length[rows]):
            some = rows[start:stop]
            if missing or not wanted:
                yield Points(some, np.zeros(len(some) + 1, np.int64), {})
                continue
            pairs = [self._pair(int(row), text) for row, text in zip(some, self._spans(some), strict=True)]
            first = np.cumsum([0, *(len(mz) for mz, _ in pairs)], dtype=np.int64)
            yield Points(
                some, first, {kind: np.concatenate([pair[side] for pair in pairs]) for kind, side in wanted.items()}
            )

    def _pair(self, row: int, text: bytes) -> tuple[Values, Values]:
        spectra = self.table.spectra
        try:
            return self._decode(text, int(spectra.n_points[row]))
        except (FormatError, Unsupported) as error:
            name = spectra.native_id[row]
            raise type(error)(f"spectrum {row}{f' ({name})' if name else ''}: {error}") from None

    def _spans(self, rows: Rows) -> Iterator[bytes]:
        """The bytes of spectra; those that lie close together are read at once."""
        offsets = self.table.spectra.offset[rows].tolist()
        stops = (self.table.spectra.offset + self.table.spectra.length)[rows].tolist()
        start = 0
        while start < len(offsets):
            stop = start + 1
            base, end = offsets[start], stops[start]
            while stop < len(offsets) and end <= offsets[stop] <= end + _GAP and stops[stop] - base <= _READ:
                end = stops[stop]
                stop += 1
            block = self._reader.read(base, end - base)
            if len(block) != end - base:
                raise FormatError(f"the file ends before the spectra at {base} do")
            for number in range(start, stop):
                yield block[offsets[number] - base : stops[number] - base]
            start = stop

    def trace(self, row: int) -> tuple[Values, Values]:
        """
        Raises:
            Unsupported: always; the format has no chromatograms.
        """
        raise Unsupported("a file of this format has no chromatograms")
