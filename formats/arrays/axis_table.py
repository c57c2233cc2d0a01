"""Tables whose rows describe the places along an axis: cells, genes. Which places their names and columns select."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lake.errors import InvalidRegion
from lake.formats.arrays.conditions import Column, evaluate
from lake.formats.arrays.indexing import Axis, parse_bounds, resolve_bounds
from lake.formats.arrays.query import AxisTerm, ConditionTerm, split_outside_quotes

__all__ = ["AxisTable", "as_strings", "select_places", "unite"]


_PLACES = re.compile(r"-?[0-9]+|-?[0-9]*:-?[0-9]*(:[0-9]*)?", re.ASCII)
"""What is not a name."""


class AxisTable(Protocol):
    """One row for each place along an axis."""

    @property
    def rows(self) -> int: ...

    def names(self) -> Sequence[npt.NDArray[Any]]:
        """What a place may be called: arrays of strings, one entry a row."""
        ...

    def column(self, name: str) -> Column | None: ...


def select_places(term: AxisTerm | ConditionTerm, table: AxisTable) -> Axis:
    """Places that a term selects: all that have one of the names, lie in one of the ranges, or meet the condition.

    Raises:
        InvalidRegion: a name that no place has, a place that is not there, or a condition that makes no sense.
    """
    if isinstance(term, ConditionTerm):
        return np.flatnonzero(evaluate(term.condition, table.rows, table.column))
    found: Axis | None = None
    wanted: list[str] = []
    for item in split_outside_quotes(term.items, ",", term.text()):
        word = item.strip()
        if word[:1] in ("'", '"') and word[-1:] == word[:1] and len(word) > 1:
            wanted.append(word[1:-1])
        elif _PLACES.fullmatch(word):
            (axis,) = resolve_bounds(parse_bounds([word], term.text()), (table.rows,), term.text())
            found = axis if found is None else unite(found, axis)
        else:
            wanted.append(word)
    if wanted:
        named = _named(wanted, table, term)
        found = named if found is None else unite(found, named)
    assert found is not None
    return found


def _named(wanted: Sequence[str], table: AxisTable, term: AxisTerm) -> npt.NDArray[np.int64]:
    mask = np.zeros(table.rows, np.bool_)
    missing = dict.fromkeys(wanted)
    for names in table.names():
        hits = np.isin(names, np.asarray(wanted, names.dtype))
        for name in set(names[hits].tolist()):
            missing.pop(name, None)
        mask |= hits
    if missing:
        raise InvalidRegion(f"nothing along {term.axis} is called {next(iter(missing))!r}")
    return np.flatnonzero(mask)


def unite(one: Axis, other: Axis) -> Axis:
    """Places of either."""
    if isinstance(one, range) and one == other:
        return one
    return np.union1d(np.asarray(one, np.int64), np.asarray(other, np.int64))


def as_strings(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as an array of `str` objects, from bytes or variable-length strings; numbers as they are written."""
    decoded = [
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
        for value in values.tolist()
    ]
    out = np.empty(len(decoded), object)
    out[:] = decoded
    return out
