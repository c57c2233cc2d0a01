"""An HDF5 file opened for regions: which layout it has decides what the words of a region mean."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lake.errors import InvalidRegion, Unsupported
from lake.formats.arrays import anndata, tenx
from lake.formats.arrays.axis_table import AxisTable, select_places, unite
from lake.formats.arrays.copying import write_pieces
from lake.formats.arrays.dimensions import DimensionPieces, select_coordinate
from lake.formats.arrays.hdf5 import open_hdf5
from lake.formats.arrays.indexing import Axis
from lake.formats.arrays.pieces import GroupPiece, Piece
from lake.formats.arrays.query import AxisTerm, ConditionTerm, PathTerm, Term, parse_region_terms
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING, Region
from lake.segments import Plan, Span, Stream

__all__ = ["ArrayFile", "compile_pieces", "query_text"]

_PIECE = 1 << 20


def query_text(regions: Sequence[str]) -> str:
    """The same text for the same regions."""
    texts = ["&".join(sorted(term.text() for term in parse_region_terms(region))) for region in regions]
    return ";".join(dict.fromkeys(texts))


def compile_pieces(file: Any, regions: Sequence[str]) -> list[Piece]:
    """What regions select of an `h5py.File`.

    Several regions are datasets and groups that are all wanted, or places along one axis, of which the union is.

    Raises:
        InvalidRegion: cannot be parsed, or does not fit the file.
        Unsupported: understood, but not something that can be cut.
        FormatError: the file is damaged where the answer must look.
    """
    region = ";".join(regions)
    asked = [parse_region_terms(text) for text in regions]
    paths = [term for terms in asked for term in terms if isinstance(term, PathTerm)]
    chosen = [_Chosen.of(file, terms) for terms in asked]
    united = _united([one for one in chosen if one.axes], region)
    if any(not one.axes for one in chosen) and united.axes:
        raise InvalidRegion(f"{region!r}: join a path to places along an axis with '&', not as a region of its own")
    if united.layout == "anndata":
        pieces = list(anndata.AnnDataPieces(file, united.axes).all())
        return _below(pieces, paths, [f"/{axis}" for axis in anndata.AXES], region)
    if united.layout:
        pieces = list(tenx.TenxPieces(file, united.layout, united.axes).all())
        return _below(pieces, paths, [], region)
    return list(DimensionPieces(file, united.axes, paths, region).all())


class _Chosen(NamedTuple):
    """Places along the axes that one region names."""

    layout: str
    """``anndata``, the path of a 10x matrix, or nothing where axes are dimension scales."""
    axes: dict[str, Axis]

    @classmethod
    def of(cls, file: Any, terms: Sequence[Term]) -> _Chosen:
        named = [term for term in terms if not isinstance(term, PathTerm)]
        if not named:
            return cls("", {})
        words = {term.axis for term in named}
        if words <= set(anndata.AXES) and anndata.is_anndata(file):
            tables: dict[str, AxisTable] = {word: anndata.DataFrame(file, f"/{word}") for word in words}
            return cls("anndata", _selected(named, tables))
        if words <= set(tenx.AXES) and (groups := tenx.matrix_groups(file)):
            if len(groups) > 1:
                raise Unsupported(f"the file has matrices of {len(groups)} genomes: ask for paths")
            tables = {word: tenx.MatrixTable(file, groups[0], word) for word in words}
            return cls(groups[0], _selected(named, tables))
        axes: dict[str, Axis] = {}
        for term in named:
            if isinstance(term, ConditionTerm):
                raise InvalidRegion(f"no table of {term.axis!r} in this file for the condition {term.condition!r}")
            scale, places = select_coordinate(file, term)
            axes[scale] = _common(axes.get(scale), places)
        return cls("", axes)


def _selected(terms: Sequence[AxisTerm | ConditionTerm], tables: dict[str, AxisTable]) -> dict[str, Axis]:
    axes: dict[str, Axis] = {}
    for term in terms:
        axes[term.axis] = _common(axes.get(term.axis), select_places(term, tables[term.axis]))
    return axes


def _common(known: Axis | None, more: Axis) -> Axis:
    return more if known is None else np.intersect1d(np.asarray(known, np.int64), np.asarray(more, np.int64))


def _united(chosen: Sequence[_Chosen], region: str) -> _Chosen:
    """The union of places, which is a box only where the regions differ along one axis."""
    if not chosen:
        return _Chosen("", {})
    layout, axes = chosen[0]
    for other in chosen[1:]:
        if other.layout != layout or other.axes.keys() != axes.keys():
            raise InvalidRegion(f"{region!r} names different axes: the regions together are no box; ask one by one")
        differing = [name for name in axes if not np.array_equal(np.asarray(axes[name]), np.asarray(other.axes[name]))]
        if len(differing) > 1:
            raise InvalidRegion(f"{region!r} differs along {' and '.join(differing)}: together no box; ask one by one")
        axes = axes | {name: unite(axes[name], other.axes[name]) for name in differing}
    return _Chosen(layout, axes)


def _below(pieces: list[Piece], paths: Sequence[PathTerm], always: Sequence[str], region: str) -> list[Piece]:
    """Pieces at or below the paths, where there are any."""
    if not paths:
        return pieces
    for term in paths:
        if term.bounds is not None:
            raise InvalidRegion(f"{term.text()} in {region!r}: brackets and names of axes cannot be mixed")
        if not any(_lies_below(piece.path, term.path) for piece in pieces):
            raise InvalidRegion(f"no {term.path} in the file")
    wanted = [*always, *(term.path for term in paths)]
    return [
        piece
        for piece in pieces
        if any(_lies_below(piece.path, path) for path in wanted)
        or (isinstance(piece, GroupPiece) and any(_lies_below(path, piece.path) for path in wanted))
    ]


def _lies_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


class ArrayFile:
    """One file opened for region queries. Safe for use by several threads."""

    def __init__(self, reader: ByteReader, media_type: str) -> None:
        self._reader = reader
        self._media_type = media_type

    @property
    def contigs(self) -> dict[str, int]:
        """None: arrays have other axes."""
        return {}

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """A small file of the same format with what the regions select; see `lake.formats.arrays.query`.

        Values, types, filters and attributes are those of the file; the bytes are new. Without regions, or with
        ``.``: the whole file, verbatim.

        Raises:
            InvalidRegion: cannot be parsed, or does not fit the file.
            Unsupported: targets; or what cannot be cut.
            FormatError: the file is damaged where the query must look.
        """
        if targets is not None:
            raise Unsupported("arrays take no targets file: name places along their axes")
        reader = self._reader
        if not regions or EVERYTHING in regions:
            return Plan(self._media_type, (Span(reader.source, 0, reader.size),), verbatim=True, query=EVERYTHING)
        query = query_text(regions)
        with open_hdf5(reader) as file:
            compile_pieces(file, regions)
        return Plan(self._media_type, (Stream(lambda: self._bytes(regions)),), verbatim=False, query=query)

    def _bytes(self, regions: Sequence[str]) -> Iterator[bytes]:
        """The answer. Complete before its first byte is given, so that an error leaves nothing half done."""
        with tempfile.TemporaryDirectory(prefix="regionlake-") as folder:
            path = Path(folder, "slice.h5")
            with open_hdf5(self._reader) as file:
                write_pieces(file, compile_pieces(file, regions), str(path))
            with path.open("rb") as written:
                while piece := written.read(_PIECE):
                    yield piece
