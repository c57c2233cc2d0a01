"""The outline of a slice of records, laid out from the block table alone: runs of whole blocks, and gaps between."""

from __future__ import annotations

from bisect import bisect_right

from lake.formats.intervals.batch import NO_CONTIG, POSITION_BITS, key_of
from lake.formats.intervals.locators import TableLocator
from lake.formats.intervals.source import RecordSource
from lake.formats.outline import MOST_INTERVALS, Gap, Outline, entries_of, selection_of
from lake.formats.region import Selection
from lake.segments import Span

__all__ = ["lay_out", "split"]

_SHORTEST = 1 << 16
"""Bytes of a run that is worth a part of its own; shorter ones are left to the gaps around them."""
_BEHIND_ALL = (NO_CONTIG << POSITION_BITS) + 1


class _Narrower:
    """Of a selection as much as may select records that lie, or reach, between two places.

    A record that overlaps any interval overlaps the first one that ends behind its position. So the first interval
    that matters is the first to end behind the position of the record that may reach over the first place, and the
    last one the first to end behind the position of the record at the second place.
    """

    def __init__(self, locator: TableLocator, selection: Selection) -> None:
        self._locator = locator
        self._entries = entries_of(selection)
        self._ends = [_BEHIND_ALL if entry is None else key_of(entry.tid, entry.stop) for entry in self._entries]

    def __call__(self, first: int, stop: int) -> Selection:
        low = bisect_right(self._ends, self._locator.key_before(first))
        high = bisect_right(self._ends, self._locator.key_behind(stop)) + 1
        return selection_of(self._entries[low:high])


def lay_out(source: RecordSource, locator: TableLocator, selection: Selection) -> Outline:
    """Runs and gaps of a selection, in file order; gaps share no place."""
    shift = source.container.shift
    narrowed = _Narrower(locator, selection)
    parts: list[Span | Gap] = []
    place, count = 0, 0
    for entry in entries_of(selection):
        first, stop = locator.sure(entry)
        count += 1
        long = first >= place and (stop >> shift) - (first >> shift) >= _SHORTEST
        if not long and (count <= MOST_INTERVALS or stop <= place):
            continue
        end = first if long else stop
        if end > place:
            parts.append(Gap(place, end, narrowed(place, end)))
        if long:
            parts.append(Span(source.reader.source, first >> shift, (stop >> shift) - (first >> shift)))
        place, count = stop, 0
    if selection.intervals or selection.unplaced:
        parts.append(Gap(place, source.end, narrowed(place, source.end)))
    return tuple(parts)


def split(source: RecordSource, locator: TableLocator, selection: Selection) -> list[Gap]:
    """The selection in gaps that begin and end with records."""
    narrowed = _Narrower(locator, selection)
    gaps: list[Gap] = []
    place = 0
    for entry in entries_of(selection)[MOST_INTERVALS::MOST_INTERVALS]:
        stop = locator.record_near(entry)
        if stop > place:
            gaps.append(Gap(place, stop, narrowed(place, stop)))
            place = stop
    return [*gaps, Gap(place, source.end, narrowed(place, source.end))]
