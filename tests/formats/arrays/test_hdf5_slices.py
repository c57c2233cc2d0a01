"""Slices of plain HDF5, judged by h5py."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from lake.errors import FormatError, InvalidRegion, LakeError, Unsupported
from tests.formats.arrays.makers import cut, make_plain, opened


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_plain(tmp_path_factory.mktemp("plain") / "plain.h5")


@pytest.mark.parametrize(
    ("path", "bounds", "index"),
    [
        ("/g/matrix", "[3:11, 5]", np.s_[3:11, 5:6]),
        ("/g/matrix", "[-4:]", np.s_[-4:]),
        ("/g/matrix", "[::3, 1:20:7]", np.s_[::3, 1:20:7]),
        ("/g/matrix", "[..., -1]", np.s_[..., 19:20]),
        ("/g/matrix", "[5:5]", np.s_[5:5]),
        ("/g/matrix", "[20:999]", np.s_[20:999]),
        ("/g/matrix", "", np.s_[...]),
        ("/g/shuffled", "[7:9, :, 2]", np.s_[7:9, :, 2:3]),
        ("/g/lzf", "[9:70:2]", np.s_[9:70:2]),
        ("/g/plain", "[1:3]", np.s_[1:3]),
        ("/g/text", "[2:9]", np.s_[2:9]),
        ("/g/records", "[1::4]", np.s_[1::4]),
        ("/g/sparse", "[50:60, 60:70]", np.s_[50:60, 60:70]),
        ("/g/never", "[:3]", np.s_[:3]),
        ("/g/compact", "[1:3]", np.s_[1:3]),
        ("/g/scalar", "", np.s_[()]),
    ],
)
def test_a_dataset_is_cut_as_numpy_cuts_it(plain: Path, path: str, bounds: str, index: object) -> None:
    with h5py.File(plain) as file, opened(cut(plain, path + bounds)) as made:
        old, new = file[path], made[path]
        assert np.array_equal(new[()], old[index])
        assert new.dtype == old.dtype
        if new.size:
            assert (new.compression, new.shuffle, new.fletcher32) == (old.compression, old.shuffle, old.fletcher32)
        assert list(made["g"].attrs["units"]) == ["mm", "s"]
        assert made.attrs["title"] == "plain"
        assert list(made["g"]) == [path.rpartition("/")[2]]


def test_fields_of_a_compound_type(plain: Path) -> None:
    with h5py.File(plain) as file, opened(cut(plain, '/g/records["f2","f0",2:5]')) as made:
        assert made["g/records"].dtype.names == ("f2", "f0")
        assert made["g/records"]["f0"].tolist() == file["g/records"]["f0"][2:5].tolist()


def test_groups_come_with_all_that_lies_below(plain: Path) -> None:
    with h5py.File(plain) as file, opened(cut(plain, "/g")) as made:
        assert sorted(made["g"]) == sorted(file["g"])
        for name, dataset in file["g"].items():
            if dataset.shape is not None:
                assert np.array_equal(made["g"][name][()], dataset[()]), name
        assert made["g/nothing"].shape is None
        assert made[made["g/matrix"].attrs["see"]].name == "/g/lzf"


def test_several_datasets_and_references_between_them(plain: Path) -> None:
    with opened(cut(plain, "/references", "/link[2:4]")) as made:
        first, second = made["references"][:]
        assert made[first].name == "/g/matrix"
        assert made[second].name == "/"
        assert made["g/matrix"].shape == (2, 20)
        assert "see" in made["g/matrix"].attrs
        assert not made["g/matrix"].attrs["see"]


def test_the_same_question_has_the_same_bytes(plain: Path) -> None:
    assert cut(plain, "/g") == cut(plain, "/g")


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_the_hour_of_the_question_is_not_in_the_bytes(tmp_path: Path, version: str) -> None:
    path = tmp_path / "times.h5"
    with h5py.File(path, "w", libver=version) as file:
        options = {"track_times": True}
        file.create_dataset("chunked", data=np.arange(40), chunks=(9,), compression="gzip", **options)
        file.create_dataset("plain", data=np.arange(40), **options)
        file.create_dataset("text", data=np.array(["a", "bb"], object), dtype=h5py.string_dtype(), **options)
        file.create_dataset("without", data=np.arange(40), chunks=(9,), track_times=False)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, plist)
        for dataset in file.values():
            dataset.attrs["units"] = "s"
    first = cut(path, "/")
    time.sleep(1.1 - time.time() % 1)
    assert cut(path, "/") == first
    with h5py.File(path) as file, opened(first) as made:
        for name, dataset in file.items():
            assert np.array_equal(made[name][()], dataset[()]), name
            assert made[name].chunks == dataset.chunks
            assert made[name].compression == dataset.compression
            assert made[name].attrs["units"] == "s"


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        ("/g/nope", "no /g/nope in the file"),
        ("/g[1:2]", "/g in .* is a group"),
        ("/g/matrix[1,2,3]", "names 3 axes"),
        ("/g/matrix[30]", "outside of axis 0"),
        ("/g/matrix[::-1]", "steps are 1 or more"),
        ("/g/matrix[...,...]", "two '...'"),
        ("/g/matrix[a]", "'a' in"),
        ("/g/matrix[1", "does not close"),
        ('/g/records["nope"]', "no field 'nope'"),
        ("lat=1:2", "/lat in .* is nothing"),
        ("obs: x == 1", "no table of 'obs'"),
        ("&", "an empty term"),
        ("", "an empty term"),
    ],
)
def test_what_does_not_fit_is_said(plain: Path, region: str, problem: str) -> None:
    with pytest.raises(InvalidRegion, match=problem):
        cut(plain, region)


def test_the_same_dataset_twice(plain: Path) -> None:
    with pytest.raises(InvalidRegion, match="asked for twice"):
        cut(plain, "/g/matrix[1:2]", "/g/matrix[4:5]")


def test_data_of_other_files_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"12345678")
    path = tmp_path / "outside.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = np.arange(3)
    with h5py.File(path, "w") as file:
        file.create_dataset("external", (8,), "u1", external=[(str(secret), 0, 8)])
        file["linked"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/data")
        file["there"] = h5py.SoftLink("/linked")
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", (3,))
        file.create_virtual_dataset("virtual", layout)
    for region in ("/external[:2]", "/external", "/linked", "/there[0]", "/virtual", "/virtual[0:1]", "/"):
        with pytest.raises(Unsupported, match=r"not read|not followed|virtual"):
            cut(path, region)


def test_soft_links_in_a_circle(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "circle.h5", "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
        file["group"] = file.create_group("other")
        file["group/up"] = file["group"]
        file["group/data"] = [1, 2]
    with pytest.raises(FormatError, match="circle"):
        cut(tmp_path / "circle.h5", "/a")
    with opened(cut(tmp_path / "circle.h5", "/group")) as made:
        assert made["group/data"][:].tolist() == [1, 2]


def test_damage_is_an_error_and_never_a_wrong_answer(plain: Path) -> None:
    data = plain.read_bytes()
    with h5py.File(plain) as file:
        chunk = file["g/shuffled"].id.get_chunk_info(3)
    for broken in (data[:-1000], data[:60], b"", data[8:], b"CDF\x01" + data[4:]):
        with pytest.raises(LakeError):
            cut(broken, "/g/shuffled[:1]")
    flipped = bytearray(data)
    flipped[chunk.byte_offset + 5] ^= 0xFF
    with pytest.raises(FormatError, match="damaged"):
        cut(bytes(flipped), "/g/shuffled[::2]")


def test_a_claim_of_a_huge_shape_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("x", (1 << 40,), "f8", chunks=(1 << 20,))
    with pytest.raises(Unsupported, match="GiB"):
        cut(tmp_path / "huge.h5", "/x[1:]")
    with opened(cut(tmp_path / "huge.h5", "/x[5:9]")) as made:
        assert made["x"][:].tolist() == [0, 0, 0, 0]


def test_a_userblock_comes_before_everything(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "block.h5", userblock=1024)
    with h5py.File(path) as file, opened(cut(path, "/g/matrix[4:6]")) as made:
        assert np.array_equal(made["g/matrix"][:], file["g/matrix"][4:6])
