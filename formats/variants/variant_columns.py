"""VCF lines as Arrow record batches, typed by the definitions of the header; nothing is lost: INFO also comes as text.

Positions are 0-based, half-open, with ``stop`` by the rule of pysam's htslib (`lake.formats.variants.vcf_lengths`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lake.errors import FormatError, InvalidInput
from lake.formats.lines.columns import Lines, first_columns
from lake.formats.lines.header_fields import structured
from lake.formats.variants.vcf_lengths import LengthRule

__all__ = ["VariantReader"]

_FIXED = 9
_LINES_AT_ONCE = 2048
_CELLS_AT_ONCE = 1 << 18
_MOST_LINES = 1 << 22
_POSITION = re.compile(r"[0-9]{1,18}")
_TYPES = {"Integer": pa.int64(), "Float": pa.float64()}

Value = Callable[[str], Any]


class _Definition(NamedTuple):
    """How a field of INFO or FORMAT is read."""

    type: pa.DataType
    read: Value


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return None if text in (".", "") else text


def _define(fields: dict[str, str]) -> _Definition:
    kind, number = fields.get("Type", "String"), fields.get("Number", "1")
    if kind == "Flag":
        return _Definition(pa.bool_(), lambda _: True)
    type_ = _TYPES.get(kind, pa.string())
    one: Value = {"Integer": _integer, "Float": _float}.get(kind, _text)
    if number == "1":
        return _Definition(type_, one)
    return _Definition(
        pa.list_(type_), lambda text: None if text in (".", "") else [one(item) for item in text.split(",")]
    )


class VariantReader:
    """Schema and batches of one VCF text.

    Args:
        lines: lines of a VCF with their ends.
        samples: samples whose genotypes are wanted; None for none, empty for all.

    Raises:
        InvalidInput: a sample that the file does not have.
        FormatError: no line #CHROM.
    """

    def __init__(self, lines: Iterator[bytes], samples: Sequence[str] | None = None) -> None:
        head = []
        for line in lines:
            head.append(line)
            if line.startswith(b"#CHROM"):
                break
            if not line.startswith(b"#") or len(head) > _MOST_LINES:
                raise FormatError("the VCF has no line #CHROM ahead of its records")
        else:
            raise FormatError("the VCF has no line #CHROM")
        self._lines = lines
        self._rule = LengthRule(b"".join(head))
        self._info: dict[str, _Definition] = {}
        self._format: dict[str, _Definition] = {}
        for line in head:
            text = line.decode("utf-8", "replace").strip()
            key, _, value = text.removeprefix("##").partition("=")
            if key in ("INFO", "FORMAT") and value.startswith("<"):
                fields = structured(value)
                if "ID" in fields:
                    (self._info if key == "INFO" else self._format)[fields["ID"]] = _define(fields)
        self._width = len(head[-1].rstrip(b"\r\n").split(b"\t"))
        self._samples = _columns(head[-1], samples)
        self.schema = self._schema()

    def _schema(self) -> pa.Schema:
        fields = [
            pa.field("contig", pa.string()),
            pa.field("start", pa.int64()),
            pa.field("stop", pa.int64()),
            pa.field("id", pa.list_(pa.string())),
            pa.field("ref", pa.string()),
            pa.field("alt", pa.list_(pa.string())),
            pa.field("qual", pa.float64()),
            pa.field("filter", pa.list_(pa.string())),
            pa.field("info_text", pa.string()),
        ]
        if self._info:
            # A struct without fields is more than most readers of Arrow take.
            fields.append(pa.field("info", pa.struct([pa.field(n, known.type) for n, known in self._info.items()])))
        if self._samples is not None:
            genotype = [pa.field(name, known.type) for name, known in self._format.items()]
            fields.append(pa.field("genotypes", pa.list_(pa.struct([pa.field("sample", pa.string()), *genotype]))))
        return pa.schema(fields)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """
        Raises:
            FormatError: a record is damaged.
        """
        at_once = max(min(_LINES_AT_ONCE, _CELLS_AT_ONCE // max(len(self._samples or ()), 1)), 1)
        while lines := list(islice(self._lines, at_once)):
            kept = [line if line.endswith(b"\n") else line + b"\n" for line in lines if line.strip()]
            if kept:
                yield self._batch(kept)

    def _batch(self, lines: list[bytes]) -> pa.RecordBatch:
        rows = [line.decode("utf-8", "replace").rstrip("\r\n").split("\t") for line in lines]
        for row in rows:
            if len(row) != self._width or not _POSITION.fullmatch(row[1]):
                raise FormatError(f"the record {':'.join(row[:2])[:60]!r} of the VCF is damaged")
        start = np.array([int(row[1]) - 1 for row in rows], np.int64)
        text = b"".join(lines)
        whole = Lines.of(text, 0, final=True)
        stop = start + self._rule.lengths(whole, first_columns(whole, _FIXED), start)
        columns: list[Any] = [
            [row[0] for row in rows],
            start,
            stop,
            [_items(row[2], ";") for row in rows],
            [row[3] for row in rows],
            [_items(row[4], ",") for row in rows],
            [_float(row[5]) for row in rows],
            [_items(row[6], ";") for row in rows],
            [_text(row[7]) for row in rows],
        ]
        if self._info:
            columns.append([self._read_info(row[7]) for row in rows])
        if self._samples is not None:
            columns.append([self._genotypes(row) for row in rows])
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _read_info(self, text: str) -> dict[str, Any]:
        found = {}
        for item in text.split(";"):
            key, _, value = item.partition("=")
            known = self._info.get(key)
            if known is not None:
                found[key] = known.read(value)
        return found

    def _genotypes(self, row: list[str]) -> list[dict[str, Any]]:
        keys = [(key, self._format[key].read) for key in row[8].split(":") if key in self._format]
        # A key that the header does not define has no type; it must still take its place.
        places = [place for place, key in enumerate(row[8].split(":")) if key in self._format]
        found = []
        for name, at in self._samples or ():
            values = row[at].split(":")
            cell: dict[str, Any] = {"sample": name}
            for (key, read), place in zip(keys, places, strict=True):
                cell[key] = read(values[place]) if place < len(values) else None
            found.append(cell)
        return found


def _items(text: str, divider: str) -> list[str] | None:
    return None if text in (".", "") else text.split(divider)


def _columns(line: bytes, samples: Iterable[str] | None) -> list[tuple[str, int]] | None:
    """Wanted samples with the numbers of their columns."""
    if samples is None:
        return None
    names = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")[_FIXED:]
    known = {name: _FIXED + at for at, name in enumerate(names)}
    wanted = list(samples) or names
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InvalidInput(f"no sample {missing[0]!r}: the file has {', '.join(names[:3]) or 'none'}")
    return [(name, known[name]) for name in wanted]
