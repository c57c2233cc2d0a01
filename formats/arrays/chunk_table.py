"""Where the data of every dataset lie in a file: one table, made in one pass over the metadata."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lake.errors import FormatError
from lake.formats.arrays.filters import Filter, filters_of
from lake.formats.arrays.hdf5 import walk

__all__ = ["CHUNK_TABLE_KIND", "ChunkTable", "StoredDataset", "build_chunk_table", "layout_of"]

CHUNK_TABLE_KIND = "hdf5-chunks/1"
_KEY = b"hdf5-datasets"
_MOST_CHUNKS = 50_000_000

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """How one dataset is stored."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    """As numpy writes it: ``<f4``, ``|V12``."""
    itemsize: int
    layout: str
    """``chunked``, ``contiguous``, ``compact``, ``external``, ``virtual`` or ``null``."""
    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-length // width) for length, width in zip(self.shape, self.chunks or self.shape, strict=True))


@dataclass(frozen=True)
class ChunkTable:
    """Datasets in file order, and their stored chunks: those of one dataset next to each other, by number.

    The number of a chunk counts through the grid of chunks, last axis fastest. What is not in the table was never
    written and holds the fill value. Contiguous data are one chunk.
    """

    datasets: tuple[StoredDataset, ...]
    dataset: Numbers
    """Number of the dataset, of each chunk."""
    number: Numbers
    offset: Numbers
    """First byte in the file, with the userblock counted."""
    size: Numbers
    """Bytes."""
    mask: Numbers
    """Steps of the filter pipeline that were left out, by bits."""

    @cached_property
    def places(self) -> dict[str, int]:
        """Number of each dataset by its path."""
        return {dataset.path: number for number, dataset in enumerate(self.datasets)}

    def rows_of(self, dataset: int) -> slice:
        """Rows of the chunks of a dataset."""
        first, last = np.searchsorted(self.dataset, (dataset, dataset + 1))
        return slice(int(first), int(last))

    def encode(self) -> bytes:
        """Parquet, the datasets as JSON in its metadata."""
        header = json.dumps([asdict(dataset) for dataset in self.datasets])
        columns = {"dataset": self.dataset, "number": self.number, "offset": self.offset, "size": self.size}
        table = pa.table({**columns, "mask": self.mask}).replace_schema_metadata({_KEY: header.encode()})
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd", use_dictionary=False, column_encoding="DELTA_BINARY_PACKED")
        return out.getvalue()

    @classmethod
    def decode(cls, body: bytes) -> ChunkTable:
        """
        Raises:
            FormatError: not such a table.
        """
        try:
            table = pq.read_table(io.BytesIO(body))
            rows = json.loads(table.schema.metadata[_KEY])
            datasets = tuple(_dataset(row) for row in rows)
            return cls(datasets, *(table[name].to_numpy() for name in ("dataset", "number", "offset", "size", "mask")))
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"a stored table of chunks is damaged: {error}") from None


def _dataset(row: dict[str, Any]) -> StoredDataset:
    chunks = tuple(row["chunks"]) if row["chunks"] is not None else None
    filters = tuple(Filter(code, tuple(values)) for code, values in row["filters"])
    return StoredDataset(**{**row, "shape": tuple(row["shape"]), "chunks": chunks, "filters": filters})


def layout_of(dataset: Any) -> str:
    """How an `h5py.Dataset` is stored."""
    import h5py

    if dataset.shape is None:
        return "null"
    if dataset.is_virtual:
        return "virtual"
    if dataset.external is not None:
        return "external"
    names = {h5py.h5d.COMPACT: "compact", h5py.h5d.CONTIGUOUS: "contiguous", h5py.h5d.CHUNKED: "chunked"}
    return names[dataset.id.get_create_plist().get_layout()]


def build_chunk_table(file: Any, userblock: int, size: int) -> ChunkTable:
    """The table of an open `h5py.File`.

    Args:
        file: the file.
        userblock: bytes before the superblock.
        size: bytes of the file.

    Raises:
        FormatError: a chunk that lies outside of the file, or more chunks than there can be.
    """
    import h5py

    if userblock and _userblock_counts():
        userblock = 0
    datasets: list[StoredDataset] = []
    rows: list[npt.NDArray[np.int64]] = []
    for found in walk(file):
        if isinstance(found.object, h5py.Dataset):
            stored = _described(found.path, found.object)
            rows.append(_chunks(found.object, stored, len(datasets), userblock))
            datasets.append(stored)
    columns = np.concatenate(rows, axis=1) if rows else np.empty((5, 0), np.int64)
    if np.any(columns[2] < 0) or np.any(columns[3] < 0) or np.any(columns[2] + columns[3] > size):
        bad = int(np.flatnonzero((columns[2] < 0) | (columns[2] + columns[3] > size) | (columns[3] < 0))[0])
        raise FormatError(f"{datasets[int(columns[0, bad])].path} has data outside of the file: it is damaged")
    return ChunkTable(tuple(datasets), *columns)


@cache
def _userblock_counts() -> bool:
    """Whether the library at hand counts the userblock where it tells places of chunks: versions differ."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        dataset = file.create_dataset("x", data=np.frombuffer(b"regionlake", "S10"), chunks=(1,))
        file.flush()
        place = dataset.id.get_chunk_info(0).byte_offset
    return buffer.getvalue()[place : place + 10] == b"regionlake"


def _described(path: str, dataset: Any) -> StoredDataset:
    layout = layout_of(dataset)
    chunks = tuple(dataset.chunks) if dataset.chunks else None
    dtype = dataset.dtype
    return StoredDataset(
        path, tuple(dataset.shape or ()), dtype.str, dtype.itemsize, layout, chunks, filters_of(dataset)
    )


def _chunks(dataset: Any, stored: StoredDataset, place: int, userblock: int) -> npt.NDArray[np.int64]:
    if stored.layout == "contiguous":
        offset = dataset.id.get_offset()
        if offset is None:
            return np.empty((5, 0), np.int64)
        return np.array([[place], [0], [offset], [dataset.id.get_storage_size()], [0]], np.int64)
    if stored.layout != "chunked":
        return np.empty((5, 0), np.int64)
    found: list[tuple[Any, ...]] = []

    def take(chunk: Any) -> None:
        if len(found) >= _MOST_CHUNKS:
            raise FormatError(f"{stored.path} has more than {_MOST_CHUNKS} chunks")
        found.append((*chunk.chunk_offset, chunk.byte_offset, chunk.size, chunk.filter_mask))

    dataset.id.chunk_iter(take)
    if not found:
        return np.empty((5, 0), np.int64)
    rows = np.array(found, np.int64).T
    origins, (offset, size, mask) = rows[:-3], rows[-3:]
    assert stored.chunks is not None
    coordinates = origins // np.array(stored.chunks, np.int64)[:, None]
    grid = np.array(stored.grid, np.int64)[:, None]
    if np.any(coordinates < 0) or np.any(coordinates >= grid):
        raise FormatError(f"{stored.path} has chunks outside of its shape: it is damaged")
    number = np.ravel_multi_index(tuple(coordinates), stored.grid)
    order = np.argsort(number, kind="stable")
    owner = np.full(len(number), place, np.int64)
    return np.stack([owner, number, offset + userblock, size, mask])[:, order]
