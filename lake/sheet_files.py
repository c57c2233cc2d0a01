"""Sample sheets as they lie on disk: CSV, TSV, JSON Lines or Parquet, read into columns."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from lake.attributes import checked, guessed, split_type, typed
from lake.documents import decode_document, read_document
from lake.errors import FormatError, InvalidInput, Unreadable, with_others
from lake.journal.values import Json

__all__ = ["Sheet", "read_sheet"]

MAX_BYTES = 64 << 20
MAX_COLUMNS = 1_000
MAX_ROWS = 2_000_000
MAX_CELLS = 20_000_000
"""Bounds of what is held in memory."""

_MAX_COMPLAINTS = 20

_MISSING = frozenset(("na", "n/a", "nan", "null", "none", "nil", "-", ".", "?", "unknown", "#n/a"))
"""What people write where they know no number."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with names for its columns."""

    name: str
    columns: tuple[str, ...]
    lines: Sequence[int]
    """Where each row starts: a line of the text, or a row of the table, from 1."""
    cells: list[list[Json]]
    """The values of each column; None where a cell is empty."""
    textual: bool
    """The cells are text, of which types are still to be guessed."""
    unit: str = "line"
    """What `lines` count."""

    def place(self, row: int) -> str:
        return f"{self.name}, {self.unit} {self.lines[row]}"

    def attribute(self, column: int) -> tuple[str, list[Json], str | None]:
        """What a column is as an attribute: its key, its values, and a doubt about its type.

        All values of a text column are of one kind: numbers where each of them is one, as `guessed` has it;
        booleans where each is true or false, in any case; else text. A heading such as ``code:str`` says the type.

        Raises:
            InvalidInput: a value is not of the type that the heading says.
        """
        if not self.textual:
            return self.columns[column], self.cells[column], None
        key, kind = split_type(self.columns[column])
        texts = [value if isinstance(value, str) else None for value in self.cells[column]]
        if kind is not None:
            return key, self._said(key, kind, texts), None
        numbers: list[Json] = []
        other = None
        for row, text in enumerate(texts):
            value = guessed(text) if text is not None else None
            if isinstance(value, (str, bool)):
                other = other if other is not None else row
            numbers.append(value)
        if other is None:
            return key, numbers, None
        present = {text.lower() for text in texts if text is not None}
        if present <= {"true", "false"}:
            return key, [text.lower() == "true" if text is not None else None for text in texts], None
        return key, list(texts), self._doubt(key, present, texts[other], other)

    def _said(self, key: str, kind: str, texts: list[str | None]) -> list[Json]:
        values: list[Json] = []
        for row, text in enumerate(texts):
            try:
                value = typed(key, kind, text) if text is not None else None
                values.append(checked(value, f"attribute {key}"))
            except InvalidInput as error:
                raise InvalidInput(f"{self.place(row)}: {error}") from None
        return values

    def _doubt(self, key: str, present: set[str], other: str | None, row: int) -> str | None:
        left = present - _MISSING
        if left == present or not left or not all(isinstance(guessed(text), (int, float)) for text in left):
            return None
        return f"{self.place(row)}: {key} is kept as text because of {other!r}: --na {other} takes it for an empty cell"


def read_sheet(path: Path, empty: Collection[str] = ()) -> Sheet:
    """Read a sheet; its kind is told by its first bytes and its suffix, the delimiter of a CSV by its heading.

    Args:
        path: CSV (comma, semicolon or tab), TSV, JSON Lines (an object a line) or Parquet; text in UTF-8 or UTF-16.
        empty: texts such as ``NA`` that count as an empty cell.

    Raises:
        Unreadable: it cannot be read.
        FormatError: it is malformed, with the line; further places are notes of the error.
        InvalidInput: larger than the bounds of this module.
    """
    name = path.name
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path, name)
    data = read_document(path, MAX_BYTES)
    if data.startswith(b"PAR1"):
        return _read_parquet(path, name)
    text = decode_document(data, name)
    if suffix in (".jsonl", ".ndjson") or text.lstrip().startswith("{"):
        return _read_lines(text, name)
    return _read_csv(text, name, suffix == ".tsv", frozenset(empty))


# -- delimited text ---------------------------------------------------------------------------------------------
def _read_csv(text: str, name: str, tabs: bool, empty: frozenset[str]) -> Sheet:
    records = _records(text, name, "\t" if tabs else _delimiter(text))
    heading = next(records, None)
    if heading is None:
        raise FormatError(f"{name} is empty: a sheet starts with the names of its columns")
    columns = [cell.strip() for cell in heading[1]]
    while columns and not columns[-1]:
        columns.pop()
    _check_columns(columns, name)
    rows: list[list[Json]] = []
    lines: list[int] = []
    wrong: list[FormatError] = []
    for line, record in records:
        values: list[Json] = [None if (cell := raw.strip()) in empty else cell or None for raw in record]
        while len(values) > len(columns) and values[-1] is None:
            values.pop()
        if len(values) != len(columns):
            wrong.append(FormatError(f"{name}, line {line}: {len(values)} cells, but {len(columns)} columns"))
            if len(wrong) == _MAX_COMPLAINTS:
                break
        rows.append(values)
        lines.append(line)
        _check_size(len(rows), len(columns), name)
    if wrong:
        raise with_others(wrong)
    return _named(Sheet(name, tuple(columns), lines, [list(c) for c in zip(*rows, strict=True)], textual=True))


def _records(text: str, name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, with the lines on which they start."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FormatError(f"{name}, line {line}: {error}: a quote that does not end?") from None
        if any(cell.strip() for cell in record):
            yield line, record


def _delimiter(text: str) -> str:
    """The delimiter that the heading has most of."""
    heading = next(iter(text.lstrip().splitlines()), "")
    return max(",;\t", key=heading.count)


def _named(sheet: Sheet) -> Sheet:
    """The sheet without columns that have neither name nor values; a value in such a column is an error."""
    kept = [number for number, column in enumerate(sheet.columns) if column]
    for number in range(len(sheet.columns) if sheet.cells else 0):
        row = next((row for row, value in enumerate(sheet.cells[number]) if value is not None), None)
        if number not in kept and row is not None:
            raise FormatError(f"{sheet.place(row)}: column {number + 1} has a value, but no name in the heading")
    cells = [sheet.cells[number] for number in kept] if sheet.cells else [[] for _ in kept]
    return Sheet(sheet.name, tuple(sheet.columns[n] for n in kept), sheet.lines, cells, sheet.textual, sheet.unit)


def _check_columns(columns: Sequence[str], name: str) -> None:
    seen: set[str] = set()
    for column in columns:
        key = split_type(column)[0]
        if column and key in seen:
            raise FormatError(f"{name}: two columns are named {key!r}")
        seen.add(key)
    if len(columns) > MAX_COLUMNS:
        raise InvalidInput(f"{name} has {len(columns):,} columns; the limit is {MAX_COLUMNS:,}")


def _check_size(rows: int, columns: int, name: str) -> None:
    if rows > MAX_ROWS or rows * columns > MAX_CELLS:
        raise InvalidInput(f"{name} has more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells: split it")


# -- JSON Lines -------------------------------------------------------------------------------------------------
def _read_lines(text: str, name: str) -> Sheet:
    """An object a line (https://jsonlines.org); null, like a key that is not there, is an empty cell."""
    columns: dict[str, list[Json]] = {}
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{name}, line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise FormatError(f"{name}, line {number}: {line.strip()[:40]!r} is no JSON object")
        for key, value in row.items():
            if key not in columns:
                checked(key, f"{name}, line {number}")
                _check_columns([*columns, key], name)
                _check_size(len(lines), len(columns) + 1, name)
            column = columns.setdefault(key, [])
            column.extend(itertools.repeat(None, len(lines) - len(column)))
            column.append(checked(value, f"{name}, line {number}, {key}"))
        lines.append(number)
        _check_size(len(lines), len(columns), name)
    for column in columns.values():
        column.extend(itertools.repeat(None, len(lines) - len(column)))
    if "" in columns:
        raise FormatError(f"{name}: a key is empty")
    return Sheet(name, tuple(columns), lines, list(columns.values()), textual=False)


# -- Parquet ----------------------------------------------------------------------------------------------------
def _read_parquet(path: Path, name: str) -> Sheet:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[list[Json]] = []
    try:
        with pq.ParquetFile(path) as file:
            names = [str(column) for column in file.schema_arrow.names]
            _check_columns(names, name)
            columns = [[] for _ in names]
            size = 0
            for batch in file.iter_batches(batch_size=8192):
                size += batch.nbytes
                if size > 4 * MAX_BYTES:
                    raise InvalidInput(f"{name} holds more than {4 * MAX_BYTES >> 20} MiB: split it")
                for column, array in zip(columns, batch.columns, strict=True):
                    column.extend(map(_plain, array.to_pylist()))
                _check_size(len(columns[0]) if columns else 0, len(names), name)
    except OSError as error:
        if error.errno is not None:
            raise Unreadable(f"cannot read {path}: {error.strerror or error}") from error
        raise FormatError(f"{name} is damaged: {error}") from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise FormatError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from None
    rows = len(columns[0]) if columns else 0
    for key, column in zip(names, columns, strict=True):
        for row, value in enumerate(column):
            checked(value, f"{name}, row {row + 1}, {key}")
    return _named(Sheet(name, tuple(names), range(1, rows + 1), columns, textual=False, unit="row"))


def _plain(value: Any) -> Any:
    """A value of Arrow as JSON has it. NaN is how data frames write that there is none."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
