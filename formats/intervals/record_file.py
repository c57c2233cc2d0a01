"""Regions of a file of records compiled into slices: the same for every format whose records lie in a row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

from lake.errors import InvalidRegion
from lake.formats.compression.virtual import merge_ranges
from lake.formats.intervals.locators import Locator
from lake.formats.intervals.scanning import scan
from lake.formats.intervals.source import RecordSource
from lake.formats.region import UNPLACED, Region, Selection, select
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["RecordFile"]


class RecordFile:
    """One file opened for region queries. Safe for use by several threads.

    Whole blocks are copied untouched; those at the edges are cut at records. Without a locator every record is read.
    """

    def __init__(self, source: RecordSource, locator: Locator | None, media_type: str) -> None:
        self._source = source
        self._locator = locator
        self._media_type = media_type

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
        if selection.unplaced and not self._source.unplaced:
            raise InvalidRegion(f"the region {UNPLACED!r} selects nothing here: this format has no unplaced records")
        query = self._source.flavour + selection.canonical
        return Plan(self._media_type, self._segments(selection), verbatim=True, query=query)

    def _segments(self, selection: Selection) -> tuple[Segment, ...]:
        source = self._source
        if selection.everything:
            _ = source.end  # A file that may have lost its tail is not the whole file.
            return (Span(source.reader.source, 0, source.reader.size),)
        body: list[Segment] = []
        if self._locator is not None:
            ranges = [found for interval in selection.intervals for found in self._locator.overlapping(interval)]
            if selection.unplaced:
                ranges.append(self._locator.unplaced())
            body.extend(source.container.segments(merge_ranges(ranges)))
        elif selection.intervals or selection.unplaced:
            logging.getLogger(__name__).warning("no index: every record of the file is read to find those of a region")
            _ = source.end
            body.append(Stream(lambda: scan(source, selection)))
        return merge_segments([*self._header, *body, Literal(source.container.marker)])

    @cached_property
    def _header(self) -> tuple[Segment, ...]:
        return self._source.container.segments([(0, self._source.start)])
