"""Genomic regions in samtools notation: parsed, printed, read from BED, and merged in the order of a header.

The grammar is that of htslib's ``hts_parse_region``: numbers are 1-based and closed in text, 0-based and half-open
inside. ``*`` selects the reads without a position, ``.`` everything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from lake.errors import InvalidInput, InvalidRegion

__all__ = [
    "EVERYTHING",
    "UNBOUNDED",
    "UNPLACED",
    "Interval",
    "Region",
    "Selection",
    "intersect",
    "merge_regions",
    "parse_region",
    "read_targets",
    "select",
]

UNPLACED = "*"
EVERYTHING = "."

UNBOUNDED = 1 << 62
"""Stop of an interval that runs to the end of its contig, whatever length the header states."""

_NUMBER = re.compile(r"(\d[\d,]*)?(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?([kKmMgG]?)", re.ASCII)
_SCALE = {"": 0, "k": 3, "m": 6, "g": 9}
_LONGEST_NUMBER = 64
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Region:
    """A run of bases on a contig: 0-based, half-open; ``stop=None`` runs to the end of the contig."""

    contig: str
    start: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        """The region in samtools notation; names that could be misread are put in braces."""
        if self.contig in (UNPLACED, EVERYTHING):
            return self.contig
        name = f"{{{self.contig}}}" if ":" in self.contig or self.contig.startswith("{") else self.contig
        if self.stop is not None:
            return f"{name}:{self.start + 1}-{self.stop}"
        return f"{name}:{self.start + 1}" if self.start else name


class Interval(NamedTuple):
    """Bases ``[start, stop)`` of the contig at index ``tid`` of the header."""

    tid: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What regions select, in header order: disjoint intervals that do not touch, and two special sets."""

    intervals: tuple[Interval, ...]
    unplaced: bool = False
    everything: bool = False

    @property
    def canonical(self) -> str:
        """The same text for every way to ask for the same: contig numbers and half-open intervals."""
        if self.everything:
            return "."
        return ";".join([f"{tid}:{start}-{stop}" for tid, start, stop in self.intervals] + ["*"] * self.unplaced)


def parse_region(text: str, contigs: Mapping[str, int]) -> Region:
    """Parse samtools notation against the contigs of a header.

    ``chr1``, ``chr1:100`` (from 100 to the end), ``chr1:100-200``, ``chr1:-200``, ``chr1:100-``; commas and the
    suffixes k, M, G in numbers; ``{name:with:colons}:1-5``. Without braces, a name with colons is looked up whole
    first, then without what follows its last colon.

    Raises:
        InvalidRegion: unknown contig, ambiguous name, no number, reversed or too large.
    """
    if text in (UNPLACED, EVERYTHING) and text not in contigs:
        return Region(text)
    name, range_text = _split(text, contigs)
    if name not in contigs:
        raise InvalidRegion(f"no contig {name!r} for the region {text!r}{_close_names(name, contigs)}")
    if not range_text:
        return Region(name)
    first_text, dash, last_text = range_text.partition("-")
    # samtools takes 0 for the first base.
    first = max(_position(first_text, text), 1) if first_text else 1
    last = _position(last_text, text) if last_text else None
    if not first_text and last is None:
        raise InvalidRegion(f"no position in the region {text!r}: write NAME, NAME:FROM or NAME:FROM-TO")
    if dash and last is not None and first > last:
        raise InvalidRegion(f"the region {text!r} is reversed: {first} comes after {last}")
    return Region(name, first - 1, last)


def _split(text: str, contigs: Mapping[str, int]) -> tuple[str, str]:
    """Contig name and the text of the range."""
    if text.startswith("{"):
        close = text.find("}")
        if close < 0:
            raise InvalidRegion(f"the region {text!r} has a brace that is not closed")
        rest = text[close + 1 :]
        if rest and not rest.startswith(":"):
            raise InvalidRegion(f"the region {text!r} has {rest!r} after the brace: wanted a colon and a range")
        return text[1:close], rest[1:]
    stem, colon, tail = text.rpartition(":")
    if not colon:
        return text, ""
    if text in contigs:
        if stem in contigs:
            raise InvalidRegion(f"the region {text!r} is ambiguous: write {{{text}}} or {{{stem}}}:{tail}")
        return text, ""
    return stem, tail


def _position(text: str, region: str) -> int:
    """A 1-based position, as ``hts_parse_decimal`` reads it: commas, a fraction, an exponent, a suffix."""
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    if match is None or not (match[1] or match[2]):
        raise InvalidRegion(f"{text!r} in the region {region!r} is not a position")
    digits = (match[1] or "0").replace(",", "") + "." + (match[2] or "0")
    exponent = int(match[3] or 0) + _SCALE[match[4].lower()]
    if exponent > 30:
        raise InvalidRegion(f"{text!r} in the region {region!r} is too large")
    position = int(Decimal(digits).scaleb(exponent))
    if position >= UNBOUNDED:
        raise InvalidRegion(f"{text!r} in the region {region!r} is too large")
    return position


def _close_names(name: str, contigs: Mapping[str, int]) -> str:
    """A hint: the names that come close, or the first ones."""
    if not contigs:
        return ": the file has no contigs"
    other = name[3:] if name.startswith("chr") else f"chr{name}"
    close = [other] if other in contigs else difflib.get_close_matches(name, list(contigs)[:10_000], n=_NAMES_SHOWN)
    if close:
        return f": did you mean {' or '.join(close)}?"
    known = [known for known, _ in zip(contigs, range(_NAMES_SHOWN), strict=False)]
    return f": the file has {', '.join(known)}{', …' if len(contigs) > len(known) else ''}"


def read_targets(lines: Iterable[str], contigs: Mapping[str, int], name: str = "targets") -> list[Region]:
    """Regions of a BED file (0-based, half-open) as ``samtools view -L`` reads it.

    Blank lines, comments, ``track`` and ``browser`` lines and contigs that the file does not have are passed over. A
    line of two columns is one base at that 1-based position. Empty intervals select nothing.

    Raises:
        InvalidInput: a line without numbers, or whose end comes before its start.
    """
    regions = []
    for number, line in enumerate(lines, 1):
        fields = line.split(None, 3)
        if not fields or fields[0].startswith("#"):
            continue
        bounds = [int(field) for field in fields[1:3] if re.fullmatch(r"-?[0-9]{1,18}", field)]
        if len(bounds) == 1:
            bounds = [bounds[0] - 1, bounds[0]]
        if len(bounds) != 2 or bounds[1] < bounds[0]:
            if fields[0] in ("track", "browser"):
                continue
            raise InvalidInput(f"{name}, line {number}: wanted a contig, a start and an end that is not before it")
        start, stop = max(bounds[0], 0), bounds[1]
        if fields[0] in contigs and start < stop:
            regions.append(Region(fields[0], start, stop))
    return regions


def merge_regions(regions: Sequence[Region], contigs: Mapping[str, int]) -> Selection:
    """Regions in header order, those that overlap or touch joined; ``.`` takes in all others.

    A start beyond the end of the contig is no error: nothing lies there.
    """
    names = {region.contig for region in regions}
    if EVERYTHING in names and EVERYTHING not in contigs:
        return Selection((), everything=True)
    unplaced = UNPLACED in names and UNPLACED not in contigs
    wanted = {name: tid for tid, name in enumerate(contigs) if name in names}
    intervals = sorted(
        Interval(wanted[region.contig], region.start, UNBOUNDED if region.stop is None else region.stop)
        for region in regions
        if region.contig in wanted
    )
    merged: list[Interval] = []
    for interval in intervals:
        last = merged[-1] if merged else None
        if interval.start >= interval.stop:
            continue
        if last is not None and last.tid == interval.tid and interval.start <= last.stop:
            merged[-1] = Interval(last.tid, last.start, max(last.stop, interval.stop))
        else:
            merged.append(interval)
    return Selection(tuple(merged), unplaced=unplaced)


def intersect(selection: Selection, targets: Selection) -> Selection:
    """The bases that both select, as ``samtools view -M -L targets.bed REGION…`` does; reads without a position go."""
    if selection.everything:
        return targets
    if targets.everything:
        return selection
    common: list[Interval] = []
    left, right = list(selection.intervals), list(targets.intervals)
    i = j = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        start, stop = max(a.start, b.start), min(a.stop, b.stop)
        if a.tid == b.tid and start < stop:
            common.append(Interval(a.tid, start, stop))
        if (a.tid, a.stop) <= (b.tid, b.stop):
            i += 1
        else:
            j += 1
    return Selection(tuple(common), unplaced=selection.unplaced and targets.unplaced)


def select(regions: Sequence[str], targets: Sequence[Region] | None, contigs: Mapping[str, int]) -> Selection:
    """What regions (samtools notation) and targets select together, see `lake.formats.base.RegionFile.plan`.

    Raises:
        InvalidRegion: cannot be parsed, unknown contig, reversed.
    """
    limits = merge_regions(targets, contigs) if targets is not None else None
    if not regions:
        return limits if limits is not None else Selection((), everything=True)
    selection = merge_regions([parse_region(text, contigs) for text in regions], contigs)
    return selection if limits is None else intersect(selection, limits)
