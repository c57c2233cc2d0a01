"""Reads filtered and stripped, one by one, by what a `DecodeOptions` asks. Reads are pysam's."""

from __future__ import annotations

from collections.abc import Callable

from pysam import AlignedSegment

from lake.formats.decode_options import FIELDS, DecodeOptions

__all__ = ["make_edit", "make_filter"]

_MISSING_QUALITY = 255


def make_filter(options: DecodeOptions) -> Callable[[AlignedSegment], bool]:
    """Whether ``samtools view -f -F -q`` keeps a read."""
    include, exclude, quality = options.include_flags, options.exclude_flags, options.min_quality

    def keep(read: AlignedSegment) -> bool:
        flag = read.flag
        return flag & include == include and not flag & exclude and read.mapping_quality >= quality

    return keep


def make_edit(options: DecodeOptions) -> Callable[[AlignedSegment], None] | None:
    """What takes fields and tags off a read, in place; None when all stay.

    Fields get the values that the SAM specification has for missing ones (section 1.4): ``*``, 0, and 255 for MAPQ.
    """
    steps = [_CLEAR[name] for name in FIELDS if name not in options.kept_fields]
    keep = None if options.tags is None else frozenset(options.tags)
    drop = frozenset(options.notags)

    def strip_tags(read: AlignedSegment) -> None:
        for tag, _ in read.get_tags():
            if (keep is not None and tag not in keep) or tag in drop:
                read.set_tag(tag, None)

    if keep is not None or drop:
        steps.append(strip_tags)
    if not steps:
        return None

    def edit(read: AlignedSegment) -> None:
        for step in steps:
            step(read)

    return edit


def _sequence(read: AlignedSegment) -> None:
    # Without a sequence there are no qualities either.
    read.query_sequence = None


def _qualities(read: AlignedSegment) -> None:
    read.query_qualities = None


def _set(name: str, value: object) -> Callable[[AlignedSegment], None]:
    def step(read: AlignedSegment) -> None:
        setattr(read, name, value)

    return step


_CLEAR: dict[str, Callable[[AlignedSegment], None]] = {
    "QNAME": _set("query_name", "*"),
    "FLAG": _set("flag", 0),
    "RNAME": _set("reference_id", -1),
    "POS": _set("reference_start", -1),
    "MAPQ": _set("mapping_quality", _MISSING_QUALITY),
    "CIGAR": _set("cigartuples", None),
    "RNEXT": _set("next_reference_id", -1),
    "PNEXT": _set("next_reference_start", -1),
    "TLEN": _set("template_length", 0),
    "SEQ": _sequence,
    "QUAL": _qualities,
}
