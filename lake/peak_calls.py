"""The table function ``peaks('runs/*.mzML')`` in SQL: each call becomes the name of a table of points."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from lake.errors import BadQuery

__all__ = ["bind_peaks"]

_TEXT = r"'(?:[^']|'')*'"
_PART = re.compile(
    rf"{_TEXT}|\"(?:[^\"]|\"\")*\"|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/|(?<![\w.])(peaks)\s*\(", re.DOTALL | re.IGNORECASE
)
"""What is no code, and the beginning of a call."""
_ARGUMENTS = re.compile(rf"\s*({_TEXT}(?:\s*,\s*{_TEXT})*)\s*\)")


def bind_peaks(query: str, points: Callable[[Sequence[str]], Any], register: Callable[[str, Any], object]) -> str:
    """The query with names of tables in place of calls; the first is ``peaks``, hence ``peaks.mz`` works.

    Args:
        query: SQL of DuckDB.
        points: the points of runs, by paths and patterns.
        register: takes the name of each table and its points.

    Raises:
        BadQuery: a call with anything else than texts.
        NotFound, InvalidInput, Unsupported: of ``points``.
    """
    names: dict[tuple[str, ...], str] = {}
    parts: list[str] = []
    done = 0
    # Code goes on behind the arguments of a call.
    while (found := _PART.search(query, done)) is not None:
        stop, put = found.end(), found[0]
        if found[1] is not None:
            given = _ARGUMENTS.match(query, stop)
            if given is None:
                raise BadQuery("peaks() takes paths or patterns of runs: FROM peaks('runs/*.mzML')")
            paths = tuple(text[1:-1].replace("''", "'") for text in re.findall(_TEXT, given[1]))
            if paths not in names:
                names[paths] = f"peaks_{len(names) + 1}" if names else "peaks"
                register(names[paths], points(paths))
            stop, put = given.end(), names[paths]
        parts += [query[done : found.start()], put]
        done = stop
    return "".join((*parts, query[done:]))
