"""Slices of mzML that are mzML: the prefix with right counts, spectra, chromatograms, and an index.

A slice has one of two forms. The *file form* is what tools open best: ``indexedmzML`` with the offsets of the slice and
its SHA-1, spectra numbered anew, references to spectra that are not in it made external ones. The *plain form* has the
spectra as they stand in the file and no index, so that nothing has to be read to plan it.

Structure: mzML 1.1.0 and the index schema 1.1.2 (HUPO-PSI). ``spectrumList`` may be empty, ``chromatogramList`` and an
``index`` may not: such are left out, and with nothing to index so is the wrapper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING
from lake.formats.spectra.content import MEDIA_TYPES, compress, compression_of
from lake.formats.spectra.query import SpectrumQuery
from lake.formats.spectra.start_tags import (
    Edit,
    attributes,
    dangling_references,
    identifier,
    numbered,
    start_tag,
    with_attribute,
)
from lake.formats.spectra.table import ChromatogramTable, Layout, ListSpan, RunTable, SpectrumTable
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["MZML_MEDIA_TYPE", "Piece", "plan_slice"]

MZML_MEDIA_TYPE = "application/xml"

Rows = NDArray[np.int64]

_PIECE = 1 << 20
"""Bytes that are read at once."""
_STREAMED = 64 << 20
"""Bytes of spectra from which a slice in file form is computed while it is read."""
_MOST_ELEMENTS = 20_000
"""Spectra up to which a slice in file form is segments: there are two of them for each one."""
_LONGEST_TAG = 1 << 16
_LONGEST_HEADER = 16 << 20
_LONGEST_BLANK = 64

_PROCESSING = b"defaultDataProcessingRef"
_NAMESPACES = {
    b"xmlns": b"http://psi.hupo.org/ms/mzml",
    b"xmlns:xsi": b"http://www.w3.org/2001/XMLSchema-instance",
    b"xsi:schemaLocation": (b"http://psi.hupo.org/ms/mzml http://psidev.info/files/ms/mzML/xsd/mzML1.1.2_idx.xsd"),
}


def plan_slice(
    reader: ByteReader, content: ByteReader, run: RunTable, query: SpectrumQuery, *, plain: bool = False
) -> Plan:
    """What a query selects of an mzML, as an mzML in the compression of the file; the file itself where that is all.

    Args:
        reader: the file as it is stored.
        content: what that holds, to which the offsets refer; ``reader`` itself where it is not compressed.
        run: its table, with a layout.
        query: what is asked.
        plain: in the plain form: not indexed, spectra not numbered anew; spans and a few literals.

    Raises:
        InvalidRegion: no spectrum has an id that is asked for.
        FormatError: the file is not what the table says.
    """
    compression = compression_of(reader)
    media_type = MEDIA_TYPES.get(compression, MZML_MEDIA_TYPE)
    if query.everything:
        return Plan(media_type, (Span(reader.source, 0, reader.size),), verbatim=True, query=EVERYTHING)
    spectra, traces = query.rows(run.spectra), query.chromatograms(run.chromatograms)
    text = f"{query}&form=plain" if plain else str(query)
    selected = int(run.spectra.length[spectra].sum()) + int(run.chromatograms.length[traces].sum())

    def pieces() -> Iterator[Piece]:
        parts = _Parts(content, run, spectra, traces, indexed=not plain)
        return parts.pieces() if plain else parts.sealed()

    def data() -> Iterator[bytes]:
        return (part for piece in pieces() for part in piece.read(content))

    if compression != "plain":
        return Plan(media_type, (Stream(lambda: compress(data(), compression)),), verbatim=plain, query=text)
    if not plain and (selected > _STREAMED or len(spectra) + len(traces) > _MOST_ELEMENTS):
        return Plan(media_type, (Stream(data),), verbatim=False, query=text)
    segments = merge_segments([piece.segment(reader) for piece in pieces()])
    return Plan(media_type, segments, verbatim=plain, query=text)


class Piece(NamedTuple):
    """Bytes ``[start, stop)`` of the content, or others that the slice made."""

    start: int
    stop: int
    data: bytes | None
    """The bytes, where they are known already; always for those that the slice made, which ``start`` at -1."""

    @classmethod
    def made(cls, data: bytes) -> Piece:
        return cls(-1, -1, data)

    def read(self, content: ByteReader) -> Iterator[bytes]:
        """Its bytes, in parts of at most a MiB where they have to be read.

        Raises:
            FormatError: the content ends before.
        """
        if self.data is not None:
            yield self.data
            return
        for offset in range(self.start, self.stop, _PIECE):
            yield _exactly(content, offset, min(offset + _PIECE, self.stop))

    def segment(self, reader: ByteReader) -> Segment:
        if self.start >= 0:
            return Span(reader.source, self.start, self.stop - self.start)
        return Literal(self.data or b"")


def _exactly(content: ByteReader, start: int, stop: int) -> bytes:
    data = content.read(start, stop - start)
    if len(data) != stop - start:
        raise FormatError(f"the content ends before byte {stop}, at which the table of spectra says there is more")
    return data


@dataclass(slots=True)
class _Parts:
    """One pass over the parts of a slice."""

    content: ByteReader
    run: RunTable
    spectra: Rows
    traces: Rows
    indexed: bool
    position: int = 0
    """Bytes of the slice that were handed out."""
    places: dict[bytes, list[tuple[bytes, int]]] = field(default_factory=dict)
    """Ids as they are written, and where in the slice their elements begin; by the name of the element."""
    ids: Collection[str] = ()
    """Those of the spectra in the slice."""

    def sealed(self) -> Iterator[Piece]:
        """The file form: everything is read, for its checksum."""
        hasher = hashlib.sha1(usedforsecurity=False)
        self.ids = frozenset(self.run.spectra.native_id[self.spectra])
        for piece in self.pieces():
            for data in piece.read(self.content):
                hasher.update(data)
                self.position += len(data)
            yield piece
        if self._wrapped:
            index = self._index()
            hasher.update(index)
            yield Piece.made(index + hasher.hexdigest().encode() + b"</fileChecksum>\n</indexedmzML>\n")
        else:
            yield Piece.made(b"\n")

    @property
    def _wrapped(self) -> bool:
        return self.indexed and bool(len(self.spectra) or len(self.traces))

    @property
    def _layout(self) -> Layout:
        assert self.run.layout is not None
        return self.run.layout

    def pieces(self) -> Iterator[Piece]:
        """Everything to the end tag of ``mzML``."""
        layout = self._layout
        yield from self._opening()
        done = layout.mzml + (0 if self._wrapped or not layout.indexed else len(self._tag(layout.mzml)))
        lists: list[tuple[ListSpan | None, bytes, SpectrumTable | ChromatogramTable, Rows]] = [
            (layout.spectra, b"spectrum", self.run.spectra, self.spectra),
            (layout.chromatograms, b"chromatogram", self.run.chromatograms, self.traces),
        ]
        for span, name, table, rows in lists:
            if span is not None:
                if span.tag < done:
                    raise FormatError("the chromatograms lie before the spectra, where mzML has them behind")
                yield from self._copy(done, span.tag)
                yield from self._list(span, name, table, rows)
                done = span.stop
        yield from self._copy(done, layout.stop)
        if not self.indexed:
            yield Piece.made(b"\n")

    def _copy(self, start: int, stop: int) -> Iterator[Piece]:
        """Verbatim bytes, by the piece where they are to be hashed and again handed out."""
        if not self.indexed:
            yield Piece(start, stop, None)
            return
        for offset in range(start, stop, _PIECE):
            end = min(offset + _PIECE, stop)
            yield Piece(offset, end, _exactly(self.content, offset, end))

    def _tag(self, offset: int) -> bytes:
        return start_tag(self.content.read(offset, _LONGEST_TAG))

    def _opening(self) -> Iterator[Piece]:
        """What lies before ``mzML``, with the wrapper or without it; without it also the start tag of ``mzML``."""
        layout = self._layout
        if self._wrapped == layout.indexed:
            yield from self._copy(0, layout.mzml)
            return
        yield from self._copy(0, layout.root)
        tag = self._tag(layout.mzml)
        own = {name: tag[start:stop] for name, start, stop in attributes(tag)}
        if self._wrapped:
            yield Piece.made(_wrapper(own))
            return
        outer = self._tag(layout.root)
        for name, start, stop in attributes(outer):
            # What is declared for the wrapper holds inside of it.
            if name.partition(b":")[0] == b"xmlns" and name not in own:
                tag = with_attribute(tag, name, outer[start:stop])
        yield Piece.made(tag)

    def _list(
        self, span: ListSpan, name: bytes, table: SpectrumTable | ChromatogramTable, rows: Rows
    ) -> Iterator[Piece]:
        if name == b"chromatogram" and not len(rows):
            if self._layout.spectra is None:
                yield Piece.made(self._no_spectra(span))
            return
        yield Piece.made(with_attribute(self._tag(span.tag), b"count", b"%d" % len(rows)))
        if not len(table):
            yield from self._copy(span.content, span.stop)
            return
        first, last = int(table.offset[0]), int(table.offset[-1] + table.length[-1])
        between = self._blank(span.content, first)
        yield Piece.made(between)
        numbers = 0
        for group, follows in _groups(table, rows, _PIECE if self.indexed else None):
            start, stop = int(table.offset[group[0]]), int(table.offset[group[-1]] + table.length[group[-1]])
            if self.indexed:
                yield from self._numbered(name, table, group, numbers)
            else:
                yield Piece(start, stop, None)
            numbers += len(group)
            if follows:
                yield from self._copy(stop, int(table.offset[group[-1] + 1]))
            elif numbers < len(rows):
                yield Piece.made(between)
        yield Piece.made(self._blank(last, span.close))
        yield from self._copy(span.close, span.stop)

    def _no_spectra(self, traces: ListSpan) -> bytes:
        """An empty list of spectra in place of the chromatograms: there are readers that fail at an empty run."""
        tag = self._tag(traces.tag)
        processing = next((tag[start:stop] for name, start, stop in attributes(tag) if name == _PROCESSING), None)
        reference = b' %s="%s"' % (_PROCESSING, processing) if processing is not None else b""
        return b'<spectrumList count="0"%s></spectrumList>' % reference

    def _blank(self, start: int, stop: int) -> bytes:
        """The white space of the file at a place, or a line end where there is something else."""
        text = self.content.read(start, min(stop - start, _LONGEST_BLANK + 1))
        return text if len(text) <= _LONGEST_BLANK and text.isspace() else b"\n"

    def _numbered(
        self, name: bytes, table: SpectrumTable | ChromatogramTable, group: Rows, number: int
    ) -> Iterator[Piece]:
        """Elements that follow each other, numbered from ``number`` on, and what lies between them."""
        places = self.places.setdefault(name, [])
        base, stop = int(table.offset[group[0]]), int(table.offset[group[-1]] + table.length[group[-1]])
        headers = _headers(table, group)
        longest = max(headers)
        if longest > _LONGEST_HEADER:
            raise FormatError(f"a {name.decode()} has {longest} bytes ahead of its arrays: too many to number it anew")
        known = min(stop, base + max(_PIECE, longest))
        data = _exactly(self.content, base, known)
        starts = (table.offset[group] - base).tolist()
        for start, end, header in zip(starts, [*starts[1:], known - base], headers, strict=True):
            tag = start_tag(data[start : start + header])
            places.append((identifier(tag), self.position))
            edit = numbered(tag, number)
            references = dangling_references(data[start : start + header], self.ids, self._layout.encoding)
            edits = references if edit is None else [edit, *references]
            yield from _with_edits(data[start:end], base + start, edits)
            number += 1
        yield from self._copy(known, stop)

    def _index(self) -> bytes:
        """From ``indexList`` to the start tag of ``fileChecksum``."""
        lists = [(name, places) for name, places in self.places.items() if places]
        parts = [b'\n  <indexList count="%d">\n' % len(lists)]
        for name, places in lists:
            parts.append(b'    <index name="%s">\n' % name)
            parts += [b'      <offset idRef="%s">%d</offset>\n' % place for place in places]
            parts.append(b"    </index>\n")
        # The first line end belongs to the text before the list.
        place = self.position + parts[0].index(b"<")
        parts.append(b"  </indexList>\n  <indexListOffset>%d</indexListOffset>\n  <fileChecksum>" % place)
        return b"".join(parts)


def _groups(table: SpectrumTable | ChromatogramTable, rows: Rows, most: int | None) -> Iterator[tuple[Rows, bool]]:
    """Runs of rows that follow each other, of up to ``most`` bytes; and whether the next run follows at once."""
    starts, stops = table.offset[rows].tolist(), (table.offset[rows] + table.length[rows]).tolist()
    followed = [*(np.diff(rows) == 1).tolist(), False]
    begin = 0
    for last in range(len(rows)):
        if followed[last] and (most is None or stops[last + 1] - starts[begin] <= most):
            continue
        yield rows[begin : last + 1], followed[last]
        begin = last + 1


def _headers(table: SpectrumTable | ChromatogramTable, rows: Rows) -> list[int]:
    """Bytes of elements up to their first array, whole ones where they have none."""
    if isinstance(table, SpectrumTable):
        return cast("list[int]", table.header_length[rows].tolist())
    offsets = np.append(table.arrays.offset, 0)[table.arrays.first[rows]] - table.offset[rows]
    lengths = table.length[rows]
    has_arrays = (table.arrays.first[rows] < table.arrays.first[rows + 1]) & (offsets > 0) & (offsets < lengths)
    return cast("list[int]", np.where(has_arrays, offsets, lengths).tolist())


def _with_edits(text: bytes, offset: int, edits: list[Edit]) -> Iterator[Piece]:
    done = 0
    for start, stop, data in edits:
        yield Piece(offset + done, offset + start, text[done:start])
        yield Piece.made(data)
        done = stop
    yield Piece(offset + done, offset + len(text), text[done:])


def _wrapper(own: dict[bytes, bytes]) -> bytes:
    """The start tag of ``indexedmzML`` for an ``mzML`` with these attributes."""
    declared = (
        _NAMESPACES if own.get(b"xmlns", _NAMESPACES[b"xmlns"]) == _NAMESPACES[b"xmlns"] else {b"xmlns": own[b"xmlns"]}
    )
    return b"<indexedmzML" + b"".join(b' %s="%s"' % pair for pair in declared.items()) + b">\n  "
