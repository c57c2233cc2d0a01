"""Looking at a lake: files, stat, listings, patterns, and copies out of it."""

from __future__ import annotations

import errno
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake.errors import DamagedObject, InvalidInput, IsDirectory, NotFound, StorageError
from lake.lake import Lake
from lake.stores.durable import System
from tests.lake.samples import NOISE, flip, local_tree, make_tree, object_file

FILES = {"a.txt": "a", "d/b.txt": "bb", "d/e/c.txt": "ccc", "d/e/empty/": "", "made/": ""}


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    lk.put(f"{make_tree(tmp_path / 'tree', FILES)}/.", "")
    return lk


@pytest.fixture
def big(bare: Lake, tmp_path: Path) -> Lake:
    (tmp_path / "big").write_bytes(NOISE)
    bare.put(tmp_path / "big", "d/big")
    return bare


class TestOpen:
    @pytest.mark.parametrize("verify", [True, False])
    def test_a_seekable_file(self, big: Lake, verify: bool) -> None:
        with big.open("d/big", "rb", verify=verify) as file:
            assert file.readable()
            assert file.seekable()
            assert not file.writable()
            assert file.seek(-100, os.SEEK_END) == len(NOISE) - 100
            assert file.read() == NOISE[-100:]
            assert file.seek(1 << 20) == 1 << 20
            assert file.read(5000) == NOISE[1 << 20 :][:5000]
            assert file.seek(10, os.SEEK_CUR) == (1 << 20) + 5010
            file.seek(len(NOISE) + 5)
            assert file.read() == b""
            with pytest.raises((OSError, ValueError)):
                file.seek(-1)
            with pytest.raises(io.UnsupportedOperation):
                file.write(b"x")

    def test_text(self, filled: Lake) -> None:
        with filled.open("d/e/c.txt", "r") as file:
            assert file.read() == "ccc"

    def test_what_cannot_be_opened(self, filled: Lake) -> None:
        with pytest.raises(NotFound, match=r"did you mean d/b\.txt"):
            filled.open("d/b.tx")
        with pytest.raises(IsDirectory):
            filled.open("d")
        with pytest.raises(IsDirectory, match="top of the lake"):
            filled.open("")
        with pytest.raises(NotFound):
            filled.open("a.txt/x")
        with pytest.raises(NotFound):
            filled.open("a.txt", ref="v9")
        for error in (FileNotFoundError, IsADirectoryError):
            with pytest.raises(error):
                filled.open("nothing" if error is FileNotFoundError else "d")

    def test_at_any_ref(self, filled: Lake) -> None:
        filled.tag("v1")
        seq = filled.log()[0].seq
        with filled.open("a.txt", "w") as file:
            file.write("changed")
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        for path in ("@v1/a.txt", f"@{seq}/a.txt", "@main~1/a.txt", f"@main@{{{tomorrow}}}~1/a.txt"):
            with filled.open(path, "r") as file:
                assert file.read() == "a"
        with filled.open("a.txt", "r", ref="v1") as file:
            assert file.read() == "a"
        assert Lake.open_at(filled.root, ref="v1").stat("a.txt").size == 1


class TestDamage:
    """A chunk that does not match is never served where chunks are verified; the rest goes on."""

    def test_is_named_recorded_and_leaves_the_rest(self, big: Lake) -> None:
        chunks = list(big.reader("d/big").chunks)
        bad = chunks[len(chunks) // 2]
        flip(object_file(big, "d/big"), bad.offset + 7)
        with big.open("d/big", verify=True) as file:
            assert file.read(bad.offset) == NOISE[: bad.offset]
            with pytest.raises(DamagedObject) as caught:
                file.read(1)
            file.seek(bad.offset + bad.length)
            assert file.read() == NOISE[bad.offset + bad.length :]
        assert "d/big" in str(caught.value)
        assert f"chunk {bad.ord} (bytes {bad.offset}-{bad.offset + bad.length - 1})" in str(caught.value)
        assert big.stat("d/big").damaged == (bad.ord,)
        assert isinstance(caught.value, OSError)

    def test_a_plain_read_does_not_look(self, big: Lake) -> None:
        flip(object_file(big, "d/big"), 7)
        with big.open("d/big") as file:
            assert file.read()[8:] == NOISE[8:]

    def test_get_verifies_and_leaves_nothing_half_written(self, big: Lake, tmp_path: Path) -> None:
        flip(object_file(big, "d/big"), len(NOISE) - 1)
        out = make_tree(tmp_path / "out", {"big": "old"})
        with pytest.raises(DamagedObject):
            big.get("d/big", out)
        assert local_tree(out) == {"big": b"old"}

    def test_a_cut_object(self, big: Lake, tmp_path: Path) -> None:
        file = object_file(big, "d/big")
        file.chmod(0o600)
        os.truncate(file, 2 << 20)
        with big.open("d/big", verify=True) as stream:
            assert stream.read(1 << 20) == NOISE[: 1 << 20]
            with pytest.raises(DamagedObject, match=r"d/big: chunk \d+"):
                stream.read()
        assert big.stat("d/big").damaged
        with pytest.raises(StorageError, match="fsck"):
            big.open("d/big")
        with pytest.raises(DamagedObject):
            big.get("d/big", tmp_path / "out")

    def test_a_lost_object(self, big: Lake, tmp_path: Path) -> None:
        object_file(big, "d/big").unlink()
        with pytest.raises(NotFound, match="object is missing"):
            big.open("d/big")
        with Lake.open_at(big.root) as other, pytest.raises(NotFound):
            other.get("d/big", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_in_a_lake_that_cannot_be_written(self, big: Lake) -> None:
        flip(object_file(big, "d/big"), 7)
        with Lake.open_at(big.root, readonly=True) as other, pytest.raises(DamagedObject, match="d/big"):
            other.reader("d/big").read(0, 10)


class TestGet:
    @pytest.mark.parametrize(
        ("path", "destination", "found"),
        [
            ("a.txt", "new.txt", {"new.txt": b"a"}),
            ("a.txt", "new/", {"new/a.txt": b"a"}),
            ("a.txt", "there", {"there/a.txt": b"a"}),
            ("a.txt", "there/old.txt", {"there/old.txt": b"a"}),
            ("d", "new", {"new/b.txt": b"bb", "new/e/c.txt": b"ccc", "new/e/empty": None}),
            ("d", "there", {"there/d/b.txt": b"bb", "there/d/e/c.txt": b"ccc", "there/d/e/empty": None}),
            ("d/e", "deep/new", {"deep/new/c.txt": b"ccc", "deep/new/empty": None}),
            ("made", "there", {"there/made": None}),
        ],
    )
    def test_lands_as_cp_r(
        self, filled: Lake, tmp_path: Path, path: str, destination: str, found: dict[str, bytes | None]
    ) -> None:
        out = make_tree(tmp_path / "out", {"there/old.txt": "old"})
        filled.get(path, f"{out}/{destination}")
        assert local_tree(out) == {"there/old.txt": b"old", **found}

    def test_the_whole_lake(self, filled: Lake, tmp_path: Path) -> None:
        filled.get("", tmp_path / "out")
        assert local_tree(tmp_path / "out") == local_tree(tmp_path / "tree")

    def test_at_a_ref(self, filled: Lake, tmp_path: Path) -> None:
        filled.rm("d", recursive=True)
        filled.get("@1/d", tmp_path / "out")
        assert (tmp_path / "out/e/c.txt").read_text() == "ccc"

    def test_what_is_in_the_way(self, filled: Lake, tmp_path: Path) -> None:
        out = make_tree(tmp_path / "out", {"file": "f", "dir/a.txt/x": "x"})
        for path, destination in (("d", "file"), ("made", "file"), ("a.txt", "file/x"), ("a.txt", "dir")):
            with pytest.raises(StorageError, match="cannot write"):
                filled.get(path, out / destination)
        assert local_tree(out) == {"file": b"f", "dir/a.txt/x": b"x"}
        with pytest.raises(NotFound):
            filled.get("nothing", out)

    @pytest.mark.parametrize("link", ["hard", "sym"])
    def test_links(self, filled: Lake, tmp_path: Path, link: str) -> None:
        make_tree(tmp_path / "out", {"d/b.txt": "old"})
        written = filled.get("d", tmp_path / "out", link=link)
        assert written == [tmp_path / "out/d/b.txt", tmp_path / "out/d/e/c.txt"]
        for path, name in zip(("d/b.txt", "d/e/c.txt"), written, strict=True):
            assert os.path.samefile(name, object_file(filled, path))
            assert name.is_symlink() == (link == "sym")
        assert sorted(path.name for path in (tmp_path / "out/d").iterdir()) == ["b.txt", "e"]

    def test_a_reflink_or_a_clear_error(self, filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(System, "clone", lambda *_: False)
        with pytest.raises(StorageError, match="no reflinks"):
            filled.get("a.txt", tmp_path / "out", link="reflink")
        assert not (tmp_path / "out").exists()

    def test_a_link_to_another_disk(self, filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", fail)
        with pytest.raises(StorageError, match="cross-device"):
            filled.get("a.txt", tmp_path / "out", link="hard")
        monkeypatch.undo()
        assert not (tmp_path / "out").exists()

    def test_an_unknown_link(self, filled: Lake, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="magic"):
            filled.get("a.txt", tmp_path / "out", link="magic")


class TestLook:
    def test_ls(self, filled: Lake) -> None:
        assert [(entry.path, entry.size) for entry in filled.ls()] == [("a.txt", 1), ("d", 0), ("made", 0)]
        assert [entry.path for entry in filled.ls("d/")] == ["d/b.txt", "d/e"]
        assert [entry.path for entry in filled.ls("d", recursive=True)] == ["d/b.txt", "d/e/c.txt", "d/e/empty"]
        assert [entry.path for entry in filled.ls("a.txt")] == ["a.txt"]
        assert filled.ls("made") == []
        with pytest.raises(NotFound):
            filled.ls("nothing")

    def test_stat(self, big: Lake) -> None:
        big.set_meta("d/big", {"n": 1})
        found = big.stat("d/big")
        assert (found.kind, found.size, found.format, found.chunks) == (
            "file",
            len(NOISE),
            "binary",
            len(big.reader("d/big").chunks),
        )
        assert found.attributes == {"n": 1}
        assert found.media_type == "application/octet-stream"
        assert found.modified is not None
        assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=5)
        assert big.stat("d").modified is None
        assert big.stat("d").kind == big.stat("").kind == "directory"
        with pytest.raises(NotFound):
            big.stat("nothing")

    def test_local_path(self, big: Lake) -> None:
        assert big.local_path("d/big").read_bytes() == NOISE
        with pytest.raises(IsDirectory):
            big.local_path("d")

    def test_exists(self, filled: Lake) -> None:
        assert [filled.exists(path) for path in ("a.txt", "d", "d/e", "made", "", "x", "a.txt/x")] == [True] * 5 + [
            False
        ] * 2

    def test_paths_that_are_none(self, filled: Lake) -> None:
        for path in ("../x", "d/../a.txt", "x\0", "d/" + "n" * 300):
            with pytest.raises(ValueError, match=r"path|name"):
                filled.exists(path)
        assert filled.exists("./d//e/./c.txt")
        assert filled.exists("/a.txt")

    def test_targets_that_cannot_be_read(self, lk: Lake, bams: Path, tmp_path: Path) -> None:
        lk.put(bams / "a.bam", "")
        with pytest.raises(NotFound, match="targets"):
            lk.slice("a.bam", targets=tmp_path / "nothing.bed")
        with pytest.raises(InvalidInput, match="mode"):
            lk.open("a.bam", "a")
