"""HDF5, AnnData and netCDF as formats of which regions can be asked."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lake.errors import FormatError, LakeError, Unsupported
from lake.formats.arrays.array_file import ArrayFile
from lake.formats.arrays.chunk_table import CHUNK_TABLE_KIND, build_chunk_table
from lake.formats.arrays.cuts import array_cuts
from lake.formats.arrays.hdf5 import missing_library, open_hdf5, read_superblock, reason_unreadable
from lake.formats.base import IndexKind
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader

__all__ = ["H5AD", "HDF5", "NETCDF", "ArrayFormat"]


class ArrayFormat:
    """What a lake knows of files that are HDF5."""

    planner = "hdf5/1"
    indexes = (IndexKind(CHUNK_TABLE_KIND, ()),)
    table_kind = None

    def __init__(self, name: str, media_type: str, suffixes: tuple[str, ...]) -> None:
        self.name, self.media_type, self.suffixes = name, media_type, suffixes

    @property
    def encoder(self) -> str:
        """The library that writes slices."""
        try:
            return f"h5py/{version('h5py')}"
        except PackageNotFoundError:
            return "none"

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """The superblock, and whether the file has all the bytes that it states."""
        try:
            read_superblock(reader)
        except FormatError as error:
            return [str(error)]
        except Unsupported:
            # Classic netCDF: sound for all that is known.
            return []
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: slices are decoded and written anew."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why a table cannot be adopted: a foreign one could lead anywhere."""
        return "tables of chunks are made by the lake alone"

    def cuts(self, reader: ByteReader) -> list[int]:
        """Edges of stored chunks.

        Raises:
            FormatError: the metadata are damaged, or nothing is there to read them.
        """
        try:
            with open_hdf5(reader) as file:
                return array_cuts(build_chunk_table(file, read_superblock(reader).start, reader.size), reader.size)
        except Unsupported as error:
            raise FormatError(str(error)) from error

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no table can be made: not HDF5 after all, or no library to read it."""
        return reason_unreadable(reader)

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write the table of the chunks of the file at ``path`` to ``out``.

        Raises:
            FormatError: the metadata are damaged; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                with open_hdf5(reader) as file:
                    found = build_chunk_table(file, read_superblock(reader).start, reader.size)
            except LakeError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
            out.write_bytes(found.encode())
        return CHUNK_TABLE_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """There is none.

        Raises:
            Unsupported: always.
        """
        raise Unsupported("HDF5 needs no table beside its index")

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> ArrayFile:
        """Open for queries.

        Raises:
            FormatError: not HDF5, or truncated.
            Unsupported: classic netCDF, or no library to read HDF5.
        """
        read_superblock(reader)
        reason = missing_library()
        if reason is not None:
            raise Unsupported(reason)
        return ArrayFile(reader, self.media_type)


HDF5 = ArrayFormat("HDF5", "application/x-hdf5", (".hdf5", ".h5"))
H5AD = ArrayFormat("h5ad", "application/x-hdf5", (".h5ad",))
NETCDF = ArrayFormat("netCDF", "application/x-netcdf", (".nc4", ".nc"))
