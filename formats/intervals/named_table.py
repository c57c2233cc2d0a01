"""A block table with the names of the contigs that its numbers stand for, for files whose header need not list them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.intervals.blocks import BlockTable, decode_table, encode_table
from lake.formats.intervals.record_counts import RecordCounts
from lake.formats.sealed import seal, unseal

__all__ = ["NamedTable", "decode_named_table", "encode_named_table", "is_named_table"]

_MAGIC = b"RLNAMED\x01"
_LENGTH = struct.Struct("<Q")


class NamedTable(NamedTuple):
    """What a file without a usable index of its own needs to answer regions."""

    names: Sequence[bytes]
    """The contigs with records, in file order: contig ``n`` of the table is item ``n``."""
    flavour: str
    """How the lines were read, see `lake.formats.intervals.source.RecordSource.flavour`."""
    table: BlockTable
    counts: RecordCounts


def encode_named_table(named: NamedTable) -> bytes:
    """Magic, size of the file, names and counts as JSON behind its length, the block table, a digest of all that."""
    names = [name.decode("utf-8", "surrogateescape") for name in named.names]
    head = json.dumps({"names": names, "flavour": named.flavour, **named.counts._asdict()}).encode()
    return seal(_MAGIC, named.table.size, _LENGTH.pack(len(head)) + head + encode_table(named.table))


def decode_named_table(data: bytes, size: int) -> NamedTable:
    """The table of a file of ``size`` bytes.

    Raises:
        FormatError: damaged, of another version, or of another file.
    """
    body = bytes(unseal(_MAGIC, size, data, "block table"))
    (length,) = _LENGTH.unpack_from(body)
    head = json.loads(body[_LENGTH.size : _LENGTH.size + length])
    table = decode_table(body[_LENGTH.size + length :], size)
    names = [name.encode("utf-8", "surrogateescape") for name in head["names"]]
    if len(table.tid) and not -1 <= int(table.tid.min()) <= int(table.tid.max()) < len(names):
        raise FormatError("the block table is damaged: it lacks names of contigs")
    counts = RecordCounts(head["records"], head["unmapped"], head["unplaced"])
    if len(counts.records) != len(names):
        raise FormatError("the block table is damaged: it lacks counts of contigs")
    return NamedTable(names, head["flavour"], table, counts)


def is_named_table(data: bytes | None) -> bool:
    """Whether bytes are such a table, sound or not."""
    return data is not None and data.startswith(_MAGIC)
