"""What of a file goes into a slice: a list of pieces, each of one object, parents before what lies below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lake.errors import InvalidRegion, Unsupported
from lake.formats.arrays.hdf5 import find, walk
from lake.formats.arrays.indexing import Axis

__all__ = ["Given", "GroupPiece", "Part", "Piece", "SparsePart", "dataset_at", "refuse_outside", "whole"]


@dataclass(frozen=True, slots=True)
class GroupPiece:
    """A group with its attributes, without what lies in it."""

    path: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that get other values than those of the file."""


@dataclass(frozen=True, slots=True)
class Part:
    """A dataset at all combinations of places along its axes."""

    path: str
    axes: tuple[Axis, ...]
    fields: tuple[str, ...] = ()
    """Fields of a compound type; none: all."""


@dataclass(frozen=True, slots=True)
class SparsePart:
    """A group with ``data``, ``indices`` and ``indptr`` of a compressed sparse matrix."""

    path: str
    major: Axis
    """Places along the axis that ``indptr`` counts."""
    minor: Axis
    width: int
    """Length of the other axis in the file."""
    by_column: bool = False
    """Whether the major axis is that of the columns."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """A dataset with other values than those of the file, such as the shape of a matrix that was cut."""

    path: str
    value: Any


Piece = GroupPiece | Part | SparsePart | Given


def whole(file: Any, path: str) -> Iterator[Piece]:
    """Everything from a group or dataset down."""
    import h5py

    for found in walk(file, path):
        if isinstance(found.object, h5py.Dataset):
            yield Part(found.path, tuple(range(length) for length in found.object.shape or ()))
        elif isinstance(found.object, h5py.Group):
            yield GroupPiece(found.path)


def dataset_at(file: Any, path: str, region: str) -> Any:
    """
    Raises:
        InvalidRegion: no dataset is there.
    """
    import h5py

    found = find(file, path)
    if not isinstance(found, h5py.Dataset):
        what = "a group" if isinstance(found, h5py.Group) else "nothing"
        raise InvalidRegion(f"{path} in {region!r} is {what}, not a dataset of the file")
    return found


def refuse_outside(dataset: Any) -> None:
    """
    Raises:
        Unsupported: the data of the dataset lie in other files, which are never opened: they would be read with the
            rights of whoever runs this.
    """
    if dataset.external is not None:
        raise Unsupported(f"{dataset.name} keeps its data in other files (external storage), which are not read")
    if dataset.is_virtual:
        raise Unsupported(f"{dataset.name} is a virtual dataset: its data lie in other datasets; ask for those")
