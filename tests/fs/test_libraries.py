"""The libraries that people open lake:// URLs with, each for real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lake.fs import LakeFileSystem
from lake.lake import Lake


@pytest.fixture
def frame(fs: LakeFileSystem) -> Any:
    import pandas as pd

    return pd.DataFrame({"sample": ["s1", "s2", "s3"], "count": [1, 2, 3]})


def test_pandas(fs: LakeFileSystem, options: dict[str, str], frame: Any) -> None:
    import pandas as pd

    frame.to_csv("lake://t/table.csv", index=False, storage_options=options)
    frame.to_csv("lake://t/table.csv.gz", index=False, storage_options=options)
    frame.to_parquet("lake://t/table.parquet", storage_options=options)
    for found in (
        pd.read_csv("lake://t/table.csv", storage_options=options),
        pd.read_csv("lake://t/table.csv.gz", storage_options=options),
        pd.read_parquet("lake://t/table.parquet", storage_options=options),
    ):
        pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    with pytest.raises(FileNotFoundError, match="did you mean"):
        pd.read_csv("lake://t/tabel.csv", storage_options=options)


def test_pandas_of_the_lake_around(fs: LakeFileSystem, frame: Any, monkeypatch: pytest.MonkeyPatch, lk: Lake) -> None:
    import pandas as pd

    monkeypatch.setenv("LAKE_ROOT", fs.root)
    frame.to_csv("lake://table.csv", index=False)
    lk.tag("v1")
    fs.rm("table.csv")
    assert list(pd.read_csv("lake://@v1/table.csv")["count"]) == [1, 2, 3]


def test_pyarrow(fs: LakeFileSystem, frame: Any, lk: Lake) -> None:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import FileSelector, FSSpecHandler, PyFileSystem

    table = pa.Table.from_pandas(frame)
    before = len(lk.log())
    with fs.transaction:
        ds.write_dataset(table, "set", filesystem=fs, format="parquet", partitioning=["sample"])
    assert len(lk.log()) == before + 1
    found = ds.dataset("set", filesystem=fs, partitioning=["sample"])
    assert found.count_rows() == 3
    assert found.to_table(filter=ds.field("sample") == "s2")["count"].to_pylist() == [2]
    wrapped = PyFileSystem(FSSpecHandler(fs))
    infos = wrapped.get_file_info(FileSelector("set", recursive=True))
    assert sorted(info.path for info in infos if info.is_file) == fs.find("set")
    assert {info.mtime is not None for info in infos if info.is_file} == {True}


def test_polars(fs: LakeFileSystem) -> None:
    import polars as pl
    import pyarrow.dataset as ds

    table = pl.DataFrame({"count": [1, 2, 3]})
    with fs.open("p/table.parquet", "wb") as file:
        table.write_parquet(file)
    with fs.open("p/table.csv", "wb") as file:
        table.write_csv(file)
    with fs.open("p/table.parquet") as file:
        assert pl.read_parquet(file).equals(table)
    with fs.open("p/table.csv") as file:
        assert pl.read_csv(file).equals(table)
    lazy = pl.scan_pyarrow_dataset(ds.dataset("p/table.parquet", filesystem=fs))
    assert lazy.filter(pl.col("count") > 1).collect()["count"].to_list() == [2, 3]


def test_xarray(fs: LakeFileSystem, tmp_path: Any) -> None:
    import xarray as xr

    made = xr.Dataset({"t": (("y", "x"), np.arange(12.0).reshape(3, 4))}, coords={"x": [10, 20, 30, 40]})
    made.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    fs.put_file(tmp_path / "grid.nc", "grid.nc")
    with fs.open("grid.nc") as file, xr.open_dataset(file, engine="h5netcdf") as found:
        assert float(found["t"].sel(x=20).sum()) == 15.0
        xr.testing.assert_identical(found.load(), made)


def test_zarr(fs: LakeFileSystem, options: dict[str, str]) -> None:
    import zarr

    data = np.arange(100, dtype="i4").reshape(10, 10)
    group = zarr.open_group("lake://z/store.zarr", mode="w", storage_options=options, zarr_format=3)
    array = group.create_array("data", shape=data.shape, chunks=(5, 5), dtype="i4")
    array[:] = data
    array.attrs["unit"] = "counts"
    again: Any = zarr.open_group("lake://z/store.zarr", mode="r", storage_options=options)
    assert (again["data"][2:7, 3:] == data[2:7, 3:]).all()
    assert again["data"].attrs["unit"] == "counts"
    assert sorted(again.array_keys()) == ["data"]
    assert fs.find("z/store.zarr/data/c", maxdepth=2) == [
        f"z/store.zarr/data/c/{y}/{x}" for y in (0, 1) for x in (0, 1)
    ]


def test_zarr_shards_and_overwriting(fs: LakeFileSystem, options: dict[str, str]) -> None:
    import zarr

    url = "lake://sharded.zarr"
    array = zarr.create_array(url, shape=(64,), chunks=(4,), shards=(32,), dtype="i2", storage_options=options)
    array[:] = np.arange(64)
    # Shards are read by their ends: a range that starts at a negative offset.
    found: Any = zarr.open_array(url, mode="r", storage_options=options)
    assert list(found[30:34]) == [30, 31, 32, 33]
    zarr.create_array(url, shape=(3,), dtype="i2", overwrite=True, storage_options=options)
    assert fs.find("sharded.zarr") == ["sharded.zarr/zarr.json"]


# dask's own use of pandas.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
def test_dask(fs: LakeFileSystem, options: dict[str, str], frame: Any) -> None:
    import dask
    import dask.dataframe

    dd: Any = dask.dataframe
    with dask.config.set(scheduler="threads"):
        dd.from_pandas(frame, npartitions=2).to_parquet("lake://d/set", storage_options=options)
        assert int(dd.read_parquet("lake://d/set", storage_options=options)["count"].sum().compute()) == 6
        fs.pipe({"d/1.csv": b"n\n1\n2\n", "d/2.csv": b"n\n3\n"})
        assert int(dd.read_csv("lake://d/*.csv", storage_options=options)["n"].sum().compute()) == 6


def test_duckdb(fs: LakeFileSystem, frame: Any) -> None:
    import duckdb

    with duckdb.connect() as db:
        db.register_filesystem(fs)
        fs.pipe({"q/1.csv": b"n,s\n1,a\n2,b\n", "q/2.csv": b"n,s\n3,c\n"})
        assert db.sql("SELECT sum(n) FROM 'lake://q/1.csv'").fetchall() == [(3,)]
        assert db.sql("SELECT sum(n) FROM read_csv('lake://q/*.csv')").fetchall() == [(6,)]
        db.sql("COPY (SELECT range AS n FROM range(1000)) TO 'lake://q/out.parquet'")
        db.sql("COPY (SELECT range AS n FROM range(10)) TO 'lake://q/out.csv'")
        assert db.sql("SELECT sum(n) FROM 'lake://q/out.parquet'").fetchall() == [(499500,)]
        assert db.sql("SELECT count(*), sum(n) FROM read_parquet('lake://q/*.parquet', filename=true)").fetchall() == [
            (1000, 499500)
        ]
        assert db.sql("SELECT sum(n) FROM 'lake://q/out.csv'").fetchall() == [(45,)]
        assert db.sql("SELECT content FROM read_text('lake://q/2.csv')").fetchall() == [("n,s\n3,c\n",)]
        with pytest.raises(duckdb.Error, match="missing"):
            db.sql("SELECT * FROM 'lake://q/missing.csv'")
