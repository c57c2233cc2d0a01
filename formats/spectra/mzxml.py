"""mzXML, plain or compressed: the scans that are selected, one behind the other, with a new index and SHA-1."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from lake.formats.reader import ByteReader
from lake.formats.spectra.content import MEDIA_TYPES, compress, compression_of
from lake.formats.spectra.mzxml_scans import decode_scan, scan_mzxml
from lake.formats.spectra.query import SpectrumQuery
from lake.formats.spectra.run_format import RunFormat, Stored
from lake.formats.spectra.slicing import Piece
from lake.formats.spectra.span_source import SpanSource
from lake.formats.spectra.start_tags import start_tag, with_attribute
from lake.formats.spectra.table import ListSpan, RunTable
from lake.segments import Plan, Stream, merge_segments

__all__ = ["MZXML", "plan_mzxml"]

_MEDIA_TYPE = "application/xml"
_STREAMED = 64 << 20
"""Bytes of scans from which a slice is computed while it is read."""
_MOST_SCANS = 20_000
_LONGEST_TAG = 1 << 16


def plan_mzxml(stored: Stored, query: SpectrumQuery) -> Plan:
    """An mzXML of the scans that are selected; none lies inside another any more, and numbers stay what they are.

    ``scanCount`` is right, and so are the index and the SHA-1, which a file of version 1 (whose root is ``msRun``) has
    no place for. ``startTime`` and ``endTime`` are still those of the run.
    """
    spectra = stored.run.spectra
    rows = query.rows(spectra)
    compression = compression_of(stored.reader)
    media_type = MEDIA_TYPES.get(compression, _MEDIA_TYPE)

    def data() -> Iterator[bytes]:
        return (part for piece in _sealed(stored, rows.tolist()) for part in piece.read(stored.content))

    if compression != "plain":
        segments: tuple[Stream, ...] = (Stream(lambda: compress(data(), compression)),)
        return Plan(media_type, segments, verbatim=True, query=str(query))
    if int(spectra.length[rows].sum()) > _STREAMED or len(rows) > _MOST_SCANS:
        return Plan(media_type, (Stream(data),), verbatim=True, query=str(query))
    pieces = [piece.segment(stored.reader) for piece in _sealed(stored, rows.tolist())]
    return Plan(media_type, merge_segments(pieces), verbatim=True, query=str(query))


def _sealed(stored: Stored, rows: list[int]) -> Iterator[Piece]:
    """The whole slice; everything is read, for its checksum."""
    hasher = hashlib.sha1(usedforsecurity=False)
    position = 0
    offsets: list[tuple[int, int]] = []
    for number, piece in _pieces(stored, rows):
        if number is not None:
            offsets.append((number, position))
        for data in piece.read(stored.content):
            hasher.update(data)
            position += len(data)
        yield piece
    layout = _layout(stored)
    if layout.root == layout.run.tag:
        return
    if not rows:
        yield Piece.made(b"</mzXML>\n")
        return
    index = b"".join(
        (
            b'  <index name="scan">\n',
            *(b'    <offset id="%d">%d</offset>\n' % entry for entry in offsets),
            b"  </index>\n  <indexOffset>%d</indexOffset>\n  <sha1>" % (position + 2),
        )
    )
    hasher.update(index)
    yield Piece.made(index + hasher.hexdigest().encode() + b"</sha1>\n</mzXML>\n")


def _pieces(stored: Stored, rows: list[int]) -> Iterator[tuple[int | None, Piece]]:
    """Everything to the end tag of ``msRun``, with the number of each scan where it begins."""
    spectra, layout = stored.run.spectra, _layout(stored)
    begin = layout.run.tag
    first = int(spectra.offset[0]) if len(spectra) else layout.run.close
    tag = start_tag(stored.content.read(begin, _LONGEST_TAG))
    yield None, Piece(0, begin, None)
    yield None, Piece.made(with_attribute(tag, b"scanCount", b"%d" % len(rows)))
    yield None, Piece(begin + len(tag), first, None)
    for row in rows:
        start = int(spectra.offset[row])
        stop = start + int(spectra.length[row])
        yield int(spectra.scan[row]), Piece(start, stop, None)
        yield None, Piece.made(b"</scan>\n")
    yield None, Piece.made(b"</msRun>\n")


class _Layout(NamedTuple):
    root: int
    run: ListSpan
    """The element ``msRun``."""


def _layout(stored: Stored) -> _Layout:
    layout = stored.run.layout
    assert layout is not None
    assert layout.spectra is not None
    return _Layout(layout.root, layout.spectra)


def _points(content: ByteReader, run: RunTable) -> SpanSource:
    return SpanSource(content, run, decode_scan)


MZXML = RunFormat(
    name="mzXML",
    media_type=_MEDIA_TYPE,
    suffixes=(".mzXML.gz", ".mzXML"),
    planner="mzxml/1",
    scan=scan_mzxml,
    slice=plan_mzxml,
    points=_points,
)
