"""What can be asked of the arrays of a lake. Light: loads nothing by itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from lake.paths import encode_name, split_ref

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from lake.formats.arrays.byte_ranges import ChunkRange
    from lake.objects import ObjectReader
    from lake.repository import Repository

__all__ = ["ArrayView"]

PathName = str | os.PathLike[str]


class ArrayView(ABC):
    """The verbs of arrays, for a lake as it is read: files that are HDF5, among them h5ad and netCDF-4.

    Regions: ``/group/dataset[0:10, :]``, ``obs=0:200&var=GAPDH``, ``lat=40:60`` (docs/formats/hdf5.md). All verbs raise
    `Unsupported` of other files, `InvalidRegion` of regions that do not fit, and `FormatError` of damaged files.
    """

    repo: Repository
    ref: str

    @abstractmethod
    def reader(self, path: PathName, *, ref: str | None = None) -> ObjectReader:
        """Verified random access to a file, and its chunk map."""
        ...

    def array(self, path: PathName, regions: str | Sequence[str], *, ref: str | None = None) -> npt.NDArray[np.generic]:
        """One dataset, or the places of it that the regions select, in memory; a sparse matrix comes out dense.

        Axes given as one place are dropped, as in numpy. For files of several datasets join a path to the places along
        axes: ``obs=0:200&/X``.

        Raises:
            InvalidRegion: also where the regions select no array, or several.
            Unsupported: also of more than 4 GiB.
        """
        from lake.arrays import read_array

        return read_array(self.reader(path, ref=ref), _listed(regions), os.fspath(path))

    def arrow(self, path: PathName, regions: str | Sequence[str], *, ref: str | None = None) -> pa.Array | pa.Table:
        """As `array`, as Arrow: a table of a compound type, a tensor a row of what has several axes."""
        from lake.arrays import as_arrow

        return as_arrow(self.array(path, regions, ref=ref))

    def chunk_ranges(self, path: PathName, regions: str | Sequence[str], *, ref: str | None = None) -> list[ChunkRange]:
        """The stored chunks that hold what regions select, and their codecs, for a client that decodes them itself.

        Chunks that were never written hold the fill value, and are left out.

        Raises:
            Unsupported: also of data that no range of bytes holds: text of variable length, data in headers.
        """
        from lake.arrays import read_chunk_ranges

        return read_chunk_ranges(self.repo, self.reader(path, ref=ref), _listed(regions), os.fspath(path))

    def references(
        self, path: PathName, *, url: str | None = None, without: Collection[str] = (), ref: str | None = None
    ) -> dict[str, Any]:
        """A file as Zarr, without a copy: references as kerchunk writes them, for fsspec's ``reference`` file system.

        Args:
            path: a file.
            url: the address of the file for whoever reads the references; else its ``lake://`` URL.
            without: paths of datasets to leave out.
            ref: the ref to read at.

        Raises:
            Unsupported: also of a dataset that Zarr cannot express.
        """
        from lake.arrays import read_references

        named, cleaned = split_ref(os.fspath(path))
        at = named or ref or self.ref
        address = url if url is not None else f"lake://{'' if at == 'main' else f'@{at}/'}{encode_name(cleaned)}"
        return read_references(self.repo, self.reader(path, ref=ref), cleaned, address, without)


def _listed(regions: str | Sequence[str]) -> list[str]:
    return [regions] if isinstance(regions, str) else list(regions)
