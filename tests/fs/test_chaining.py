"""fsspec's own layers on top of lake://."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

from lake.fs import LakeFileSystem

DATA = b"0123456789" * 1000


@pytest.fixture
def fs(fs: LakeFileSystem) -> LakeFileSystem:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inside.txt", b"zipped")
    fs.pipe({"data/x": DATA, "data/y#z".replace("#", "%23"): b"odd", "archive.zip": archive.getvalue()})
    return fs


def test_the_protocol_is_registered(fs: LakeFileSystem, options: dict[str, str]) -> None:
    assert fsspec.get_filesystem_class("lake") is LakeFileSystem
    found, path = fsspec.url_to_fs("lake://data/x", **options)
    assert found == fs
    assert path == "data/x"
    with fsspec.open("lake://data/x", **options) as file:
        assert file.read() == DATA
    with fsspec.open("lake://new/t.txt.gz", "wt", compression="infer", **options) as file:
        file.write("text")
    with fsspec.open("lake://new/t.txt.gz", "rt", compression="infer", **options) as file:
        assert file.read() == "text"


# blockcache leaves its own local file to be forgotten.
@pytest.mark.filterwarnings("ignore:unclosed file <_io.BufferedRandom:ResourceWarning")
@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_caches(fs: LakeFileSystem, options: dict[str, str], tmp_path: Path, cache: str) -> None:
    url = f"{cache}::lake://data/x"
    settings: dict[str, Any] = {"lake": options, cache: {"cache_storage": str(tmp_path / "cache")}}
    for _ in range(2):
        with fsspec.open(url, **settings) as file:
            file.seek(5)
            assert file.read(10) == DATA[5:15]


def test_filecache_notices_new_content(fs: LakeFileSystem, options: dict[str, str], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"cache_storage": str(tmp_path / "cache"), "check_files": True}
    cached = fsspec.filesystem("filecache", target_protocol="lake", target_options=options, **settings)
    assert cached.cat_file("data/x") == DATA
    fs.pipe_file("data/x", b"new")
    assert cached.cat_file("data/x") == b"new"


def test_open_local(fs: LakeFileSystem, options: dict[str, str], tmp_path: Path) -> None:
    path = fsspec.open_local("simplecache::lake://data/x", lake=options, simplecache={"cache_storage": str(tmp_path)})
    assert Path(path).read_bytes() == DATA


def test_zip(fs: LakeFileSystem, options: dict[str, str]) -> None:
    with fsspec.open("zip://inside.txt::lake://archive.zip", lake=options) as file:
        assert file.read() == b"zipped"


def test_dir(fs: LakeFileSystem) -> None:
    inner = fsspec.filesystem("dir", path="data", fs=fs)
    assert inner.ls("", detail=False) == ["x", "y%23z"]
    assert inner.cat_file("y%23z") == b"odd"
    inner.pipe_file("new", b"1")
    assert fs.cat_file("data/new") == b"1"


def test_reference(fs: LakeFileSystem, options: dict[str, str]) -> None:
    references = {"part": ["lake://data/x", 10, 5]}
    found = fsspec.filesystem(
        "reference", fo=references, remote_protocol="lake", remote_options=options, asynchronous=False
    )
    assert found.cat_file("part") == DATA[10:15]


def test_mapper(fs: LakeFileSystem) -> None:
    mapper = fs.get_mapper("map", create=True)
    mapper["a/b"] = b"1"
    mapper.setitems({"c": b"2", "d": b"3"})
    assert sorted(mapper) == ["a/b", "c", "d"]
    assert mapper.getitems(["c", "missing"], on_error="omit") == {"c": b"2"}
    del mapper["c"]
    with pytest.raises(KeyError):
        mapper["c"]


def test_bulk_open(fs: LakeFileSystem, options: dict[str, str]) -> None:
    with fsspec.open_files("lake://data/*", **options) as files:
        assert [file.read(3) for file in files] == [b"012", b"odd"]
