"""Slices of h5ad, judged by AnnData."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from lake.errors import FormatError, InvalidRegion, Unsupported
from tests.formats.arrays.makers import cut, make_anndata, opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_anndata(tmp_path_factory.mktemp("h5ad") / "made.h5ad")


@pytest.fixture(autouse=True)
def _categories_stay() -> Iterator[None]:
    """As in our slices."""
    with anndata.settings.override(remove_unused_categories=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(data: Path | bytes) -> anndata.AnnData:
    return anndata.read_h5ad(data if isinstance(data, Path) else io.BytesIO(data))


def _same(one: Any, other: Any, where: str = "") -> None:
    """Equal in type and value; NaN equals NaN."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, obj=where)
    elif scipy.sparse.issparse(one):
        assert one.format == other.format
        _same(one.toarray(), other.toarray(), where)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, where)
    elif hasattr(one, "items"):
        assert sorted(one) == sorted(other), where
        for name in one:
            _same(one[name], other[name], f"{where}/{name}")
    else:
        assert one == other, where


def _identical(got: anndata.AnnData, wanted: anndata.AnnData) -> None:
    assert got.shape == wanted.shape
    if wanted.X is not None:
        _same(got.X, wanted.X, "X")
    for name in ("obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"):
        one, other = getattr(got, name), getattr(wanted, name)
        _same(dict(one) if name.endswith(("m", "p", "s")) and name != "obs" else one, other, name)
    assert (got.raw is None) == (wanted.raw is None)
    if got.raw is not None:
        _same(got.raw.X, wanted.raw.X, "raw")
        _same(got.raw.var, wanted.raw.var, "raw.var")


@pytest.mark.parametrize(
    ("region", "select"),
    [
        ("obs=0:20", lambda a: a[0:20]),
        ("obs=-5:", lambda a: a[-5:]),
        ("obs=::7", lambda a: a[::7]),
        ("obs=3", lambda a: a[[3]]),
        ("obs=5:5", lambda a: a[5:5]),
        ("obs=2:5,40:44,cell50", lambda a: a[[2, 3, 4, 40, 41, 42, 43, 50]]),
        ("var=G7,G3", lambda a: a[:, ["G3", "G7"]]),
        ("obs=10:30&var=0:4", lambda a: a[10:30, 0:4]),
        ("var=::2 & obs=::9", lambda a: a[::9, ::2]),
        ('obs: cell_type == "T"', lambda a: a[a.obs.cell_type == "T"]),
        ("obs: cell_type != T and n_genes > 500", lambda a: a[(a.obs.cell_type != "T") & (a.obs.n_genes > 500)]),
        ("obs: cell_type in (T, 'B')", lambda a: a[a.obs.cell_type.isin(["T", "B"])]),
        ("obs: cell_type not in [T] or flag", lambda a: a[~a.obs.cell_type.isin(["T"]) | a.obs.flag]),
        ("obs: not (score < 0 or flag == true)", lambda a: a[~((a.obs.score < 0) | a.obs.flag)]),
        ("obs: stage < late", lambda a: a[a.obs.stage < "late"]),
        ("obs: maybe >= 30", lambda a: a[(a.obs.maybe >= 30).fillna(False).astype(bool)]),
        ("obs: `batch` == 'b1' & obs=0:30", lambda a: a[:30][a.obs.batch[:30] == "b1"]),
        ("obs: index == cell9", lambda a: a[["cell9"]]),
        ("var: highly_variable", lambda a: a[:, a.var.highly_variable]),
        ("obs: score > 1e9", lambda a: a[:0]),
    ],
)
def test_cells_and_genes(made: Path, region: str, select: Callable[[anndata.AnnData], anndata.AnnData]) -> None:
    _identical(_read(cut(made, region)), select(_read(made)).copy())


def test_unused_categories_and_colours_stay(made: Path) -> None:
    got = _read(cut(made, "obs: cell_type == 'T'"))
    assert list(got.obs.cell_type.cat.categories) == ["B", "NK", "T", "unused"]
    assert list(got.uns["colors"]) == ["red", "blue"]


def test_several_regions_are_the_union_along_one_axis(made: Path) -> None:
    whole = _read(made)
    _identical(_read(cut(made, "obs=5:9", "obs=0:7", "obs=cell20")), whole[[*range(9), 20]].copy())
    _identical(_read(cut(made, "obs=0:3&var=G1", "obs=8&var=G1")), whole[[0, 1, 2, 8], ["G1"]].copy())
    with pytest.raises(InvalidRegion, match="no box"):
        cut(made, "obs=0:3&var=G1", "obs=4:8&var=G2")
    with pytest.raises(InvalidRegion, match="different axes"):
        cut(made, "obs=0:3", "var=G2")


def test_parts_of_a_file(made: Path) -> None:
    with opened(cut(made, "obs=0:7&/obsm/X_umap")) as file:
        assert sorted(file) == ["obs", "obsm", "var"]
        assert file["obsm/X_umap"].shape == (7, 2)
        assert list(file["obsm"]) == ["X_umap"]
    with opened(cut(made, "/obs")) as file:
        assert list(file) == ["obs"]
    with opened(cut(made, "/layers/dense[0:3, 1]")) as file:
        assert file["layers/dense"].shape == (3, 1)


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        ("var=NOPE", "nothing along var is called 'NOPE'"),
        ("obs=99", "outside of axis 0"),
        ("obs: nope == 1", "no column 'nope'"),
        ("obs: cell_type == 1", "has text, 1 is a number"),
        ("obs: n_genes == many", "has numbers, 'many' is text"),
        ("obs: cell_type < T", "have no order"),
        ("obs: n_genes >", "the end"),
        ("obs: (n_genes > 3", "was expected"),
        ("obs: n_genes > 3 4", "one word too many"),
        ("obs: n_genes in 3", "'in' without a list"),
        ("obs: 'n_genes' == 3", "a column was expected"),
        ("obs: " + "(" * 99, "50 brackets"),
        ('obs="open', "quote that does not close"),
        ("obs=0:3&/nope", "no /nope"),
        ("obs=0:3&/X[1:2]", "cannot be mixed"),
    ],
)
def test_what_does_not_fit_is_said(made: Path, region: str, problem: str) -> None:
    with pytest.raises(InvalidRegion, match=problem):
        cut(made, region)


@pytest.mark.parametrize("version", ["0.5.0", "0.7.8", "0.11.4"])
def test_files_of_three_generations(shared_data: Path, version: str) -> None:
    path = shared_data / "arrays" / f"anndata__v{version}.h5ad"
    whole = _read(path)
    cells, genes = list(whole.obs_names[2:8]), list(whole.var_names[3:9:2])
    _identical(
        _read(
            cut(
                path,
                "obs=2:8",
            )
        ),
        whole[2:8].copy(),
    )
    _identical(_read(cut(path, f"obs={','.join(cells)}&var={','.join(genes)}")), whole[cells, genes].copy())


def test_conditions_on_tables_of_old_generations(shared_data: Path) -> None:
    path = shared_data / "arrays" / "anndata__v0.5.0.h5ad"
    whole = _read(path)
    _identical(
        _read(cut(path, "obs: phase == 'G1' and n_genes > 500")),
        whole[(whole.obs.phase == "G1") & (whole.obs.n_genes > 500)].copy(),
    )
    path = shared_data / "arrays" / "anndata__v0.7.8.h5ad"
    whole = _read(path)
    value = whole.obs.obs_cat.iloc[4]
    _identical(_read(cut(path, f"obs: obs_cat == '{value}'")), whole[whole.obs.obs_cat == value].copy())


def test_elements_that_do_not_fit_their_axis(made: Path, tmp_path: Path) -> None:
    import h5py

    def broken(change: Callable[[Any], None]) -> bytes:
        path = tmp_path / "broken.h5ad"
        path.write_bytes(made.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path.read_bytes()

    def lose(file: Any, name: str) -> None:
        del file[name]

    def replace(file: Any, name: str, values: object) -> None:
        del file[name]
        file[name] = values

    def encode(file: Any, kind: str) -> None:
        file["obsm"].create_group("odd").attrs["encoding-type"] = kind

    with pytest.raises(FormatError, match="shape"):
        cut(broken(lambda file: replace(file, "obsm/X_umap", np.zeros((3, 2)))), "obs=0:2")
    with pytest.raises(FormatError, match="not a whole sparse matrix"):
        cut(broken(lambda file: lose(file, "X/indices")), "obs=0:2")
    with pytest.raises(FormatError, match="indptr"):
        cut(broken(lambda file: replace(file, "X/indptr", np.arange(61)[::-1])), "obs=0:9")
    with pytest.raises(FormatError, match="outside of the matrix"):
        cut(broken(lambda file: file["X/indices"].__setitem__(slice(None), 10**6)), "obs=0:9")
    with pytest.raises(FormatError, match="without /var"):
        cut(broken(lambda file: lose(file, "var")), "obs=0:9")
    with pytest.raises(Unsupported, match="awkward-array"):
        cut(broken(lambda file: encode(file, "awkward-array")), "obs=0:9")
