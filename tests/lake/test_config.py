"""What is a lake, what is not, and which one is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import lake
from lake.config import FORMAT_VERSION, create_config, find_root, load_config
from lake.errors import AlreadyExists, NotALake, StorageError, UnsupportedVersion
from lake.lake import Lake


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = create_config(tmp_path)
    assert load_config(tmp_path) == made
    assert made.version == FORMAT_VERSION
    with pytest.raises(AlreadyExists):
        create_config(tmp_path)


def test_not_a_lake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(NotALake, match="lake init"):
            Lake.open_at(place)
    with pytest.raises(FileNotFoundError):
        lake.open(tmp_path)


def test_a_newer_lake(bare: Lake) -> None:
    text = (bare.root / "lake.toml").read_text()
    (bare.root / "lake.toml").write_text(text.replace("format = 1", "format = 2\nunknown = [1]"))
    with pytest.raises(UnsupportedVersion, match="upgrade regionlake"):
        Lake.open_at(bare.root)
    (bare.root / "lake.toml").write_text("format = 99")
    with pytest.raises(UnsupportedVersion):
        Lake.open_at(bare.root)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\xff",
        b"format = 1",
        b'format = "1"\nid = "x"\ncreated = "y"',
        b'format = 0\nid = "5b9a7a33-6d9e-4f0b-8f4a-d7b5a8a2a111"\ncreated = "2026-11-20T00:00:00+00:00"',
        b'format = 1\nid = 7\ncreated = "2026-11-20T00:00:00+00:00"',
        b'format = 1\nid = "5b9a7a33-6d9e-4f0b-8f4a-d7b5a8a2a111"\ncreated = 2026-11-20T00:00:00Z',
        b"[" * 5000,
    ],
)
def test_garbage(bare: Lake, content: bytes) -> None:
    (bare.root / "lake.toml").write_bytes(content)
    with pytest.raises(StorageError, match=r"lake\.toml is damaged"):
        Lake.open_at(bare.root)


def test_no_journal(bare: Lake) -> None:
    bare.close()
    (bare.root / "journal.db").unlink()
    with pytest.raises(NotALake, match=r"no journal\.db"):
        Lake.open_at(bare.root)


def test_init_only_once_and_only_where_it_can(bare: Lake, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists, match="is a lake already"):
        lake.init(bare.root)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make a lake"):
        lake.init(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("stays")
    with lake.init(tmp_path / "full") as lk:
        assert lk.ls() == []
    assert (tmp_path / "full/mine.txt").read_text() == "stays"


def test_which_lake_is_meant(bare: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = bare.root / "objects"
    monkeypatch.delenv("LAKE_ROOT", raising=False)
    monkeypatch.chdir(deep)
    assert find_root() == bare.root
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotALake, match="LAKE_ROOT"):
        find_root()
    with lake.init(tmp_path / "other") as other:
        monkeypatch.setenv("LAKE_ROOT", str(other.root))
        monkeypatch.chdir(deep)
        assert find_root() == other.root
    with lake.open() as found, lake.open(bare.root) as named:
        assert (found.root, named.root) == (tmp_path / "other", bare.root)
