"""Delimited text: CSV (RFC 4180) and TSV. Which character delimits, whether there is a header, how many rows follow.

As the readers that users know: quotes enclose a field only where they begin it, a line break inside of quotes ends no
row, empty lines are no rows. Lines with ``##``, or ``#`` and no delimiter, ahead of the table are left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from lake.formats.tabular.columns import MOST_COLUMNS, TableShape, shape_of

__all__ = ["delimited_shape"]

_HEAD = 1 << 16
"""Bytes that tell delimiter, header and types."""
_SAMPLE = 100
"""Rows that tell the types."""
_MOST = 256 << 20
"""Bytes of a table whose rows are counted."""
_MOST_QUOTED = 32 << 20
"""Bytes that are gone through field by field, once there are quotes."""
_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BLANK = re.compile(rb"\n{2,}")
_MARK = b"\xef\xbb\xbf"


def delimited_shape(pieces: Iterator[bytes], size: int, delimiter: str | None = None) -> TableShape | None:
    """Rows and columns of a text; None where it has none, or is in UTF-16.

    Types are those of the first 100 rows: ``int64``, ``double``, ``string``; ``null`` where all are empty. The first
    row is a header where none of its fields is a number and no two are the same.

    Args:
        pieces: the content, from its start; read up to 256 MiB.
        size: bytes of the file that the content is in: of much larger ones rows are not counted.
        delimiter: None: the one that divides most of the first rows alike.
    """
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    head = head.removeprefix(_MARK)
    begin = _preamble(head, delimiter)
    sample = _complete_lines(head[begin:])
    delimiter = delimiter or _delimiter(sample)
    first_rows = _first_rows(sample, delimiter)
    if not first_rows:
        return None
    header = _is_header(first_rows[0])
    rows = _counted(_chained(head[begin:], pieces), delimiter) if size <= _MOST else None
    data = first_rows[1:] if header else first_rows
    count = max(map(len, first_rows))
    types = [_type([row[place] for row in data if place < len(row)]) for place in range(min(count, MOST_COLUMNS))]
    names = first_rows[0] + [""] * (count - len(first_rows[0])) if header else None
    return shape_of(None if rows is None else rows - header, names, types, count, delimiter)


def _preamble(head: bytes, delimiter: str | None) -> int:
    """Bytes of the lines of comment before the table."""
    marks = delimiter.encode() if delimiter else _DELIMITERS.encode()
    begin = 0
    while head.startswith(b"#", begin):
        stop = head.find(b"\n", begin)
        if stop < 0 or not (head.startswith(b"##", begin) or not set(head[begin:stop]).intersection(marks)):
            break
        begin = stop + 1
    return begin


def _complete_lines(text: bytes) -> str:
    """The sample without a line that is cut; a single line as far as it goes."""
    if len(text) >= _HEAD - 1:
        last = max(text.rfind(b"\n"), text.rfind(b"\r"))
        text = text[: last + 1] or text
    return text.decode("utf-8", "replace")


def _first_rows(sample: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        rows.extend(islice((row for row in reader if row), _SAMPLE + 1))
    except csv.Error:
        # A field without an end: what stands before it is told.
        return rows
    return rows


def _delimiter(sample: str) -> str:
    def fit(candidate: str) -> tuple[float, int]:
        widths = [len(row) for row in _first_rows(sample, candidate)[:20]]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(_DELIMITERS, key=fit)


def _is_header(row: list[str]) -> bool:
    named = [field for field in row if field]
    return bool(named) and len(set(named)) == len(named) and not any(_NUMBER.fullmatch(field) for field in named)


def _type(values: list[str]) -> str:
    present = [value for value in values if value]
    if not present:
        return "null"
    if all(_WHOLE.fullmatch(value) for value in present):
        return "int64"
    return "double" if all(_NUMBER.fullmatch(value) for value in present) else "string"


def _chained(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _counted(pieces: Iterator[bytes], delimiter: str) -> int | None:
    """Rows, or None for more text than is gone through, or a field without an end."""
    rows = read = 0
    rest = b""
    for piece in pieces:
        read += len(piece)
        if read > _MOST:
            return None
        text = rest + piece
        if b'"' in piece:
            quoted = _counted_fields(_chained(text, pieces), delimiter)
            return None if quoted is None else rows + quoted
        cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        rows += _counted_lines(text[:cut])
        rest = text[cut:]
        if len(rest) > _MOST_QUOTED:
            return None
    return rows + _counted_lines(rest)


def _counted_lines(text: bytes) -> int:
    """Lines that are not empty, of a text that begins with a line."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = text.strip(b"\n")
    if b"\n\n" in text:
        text = _BLANK.sub(b"\n", text)
    return text.count(b"\n") + 1 if text else 0


def _counted_fields(pieces: Iterable[bytes], delimiter: str) -> int | None:
    # Where rows end depends on no character beyond ASCII.
    try:
        return sum(1 for row in csv.reader(_lines(pieces), delimiter=delimiter, strict=False) if row)
    except (csv.Error, _TooMuch):
        return None


class _TooMuch(Exception):
    """More than is gone through."""


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    read = 0
    rest = ""
    for piece in pieces:
        read += len(piece)
        if read > _MOST_QUOTED:
            raise _TooMuch
        lines = (rest + piece.decode("latin-1")).replace("\r\n", "\n").split("\n")
        rest = lines.pop()
        for line in lines:
            yield f"{line}\n"
    if rest:
        yield rest
