"""JSON (RFC 8259) and JSON Lines: what stands at the top, and how many entries it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from lake.errors import FormatError
from lake.formats.tabular.columns import TableShape, shape_of

__all__ = ["JsonShape", "json_shape"]

_MOST = 4 << 20
"""Bytes that are parsed: in memory values may take thirty times as many."""


class JsonShape(NamedTuple):
    """What a JSON text is."""

    kind: str
    """``object``, ``array``, ``string``, ``number``, ``boolean``, ``null``, or ``lines``: one value a line."""
    items: int | None
    """Keys, elements or lines; None where there are none or the text is long."""
    table: TableShape | None
    """Of objects in an array or on lines: their number and their keys."""


def json_shape(pieces: Iterator[bytes]) -> JsonShape:
    """
    Args:
        pieces: the content from its start; of more than 4 MiB only the kind is told.

    Raises:
        FormatError: a short text that is no JSON.
    """
    text = b""
    for piece in pieces:
        text += piece
        if len(text) > _MOST:
            return JsonShape(_kind_of_long(text[: 1 << 16]), None, None)
    try:
        return _described(_parsed(text.decode("utf-8-sig")))
    except (UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FormatError(f"not JSON: {reason}") from None
    except ValueError as error:
        # Numbers of thousands of digits are valid, but no number that Python reads.
        raise FormatError(f"not JSON that can be read: {str(error)[:200]}") from None


class _Lines(list[Any]):
    """Values of JSON Lines."""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _Lines(json.loads(line) for line in text.split("\n") if line.strip())


def _described(value: Any) -> JsonShape:
    match value:
        case list():
            kind = "lines" if isinstance(value, _Lines) else "array"
            return JsonShape(kind, len(value), _table(value))
        case dict():
            return JsonShape("object", len(value), None)
        case bool():
            return JsonShape("boolean", None, None)
        case str():
            return JsonShape("string", None, None)
        case None:
            return JsonShape("null", None, None)
    return JsonShape("number", None, None)


def _table(values: list[Any]) -> TableShape | None:
    if not values or not all(isinstance(value, dict) for value in values):
        return None
    names = list(dict.fromkeys(key for value in values for key in value))
    return shape_of(len(values), names, None, len(names))


def _kind_of_long(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    line, end, more = text.partition(b"\n")
    if end and more.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            pass
        else:
            return "lines"
    return "object" if text.startswith(b"{") else "array"
