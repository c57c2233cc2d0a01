"""What a plan will be made of, told before anybody looks into the file: for answers that are handed out piece by piece.

An outline is laid out from an index alone. Between runs of bytes that belong to the answer as they are, it has gaps:
what stands there is found out by whoever asks for it, later, by `PartedFile.body`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from lake.formats.base import RegionFile
from lake.formats.region import Interval, Selection
from lake.segments import Segment, Span

__all__ = ["MOST_INTERVALS", "Gap", "Outline", "PartedFile", "entries_of", "selection_of"]

MOST_INTERVALS = 64
"""Intervals that one gap answers for, where its format can tell them apart: bounds the work of who fills it."""


class Gap(NamedTuple):
    """A part of an answer that is computed when it is asked for."""

    first: int
    """Place from which on records belong to it, in the format's own terms."""
    stop: int | None
    """Place behind them; None: the end of the file."""
    selection: Selection
    """What to select there: of the whole selection as much as can matter between these places."""


Outline = tuple[Span | Gap, ...]
"""The records of an answer, in file order."""


@runtime_checkable
class PartedFile(RegionFile, Protocol):
    """A file whose answers are a header, records and an end marker, each of whole blocks or containers."""

    @property
    def media_type(self) -> str: ...

    @property
    def header(self) -> tuple[Segment, ...]:
        """What every answer begins with."""
        ...

    @property
    def marker(self) -> Segment:
        """What every answer ends with; may be empty."""
        ...

    def query(self, selection: Selection) -> str:
        """See `lake.segments.Plan.query`."""
        ...

    def effort(self, selection: Selection) -> int:
        """About how many BGZF blocks `body` must inflate, or what takes as long."""
        ...

    def body(self, selection: Selection, first: int = 0, stop: int | None = None) -> tuple[Segment, ...]:
        """The selected records, exactly; of them those that lie in ``[first, stop)``.

        Raises:
            FormatError: the file or the index is damaged where one must look.
        """
        ...

    def cover(self, selection: Selection) -> tuple[Segment, ...]:
        """The selected records and some neighbours: whole blocks as far as records allow, nothing decoded to choose."""
        ...

    def outline(self, selection: Selection) -> Outline | None:
        """The layout of `body`; None where it takes a look into the file."""
        ...

    def windows(self, selection: Selection) -> list[Gap]:
        """The selection in parts that share no record and cut none, each of a bounded number of intervals if it can."""
        ...


def entries_of(selection: Selection) -> list[Interval | None]:
    """What a selection selects, in file order; None stands for the records without a contig."""
    return [*selection.intervals, *([None] if selection.unplaced else [])]


def selection_of(entries: list[Interval | None]) -> Selection:
    """The selection of such entries."""
    return Selection(tuple(entry for entry in entries if entry is not None), unplaced=None in entries)
