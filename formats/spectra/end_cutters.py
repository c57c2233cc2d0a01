"""Where to cut files of spectra other than mzML: behind spectra, near places that their content chooses."""

from __future__ import annotations

from lake.formats.line_cutters import LineCutter

__all__ = ["BlockCutter", "ElementCutter"]


class BlockCutter(LineCutter):
    """Cuts an MGF behind a line ``END IONS``."""

    def _place(self, text: bytes, wanted: int) -> int | None:
        end = text.find(b"\nEND IONS", wanted - 1)
        return text.find(b"\n", end + 1) + 1 or None if end >= 0 else None


class ElementCutter(LineCutter):
    """Cuts XML behind an end tag."""

    def __init__(self, tag: bytes, smallest: int, average: int, largest: int) -> None:
        """``tag`` as it is written, ``</scan>``; sizes of a chunk in bytes, before its end is moved."""
        super().__init__(smallest, average, largest)
        self._tag = tag

    def _place(self, text: bytes, wanted: int) -> int | None:
        end = text.find(self._tag, wanted - 1)
        return end + len(self._tag) if end >= 0 else None
