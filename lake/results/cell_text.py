"""Columns of an answer as text, whole Arrow columns at a time: plain, for CSV, and as JSON.

Times are ISO 8601, binary values are hexadecimal, lists, structs and maps are JSON. JSON has no NaN and no
infinities: they become the strings that protobuf's JSON mapping and PostgreSQL use.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lake.errors import Unsupported

__all__ = ["csv_cells", "json_cells", "plain_cells"]

_TEXT = pa.large_string()
_NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def plain_cells(column: pa.Array) -> pa.Array:
    """Text that people read; null stays null.

    Raises:
        Unsupported: a type that has no faithful text here.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain_cells(column.dictionary_decode())
    if pa.types.is_nested(kind):
        return _null_where(column, json_cells(column))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], _TEXT)
    if kind == pa.month_day_nano_interval():
        return pa.array([None if value is None else _duration(value) for value in column.to_pylist()], _TEXT)
    try:
        text = pc.cast(column, _TEXT)
    except pa.ArrowNotImplementedError:
        raise Unsupported(f"values of type {kind} have no text: cast them to VARCHAR in the query") from None
    if pa.types.is_floating(kind):
        return pc.if_else(pc.match_substring_regex(text, "^-?[0-9]+$"), _joined(text, ".0"), text)
    if pa.types.is_decimal(kind):
        return _without_exponents(column, text)
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        text = pc.replace_substring_regex(text, r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2")
    if pa.types.is_temporal(kind):
        return pc.replace_substring_regex(text, r"\.0+(Z|[+-][0-9:]+)?$", r"\1")
    return text


def csv_cells(column: pa.Array) -> pa.Array:
    """Cells of RFC 4180. Null is nothing at all, an empty text ``""``, as DuckDB reads and writes them."""
    text = plain_cells(column)
    quoted = _joined('"', pc.replace_substring(text, '"', '""'), '"')
    return pc.fill_null(pc.if_else(pc.match_substring_regex(text, '[",\r\n]|^$'), quoted, text), "")


def json_cells(column: pa.Array, *, embedded: bool = False) -> pa.Array:
    """JSON values, none of them null in Arrow's sense, each on one line.

    Args:
        embedded: the column is text that is JSON already.
    """
    return pc.fill_null(_null_where(column, _json_values(column, embedded)), "null")


def _json_values(column: pa.Array, embedded: bool) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _json_values(column.dictionary_decode(), embedded)
    if pa.types.is_map(kind):
        pairs = _joined(_quoted(plain_cells(column.keys)), ":", json_cells(column.items))
        return _joined("{", _each_joined(column, pairs), "}")
    if pa.types.is_fixed_size_list(kind):
        return _json_values(pc.cast(column, pa.large_list(kind.value_type)), embedded)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _joined("[", _each_joined(column, json_cells(column.values)), "]")
    if pa.types.is_struct(kind):
        cells: list[Any] = ["{"]
        for number, (field, values) in enumerate(zip(kind, column.flatten(), strict=True)):
            cells += [("," if number else "") + json.dumps(field.name, ensure_ascii=False) + ":", json_cells(values)]
        return _joined(*cells, "}")
    text = plain_cells(column)
    if embedded:
        return pa.array([None if value is None else _checked(value) for value in text.to_pylist()], _TEXT)
    if pa.types.is_floating(kind):
        for written, value in _NOT_FINITE.items():
            text = pc.if_else(pc.equal(text, written), value, text)
        return text
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return text
    return _quoted(text)


def _quoted(text: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(text, r"[\x00-\x1f]")).as_py():
        quoted = [None if value is None else json.dumps(value, ensure_ascii=False) for value in text.to_pylist()]
        return pa.array(quoted, _TEXT)
    return _joined('"', pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), '"', '\\"'), '"')


def _checked(text: str) -> str:
    """The text, if it is JSON also to those who are stricter than DuckDB; else a string that holds it."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    # Line ends are legal only between tokens, and a line of JSON Lines has none.
    return text.replace("\r", " ").replace("\n", " ")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _joined(*cells: Any) -> pa.Array:
    """Columns and texts side by side; null where one of them is."""
    wide = [pa.scalar(cell, _TEXT) if isinstance(cell, str) else cell for cell in cells]
    return pc.binary_join_element_wise(*wide, pa.scalar("", _TEXT))


def _each_joined(lists: pa.Array, values: pa.Array) -> pa.Array:
    """The values of each list with commas between; ``values`` are texts for all values that the lists lie over."""
    regrouped = pa.LargeListArray.from_arrays(pc.cast(lists.offsets, pa.int64()), values)
    return pc.binary_join(regrouped, pa.scalar(",", _TEXT))


def _null_where(column: pa.Array, text: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_null(column), pa.scalar(None, _TEXT), text) if column.null_count else text


def _without_exponents(column: pa.Array, text: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(text, "E")).as_py():
        return text
    return pa.array([None if value is None else format(value, "f") for value in column.to_pylist()], _TEXT)


def _duration(value: pa.MonthDayNano) -> str:
    """ISO 8601: ``P1M2DT3.5S``."""
    seconds, rest = divmod(abs(value.nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    days = (f"{value.months}M" if value.months else "") + (f"{value.days}D" if value.days else "")
    clock = f"T{'-' if value.nanoseconds < 0 else ''}{seconds}{fraction}S"
    return f"P{days}{clock if value.nanoseconds or not days else ''}"
