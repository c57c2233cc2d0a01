"""mzMLb: facts and regions as of the mzML inside; a slice is an mzML, for its arrays have to be computed anyway."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from lake.errors import FormatError, Unsupported
from lake.formats.arrays.hdf5 import missing_library
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import INTENSITY, MOBILITIES, MOBILITY, VALUE_TYPES, Compression, Values
from lake.formats.spectra.mzml import scan_mzml
from lake.formats.spectra.mzmlb_arrays import External, open_text, read_external
from lake.formats.spectra.query import SpectrumQuery
from lake.formats.spectra.rewriting import read_exactly, rewrite
from lake.formats.spectra.run_format import RunFormat, Stored
from lake.formats.spectra.source import TIME, Points, batches
from lake.formats.spectra.start_tags import Edit, attributes, start_tag
from lake.formats.spectra.table import ChromatogramTable, RunTable, SpectrumTable
from lake.segments import Plan, Stream

__all__ = ["MZMLB", "MzmlbFormat", "MzmlbSource", "scan_mzmlb"]

Rows = NDArray[np.int64]

_EXTERNAL = frozenset((1002841, 1002842, 1002843))
_ZLIB = b'<cvParam cvRef="MS" accession="MS:1000574" name="zlib compression" value=""/>'
_SCHEMES = frozenset(map(int, Compression))
_TYPE_NAMES = {
    1000519: b"32-bit integer",
    1000521: b"32-bit float",
    1000522: b"64-bit integer",
    1000523: b"64-bit float",
}
_TYPES = {np.dtype(kind).str: number for number, kind in VALUE_TYPES.items() if number in _TYPE_NAMES}


def scan_mzmlb(reader: ByteReader) -> RunTable:
    """The table of the mzML inside; offsets are those in its text.

    Raises:
        FormatError: damaged, or no mzMLb.
        Unsupported: h5py is not installed.
    """
    with open_text(reader) as (_, text):
        return scan_mzml(text)


class MzmlbSource:
    """A `lake.formats.spectra.source.SpectrumSource` over datasets of HDF5."""

    def __init__(self, reader: ByteReader, table: RunTable) -> None:
        self.table = table
        self._reader = reader

    def points(self, rows: Rows, kinds: Sequence[int]) -> Iterator[Points]:
        """See `lake.formats.spectra.source.SpectrumSource.points`."""
        spectra = self.table.spectra
        for start, stop in batches(np.maximum(spectra.n_points[rows], 0), spectra.length[rows]):
            some = rows[start:stop]
            with open_text(self._reader) as (file, text):
                found = [
                    _arrays(file, text, spectra, int(row), kinds, f"spectrum {row} ({spectra.native_id[row]})")
                    for row in some
                ]
            yield _joined(some, found, kinds)

    def trace(self, row: int) -> tuple[Values, Values]:
        """See `lake.formats.spectra.source.SpectrumSource.trace`."""
        traces = self.table.chromatograms
        name = f"chromatogram {traces.native_id[row]}"
        with open_text(self._reader) as (file, text):
            found = _arrays(file, text, traces, row, (TIME, INTENSITY), name)
        if len(found) < 2:
            raise FormatError(f"{name} has no times or no intensities")
        return found[TIME], found[INTENSITY]


def _arrays(
    file: object,
    text: ByteReader,
    table: SpectrumTable | ChromatogramTable,
    row: int,
    kinds: Sequence[int],
    name: str,
) -> dict[int, Values]:
    """Arrays of one spectrum by kind; none at all where one that is needed is missing."""
    arrays = table.arrays
    first, last = arrays.first[row : row + 2].tolist()
    own = arrays.kind[first:last].tolist()
    places = {
        kind: next((n for n, other in enumerate(own) if other in (MOBILITIES if kind == MOBILITY else (kind,))), None)
        for kind in kinds
    }
    if any(place is None and kind != MOBILITY for kind, place in places.items()):
        return {}
    start = int(table.offset[row])
    element = read_exactly(text, start, start + int(table.length[row]))
    described = External.all(element)
    if len(described) != last - first:
        raise FormatError(f"{name}: {last - first} arrays, of which {len(described)} are described")
    found = {}
    for kind, place in places.items():
        if place is not None:
            points = int(arrays.points[first + place])
            count = points if points >= 0 else int(table.n_points[row])
            try:
                found[kind] = read_external(file, described[place], int(arrays.compression[first + place]), count)
            except (FormatError, Unsupported) as error:
                raise type(error)(f"{name}: {error}") from None
    if len({len(values) for values in found.values()}) > 1:
        raise FormatError(f"{name}: its arrays differ in length")
    return found


def _joined(rows: Rows, found: Sequence[dict[int, Values]], kinds: Sequence[int]) -> Points:
    counts = [len(next(iter(arrays.values()))) if arrays else 0 for arrays in found]
    first = np.cumsum([0, *counts], dtype=np.int64)
    values: dict[int, Values] = {}
    for kind in kinds:
        if any(kind in arrays for arrays in found):
            parts = [
                arrays.get(kind, np.full(count, np.nan)) for arrays, count in zip(found, counts, strict=True) if count
            ]
            values[kind] = np.concatenate(parts) if parts else np.empty(0)
    return Points(rows, first, values)


def _plan(stored: Stored, query: SpectrumQuery) -> Plan:
    """An mzML (not indexed) with the arrays inside, compressed by zlib where the file says so; else plain."""
    rows, traces = query.rows(stored.run.spectra), query.chromatograms(stored.run.chromatograms)

    def pieces() -> Iterator[bytes]:
        with open_text(stored.reader) as (file, text):

            def edits(element: bytes, table: SpectrumTable | ChromatogramTable, row: int) -> list[Edit]:
                return _inlined(file, element, table, row)

            yield from rewrite(text, stored.run, rows, traces, lambda head: [], edits)

    return Plan("application/xml", (Stream(pieces),), verbatim=False, query=str(query))


def _inlined(file: object, element: bytes, table: SpectrumTable | ChromatogramTable, row: int) -> list[Edit]:
    """What puts the arrays of an element into its text."""
    arrays = table.arrays
    first, last = arrays.first[row : row + 2].tolist()
    described = External.all(element)
    if len(described) != last - first:
        raise FormatError(f"the element {row} has {last - first} arrays, of which {len(described)} are described")
    edits: list[Edit] = []
    for array, place in zip(described, range(first, last), strict=True):
        points = int(arrays.points[place])
        count = points if points >= 0 else int(table.n_points[row])
        scheme = int(arrays.compression[place])
        edits += _array_edits(
            element, array, read_external(file, array, scheme, count), scheme, int(arrays.dtype[place])
        )
    return edits


def _array_edits(element: bytes, array: External, values: Values, scheme: int, stated_type: int) -> list[Edit]:
    number = _TYPES[values.dtype.newbyteorder("<").str]
    data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    if scheme != Compression.NONE:
        data = isal_zlib.compress(data, 1)
    text = base64.b64encode(data)
    tag = start_tag(element[array.start : array.stop])
    edits = [
        Edit(array.start + start, array.start + stop, b"%d" % len(text))
        for name, start, stop in attributes(tag)
        if name == b"encodedLength"
    ]
    settled = number == stated_type
    compressed = scheme in (Compression.NONE, Compression.ZLIB)
    for param in array.params:
        if param.accession in _EXTERNAL:
            edits.append(Edit(param.start, param.stop, b""))
        elif param.accession in _TYPE_NAMES and number != stated_type:
            name = _TYPE_NAMES[number]
            made = b'<cvParam cvRef="MS" accession="MS:%d" name="%b" value=""/>' % (number, name)
            edits.append(Edit(param.start, param.stop, made))
            settled = True
        elif not compressed and param.accession in _SCHEMES:
            edits.append(Edit(param.start, param.stop, _ZLIB))
            compressed = True
    if not (settled and compressed):
        raise Unsupported("a group of parameters says how an array is stored, and it is not how it can be given")
    binary = element.rfind(b"<binary", array.start, array.stop)
    if binary <= array.start:
        raise FormatError("an array has no element binary")
    end = element.rfind(b"</binaryDataArray", binary, array.stop)
    edits.append(Edit(binary, end, b"<binary>" + text + b"</binary>"))
    return sorted(edits)


class MzmlbFormat(RunFormat):
    """What a lake knows of mzMLb. Without h5py nothing is known of its content."""

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """See `RunFormat.check`."""
        return super().check(reader, whole=whole) if missing_library() is None else []

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: h5py is missing."""
        return missing_library()


MZMLB = MzmlbFormat(
    name="mzMLb",
    media_type="application/x-hdf5",
    suffixes=(".mzMLb",),
    planner="mzmlb/1",
    scan=scan_mzmlb,
    slice=_plan,
    points=MzmlbSource,
    table_kind=None,
)
