"""Facts of files that are HDF5: their datasets."""

from __future__ import annotations

import pyarrow as pa

from lake.formats.facts.kinds import fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.reader import ByteReader

__all__ = ["ARRAY_FACTS", "ArrayFacts"]


class ArrayFacts:
    """Facts of HDF5, AnnData and netCDF-4."""

    code = "facts/1"
    reads_all = False
    located_kinds: tuple[str, ...] = ()

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """Datasets, and groups with attributes; nothing where h5py is not installed, or the file is classic netCDF.

        Raises:
            FormatError: the metadata are damaged.
        """
        from lake.formats.arrays.description import dataset_rows
        from lake.formats.arrays.hdf5 import open_hdf5, reason_unreadable

        if reason_unreadable(reader) is not None:
            return {}
        with open_hdf5(reader) as file:
            return fact_table("datasets", list(dataset_rows(file)))

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Nothing: the table of chunks is kept as it is."""
        return {}


ARRAY_FACTS = ArrayFacts()
