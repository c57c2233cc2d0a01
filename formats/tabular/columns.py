"""What is told of a table."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MOST_COLUMNS", "TableShape", "shape_of"]

MOST_COLUMNS = 10_000
"""Columns whose names are told."""
_LONGEST = 1024
"""Characters of one name that are told."""


class TableShape(NamedTuple):
    """Rows and columns of a table."""

    rows: int | None
    """None where counting them would be dear."""
    columns: int | None
    names: list[str] | None
    """None where the table does not name its columns, or has too many of them."""
    types: list[str] | None
    delimiter: str | None = None


def shape_of(
    rows: int | None, names: list[str] | None, types: list[str] | None, count: int, delimiter: str | None = None
) -> TableShape:
    """A table of ``count`` columns; names and types only where they are not too many, and cut where they are long."""
    if count > MOST_COLUMNS:
        return TableShape(rows, count, None, None, delimiter)
    short = [name[:_LONGEST] for name in names] if names is not None else None
    return TableShape(rows, count, short, types, delimiter)
