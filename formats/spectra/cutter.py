"""Where to cut an mzML into chunks: behind spectra; and the table of spectra, which the same pass gives."""

from __future__ import annotations

from zlib import crc32

from lake.errors import FormatError
from lake.formats.cutters import Learned
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.table_codec import TABLE_KIND, encode_run

__all__ = ["MzmlCutter"]

_SMALLEST = 64 << 10
_AVERAGE = 192 << 10
"""Bytes behind the smallest size after which a cut comes on average."""
_LARGE = 512 << 10
"""From here on the next end of a spectrum is a cut."""
_LARGEST = 1 << 20
"""No chunk is longer: spectra that are, are cut inside."""


class MzmlCutter:
    """Cuts behind spectra and chromatograms that their lengths choose: an edit moves only the cuts around it.

    A file that cannot be followed is cut by size from where that shows.
    """

    def __init__(self) -> None:
        self._scanner = MzmlScanner()
        self._seen = 0
        self._cut = 0
        self._last = 0
        """End of the last spectrum."""
        self._learned: Learned | None = None

    def update(self, piece: memoryview, /) -> list[int]:
        ends = self._scanner.update(piece)
        cuts: list[int] = []
        self._seen += len(piece)
        for end in ends:
            self._inside(end, cuts)
            size = end - self._cut
            length = end - self._last
            chosen = crc32(b"%d" % length) * _AVERAGE < length << 32
            if size >= _LARGE or (size >= _SMALLEST and chosen):
                self._cut = end
                cuts.append(end)
            self._last = end
        self._inside(self._seen, cuts)
        return cuts

    def _inside(self, until: int, cuts: list[int]) -> None:
        while until - self._cut > _LARGEST:
            self._cut += _LARGEST
            cuts.append(self._cut)

    def finish(self, size: int, /) -> list[int]:
        try:
            self._learned = Learned(TABLE_KIND, encode_run(self._scanner.finish(), size), b"", None)
        except FormatError as error:
            self._learned = Learned(TABLE_KIND, b"", b"", str(error))
        return []

    @property
    def learned(self) -> Learned | None:
        """After `finish`: the table of spectra, or what is wrong with the file."""
        return self._learned

    @property
    def whole(self) -> bool:
        """After `finish`: the file was followed to its very end."""
        return self._learned is not None and self._learned.problem is None
