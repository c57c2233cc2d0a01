"""MGF (Mascot generic format), plain or compressed: spectra by any of their properties, blocks copied verbatim."""

from __future__ import annotations

from collections.abc import Iterator

from lake.formats.reader import ByteReader
from lake.formats.spectra.content import MEDIA_TYPES, compress, compression_of
from lake.formats.spectra.mgf_blocks import decode_peaks, scan_mgf
from lake.formats.spectra.query import SpectrumQuery
from lake.formats.spectra.run_format import RunFormat, Stored
from lake.formats.spectra.span_source import SpanSource
from lake.formats.spectra.table import RunTable
from lake.segments import Plan, Span, Stream, merge_segments

__all__ = ["MGF", "plan_mgf"]

_MEDIA_TYPE = "text/x-mgf"
_PIECE = 1 << 20


def plan_mgf(stored: Stored, query: SpectrumQuery) -> Plan:
    """What stands ahead of the first block, and the blocks of the spectra that are selected."""
    spectra = stored.run.spectra
    rows = query.rows(spectra)
    head = int(spectra.offset[0]) if len(spectra) else stored.content.size
    places = zip(spectra.offset[rows].tolist(), spectra.length[rows].tolist(), strict=True)
    segments = merge_segments([Span(stored.reader.source, *place) for place in ((0, head), *places)])
    compression = compression_of(stored.reader)
    if compression == "plain":
        return Plan(_MEDIA_TYPE, segments, verbatim=True, query=str(query))

    def pieces() -> Iterator[bytes]:
        for span in segments:
            assert isinstance(span, Span)
            for offset in range(span.offset, span.offset + span.length, _PIECE):
                yield stored.content.read(offset, min(_PIECE, span.offset + span.length - offset))

    return Plan(
        MEDIA_TYPES[compression], (Stream(lambda: compress(pieces(), compression)),), verbatim=True, query=str(query)
    )


def _points(content: ByteReader, run: RunTable) -> SpanSource:
    return SpanSource(content, run, decode_peaks)


MGF = RunFormat(
    name="MGF",
    media_type=_MEDIA_TYPE,
    suffixes=(".mgf.gz", ".mgf"),
    planner="mgf/1",
    scan=scan_mgf,
    slice=plan_mgf,
    points=_points,
)
