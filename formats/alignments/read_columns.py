"""BAM records as Arrow record batches, without an object a record."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.errors import InvalidInput
from lake.formats.alignments.read_fields import CIGAR_OPS, ReadFields, iter_tags
from lake.formats.intervals.batch import Batch

__all__ = ["READ_COLUMNS", "read_batch", "read_schema"]

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

READ_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "name": (pa.string(), "QNAME; null for *"),
    "flag": (pa.int32(), "FLAG"),
    "contig": (pa.string(), "RNAME; null for *"),
    "start": (pa.int64(), "leftmost aligned base, 0-based; null without a position"),
    "stop": (pa.int64(), "behind the rightmost aligned base; null for unmapped reads and without a CIGAR"),
    "mapping_quality": (pa.int32(), "MAPQ; 255 where it is not available"),
    "cigar": (pa.string(), "CIGAR, also of more than 65,535 operations; null for *"),
    "mate_contig": (pa.string(), "RNEXT, = resolved; null for *"),
    "mate_start": (pa.int64(), "PNEXT, 0-based; null for none"),
    "template_length": (pa.int64(), "TLEN"),
    "sequence": (pa.string(), "SEQ; null for *"),
    "qualities": (pa.string(), "QUAL, Phred + 33; null for *"),
}
"""Columns of reads, with types and what they are in SAM."""

_INTEGER_TAGS = frozenset(
    ["AM", "AS", "CM", "CP", "FI", "H0", "H1", "H2", "HI", "IH", "MQ", "NH", "NM", "OP", "PQ", "SM", "TC", "UQ"]
)
"""Tags that are integers by the SAM optional fields specification."""

_NIBBLES = b"=ACMGRSVTWYHKDBN"
_PAIRS = np.array([_NIBBLES[byte >> 4] | _NIBBLES[byte & 15] << 8 for byte in range(256)], "<u2")
"""Two letters for each byte of a packed sequence (SAM specification, section 4.2.3)."""
_UNMAPPED = 4
_NO_QUALITY = 0xFF
_CIGARS_KEPT = 1 << 16
_SCALARS = {b"c": "<b", b"C": "<B", b"s": "<h", b"S": "<H", b"i": "<i", b"I": "<I", b"f": "<f", b"d": "<d"}


def read_schema(columns: Sequence[str] | None, tags: Sequence[str] = ()) -> pa.Schema:
    """Schema of chosen columns, all of `READ_COLUMNS` by default, and a column for each tag.

    Tags that SAM defines as integers are 64-bit integers, all others text as in SAM.

    Raises:
        InvalidInput: no such column, or not the name of a tag.
    """
    chosen = list(READ_COLUMNS) if columns is None else list(columns)
    unknown = [name for name in chosen if name not in READ_COLUMNS]
    if unknown:
        raise InvalidInput(f"no column {unknown[0]!r} of reads: there are {', '.join(READ_COLUMNS)}")
    wrong = [tag for tag in tags if len(tag) != 2 or not tag.isascii() or not tag.isalnum()]
    if wrong:
        raise InvalidInput(f"{wrong[0]!r} is not a tag: wanted two letters or digits, as in NM")
    fields = [pa.field(name, READ_COLUMNS[name][0], metadata={"sam": READ_COLUMNS[name][1]}) for name in chosen]
    return pa.schema(fields + [pa.field(tag, pa.int64() if tag in _INTEGER_TAGS else pa.string()) for tag in tags])


def read_batch(batch: Batch, keep: Mask, contigs: Sequence[str], schema: pa.Schema) -> pa.RecordBatch:
    """The kept records of a batch in the columns of a schema of `read_schema`."""
    kept = batch if keep.all() else batch.pick(keep)
    fields = ReadFields(kept)
    tags = [name for name in schema.names if name not in READ_COLUMNS]
    values = _tag_columns(fields, tags, schema) if tags else {}
    arrays = [values[field.name] if field.name in values else _COLUMNS[field.name](fields, contigs) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _numbers(values: I64, type_: pa.DataType, missing: Mask | None = None) -> pa.Array:
    return pa.array(values, mask=missing).cast(type_)


def _names(tids: I64, contigs: Sequence[str]) -> pa.Array:
    """Names by number; -1 is null."""
    distinct, index = np.unique(tids, return_inverse=True)
    names = pa.array([contigs[tid] if tid >= 0 else None for tid in distinct.tolist()], pa.string())
    return names.take(pa.array(index))


def _texts(data: U8, lengths: I64, missing: Mask) -> pa.Array:
    """Strings from their bytes one after the other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes()) if missing.any() else None
    return pa.Array.from_buffers(
        pa.string(), len(lengths), [valid, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
    )


def _cut(data: bytes, starts: I64, lengths: I64) -> U8:
    """Runs of bytes one after the other. Slices of bytes are several times quicker here than numpy's indexes."""
    pieces = map(data.__getitem__, map(slice, starts.tolist(), (starts + lengths).tolist()))
    return np.frombuffer(b"".join(pieces), np.uint8)


def _name(fields: ReadFields, _: Sequence[str]) -> pa.Array:
    raw = np.frombuffer(fields.batch.data, np.uint8)
    lengths = fields.name_size - 1
    data = _cut(fields.batch.data, fields.name_at, lengths)
    if data.size and int(data.max()) > 127:
        # Not what SAM allows, and not UTF-8 either.
        data = np.where(data > 127, ord("?"), data).astype(np.uint8)
    starred = (lengths == 1) & (raw[fields.name_at] == ord("*"))
    return _texts(data, lengths, starred | (lengths == 0))


def _sequence(fields: ReadFields, _: Sequence[str]) -> pa.Array:
    stored = (fields.bases + 1) // 2
    letters = _PAIRS[_cut(fields.batch.data, fields.bases_at, stored)].view(np.uint8)
    odd = fields.bases & 1 == 1
    if odd.any():
        # The second half of the last byte of an odd number of bases is padding.
        letters = np.delete(letters, 2 * np.cumsum(stored)[odd] - 1)
    return _texts(letters, fields.bases, fields.bases == 0)


def _qualities(fields: ReadFields, _: Sequence[str]) -> pa.Array:
    raw = np.frombuffer(fields.batch.data, np.uint8)
    first = raw[np.minimum(fields.qualities_at, len(raw) - 1)]
    missing = (fields.bases == 0) | (first == _NO_QUALITY)
    lengths = np.where(missing, 0, fields.bases)
    # Qualities above 93 have no letter in SAM.
    data = np.minimum(_cut(fields.batch.data, fields.qualities_at, lengths), 93) + np.uint8(33)
    return _texts(data, lengths, missing)


def _cigar(fields: ReadFields, _: Sequence[str]) -> pa.Array:
    words, counts = fields.cigars
    data = words.astype("<u4").tobytes()
    known: dict[bytes, str | None] = {b"": None}
    texts = []
    at = 0
    for count in counts.tolist():
        key = data[at : at + 4 * count]
        at += 4 * count
        if key not in known:
            if len(known) > _CIGARS_KEPT:
                known = {b"": None}
            known[key] = "".join(
                [f"{word >> 4}{CIGAR_OPS[word & 15] if word & 15 < 9 else '?'}" for (word,) in _WORD.iter_unpack(key)]
            )
        texts.append(known[key])
    return pa.array(texts, pa.string())


_WORD = struct.Struct("<I")


def _stop(fields: ReadFields, _: Sequence[str]) -> pa.Array:
    counts = fields.cigars[1]
    missing = (fields.flag & _UNMAPPED != 0) | (counts == 0) | (fields.batch.pos < 0)
    return _numbers(fields.batch.end, pa.int64(), missing)


_COLUMNS: dict[str, Callable[[ReadFields, Sequence[str]], pa.Array]] = {
    "name": _name,
    "flag": lambda fields, _: _numbers(fields.flag, pa.int32()),
    "contig": lambda fields, contigs: _names(fields.batch.tid, contigs),
    "start": lambda fields, _: _numbers(fields.batch.pos, pa.int64(), fields.batch.pos < 0),
    "stop": _stop,
    "mapping_quality": lambda fields, _: _numbers(fields.quality, pa.int32()),
    "cigar": _cigar,
    "mate_contig": lambda fields, contigs: _names(fields.mate, contigs),
    "mate_start": lambda fields, _: _numbers(fields.mate_pos, pa.int64(), fields.mate_pos < 0),
    "template_length": lambda fields, _: _numbers(fields.template_length, pa.int64()),
    "sequence": _sequence,
    "qualities": _qualities,
}


def _tag_columns(fields: ReadFields, tags: Sequence[str], schema: pa.Schema) -> dict[str, pa.Array]:
    batch = fields.batch
    columns: dict[bytes, list[Any]] = {tag.encode(): [None] * len(batch.offset) for tag in tags}
    for record, (at, stop) in enumerate(zip(fields.tags_at.tolist(), batch.stop.tolist(), strict=True)):
        for tag, kind, start, end in iter_tags(batch.data, at, stop):
            if tag in columns:
                columns[tag][record] = _tag_value(batch.data, kind, start, end)
    found = {}
    for tag, values in columns.items():
        type_ = schema.field(tag.decode()).type
        if type_ == pa.int64():
            found[tag.decode()] = pa.array([value if isinstance(value, int) else None for value in values], type_)
        else:
            found[tag.decode()] = pa.array([None if value is None else str(value) for value in values], type_)
    return found


def _tag_value(data: bytes, kind: bytes, start: int, end: int) -> int | str:
    if kind in (b"Z", b"H"):
        return data[start : end - 1].decode("utf-8", "replace")
    if kind == b"A":
        return data[start:end].decode("latin-1")
    if kind == b"B":
        item = data[start : start + 1]
        values = [value for (value,) in struct.iter_unpack(_SCALARS[item], data[start + 5 : end])]
        return ",".join([item.decode(), *(f"{value:g}" if item in b"fd" else str(value) for value in values)])
    (value,) = struct.unpack_from(_SCALARS[kind], data, start)
    return f"{value:g}" if kind in b"fd" else int(value)
