"""BED, GFF3 and GTF lines as Arrow record batches; positions are 0-based, half-open in all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from lake.errors import FormatError, Unsupported

__all__ = ["FEATURE_SCHEMAS", "feature_batches"]

_LINES_AT_ONCE = 8192
_GFF_COLUMNS = 9
_ATTRIBUTES = pa.map_(pa.string(), pa.string())

_GFF = pa.schema(
    [
        pa.field("contig", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("stop", pa.int64()),
        pa.field("source", pa.string()),
        pa.field("type", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("strand", pa.string()),
        pa.field("phase", pa.int32()),
        pa.field("attributes", _ATTRIBUTES),
    ]
)

FEATURE_SCHEMAS: dict[str, pa.Schema] = {
    "BED": pa.schema(
        [
            pa.field("contig", pa.string()),
            pa.field("start", pa.int64()),
            pa.field("stop", pa.int64()),
            pa.field("name", pa.string()),
            pa.field("score", pa.float64()),
            pa.field("strand", pa.string()),
            pa.field("rest", pa.list_(pa.string()), metadata={"source": "columns from the seventh on, as they are"}),
        ]
    ),
    "GFF3": _GFF,
    "GTF": _GFF,
}
"""Schemas by format. Of a key that a feature has several times the values are joined by commas."""

# GTF 2.2: key, blank, value in quotes or a number, semicolon. A semicolon may stand inside of quotes.
_GTF_ATTRIBUTE = re.compile(r'\s*([^\s;"]+)\s+("(?:[^"\\]|\\.)*"|[^;]*)\s*(?:;|$)')


def feature_batches(form: str, lines: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
    """Features of a text; comments, ``track`` and ``browser`` lines, and a FASTA at the end of a GFF3 are passed over.

    Raises:
        Unsupported: not a format of features.
        FormatError: a line without positions.
    """
    schema = FEATURE_SCHEMAS.get(form)
    if schema is None:
        raise Unsupported(f"{form} has no features: that is what BED, GFF3 and GTF have")
    read: Callable[[list[str]], list[Any]] = _bed if form == "BED" else _gff3 if form == "GFF3" else _gtf
    texts = _texts(lines)
    while some := list(islice(texts, _LINES_AT_ONCE)):
        rows = [read(text.split("\t")) for text in some]
        columns = zip(*rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _texts(lines: Iterator[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith(("##FASTA", ">")):
            return
        if text.strip() and not text.startswith("#") and not re.match(r"(?:track|browser)(?:\s|$)", text):
            yield text


def _bed(fields: list[str]) -> list[Any]:
    fields += [""] * (6 - len(fields))
    start, stop = _position(fields, 1), _position(fields, 2)
    return [fields[0], start, stop, _value(fields[3]), _number(fields[4]), _value(fields[5]), fields[6:] or None]


def _gff(fields: list[str], attributes: dict[str, str]) -> list[Any]:
    phase = fields[7]
    return [
        fields[0],
        _position(fields, 3) - 1,
        _position(fields, 4),
        _value(fields[1]),
        _value(fields[2]),
        _number(fields[5]),
        _value(fields[6]),
        int(phase) if phase in ("0", "1", "2") else None,
        list(attributes.items()),
    ]


def _gff3(fields: list[str]) -> list[Any]:
    fields += [""] * (_GFF_COLUMNS - len(fields))
    found: dict[str, str] = {}
    for item in fields[8].split(";"):
        key, equals, value = item.strip().partition("=")
        if equals:
            # GFF3 specification: several values are divided by commas, reserved characters are percent-encoded.
            _add(found, unquote(key), ",".join(unquote(part) for part in value.split(",")))
    return _gff([unquote(fields[0]), *fields[1:]], found)


def _gtf(fields: list[str]) -> list[Any]:
    fields += [""] * (_GFF_COLUMNS - len(fields))
    found: dict[str, str] = {}
    for key, value in _GTF_ATTRIBUTE.findall(fields[8]):
        _add(found, key, value.strip().strip('"'))
    return _gff(fields, found)


def _add(found: dict[str, str], key: str, value: str) -> None:
    found[key] = f"{found[key]},{value}" if key in found else value


def _value(text: str) -> str | None:
    return None if text in (".", "") else text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _position(fields: list[str], at: int) -> int:
    if not fields[at].isascii() or not fields[at].isdigit() or len(fields[at]) > 18:
        raise FormatError(f"the line of {fields[0][:40]!r} has {fields[at][:40]!r} where a position should stand")
    return int(fields[at])
