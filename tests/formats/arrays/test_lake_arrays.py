"""Files of arrays in a lake: facts, slices, arrays in memory, fsspec, references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr

from lake.errors import DamagedObject, InvalidRegion, Unsupported
from lake.fs import LakeFileSystem
from lake.lake import Lake
from lake.stores.base import Location
from lake.stores.local import LocalStore
from tests.formats.arrays.makers import make_anndata, make_netcdf, make_plain
from tests.lake.samples import flip, object_file


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    with Lake.init(tmp_path / "lake") as lk:
        make_netcdf(tmp_path / "made.nc")
        make_plain(tmp_path / "plain.h5")
        make_anndata(tmp_path / "cells.h5ad")
        lk.put([tmp_path / name for name in ("made.nc", "plain.h5", "cells.h5ad")], "")
        yield lk


def test_facts_tell_of_every_dataset(lk: Lake) -> None:
    rows = {row["dataset"]: row for row in lk.facts("plain.h5")["datasets"].to_pylist()}
    matrix = rows["/g/matrix"]
    assert (matrix["shape"], matrix["dtype"], matrix["chunk_shape"]) == ([30, 20], "float64", [7, 6])
    assert (matrix["filters"], matrix["size"], matrix["encoding_type"]) == ("gzip", 4800, None)
    assert rows["/g/shuffled"]["filters"] == "shuffle,fletcher32"
    assert rows["/g/sparse"]["fill_value"] == "7.0"
    assert rows["/g/text"]["dtype"] == "string"
    assert rows["/g"]["attributes"] == '{"units": ["mm", "s"]}'
    assert rows["/g"]["shape"] is None
    encodings = {row["dataset"]: row["encoding_type"] for row in lk.facts("cells.h5ad")["datasets"].to_pylist()}
    assert encodings["/X"] == "csr_matrix"
    assert encodings["/obs/cell_type"] == "categorical"
    found = lk.sql("select count(*) from datasets where encoding_type = 'csr_matrix'").fetchall()
    assert found[0][0] >= 3


def test_arrays_in_memory(lk: Lake, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "plain.h5") as file:
        assert np.array_equal(lk.array("plain.h5", "/g/matrix[3, 5:9]"), file["g/matrix"][3, 5:9])
        assert lk.array("plain.h5", "/link[..., 0]").shape == (30,)
        assert lk.array("plain.h5", "/g/scalar") == 42
        assert lk.arrow("plain.h5", "/g/records[1:3]").to_pydict() == {
            "f0": [1, 2],
            "f1": [0.5, 1.0],
            "f2": ["x", "x"],
        }
        assert lk.arrow("plain.h5", "/g/text[:3]") == pa.array(["a", "bc", "ü"])
        assert lk.arrow("plain.h5", "/g/matrix[:3]").to_numpy_ndarray().shape == (3, 20)
    assert lk.array("made.nc", "t2m&lat=0:20").shape == (40, 3, 12)
    with lk.slice("cells.h5ad", "obs=5:9&var=G3").open() as cut, h5py.File(cut) as file:
        assert file["layers/dense"].shape == (4, 1)
        dense = lk.array("cells.h5ad", "obs=5:9&var=G3&/layers/dense")
        assert np.array_equal(file["layers/dense"][:], dense)
    rows = lk.array("cells.h5ad", "obs=5:9&/X")
    assert rows.shape == (4, 20)
    assert np.array_equal(lk.array("cells.h5ad", "obs=5:9&/layers/columns"), rows)
    with pytest.raises(InvalidRegion, match="arrays: name one"):
        lk.array("cells.h5ad", "obs=5:9")


def test_slices_have_an_identity(lk: Lake) -> None:
    one = lk.slice("made.nc", "lat=40:60&lon=0:90")
    assert one.identity == lk.slice("made.nc", "lon=0:90 & lat=40:60").identity
    assert one.identity != lk.slice("made.nc", "lon=0:60&lat=40:60").identity
    assert not one.verbatim
    assert lk.slice("made.nc").to_bytes() == lk.reader("made.nc").read(0, 1 << 30)


def test_a_slice_by_url_opens_with_xarray(lk: Lake) -> None:
    fs = LakeFileSystem(root=str(lk.root))
    with fs.open("made.nc#lat=40:60") as file, xr.open_dataset(file, engine="h5netcdf") as got:
        assert got.sizes["lat"] == 3
    with fs.open("made.nc") as file, xr.open_dataset(file, engine="h5netcdf") as got:
        assert got.sizes["lat"] == 19


def test_references_open_as_zarr(lk: Lake, tmp_path: Path) -> None:
    options = {"fo": lk.references("made.nc"), "remote_protocol": "lake", "remote_options": {"root": str(lk.root)}}
    with (
        xr.open_dataset(
            "reference://", engine="zarr", backend_kwargs={"consolidated": False, "storage_options": options}
        ) as got,
        xr.open_dataset(tmp_path / "made.nc", engine="h5netcdf") as wanted,
    ):
        assert got[["t2m"]].load().equals(wanted[["t2m"]].load())
    assert lk.references("made.nc", url="s3://x/y.nc")["refs"]["lat/0"][0] == "s3://x/y.nc"
    lk.tag("v1")
    assert lk.references("made.nc", ref="v1")["refs"]["lat/0"][0] == "lake://@v1/made.nc"


def test_a_few_rows_of_a_big_file_read_little(lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2)
    with h5py.File(tmp_path / "big.h5", "w") as file:
        for name in "abcdefgh":
            file.create_dataset(name, data=noise.integers(0, 1 << 30, 200_000), chunks=(5000,), compression="gzip")
    lk.put(tmp_path / "big.h5", "")
    size = lk.stat("big.h5").size
    with Lake.open_at(lk.root) as again:
        read: list[int] = []
        store = type(again.repo.store)
        original = store.read

        def counted(self: LocalStore, location: Location, offset: int, length: int) -> bytes:
            read.append(length)
            return original(self, location, offset, length)

        monkeypatch.setattr(store, "read", counted)
        assert again.array("big.h5", "/c[70000:70200]").shape == (200,)
        assert sum(read) < size / 20
    assert len(lk.chunk_ranges("big.h5", "/c[70000:70200]")) == 1


def test_damage_in_the_store_is_told_apart(lk: Lake) -> None:
    (chunk, *_) = lk.chunk_ranges("made.nc", "/t2m[0:1, 0:1]")
    flip(object_file(lk, "made.nc"), chunk.offset)
    with Lake.open_at(lk.root) as again, pytest.raises(DamagedObject):
        again.slice("made.nc", "/t2m[0:1]").to_bytes()


def test_truncated_files_are_told_at_put(lk: Lake, tmp_path: Path) -> None:
    whole = (tmp_path / "plain.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(whole[:-2000])
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01" + bytes(100))
    assert "truncated" in lk.put(tmp_path / "short.h5", "").items[0].warnings[0]
    lk.put(tmp_path / "classic.nc", "")
    assert lk.facts("classic.nc") == {}
    with pytest.raises(Unsupported, match="nccopy"):
        lk.slice("classic.nc", "lat=1:2")
    (tmp_path / "notes.txt").write_text("hello")
    lk.put(tmp_path / "notes.txt", "")
    with pytest.raises(Unsupported, match="have arrays"):
        lk.array("notes.txt", "/x")
    assert lk.slice("plain.h5").to_bytes() == whole
