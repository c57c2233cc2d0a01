"""Files of which somebody may read some regions and no more."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from lake.digest import Digest
from lake.errors import InvalidRegion
from lake.formats.base import RegionFile
from lake.formats.region import Interval, Selection, intersect, merge_regions, parse_region
from lake.htsget.errors import Problem
from lake.regions import RegionDesk

__all__ = ["check_limits"]

_SHOWN = 5


def check_limits(desk: RegionDesk, digest: Digest, file: RegionFile, limits: Sequence[str], wanted: Selection) -> None:
    """Refuse what is not wholly inside of what may be read; a part of it would look like all there is. Blocking.

    Args:
        desk: knows other names of the file's contigs.
        digest: of the file.
        file: opened.
        limits: the regions that may be read, in samtools notation.
        wanted: what is asked for.

    Raises:
        Problem: 403.
    """
    contigs = file.contigs
    regions = []
    for text in desk.named(digest, file, limits):
        # A grant may cover many files, of which not each has all the references.
        with contextlib.suppress(InvalidRegion):
            regions.append(parse_region(text, contigs))
    allowed, asked = _bounded(merge_regions(regions, contigs), contigs), _bounded(wanted, contigs)
    if asked.everything or intersect(asked, allowed) != asked:
        readable = ", ".join(limits[:_SHOWN])
        raise Problem(403, "PermissionDenied", f"your token lets you read {readable} of this: ask for regions there")


def _bounded(selection: Selection, contigs: Mapping[str, int]) -> Selection:
    """The same, with ends of contigs in numbers where the file states them."""
    lengths = list(contigs.values())
    intervals = []
    for tid, start, stop in selection.intervals:
        length = lengths[tid]
        intervals.append(Interval(tid, start, min(stop, max(length, start + 1)) if length else stop))
    return Selection(tuple(intervals), selection.unplaced, selection.everything)
