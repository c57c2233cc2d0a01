"""Files of arrays for tests, made with h5py alone, and slices of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lake.formats.arrays.array_format import HDF5
from lake.formats.reader import BytesReader
from lake.segments import Stream

__all__ = ["cut", "make_anndata", "make_netcdf", "make_plain", "make_tenx", "opened"]


def cut(path: Path | bytes, *regions: str) -> bytes:
    """The slice of a file."""
    data = path if isinstance(path, bytes) else path.read_bytes()
    plan = HDF5.open(BytesReader(data), kind=None, index=None, table=None).plan(regions)
    (stream,) = plan.segments
    assert isinstance(stream, Stream)
    return b"".join(stream.pieces())


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    with h5py.File(io.BytesIO(data), "r") as file:
        yield file


def make_plain(path: Path, *, userblock: int = 0) -> Path:
    """All layouts, filters and kinds of types that a file may have."""
    noise = np.random.default_rng(5)
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.attrs["title"] = "plain"
        group = file.create_group("g")
        group.attrs["units"] = np.array(["mm", "s"], h5py.string_dtype())
        group.create_dataset("matrix", data=np.arange(600.0).reshape(30, 20), chunks=(7, 6), compression="gzip")
        group.create_dataset(
            "shuffled", data=noise.integers(0, 99, (40, 5, 3)), chunks=(9, 2, 3), shuffle=True, fletcher32=True
        )
        group.create_dataset("lzf", data=np.arange(100, dtype="<u2"), chunks=(8,), compression="lzf")
        group.create_dataset("plain", data=np.arange(24, dtype=">i4").reshape(4, 6))
        group.create_dataset("text", data=np.array(["a", "bc", "ü", ""] * 5, object), dtype=h5py.string_dtype())
        group.create_dataset("records", data=np.array([(n, n / 2, b"x") for n in range(9)], "i4,f8,S3"))
        group.create_dataset("sparse", (100, 100), "f4", chunks=(10, 10), fillvalue=7)[55, 66] = 1
        group.create_dataset("scalar", data=42)
        group.create_dataset("nothing", data=h5py.Empty("f4"))
        group.create_dataset("never", (10,), "i8", fillvalue=3)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(group.id, b"compact", h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((4,)), plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype="i4"))
        file["link"] = h5py.SoftLink("/g/matrix")
        file.create_dataset("references", data=[group["matrix"].ref, file.ref], dtype=h5py.ref_dtype)
        group["matrix"].attrs["see"] = group["lzf"].ref
    return path


def make_netcdf(path: Path) -> Path:
    """A netCDF-4 file, as its library writes one: a descending and a time coordinate, and a dimension without one."""
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs["_NCProperties"] = np.bytes_("version=2,netcdf=4.9.2,hdf5=1.14.3")
        axes = {
            "time": np.arange(40) * 6.0,
            "lat": np.arange(90.0, -91, -10),
            "lon": np.arange(0, 360, 30).astype("f4"),
        }
        for number, (name, values) in enumerate(axes.items()):
            scale = file.create_dataset(name, data=values)
            scale.make_scale(name)
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
        file["time"].attrs["units"] = "hours since 2020-01-01"
        bare = file.create_dataset("station", data=np.zeros(5, "f4"))
        bare.make_scale("This is a netCDF dimension but not a netCDF variable.         5")
        bare.attrs["_Netcdf4Dimid"] = np.int32(3)
        values = np.random.default_rng(3).normal(size=(40, 19, 12)).astype("f4")
        field = file.create_dataset("t2m", data=values, chunks=(10, 10, 12), compression="gzip", fillvalue=-9)
        for number, name in enumerate(axes):
            field.dims[number].attach_scale(file[name])
        field.attrs["units"] = "K"
        counts = file.create_dataset("counts", data=np.arange(200).reshape(5, 40))
        counts.dims[0].attach_scale(bare)
        counts.dims[1].attach_scale(file["time"])
        file.create_dataset("crs", data=np.int32(1))
    return path


def make_tenx(path: Path, *, legacy: bool = False) -> Path:
    """A matrix as Cell Ranger writes it, version 3 or (``legacy``) 2."""
    import scipy.sparse

    matrix = scipy.sparse.random(30, 50, 0.2, "csc", rng=np.random.default_rng(9))
    matrix.data = np.ceil(matrix.data * 9).astype("i4")
    names = {"id": [f"ENSG{n:04}" for n in range(30)], "name": [f"GENE{n % 28}" for n in range(30)]}
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38" if legacy else "matrix")
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(matrix, name), compression="gzip")
        group["shape"] = np.array(matrix.shape, "i4")
        group["barcodes"] = np.array([f"ACGT{n:03}-1" for n in range(50)], "S18")
        if legacy:
            group["genes"], group["gene_names"] = (np.array(names[key], "S") for key in ("id", "name"))
            return path
        features = group.create_group("features")
        for key, values in names.items():
            features[key] = np.array(values, "S")
        features["feature_type"] = np.array(["Gene Expression"] * 25 + ["Antibody Capture"] * 5, "S")
        features["_all_tag_keys"] = np.array([b"genome"])
        file.attrs["filetype"] = "matrix"
    return path


def make_anndata(path: Path, *, cells: int = 60, genes: int = 25) -> Path:
    """An AnnData file with every element that has an axis."""
    import anndata
    import pandas as pd
    import scipy.sparse

    noise = np.random.default_rng(7)
    counts = scipy.sparse.random(cells, genes, 0.3, "csr", rng=noise)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(noise.choice(["T", "B", "NK"], cells)),
            "stage": pd.Categorical(noise.choice(["early", "late"], cells), ["early", "late"], ordered=True),
            "n_genes": noise.integers(0, 1000, cells),
            "score": noise.normal(size=cells),
            "flag": noise.integers(0, 2, cells).astype(bool),
            "maybe": pd.array([None if n % 3 == 0 else n for n in range(cells)], "Int64"),
            "batch": [f"b{n % 2}" for n in range(cells)],
        },
        [f"cell{n}" for n in range(cells)],
    )
    var = pd.DataFrame({"highly_variable": noise.integers(0, 2, genes).astype(bool)}, [f"G{n}" for n in range(genes)])
    data = anndata.AnnData(counts, obs, var)
    data.raw = data
    data = data[:, : genes - 5].copy()
    data.obs["cell_type"] = data.obs["cell_type"].cat.add_categories("unused")
    data.layers["dense"] = noise.normal(size=data.shape)
    data.layers["columns"] = scipy.sparse.csc_matrix(data.X)
    data.obsm["X_umap"] = noise.normal(size=(cells, 2))
    data.obsm["table"] = pd.DataFrame({"a": np.arange(cells)}, data.obs_names)
    data.varm["loadings"] = noise.normal(size=(data.n_vars, 3))
    data.obsp["distances"] = scipy.sparse.random(cells, cells, 0.1, "csr", rng=noise)
    data.varp["dense"] = noise.normal(size=(data.n_vars, data.n_vars))
    data.uns["colors"] = np.array(["red", "blue"], object)
    data.uns["nested"] = {"value": 3, "text": "x"}
    data.write_h5ad(path, compression="gzip")
    return path
