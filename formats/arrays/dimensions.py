"""Datasets by path and bounds, together with the dimension scales of their axes; and axes cut by coordinates.

This is netCDF-4, whose dimensions are dimension scales of HDF5 (netCDF-4 file format, "Dimensions"), and any other
HDF5 file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import FormatError, InvalidRegion
from lake.formats.arrays.cf_time import parse_units
from lake.formats.arrays.hdf5 import find
from lake.formats.arrays.indexing import Axis, resolve_bounds
from lake.formats.arrays.pieces import GroupPiece, Part, Piece, dataset_at, whole
from lake.formats.arrays.query import AxisTerm, PathTerm

__all__ = ["Coordinate", "DimensionPieces", "scales_of", "select_coordinate"]

_WIDEST = 1 << 27
"""Values of a coordinate that are looked through at once."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_DATE = r"\d{4}(?:-\d{1,2}(?:-\d{1,2}(?:[T ]\d{1,2}(?::\d{1,2}(?::\d{1,2}(?:\.\d+)?)?)?Z?)?)?)?"
_NUMBERS = re.compile(rf"\s*({_NUMBER})?\s*(:)?\s*({_NUMBER})?\s*", re.ASCII)
_DATES = re.compile(rf"\s*({_DATE})?\s*(:)?\s*({_DATE})?\s*", re.ASCII)
_RELATED = ("coordinates", "bounds", "grid_mapping")
"""Attributes of CF that name further variables without which one cannot be understood."""


def scales_of(file: Any, path: str) -> list[str | None]:
    """Path of the dimension scale of each axis of a dataset; its own where it is one, None where there is none."""
    import h5py

    dataset = find(file, path)
    if h5py.h5ds.is_scale(dataset.id) and len(dataset.shape or ()) == 1:
        return [path]
    if "DIMENSION_LIST" not in dataset.attrs:
        return [None] * len(dataset.shape or ())
    found: list[str | None] = []
    for dimension in dataset.dims:
        names = [scale.name for scale in dimension.values()]
        found.append(names[0] if names else None)
    return found


class Coordinate(NamedTuple):
    """A variable along one dimension."""

    path: str
    scale: str
    """Path of the scale of its dimension."""


def _coordinate(file: Any, name: str, region: str) -> Coordinate:
    path = f"/{name}"
    dataset = dataset_at(file, path, region)
    if len(dataset.shape or ()) != 1:
        raise InvalidRegion(f"{name} in {region!r} has {len(dataset.shape or ())} axes: a coordinate has one")
    scale = scales_of(file, path)[0]
    if scale is None:
        raise InvalidRegion(f"{name} in {region!r} belongs to no dimension: ask for /PATH[START:STOP]")
    return Coordinate(path, scale)


def select_coordinate(file: Any, term: AxisTerm) -> tuple[str, Axis]:
    """The scale of a dimension, and the places whose coordinate lies within closed bounds: ``lat=40:60``, ``lat=40``.

    Bounds are numbers in the units of the coordinate as they are stored, or dates where those are units of time. Of a
    descending coordinate the greater bound may also come first, as in xarray.

    Raises:
        InvalidRegion: no coordinate, no bounds, or reversed.
        Unsupported: dates of a calendar that is not known.
    """
    text = term.text()
    coordinate = _coordinate(file, term.axis, text)
    dataset = find(file, coordinate.path)
    if dataset.dtype.kind not in "iuf" or dataset.shape[0] > _WIDEST:
        raise InvalidRegion(f"{term.axis} in {text!r} is no coordinate of numbers: ask for /PATH[START:STOP]")
    values = dataset[:]
    units = parse_units(_text(dataset.attrs.get("units", "")), _text(dataset.attrs.get("calendar", "")))
    if units is None:
        low, high = _ordered(*_numbers(term), values, text)
        mask = (values >= low) & (values <= high)
    else:
        moments = np.rint(values.astype(np.float64) * units.step)
        first, colon, last = _match(_DATES, term)
        start = units.span(first, text)[0] if first else None
        stop = units.span(last or first, text)[1] if last or not colon else None
        if start is not None and stop is not None and start >= stop:
            raise InvalidRegion(f"{text!r} is reversed: {first} comes after {last}")
        mask = (moments >= (-np.inf if start is None else start)) & (moments < (np.inf if stop is None else stop))
    places = np.flatnonzero(mask)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return coordinate.scale, range(int(places[0]), int(places[-1]) + 1)
    return coordinate.scale, places


def _match(pattern: re.Pattern[str], term: AxisTerm) -> tuple[str, str, str]:
    match = pattern.fullmatch(term.items)
    if match is None or not (match[1] or match[2]) or (match[3] and not match[2]):
        raise InvalidRegion(f"{term.items!r} in {term.text()!r} is not FROM:TO in the units of the coordinate")
    return match[1] or "", match[2] or "", match[3] or ""


def _numbers(term: AxisTerm) -> tuple[float, float]:
    first, colon, last = _match(_NUMBERS, term)
    low = float(first) if first else -np.inf
    return low, float(last) if last else np.inf if colon else low


def _ordered(low: float, high: float, values: npt.NDArray[Any], region: str) -> tuple[float, float]:
    if low <= high:
        return low, high
    if len(values) > 1 and bool(np.all(np.diff(values.astype(np.float64)) < 0)):
        return high, low
    raise InvalidRegion(f"{region!r} is reversed: {low:g} comes after {high:g}")


class DimensionPieces:
    """What of a file goes into a slice: datasets that are named, or all, cut along dimensions."""

    def __init__(self, file: Any, chosen: Mapping[str, Axis], terms: Sequence[PathTerm], region: str) -> None:
        """
        Args:
            file: the `h5py.File`.
            chosen: places along dimensions, by the path of their scales.
            terms: datasets and groups; none: all of the file.
            region: for messages.

        Raises:
            InvalidRegion: nothing at a path, bounds that do not fit, or two bounds for the same axis.
        """
        self._file, self._region = file, region
        self._chosen: dict[str, Axis] = dict(chosen)
        self._fields: dict[str, tuple[str, ...]] = {}
        self._own: dict[str, tuple[Axis, ...]] = {}
        """Places along the axes of datasets that are named with bounds."""
        self._paths = [self._path(term) for term in terms]

    def all(self) -> Iterator[Piece]:
        """In the order of the file where all of it is asked, else as they are named, scales first."""
        if not self._paths:
            for piece in whole(self._file, "/"):
                yield self._narrowed(piece) if isinstance(piece, Part) else piece
            return
        yield GroupPiece("/")
        for path in self._paths:
            for piece in whole(self._file, path):
                if not isinstance(piece, Part):
                    yield piece
                    continue
                for other in self._needed(piece.path):
                    yield self._narrowed(Part(other, _everything(find(self._file, other))))
                yield self._narrowed(piece)

    def _path(self, term: PathTerm) -> str:
        thing = find(self._file, term.path)
        if thing is None:
            raise InvalidRegion(f"no {term.path} in the file")
        path = _path_of(thing)
        if term.bounds is None:
            return path
        dataset = dataset_at(self._file, term.path, self._region)
        if path in self._own:
            raise InvalidRegion(f"{path} is asked for twice in {self._region!r}: give it one pair of brackets")
        for field in term.bounds.fields:
            if field not in (dataset.dtype.names or ()):
                raise InvalidRegion(f"{path} has no field {field!r}")
        axes = resolve_bounds(term.bounds, dataset.shape or (), self._region)
        self._own[path], self._fields[path] = axes, term.bounds.fields
        for scale, axis in zip(scales_of(self._file, path), axes, strict=True):
            if scale is None or axis == range(len(find(self._file, scale))):
                continue
            known = self._chosen.get(scale)
            self._chosen[scale] = axis if known is None else _both(known, axis)
        return path

    def _needed(self, path: str) -> list[str]:
        """Scales of a dataset, and what its attributes say that it cannot be understood without."""
        found = [scale for scale in scales_of(self._file, path) if scale is not None]
        for name in [path, *found]:
            thing = find(self._file, name)
            words = [word for key in _RELATED for word in _text(thing.attrs.get(key, "")).split()]
            folder = name.rpartition("/")[0]
            found += [f"{folder}/{word}" for word in words if _is_dataset(find(self._file, f"{folder}/{word}"))]
        return [other for other in dict.fromkeys(found) if other != path]

    def _narrowed(self, part: Part) -> Part:
        if not part.axes:
            return part
        own = self._own.get(part.path)
        scales = scales_of(self._file, part.path)
        axes = list(own) if own is not None else list(part.axes)
        for number, scale in enumerate(scales):
            if scale is None or scale not in self._chosen:
                continue
            length = find(self._file, scale).shape[0]
            if len(part.axes[number]) != length:
                raise FormatError(f"{part.path} has {len(part.axes[number])} places along {scale}, which has {length}")
            axes[number] = self._chosen[scale]
        return Part(part.path, tuple(axes), self._fields.get(part.path, ()))


def _both(one: Axis, other: Axis) -> Axis:
    """Places of both."""
    return np.intersect1d(np.asarray(one, np.int64), np.asarray(other, np.int64))


def _everything(dataset: Any) -> tuple[Axis, ...]:
    return tuple(range(length) for length in dataset.shape or ())


def _is_dataset(thing: Any) -> bool:
    import h5py

    return isinstance(thing, h5py.Dataset)


def _path_of(thing: Any) -> str:
    return str(thing.name)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size == 1 else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
