"""Regions of a file of records compiled into slices: the same for every format whose records lie in a row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

from lake.errors import InvalidRegion
from lake.formats.compression.virtual import Range, merge_ranges
from lake.formats.intervals.layout import lay_out, split
from lake.formats.intervals.locators import Locator, TableLocator
from lake.formats.intervals.scanning import scan
from lake.formats.intervals.source import RecordSource
from lake.formats.outline import Gap, Outline
from lake.formats.region import UNPLACED, Region, Selection, select
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["RecordFile"]


class RecordFile:
    """One file opened for region queries: a `lake.formats.outline.PartedFile`. Safe for use by several threads.

    Whole blocks are copied untouched; those at the edges are cut at records. Without a locator every record is read.
    Places are virtual offsets in BGZF, else offsets of bytes.
    """

    def __init__(self, source: RecordSource, locator: Locator | None, media_type: str) -> None:
        self._source = source
        self._locator = locator
        self.media_type = media_type

    @property
    def contigs(self) -> Mapping[str, int]:
        """Length in bases by contig name, 0 where the file does not state it."""
        return self._source.contigs

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions (samtools notation) into a plan: every record once, in file order.

        Without regions and targets: the whole file. ``targets`` (of a BED file) narrow the regions to what both
        select, as ``samtools view -M -L`` does; alone, they are the regions.

        Raises:
            InvalidRegion: cannot be parsed, unknown contig, reversed; ``*`` of a format without unplaced records.
            FormatError: the file or the index is damaged where the query must look.
        """
        # Contigs of a file without a table take a pass over it: the whole file needs none.
        selection = select(regions, targets, self.contigs if regions or targets is not None else {})
        query = self.query(selection)
        return Plan(self.media_type, self._segments(selection), verbatim=True, query=query)

    def query(self, selection: Selection) -> str:
        """
        Raises:
            InvalidRegion: records without a contig, of a format that has none.
        """
        if selection.unplaced and not self._source.unplaced:
            raise InvalidRegion(f"the region {UNPLACED!r} selects nothing here: this format has no unplaced records")
        return self._source.flavour + selection.canonical

    def _segments(self, selection: Selection) -> tuple[Segment, ...]:
        source = self._source
        if selection.everything:
            _ = source.end  # A file that may have lost its tail is not the whole file.
            return (Span(source.reader.source, 0, source.reader.size),)
        return merge_segments([*self.header, *self.body(selection), self.marker])

    @cached_property
    def header(self) -> tuple[Segment, ...]:
        return self._source.container.segments([(0, self._source.start)])

    @property
    def marker(self) -> Literal:
        return Literal(self._source.container.marker)

    def effort(self, selection: Selection) -> int:
        if self._locator is None:
            return 0
        return sum(map(self._locator.effort, selection.intervals)) + selection.unplaced

    def body(self, selection: Selection, first: int = 0, stop: int | None = None) -> tuple[Segment, ...]:
        source = self._source
        if self._locator is None and not selection.everything:
            if not (selection.intervals or selection.unplaced):
                return ()
            logging.getLogger(__name__).warning("no index: every record of the file is read to find those of a region")
            _ = source.end
            return (Stream(lambda: scan(source, selection)),)
        ranges = [(source.start, source.end)] if selection.everything else self._ranges(selection)
        if first or stop is not None:
            ranges = [(max(low, first), high if stop is None else min(high, stop)) for low, high in ranges]
        return source.container.segments(merge_ranges(ranges))

    def _ranges(self, selection: Selection) -> list[Range]:
        assert self._locator is not None
        ranges = [found for interval in selection.intervals for found in self._locator.overlapping(interval)]
        if selection.unplaced:
            ranges.append(self._locator.unplaced())
        return ranges

    def cover(self, selection: Selection) -> tuple[Segment, ...]:
        if not isinstance(self._locator, TableLocator) or selection.everything:
            return self.body(selection)
        ranges = [found for interval in selection.intervals for found in self._locator.covering(interval)]
        if selection.unplaced:
            ranges.append(self._locator.unplaced())
        return self._source.container.segments(merge_ranges(ranges))

    def outline(self, selection: Selection) -> Outline | None:
        if not isinstance(self._locator, TableLocator) or selection.everything:
            return None
        return lay_out(self._source, self._locator, selection)

    def windows(self, selection: Selection) -> list[Gap]:
        if selection.everything or not isinstance(self._locator, TableLocator):
            return [Gap(0, None, selection)]
        return split(self._source, self._locator, selection)
