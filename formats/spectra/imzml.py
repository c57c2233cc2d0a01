"""imzML with its .ibd: pixels by their place and spectra by any other property; a slice is a pair again, in a ZIP."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError, Unsupported
from lake.formats.base import IndexKind
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING, Region
from lake.formats.spectra.arrays import MZ
from lake.formats.spectra.content import compression_of
from lake.formats.spectra.imzml_pair import UUID_SIZE, Identity, check_ibd, read_identity
from lake.formats.spectra.mzml import scan_mzml
from lake.formats.spectra.query import parse_query
from lake.formats.spectra.rewriting import read_exactly, rewrite
from lake.formats.spectra.source import EncodedSource, SpectrumSource
from lake.formats.spectra.start_tags import Edit, attributes
from lake.formats.spectra.table import ChromatogramTable, RunTable, SpectrumTable
from lake.formats.spectra.table_codec import TABLE_KIND, decode_run, encode_run
from lake.segments import Plan, Span, Stream

__all__ = ["IMZML", "ImzmlFile", "ImzmlFormat", "scan_imzml"]

I64 = NDArray[np.int64]

_MEDIA_TYPE = "application/xml"
_PIECE = 1 << 20
_CHECKED_WHOLE = 8 << 20
_LONGEST_HEAD = 64 << 20
_OFFSET = re.compile(rb"<cvParam\s[^<>]*?IMS:1000102[^<>]*>")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of members of a ZIP, so that the same slice is the same bytes."""
_LARGE = 1 << 31
"""Bytes from which a member of a ZIP needs 64-bit sizes."""


def scan_imzml(reader: ByteReader) -> RunTable:
    """The table of an imzML; offsets of arrays are those in the .ibd, points those of the arrays of m/z.

    Raises:
        FormatError: damaged or cut off.
    """
    run = scan_mzml(reader)
    arrays = run.spectra.arrays
    owners = np.repeat(np.arange(len(run.spectra)), np.diff(arrays.first))
    named = (arrays.kind == MZ) & (arrays.points >= 0)
    points = run.spectra.n_points.copy()
    # Spectra declare a length of 0, or none that is right: their own arrays are empty.
    points[owners[named]] = arrays.points[named]
    return replace(run, spectra=replace(run.spectra, n_points=points))


class ImzmlFile:
    """One imzML opened for queries, with its .ibd where that is known. Safe for use by several threads."""

    def __init__(self, reader: ByteReader, run: RunTable, ibd: ByteReader | None) -> None:
        self._reader = reader
        self._run = run
        self._ibd = ibd

    @property
    def contigs(self) -> dict[str, int]:
        """None: pixels have no places on a genome."""
        return {}

    @cached_property
    def source(self) -> SpectrumSource:
        """Points of the spectra.

        Raises:
            Unsupported: the .ibd is not known.
        """
        return EncodedSource(self._data(), self._run, base64=False)

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions (``x=1-3&y=2``, and all other conditions on spectra) into a plan.

        The answer is a ZIP, stored, of ``slice.ibd`` and ``slice.imzML``: arrays verbatim, each once, with new offsets,
        a UUID of its own and the checksums of the new .ibd. Without regions, or with ``.``: the imzML as it is.

        Raises:
            InvalidRegion: not a condition, or no spectrum has an id that is asked for.
            Unsupported: targets; or the .ibd is not known.
            FormatError: the table of spectra is not that of the files.
        """
        if targets is not None:
            raise Unsupported("spectra take no targets file: they have no places on a genome")
        query = parse_query(regions)
        if query.everything:
            whole = Span(self._reader.source, 0, self._reader.size)
            return Plan(_MEDIA_TYPE, (whole,), verbatim=True, query=EVERYTHING)
        ibd = self._data()
        rows = query.rows(self._run.spectra)
        text = f"{query}&ibd={ibd.source}"
        pair = _Pair(self._reader, ibd, self._run, rows, text)
        return Plan("application/zip", (Stream(pair.zipped),), verbatim=False, query=text)

    def _data(self) -> ByteReader:
        if self._ibd is None:
            raise Unsupported("its .ibd is not in the lake, or not the one that it states: put both side by side")
        return self._ibd


@dataclass(frozen=True)
class _Pair:
    """A slice while it is written."""

    reader: ByteReader
    ibd: ByteReader
    run: RunTable
    rows: I64
    query: str

    def zipped(self) -> Iterator[bytes]:
        """The ZIP, in pieces."""
        identity = _identity(self.reader, self.run)
        own = uuid5(UUID(bytes=identity.uuid), self.query)
        hashers = {name: hashlib.new(name, usedforsecurity=False) for name in identity.checksums}
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            for name, pieces, large in (
                ("slice.ibd", self._data(own.bytes), self._data_size >= _LARGE),
                ("slice.imzML", self._text(identity, own, hashers), self.reader.size >= _LARGE),
            ):
                with archive.open(zipfile.ZipInfo(name, _EPOCH), "w", force_zip64=large) as member:
                    for piece in pieces:
                        if name.endswith(".ibd"):
                            for hasher in hashers.values():
                                hasher.update(piece)
                        member.write(piece)
                        yield sink.taken()
        yield sink.taken()

    def _data(self, uuid: bytes) -> Iterator[bytes]:
        yield uuid
        for start, stop in self._places.runs():
            for offset in range(start, stop, _PIECE):
                yield read_exactly(self.ibd, offset, min(offset + _PIECE, stop))

    def _text(self, identity: Identity, uuid: UUID, hashers: dict[str, hashlib._Hash]) -> Iterator[bytes]:
        # The .ibd is written by now.
        values = {"uuid": uuid.hex, **{name: hasher.hexdigest() for name, hasher in hashers.items()}}
        none = np.empty(0, np.int64)

        def head_edits(head: bytes) -> list[Edit]:
            return read_identity(head).edits(values)

        yield from rewrite(self.reader, self.run, self.rows, none, head_edits, self._edits)

    def _edits(self, text: bytes, table: SpectrumTable | ChromatogramTable, row: int) -> list[Edit]:
        """The new offsets of the arrays of a spectrum."""
        first, last = table.arrays.first[row : row + 2].tolist()
        params = list(_OFFSET.finditer(text))
        if len(params) != last - first:
            raise FormatError(
                f"spectrum {row} has {last - first} arrays, but {len(params)} external offsets of its own"
            )
        edits = []
        for match, place in zip(params, range(first, last), strict=True):
            values = {name: (start, stop) for name, start, stop in attributes(match[0])}
            start, stop = values.get(b"value", (0, 0))
            edits.append(Edit(match.start() + start, match.start() + stop, b"%d" % self._places.moved[place]))
        return edits

    @cached_property
    def _places(self) -> _Places:
        return _places(self.run.spectra, self.rows, self.ibd.size)

    @property
    def _data_size(self) -> int:
        return UUID_SIZE + int(self._places.lengths.sum())


@dataclass(frozen=True, eq=False)
class _Places:
    """Which bytes of the .ibd a slice takes, and where they come to lie."""

    starts: I64
    lengths: I64
    """Of each array that is taken, once, in the order in which spectra want them."""
    moved: dict[int, int]
    """The new offset of an array by its row in the table of arrays."""

    def runs(self) -> Iterator[tuple[int, int]]:
        """Bytes ``[start, stop)`` in turn; arrays that follow each other are one run."""
        starts, stops = self.starts, self.starts + self.lengths
        apart = np.flatnonzero(starts[1:] != stops[:-1]) + 1
        first, last = [0, *apart.tolist()], [*(apart - 1).tolist(), len(starts) - 1]
        if len(starts):
            yield from zip(starts[first].tolist(), stops[last].tolist(), strict=True)


def _places(spectra: SpectrumTable, rows: I64, size: int) -> _Places:
    arrays = spectra.arrays
    counts = arrays.first[rows + 1] - arrays.first[rows]
    taken = np.repeat(arrays.first[rows] - np.concatenate(([0], counts.cumsum()[:-1])), counts) + np.arange(
        int(counts.sum())
    )
    starts, lengths = arrays.offset[taken], arrays.length[taken]
    if len(taken) and (starts.min() < 0 or lengths.min() < 0 or int((starts + lengths).max()) > size):
        raise FormatError(f"arrays lie behind the end of the .ibd, which has {size} bytes")
    # Spectra of a continuous file share one array of m/z: equal places come together, the first one of them first.
    order = np.lexsort((lengths, starts))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(starts[order]) != 0) | (np.diff(lengths[order]) != 0)
    kept = np.sort(order[new])
    ends = UUID_SIZE + lengths[kept].cumsum()
    offsets = (ends - lengths[kept])[np.searchsorted(kept, order[new])]
    moved = dict(zip(taken[order].tolist(), offsets[new.cumsum() - 1].tolist(), strict=True))
    return _Places(starts[kept], lengths[kept], moved)


class _Sink(io.RawIOBase):
    """What a ZIP is written to; it is handed on piece by piece."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def _identity(reader: ByteReader, run: RunTable) -> Identity:
    assert run.layout is not None
    stop = run.layout.spectra.tag if run.layout.spectra is not None else run.layout.run_close
    return read_identity(reader.read(0, min(stop, _LONGEST_HEAD)))


class ImzmlFormat:
    """What a lake knows of imzML 1.1."""

    name = "imzML"
    media_type = _MEDIA_TYPE
    suffixes = (".imzML",)
    planner = "imzml/1"
    encoder = "none"
    indexes = (IndexKind(TABLE_KIND, ()),)
    table_kind = None
    partner_kind = "ibd"
    partner_suffix = ".ibd"

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Files of up to 8 MiB are read to the end, if they are not compressed."""
        try:
            if reader.size <= _CHECKED_WHOLE and compression_of(reader) == "plain":
                _identity(reader, scan_imzml(reader))
        except FormatError as error:
            return [str(error)]
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: making the table reads the whole file."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why an index cannot be adopted: tables of spectra are made by the lake alone."""
        return "spectra are indexed by the lake alone"

    def check_partner(self, reader: ByteReader, partner: ByteReader) -> str | None:
        """Why an .ibd is not the one that the imzML means (one sentence), or None."""
        try:
            return check_ibd(_identity(reader, scan_imzml(reader)), partner)
        except FormatError as error:
            return str(error)

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: an imzML is not compressed."""
        return None if compression_of(reader) == "plain" else "a compressed imzML"

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write the table of spectra of the file at ``path`` to ``out``.

        Raises:
            FormatError: malformed or damaged; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                out.write_bytes(encode_run(scan_imzml(reader), reader.size))
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
        return TABLE_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """There is none.

        Raises:
            Unsupported: always.
        """
        raise Unsupported("imzML needs no table beside its index")

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        partner: ByteReader | None = None,
    ) -> ImzmlFile:
        """Open for queries; ``partner`` is the .ibd.

        Raises:
            FormatError: the file is malformed, or the index is damaged.
            Unsupported: it is compressed.
        """
        if compression_of(reader) != "plain":
            raise Unsupported("regions of a compressed imzML cannot be asked: put it as it was written")
        run = decode_run(index, reader.size) if index is not None else scan_imzml(reader)
        return ImzmlFile(reader, run, partner)


IMZML = ImzmlFormat()
