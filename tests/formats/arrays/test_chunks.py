"""The table of chunks, the byte ranges of selections, cuts, and references, judged by h5py, numcodecs and kerchunk."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import pytest

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.arrays.array_file import compile_pieces
from lake.formats.arrays.byte_ranges import ChunkRange, chunk_ranges
from lake.formats.arrays.chunk_table import ChunkTable, build_chunk_table
from lake.formats.arrays.cuts import array_cuts
from lake.formats.arrays.filters import codecs_of, filters_of
from lake.formats.arrays.hdf5 import open_hdf5, read_superblock
from lake.formats.arrays.references import make_references
from lake.formats.path_reader import PathReader
from tests.formats.arrays.makers import make_anndata, make_netcdf, make_plain, make_tenx


def _table(path: Path) -> ChunkTable:
    with PathReader(path) as reader, open_hdf5(reader) as file:
        table = build_chunk_table(file, read_superblock(reader).start, reader.size)
    decoded = ChunkTable.decode(table.encode())
    assert decoded.datasets == table.datasets
    for name in ("dataset", "number", "offset", "size", "mask"):
        assert np.array_equal(getattr(decoded, name), getattr(table, name))
    return decoded


def _ranges(path: Path, *regions: str) -> list[ChunkRange]:
    with PathReader(path) as reader, open_hdf5(reader) as file:
        return chunk_ranges(file, compile_pieces(file, regions), _table(path))


def _decoded(path: Path, chunk: ChunkRange) -> Any:
    data: Any = path.read_bytes()[chunk.offset : chunk.offset + chunk.length]
    for config in reversed(chunk.codecs):
        data = numcodecs.get_codec(dict(config)).decode(data)
    return np.frombuffer(data, chunk.dtype, math.prod(chunk.shape)).reshape(chunk.shape)


@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize(
    ("path", "bounds", "index"),
    [
        ("/g/matrix", "[3:11, 5]", np.s_[3:11, 5]),
        ("/g/matrix", "[::9]", np.s_[::9]),
        ("/g/shuffled", "[7:30]", np.s_[7:30]),
        ("/g/plain", "[1:2]", np.s_[1:2]),
        ("/g/sparse", "[50:60, 60:70]", np.s_[50:60, 60:70]),
    ],
)
def test_a_client_can_decode_the_ranges_itself(
    tmp_path: Path, userblock: int, path: str, bounds: str, index: Any
) -> None:
    made = make_plain(tmp_path / "plain.h5", userblock=userblock)
    with h5py.File(made) as file:
        wanted = file[path][()]
        fill = file[path].fillvalue
    got = np.full([length + 50 for length in wanted.shape], fill, wanted.dtype)
    for chunk in _ranges(made, path + bounds):
        box = tuple(slice(at, at + width) for at, width in zip(chunk.origin, chunk.shape, strict=True))
        got[box] = _decoded(made, chunk)
    got = got[tuple(slice(length) for length in wanted.shape)]
    assert np.array_equal(got[index], wanted[index])


def test_no_more_chunks_than_are_needed(tmp_path: Path) -> None:
    made = make_plain(tmp_path / "plain.h5")
    assert [chunk.origin for chunk in _ranges(made, "/g/matrix[7:14, 6]")] == [(7, 6)]
    assert _ranges(made, "/g/sparse[0:9]") == []
    assert _ranges(made, "/g/never") == []
    assert _ranges(made, "/g/matrix[4:4]") == []
    for path in ("/g/text", "/g/compact"):
        with pytest.raises(Unsupported, match="no range of bytes"):
            _ranges(made, path)


def test_ranges_of_a_sparse_matrix(tmp_path: Path) -> None:
    made = make_tenx(tmp_path / "matrix.h5")
    found = {chunk.dataset for chunk in _ranges(made, "barcodes=5:9&/matrix")}
    assert found >= {"/matrix/data", "/matrix/indices", "/matrix/indptr"}
    with pytest.raises(InvalidRegion, match="no /matrix/nope"):
        _ranges(made, "barcodes=5:9&/matrix/nope")


def test_a_filter_that_was_left_out_for_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "mask.h5"
    values = np.arange(8, dtype="<i8")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (8,), "<i8", chunks=(8,), compression="gzip")
        dataset.id.write_direct_chunk((0,), values.tobytes(), filter_mask=1)
    (chunk,) = _ranges(path, "/x")
    assert chunk.codecs == ()
    assert np.array_equal(_decoded(path, chunk), values)


def test_filters_that_numcodecs_does_not_have(tmp_path: Path) -> None:
    with h5py.File(make_plain(tmp_path / "plain.h5")) as file:
        filters = filters_of(file["g/lzf"])
        assert [step.name for step in filters] == ["lzf"]
        assert codecs_of(filters, 2)[0]["id"] == "hdf5"
        shuffled = filters_of(file["g/shuffled"])
        assert [step.name for step in shuffled] == ["shuffle", "fletcher32"]


def test_damage_in_the_metadata_is_found(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "plain.h5")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(FormatError, match="truncated"):
        _table(path)
    with pytest.raises(FormatError, match="damaged"):
        ChunkTable.decode(b"PAR1 or not")


def test_cuts_follow_the_chunks(tmp_path: Path) -> None:
    path = tmp_path / "big.h5"
    noise = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=noise.random(300_000), chunks=(4000,), compression="gzip")
        file.create_dataset("b", data=noise.random((400, 1000)))
    table, size = _table(path), path.stat().st_size
    cuts = array_cuts(table, size)
    assert cuts == sorted(set(cuts))
    assert all(0 < cut < size for cut in cuts)
    assert max(np.diff([0, *cuts, size])) <= 128 << 10
    rows = table.rows_of(table.places["/a"])
    edges = set(table.offset[rows].tolist()) | set((table.offset + table.size)[rows].tolist())
    first, last = min(edges), max(edges)
    inside = [cut for cut in cuts if first < cut < last]
    assert len(inside) > 20
    assert set(inside) <= edges


@pytest.mark.parametrize("name", ["netcdf", "air"])
def test_references_say_what_kerchunk_says(name: str, tmp_path: Path, shared_data: Path) -> None:
    from kerchunk.hdf import SingleHdf5ToZarr

    real = shared_data / "arrays" / "kerchunk__air.nc"
    path = real if name == "air" else make_netcdf(tmp_path / "made.nc")
    with PathReader(path) as reader, open_hdf5(reader) as file:
        ours = make_references(file, _table(path), str(path))["refs"]
    # kerchunk holds the lock of h5py while it waits for a thread that needs the lock to collect waste of h5py.
    gc.collect()
    gc.disable()
    try:
        theirs = SingleHdf5ToZarr(str(path), inline_threshold=0).translate()["refs"]
    finally:
        gc.enable()
    chunks = {key: value for key, value in ours.items() if isinstance(value, list)}
    assert chunks == {key: value for key, value in theirs.items() if isinstance(value, list)}
    assert chunks
    assert ours.keys() == theirs.keys()


def test_what_zarr_cannot_express_can_be_left_out(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "plain.h5")
    with PathReader(path) as reader, open_hdf5(reader) as file:
        with pytest.raises(Unsupported, match="/references has elements"):
            make_references(file, _table(path), "x")
        refs = make_references(file, _table(path), "x", without=["/references"])["refs"]
    assert "references/.zarray" not in refs
    assert refs["g/text/0"].startswith("base64:")


def test_references_of_anndata(tmp_path: Path) -> None:
    path = make_anndata(tmp_path / "made.h5ad")
    with PathReader(path) as reader, open_hdf5(reader) as file:
        assert "X/data/0" in make_references(file, _table(path), "x")["refs"]
