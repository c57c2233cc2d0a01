"""Answers of queries, written in the form that was asked for while they are computed."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from enum import StrEnum
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from lake.errors import Unsupported
from lake.results.cell_text import csv_cells, json_cells, plain_cells
from lake.results.grid import Grid, cell_width, harmless
from lake.results.query import Answer

__all__ = ["BINARY", "AnswerFormat", "write_answer"]

_SHOWN = 40
"""Rows on a terminal, half of them from the end, as DuckDB shows them."""
_SPOOLED = 64 << 20
"""Bytes of a table that stay in memory until its columns' widths are known."""
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*[)]")
_TYPE_WIDTH = 24
"""A struct's type is as long as its fields are many; it does not widen its column further than this."""
_PLAN = ["explain_key", "explain_value"]
_Row = list[str]


class AnswerFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    """One array of objects."""
    JSONL = "jsonl"
    """An object a line."""
    ARROW = "arrow"
    """The IPC streaming format."""
    PARQUET = "parquet"


BINARY = frozenset({AnswerFormat.ARROW, AnswerFormat.PARQUET})
"""Nothing for a terminal."""


def write_answer(answer: Answer, form: AnswerFormat, sink: IO[bytes], width: int | None = None) -> int:
    """Write an answer in bounded memory; returns its number of rows.

    Args:
        width: of the terminal that shows a table, which then has the first and the last rows; None: all rows,
            however wide.

    Raises:
        BadQuery: as the batches of the answer do.
        Unsupported: a type that this form does not have.
    """
    match form:
        case AnswerFormat.TABLE:
            return _write_table(answer, sink, width)
        case AnswerFormat.CSV:
            return _write_csv(answer, sink)
        case AnswerFormat.JSON | AnswerFormat.JSONL:
            return _write_json(answer, sink, lines=form is AnswerFormat.JSONL)
        case AnswerFormat.ARROW | AnswerFormat.PARQUET:
            return _write_columns(answer, sink, form)


def _write_csv(answer: Answer, sink: IO[bytes]) -> int:
    head = csv_cells(pa.array([column.name for column in answer.columns], pa.large_string()))
    sink.write((",".join(head.to_pylist()) + "\n").encode())
    rows = 0
    for batch in answer.batches:
        rows += batch.num_rows
        lines = pc.binary_join_element_wise(*(csv_cells(column) for column in batch.columns), _text(","))
        sink.write(_lines(lines))
    return rows


def _write_json(answer: Answer, sink: IO[bytes], *, lines: bool) -> int:
    names = [json.dumps(name, ensure_ascii=False) for name in answer.schema.names]
    embedded = [column.type == "JSON" for column in answer.columns]
    rows = 0
    for batch in answer.batches:
        parts: list[pa.Array | pa.Scalar] = []
        for name, column, is_json in zip(names, batch.columns, embedded, strict=True):
            parts += [_text(("," if parts else "{") + name + ":"), json_cells(column, embedded=is_json)]
        objects = _lines(pc.binary_join_element_wise(*parts, _text("}"), _text("")))
        if not lines and len(objects):
            # Between objects no line end is inside of a value, so that each ends one but the last.
            sink.write(b",\n" if rows else b"[")
            sink.write(bytes(objects)[:-1].replace(b"\n", b",\n"))
        else:
            sink.write(objects)
        rows += batch.num_rows
    if not lines:
        sink.write(b"]\n" if rows else b"[]\n")
    return rows


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())


def _lines(texts: pa.Array) -> memoryview:
    """The bytes of all texts, each with a line end: the very buffer of an Arrow column."""
    ended = pc.binary_join_element_wise(texts, _text("\n"), _text(""))
    return memoryview(ended.buffers()[2] or b"")


def _write_columns(answer: Answer, sink: IO[bytes], form: AnswerFormat) -> int:
    rows = 0
    try:
        with ExitStack() as stack:
            if form is AnswerFormat.ARROW:
                writer = stack.enter_context(pa.ipc.new_stream(sink, answer.schema))
            else:
                from pyarrow import parquet

                writer = stack.enter_context(parquet.ParquetWriter(sink, answer.schema, compression="zstd"))
            for batch in answer.batches:
                rows += batch.num_rows
                writer.write_batch(batch)
    except pa.ArrowNotImplementedError as error:
        raise Unsupported(f"{form} has no such values: {error}; cast them to VARCHAR in the query") from None
    return rows


def _write_table(answer: Answer, sink: IO[bytes], width: int | None) -> int:
    if answer.schema.names == _PLAN:
        return _write_plan(answer, sink)
    heads = [[harmless(column.name) for column in answer.columns], [column.type.lower() for column in answer.columns]]
    right = frozenset(n for n, column in enumerate(answer.columns) if _NUMBER.fullmatch(column.type))
    widths = [max(cell_width(name), min(cell_width(kind), _TYPE_WIDTH)) for name, kind in zip(*heads, strict=True)]
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        if width is None:
            total = shown = _spooled(answer, spool, widths)
            rows: Iterable[_Row | None] = _unspooled(spool)
        else:
            total, rows = _first_and_last(answer, widths)
            shown = min(total, _SHOWN)
        grid = Grid.fit(widths, right, width)
        for line in grid.lines(heads, rows):
            sink.write(f"{line}\n".encode())
    hidden = f", {len(widths) - grid.columns} of {len(widths)} columns hidden" if grid.columns < len(widths) else ""
    some = f", {shown} shown" if shown < total else ""
    sink.write(f"({total:,} {'row' if total == 1 else 'rows'}{some}{hidden})\n".encode())
    return total


def _write_plan(answer: Answer, sink: IO[bytes]) -> int:
    """The answer of EXPLAIN is a drawing of its own."""
    total = 0
    for batch in answer.batches:
        for drawing in batch.column(1).to_pylist():
            total += 1
            sink.write("".join(f"{harmless(line)}\n" for line in drawing.splitlines()).encode())
    return total


def _first_and_last(answer: Answer, widths: list[int]) -> tuple[int, list[_Row | None]]:
    """Number of rows, and those that a terminal shows; None between them where rows are left out."""
    first: list[_Row] = []
    last: list[_Row] = []
    total, half = 0, _SHOWN // 2
    for batch in answer.batches:
        first += _rows(batch.slice(0, _SHOWN - len(first)))
        last = (last + _rows(batch.slice(max(0, batch.num_rows - half))))[-half:]
        total += batch.num_rows
    kept: list[_Row | None] = [*first] if total <= _SHOWN else [*first[:half], None, *last]
    for row in kept:
        if row is not None:
            _widen(widths, row)
    return total, kept


def _spooled(answer: Answer, spool: IO[bytes], widths: list[int]) -> int:
    """Put all rows aside, a batch a line, until the widest cell of each column is known; returns their number."""
    total = 0
    for batch in answer.batches:
        rows = _rows(batch)
        for row in rows:
            _widen(widths, row)
        spool.write(json.dumps(rows).encode() + b"\n")
        total += len(rows)
    return total


def _unspooled(spool: IO[bytes]) -> Iterator[_Row]:
    spool.seek(0)
    for line in spool:
        yield from json.loads(line)


def _rows(batch: pa.RecordBatch) -> list[_Row]:
    # Not `fill_null`: the scalar that it makes loads all of pandas where that is installed.
    texts = [["NULL" if text is None else text for text in plain_cells(column).to_pylist()] for column in batch.columns]
    return [[harmless(cell) for cell in row] for row in zip(*texts, strict=True)]


def _widen(widths: list[int], row: _Row) -> None:
    for number, cell in enumerate(row):
        widths[number] = max(widths[number], cell_width(cell))
