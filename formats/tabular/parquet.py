"""Parquet: rows and columns, by the footer alone (Apache Parquet format, "File format")."""

from __future__ import annotations

import io

from lake.errors import FormatError
from lake.formats.reader import ByteReader
from lake.formats.tabular.columns import TableShape, shape_of

__all__ = ["parquet_shape"]

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_TAIL = 8
"""Length of the footer, and the magic again."""
_MOST = 64 << 20
"""Bytes of a footer."""


def parquet_shape(reader: ByteReader) -> TableShape | None:
    """Rows, and the columns at the top with their Arrow types; None where the footer is encrypted.

    Raises:
        FormatError: truncated, or the footer is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tail = reader.read(max(reader.size - _TAIL, 0), _TAIL)
    if tail[4:] == _ENCRYPTED:
        return None
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= min(_MOST, reader.size - len(_MAGIC) - _TAIL):
        raise FormatError("no Parquet footer at the end of the file: it is truncated or damaged")
    footer = reader.read(reader.size - _TAIL - length, length)
    try:
        # The library looks at nothing but the end of a file.
        metadata = pq.read_metadata(io.BytesIO(_MAGIC + footer + tail))
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(f"the Parquet footer is damaged: {' '.join(str(error).split())[:200]}") from None
    return shape_of(metadata.num_rows, schema.names, [str(kind) for kind in schema.types], len(schema))
