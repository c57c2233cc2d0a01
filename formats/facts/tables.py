"""Facts of tables and documents: CSV, TSV, Parquet, JSON."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from lake.formats.compression.inflated import open_content
from lake.formats.facts.kinds import fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.reader import ByteReader
from lake.formats.tabular.columns import TableShape

__all__ = ["CSV_FACTS", "JSON_FACTS", "PARQUET_FACTS", "TSV_FACTS", "TableFacts"]


class TableFacts:
    """Facts of one format of tables."""

    code = "facts/1"
    reads_all = False
    located_kinds: tuple[str, ...] = ()

    def __init__(self, form: str) -> None:
        self._form = form

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """The table, of JSON also what stands at its top; nothing where bzip2 or encryption hides it.

        Raises:
            FormatError: damaged.
        """
        if self._form == "Parquet":
            from lake.formats.tabular.parquet import parquet_shape

            return _tables(parquet_shape(reader))
        if reader.read(0, 3) == b"BZh":
            return {}
        if self._form == "JSON":
            from lake.formats.tabular.json_text import json_shape

            found = json_shape(_pieces(reader))
            return fact_table("documents", [(found.kind, found.items)]) | _tables(found.table)
        from lake.formats.tabular.delimited import delimited_shape

        return _tables(delimited_shape(_pieces(reader), reader.size, "\t" if self._form == "TSV" else None))

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Nothing: a table is described as a whole."""
        return {}


def _pieces(reader: ByteReader) -> Iterator[bytes]:
    return (piece.data for piece in open_content(reader).all())


def _tables(shape: TableShape | None) -> dict[str, pa.Table]:
    return fact_table("tables", [shape]) if shape is not None else {}


CSV_FACTS = TableFacts("CSV")
JSON_FACTS = TableFacts("JSON")
PARQUET_FACTS = TableFacts("Parquet")
TSV_FACTS = TableFacts("TSV")
