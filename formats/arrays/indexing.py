"""Places along axes, written as numpy and HSDS write them, and the boxes of a dataset in which they lie."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import InvalidRegion, Unsupported

__all__ = [
    "Axis",
    "Bounds",
    "blocks",
    "bounded",
    "chunk_numbers",
    "parse_bounds",
    "read_axes",
    "resolve_bounds",
    "sub_axis",
    "take_runs",
]

Axis = range | npt.NDArray[np.int64]
"""Places along one axis, 0-based, ascending, each once: a range with a positive step, or any others as an array."""

_BLOCK = 8 << 20
"""Bytes that are read at once."""
_MOST = 64 << 30
"""Bytes of the largest answer: a few kilobytes of HDF5 can claim any number."""
_BOUND = re.compile(r"\s*(-?[0-9]{1,18})?\s*(:)?\s*(-?[0-9]{1,18})?\s*(:)?\s*(-?[0-9]{1,18})?\s*", re.ASCII)


class Bounds(NamedTuple):
    """What stands between brackets, before the shape is known."""

    axes: tuple[slice | int | None, ...]
    """A slice or a place for each axis; None for ``...``."""
    fields: tuple[str, ...]
    """Fields of a compound type, as h5py takes them; none: all."""

    def text(self) -> str:
        """The same text for the same bounds."""
        words = [f'"{field}"' for field in self.fields]
        for axis in self.axes:
            if isinstance(axis, slice):
                start, stop = ("" if end is None else str(end) for end in (axis.start, axis.stop))
                words.append(f"{start}:{stop}" + (f":{axis.step}" if axis.step not in (None, 1) else ""))
            else:
                words.append("..." if axis is None else str(axis))
        return f"[{','.join(words)}]"

    def dropped(self, axes: int) -> tuple[slice | int, ...]:
        """What to index the answer with, so that axes given as one place are gone, as in numpy."""
        given = list(self.axes)
        at = given.index(None) if None in given else len(given)
        given[at : at + 1] = [slice(None)] * (axes - len(given) + (None in given))
        return tuple(0 if isinstance(axis, int) else slice(None) for axis in given)


def parse_bounds(parts: Sequence[str], region: str) -> Bounds:
    """Bounds from the words between brackets: ``20:30``, ``:``, ``::2``, ``-5:``, ``7``, ``...``, ``"field"``.

    Raises:
        InvalidRegion: anything else.
    """
    axes: list[slice | int | None] = []
    fields: list[str] = []
    for part in parts:
        word = part.strip()
        if len(word) > 1 and word[0] in "\"'" and word[-1] == word[0]:
            fields.append(word[1:-1])
            continue
        if word == "...":
            if None in axes:
                raise InvalidRegion(f"two '...' in {region!r}: one stands for all axes that are not named")
            axes.append(None)
            continue
        match = _BOUND.fullmatch(word)
        if match is None or not word or (match[4] and not match[2]) or (match[3] and not match[2]):
            raise InvalidRegion(f"{word!r} in {region!r} is not START:STOP:STEP, a place, '...' or a quoted field")
        first, stop, step = (int(match[group]) if match[group] else None for group in (1, 3, 5))
        if match[2] is None:
            axes.append(first)
            continue
        if step is not None and step < 1:
            raise InvalidRegion(f"the step {step} in {region!r}: steps are 1 or more: slices keep the file's order")
        axes.append(slice(first, stop, step))
    return Bounds(tuple(axes), tuple(fields))


def resolve_bounds(bounds: Bounds, shape: Sequence[int], region: str) -> tuple[Axis, ...]:
    """Places along each axis of a dataset.

    Slices are cut off at the end of the axis, as in numpy; negative numbers count from there.

    Raises:
        InvalidRegion: more axes than there are, or a place that is not there.
    """
    given = list(bounds.axes)
    missing = len(shape) - len([axis for axis in given if axis is not None])
    if missing < 0:
        raise InvalidRegion(f"{region!r} names {len(given)} axes of a dataset with {len(shape)}")
    at = given.index(None) if None in given else len(given)
    given[at : at + 1] = [slice(None)] * missing
    axes: list[Axis] = []
    for number, (wanted, length) in enumerate(zip(given, shape, strict=True)):
        if isinstance(wanted, slice):
            axes.append(range(*wanted.indices(length)))
            continue
        assert wanted is not None
        if not -length <= wanted < length:
            raise InvalidRegion(f"{wanted} in {region!r} is outside of axis {number}, which has {length} places")
        axes.append(range(wanted % length, wanted % length + 1))
    return tuple(axes)


def bounded(axes: Sequence[Axis], itemsize: int, what: str) -> int:
    """Bytes of a selection.

    Raises:
        Unsupported: more than any answer may have.
    """
    size = math.prod(len(axis) for axis in axes) * max(itemsize, 1)
    if size > _MOST:
        raise Unsupported(f"{what} would be {size >> 30} GiB: ask for smaller regions")
    return size


def sub_axis(axis: Axis, start: int, stop: int) -> Axis:
    """The places number ``[start, stop)`` of an axis."""
    return axis[start:stop]


class _Run(NamedTuple):
    """Neighbouring places that are read at once."""

    source: slice
    picks: slice | npt.NDArray[np.int64]
    """Which of the places that are read count."""
    out: slice
    """Where those belong in the answer."""


def take_runs(axis: Axis, gap: int = 1) -> Iterator[tuple[int, int, int, int]]:
    """Runs ``(start, stop, first, last)``: places in ``[start, stop)`` are those number ``[first, last)`` of the axis.

    A run goes on over places that are left out while they are fewer than ``gap``.
    """
    if len(axis) == 0:
        return
    if isinstance(axis, range):
        if axis.step <= gap or len(axis) == 1:
            yield axis[0], axis[-1] + 1, 0, len(axis)
        else:
            yield from ((place, place + 1, number, number + 1) for number, place in enumerate(axis))
        return
    breaks = np.flatnonzero(np.diff(axis) > gap) + 1
    starts = [0, *breaks.tolist()]
    stops = [*breaks.tolist(), len(axis)]
    for first, last in zip(starts, stops, strict=True):
        yield int(axis[first]), int(axis[last - 1]) + 1, first, last


def _runs(axis: Axis, gap: int) -> list[_Run]:
    found = []
    for start, stop, first, last in take_runs(axis, gap):
        picks: slice | npt.NDArray[np.int64]
        if isinstance(axis, range):
            picks = slice(0, stop - start, axis.step if last - first > 1 else 1)
        else:
            picks = axis[first:last] - start
            if len(picks) == stop - start:
                picks = slice(0, stop - start, 1)
        found.append(_Run(slice(start, stop), picks, slice(first, last)))
    return found


def read_axes(dataset: Any, axes: Sequence[Axis], fields: Sequence[str] = ()) -> npt.NDArray[Any]:
    """The elements of an `h5py.Dataset` at all combinations of the places; reads whole boxes where those are close.

    Args:
        dataset: with as many axes as are given.
        axes: places along each.
        fields: of a compound type; none: all.
    """
    source = dataset.fields(list(fields)) if fields else dataset
    dtype = _subset_dtype(dataset.dtype, fields)
    if not axes:
        return np.asarray(source[()], dtype=dtype)
    # Within a chunk all places cost the same.
    gaps = [max(width // 2, 1) for width in dataset.chunks] if dataset.chunks else [64] * len(axes)
    runs = [_runs(axis, gap) for axis, gap in zip(axes, gaps, strict=True)]
    out = np.empty([len(axis) for axis in axes], dtype)
    for box in product(*runs):
        data = source[tuple(run.source for run in box)]
        if any(isinstance(run.picks, np.ndarray) for run in box):
            for number, run in enumerate(box):
                data = data[(slice(None),) * number + (run.picks,)]
        else:
            data = data[tuple(run.picks for run in box)]
        out[tuple(run.out for run in box)] = data
    return out


def _subset_dtype(dtype: np.dtype[Any], fields: Sequence[str]) -> np.dtype[Any]:
    if not fields or dtype.fields is None:
        return dtype
    return np.dtype([(name, dtype.fields[name][0]) for name in fields])


def blocks(axes: Sequence[Axis], itemsize: int, chunks: Sequence[int] | None) -> Iterator[tuple[tuple[int, int], ...]]:
    """A selection in parts of about 8 MiB: for each axis the numbers ``[start, stop)`` of its places.

    Parts end where chunks of the answer end, so that no chunk of it is compressed twice.
    """
    lengths = [len(axis) for axis in axes]
    if 0 in lengths:
        return
    steps = list(lengths)
    for number in range(len(lengths)):
        rest = math.prod(lengths[number + 1 :]) * max(itemsize, 1)
        width = min(chunks[number], lengths[number]) if chunks else 1
        count = max(_BLOCK // rest, 1)
        steps[number] = min(lengths[number], max(count // width * width, width))
        if count > 1:
            break
    parts = [
        [(start, min(start + step, length)) for start in range(0, length, step)]
        for length, step in zip(lengths, steps, strict=True)
    ]
    yield from product(*parts)


def chunk_numbers(axis: Axis, width: int) -> npt.NDArray[np.int64]:
    """Numbers along one axis of the chunks that hold its places, ascending."""
    if isinstance(axis, range):
        if len(axis) == 0:
            return np.empty(0, np.int64)
        if axis.step <= width:
            return np.arange(axis[0] // width, axis[-1] // width + 1, dtype=np.int64)
        return np.asarray(axis, np.int64) // width
    return np.unique(axis // width)
