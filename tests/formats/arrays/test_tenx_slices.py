"""Slices of 10x Genomics matrices, judged by scipy on the whole file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse

from lake.errors import FormatError, InvalidRegion, Unsupported
from tests.formats.arrays.makers import cut, make_tenx, opened


def _matrix(group: Any) -> Any:
    parts = (group["data"][:], group["indices"][:], group["indptr"][:])
    return scipy.sparse.csc_matrix(parts, tuple(group["shape"][:])).toarray()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("region", "features", "barcodes"),
    [
        ("barcodes=5:9", slice(None), slice(5, 9)),
        ("barcodes=ACGT003-1,ACGT001-1", slice(None), [1, 3]),
        ("features=ENSG0004", [4], slice(None)),
        ("features=GENE1 & barcodes=::3", [1, 29], slice(None, None, 3)),
        ("features: name in (GENE1, GENE2) & barcodes=-4:", [1, 2, 29], slice(-4, None)),
        ("features=3:3", slice(0, 0), slice(None)),
    ],
)
def test_barcodes_and_features(tmp_path: Path, legacy: bool, region: str, features: Any, barcodes: Any) -> None:
    path = make_tenx(tmp_path / "matrix.h5", legacy=legacy)
    name = "GRCh38" if legacy else "matrix"
    with h5py.File(path) as file, opened(cut(path, region)) as made:
        old, new = file[name], made[name]
        assert np.array_equal(_matrix(new), _matrix(old)[features][:, barcodes])
        assert new["barcodes"][:].tolist() == old["barcodes"][:][barcodes].tolist()
        for key in ("genes", "gene_names") if legacy else ("features/id", "features/name", "features/feature_type"):
            assert new[key][:].tolist() == old[key][:][features].tolist()
        if not legacy:
            assert new["features/_all_tag_keys"][:].tolist() == [b"genome"]
            assert made.attrs["filetype"] == "matrix"


def test_a_feature_type(tmp_path: Path) -> None:
    with opened(cut(make_tenx(tmp_path / "m.h5"), 'features: feature_type == "Antibody Capture"')) as made:
        assert made["matrix/shape"][:].tolist() == [5, 50]


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    path = make_tenx(tmp_path / "m.h5")
    with pytest.raises(InvalidRegion, match="nothing along barcodes is called 'NOPE'"):
        cut(path, "barcodes=NOPE")
    with pytest.raises(InvalidRegion, match="no column 'chromosome'"):
        cut(path, "features: chromosome == 1")
    with h5py.File(path, "r+") as file:
        file.copy("matrix", "other")
    with pytest.raises(Unsupported, match="2 genomes"):
        cut(path, "barcodes=1:2")
    with h5py.File(path, "r+") as file:
        del file["other"], file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array([b"x"])
    with pytest.raises(FormatError, match="for 50 places"):
        cut(path, "barcodes=ACGT003-1")
