"""Cuts of plain text where lines or records begin: found by content, then moved on to the next such place.

An edit still moves only the cuts around it, and no chunk ends in the middle of what a reader wants whole.
"""

from __future__ import annotations

from lake.formats.cutters import ContentCutter

__all__ = ["FastqCutter", "LineCutter"]

_FARTHEST = 1 << 20
"""Bytes by which a cut is moved at most; where no line begins that near, it falls inside of one."""


class LineCutter:
    """Cuts at starts of lines: the first one at or behind each content-defined cut."""

    def __init__(self, smallest: int, average: int, largest: int) -> None:
        """Sizes of a chunk in bytes, before its end is moved."""
        self._content = ContentCutter(smallest, average, largest)
        self._seen = 0
        self._held = b""
        """What came before the next piece, from the byte before the cut that is being moved."""
        self._waiting: list[int] = []
        """Content-defined cuts, ascending, of which the first is being moved."""

    def update(self, piece: memoryview, /) -> list[int]:
        start = self._seen - len(self._held)
        self._seen += len(piece)
        self._waiting += self._content.update(piece)
        text = self._held + piece
        cuts: list[int] = []
        while self._waiting:
            wanted = self._waiting[0]
            place = self._place(text, wanted - start)
            if place is None and self._seen < wanted + _FARTHEST:
                break
            cuts.append(min(wanted + _FARTHEST, start + place if place is not None else self._seen))
            self._waiting = [other for other in self._waiting if other > cuts[-1]]
        self._held = text[self._waiting[0] - 1 - start :] if self._waiting else text[-1:]
        return cuts

    def finish(self, size: int, /) -> list[int]:
        return []

    @property
    def whole(self) -> bool:
        """Never: lines follow from one another without a chain that could break."""
        return False

    def _place(self, text: bytes, wanted: int) -> int | None:
        """The first start of a line at or behind ``wanted``; None when that is not known yet.

        It is told from what comes before it, for a cut may not lie in bytes that have gone by.
        """
        return text.find(b"\n", wanted - 1) + 1 or None


class FastqCutter(LineCutter):
    """Cuts at starts of FASTQ records: where four lines end that look like one.

    Records of more than four lines are passed over; a file of nothing else is cut inside of records.
    """

    def _place(self, text: bytes, wanted: int) -> int | None:
        starts = [text.find(b"\n", wanted - 1) + 1]
        while starts[-1]:
            if len(starts) > 4:
                title, residues, plus, quality, after = starts[-5:]
                whole = text[title] == 64 and text[plus] == 43 and plus - residues == after - quality
                if whole:
                    return after
            starts.append(text.find(b"\n", starts[-1]) + 1)
        return None
