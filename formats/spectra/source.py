"""Where points of spectra come from: one interface for every format, and what reads the arrays of most of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError, Unsupported
from lake.formats.base import RegionFile
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import (
    INTENSITY,
    MOBILITIES,
    MOBILITY,
    VALUE_TYPES,
    Compression,
    Values,
    decode_base64,
    decode_bytes,
    inflate,
)
from lake.formats.spectra.table import ArrayTable, RunTable

__all__ = ["RUN_FORMATS", "TIME", "EncodedSource", "Points", "Rows", "SpectrumFile", "SpectrumSource", "batches"]

Rows = NDArray[np.int64]

TIME = 1000595

RUN_FORMATS = frozenset(("MGF", "imzML", "mzML", "mzMLb", "mzPeak", "mzXML"))
"""Formats whose files hold spectra, by the names that detection gives."""

_GAP = 32 << 10
"""Bytes between two arrays up to which both are read at once."""
_READ = 4 << 20
_BATCH_BYTES = 8 << 20
_BATCH_POINTS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of several spectra: those of the first one, then those of the second, and so on."""

    rows: Rows
    """Rows of the spectra in the table."""
    first: Rows
    """Spectrum ``i`` has points ``first[i]`` to ``first[i + 1]``; one more than there are spectra."""
    values: Mapping[int, Values]
    """By number of the accession: 1000514 m/z, 1000515 intensity, 1002893 ion mobility (whichever array of it).

    All have as many values; one that no spectrum of these has is missing, and is NaN in those that do not have it.
    """

    def owners(self) -> Rows:
        """The row of the spectrum of every point."""
        return np.repeat(self.rows, np.diff(self.first))


class SpectrumSource(Protocol):
    """Spectra of one object: what is known of them, and their points. Safe for use by several threads."""

    @property
    def table(self) -> RunTable: ...

    def points(self, rows: Rows, kinds: Sequence[int]) -> Iterator[Points]:
        """Points of spectra in the order of ``rows``, in batches of about a million.

        Args:
            rows: rows of the table of spectra.
            kinds: arrays that are wanted, by number of the accession; no other is read. A spectrum that lacks one of
                them other than ion mobility (of UV light, say, which has no m/z) has no points.

        Raises:
            FormatError: an array is damaged, or arrays of one spectrum differ in length; names the spectrum.
            Unsupported: an array is of a kind that is not known here.
        """
        ...

    def trace(self, row: int) -> tuple[Values, Values]:
        """Times (in the unit of the file) and intensities of a chromatogram, by its row in the table.

        Raises:
            FormatError, Unsupported: as `points`.
        """
        ...


@runtime_checkable
class SpectrumFile(RegionFile, Protocol):
    """A file of spectra, opened for region queries."""

    @property
    def source(self) -> SpectrumSource: ...


class EncodedSource:
    """A `SpectrumSource` of a format that keeps an array as one run of bytes, as `ArrayTable` says."""

    def __init__(self, reader: ByteReader, table: RunTable, *, base64: bool = True) -> None:
        """
        Args:
            reader: of the content to which the offsets refer; of mzML in gzip that is what the gzip holds.
            table: of the same content.
            base64: whether that wraps the bytes of arrays.
        """
        self.table = table
        self._reader = reader
        self._unwrap = decode_base64 if base64 else bytes
        self._place = cache(lambda kind: _places(table.spectra.arrays, kind))

    def points(self, rows: Rows, kinds: Sequence[int]) -> Iterator[Points]:
        """See `SpectrumSource.points`."""
        spectra = self.table.spectra
        places = np.stack([self._place(kind)[rows] for kind in kinds]) if len(kinds) else np.empty((0, len(rows)), int)
        needed = [number for number, kind in enumerate(kinds) if kind != MOBILITY]
        places[:, (places[needed] < 0).any(axis=0)] = -1
        counts = _counts(spectra.arrays, places, spectra.n_points[rows])
        sizes = np.append(spectra.arrays.length, 0)[places].sum(axis=0)
        for start, stop in batches(counts.max(axis=0, initial=0), sizes):
            yield self._batch(rows[start:stop], kinds, places[:, start:stop], counts[:, start:stop])

    def _batch(self, rows: Rows, kinds: Sequence[int], places: Rows, counts: Rows) -> Points:
        present = places >= 0
        wanted, lengths = places[present], counts[present]
        owners = np.broadcast_to(rows, places.shape)[present]
        if (lengths < 0).any():
            self._fail(int(owners[np.argmax(lengths < 0)]), FormatError("nothing says how many points it has"))
        texts = _read_all(self._reader, self.table.spectra.arrays, wanted)
        total = counts.max(axis=0, initial=0)
        first = np.concatenate((np.zeros(1, np.int64), total.cumsum()))
        values: dict[int, Values] = {}
        at = 0
        for kind, here, size in zip(kinds, present, counts, strict=True):
            n = int(here.sum())
            if n == 0:
                continue
            if (size[here] != total[here]).any():
                row = int(rows[here][np.argmax(size[here] != total[here])])
                self._fail(row, FormatError("its arrays differ in length"))
            decoded = self._decoded(wanted[at : at + n], texts[at : at + n], lengths[at : at + n], owners[at : at + n])
            at += n
            if n < len(rows) and len(decoded) < first[-1]:
                spread = np.full(int(first[-1]), np.nan)
                spread[np.repeat(here, total)] = decoded
                decoded = spread
            values[kind] = decoded
        return Points(rows, first, values)

    def _decoded(self, places: Rows, texts: list[bytes], lengths: Rows, owners: Rows) -> Values:
        """Values of arrays, one behind the other."""
        arrays = self.table.spectra.arrays
        types, schemes = arrays.dtype[places], arrays.compression[places]
        try:
            dtype = VALUE_TYPES.get(int(types[0]))
            if dtype is not None and (types == types[0]).all() and (schemes == Compression.ZLIB).all():
                unwrap = self._unwrap
                sizes = (lengths * dtype.itemsize).tolist()
                whole = b"".join([inflate(unwrap(text), size) for text, size in zip(texts, sizes, strict=True)])
                return np.frombuffer(whole, dtype)
            parts = zip(texts, types.tolist(), schemes.tolist(), lengths.tolist(), strict=True)
            return _joined([decode_bytes(self._unwrap(text), *how) for text, *how in parts])
        except (FormatError, Unsupported):
            for text, place, length, row in zip(texts, places.tolist(), lengths.tolist(), owners.tolist(), strict=True):
                try:
                    decode_bytes(self._unwrap(text), int(arrays.dtype[place]), int(arrays.compression[place]), length)
                except (FormatError, Unsupported) as error:
                    self._fail(row, error)
            raise

    def trace(self, row: int) -> tuple[Values, Values]:
        """See `SpectrumSource.trace`."""
        table = self.table.chromatograms
        found = []
        for kind in (TIME, INTENSITY):
            place = _places(table.arrays, kind)[row : row + 1]
            name = f"chromatogram {table.native_id[row]}"
            if place[0] < 0:
                raise FormatError(f"{name} has no array MS:{kind}")
            [length] = _counts(table.arrays, place[None], table.n_points[row : row + 1])[0]
            [text] = _read_all(self._reader, table.arrays, place)
            try:
                how = int(table.arrays.dtype[place[0]]), int(table.arrays.compression[place[0]])
                found.append(decode_bytes(self._unwrap(text), *how, int(length)))
            except (FormatError, Unsupported) as error:
                raise type(error)(f"{name}: {error}") from None
        if len(found[0]) != len(found[1]):
            raise FormatError(f"chromatogram {table.native_id[row]}: its arrays differ in length")
        return found[0], found[1]

    def _fail(self, row: int, error: FormatError | Unsupported) -> NoReturn:
        name = self.table.spectra.native_id[row]
        raise type(error)(f"spectrum {row}{f' ({name})' if name else ''}: {error}") from None


def batches(points: Rows, sizes: Rows) -> Iterator[tuple[int, int]]:
    """Ranges of spectra that are worth reading together, by their numbers of points and of encoded bytes."""
    load = np.maximum(points / _BATCH_POINTS, sizes / _BATCH_BYTES).cumsum()
    start = 0
    while start < len(load):
        before = load[start - 1] if start else 0.0
        stop = max(int(np.searchsorted(load, before + 1.0, "right")), start + 1)
        yield start, stop
        start = stop


def _places(arrays: ArrayTable, kind: int) -> Rows:
    """For each owner the row of its first array of a kind, or -1."""
    owners = np.repeat(np.arange(len(arrays.first) - 1), np.diff(arrays.first))
    found = np.flatnonzero(np.isin(arrays.kind, MOBILITIES if kind == MOBILITY else (kind,)))
    places = np.full(len(arrays.first) - 1, -1, np.int64)
    places[owners[found][::-1]] = found[::-1]
    return places


def _counts(arrays: ArrayTable, places: Rows, declared: Rows) -> Rows:
    """Values of each array, 0 where there is none. Shape of ``places``, whose last axis is that of ``declared``."""
    own = np.append(arrays.points, 0)[places]
    return np.where(places < 0, 0, np.where(own >= 0, own, declared))


def _joined(parts: list[Values]) -> Values:
    if len({part.dtype for part in parts}) > 1:
        return np.concatenate([part.astype(np.float64) for part in parts])
    return np.concatenate(parts)


def _read_all(reader: ByteReader, arrays: ArrayTable, places: Rows) -> list[bytes]:
    """The bytes of arrays; those that lie close together are read at once."""
    if not len(places):
        return []
    order = np.argsort(arrays.offset[places], kind="stable")
    starts = arrays.offset[places][order]
    stops = starts + arrays.length[places][order]
    apart = (starts[1:] - np.maximum.accumulate(stops)[:-1] > _GAP) | (np.diff(starts // _READ) != 0)
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(starts)]
    texts: list[bytes] = [b""] * len(places)
    where, begins, ends = order.tolist(), starts.tolist(), stops.tolist()
    for low, high in pairwise(edges):
        base = begins[low]
        block = reader.read(base, max(ends[low:high]) - base)
        for number in range(low, high):
            texts[where[number]] = block[begins[number] - base : ends[number] - base]
    return texts
