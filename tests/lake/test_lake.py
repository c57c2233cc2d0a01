"""The lake as a whole: history, refs, handles, read-only lakes."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import lake
from lake.errors import AlreadyExists, InvalidPath, InvalidRef, LakeError, NotFound, ReadOnly
from lake.lake import Lake
from tests.lake.samples import branch_files, make_tree


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    lk.put(f"{make_tree(tmp_path / 'tree', {'a.txt': 'a', 'd/b.txt': 'b'})}/.", "", message="first")
    return lk


def test_what_the_package_offers() -> None:
    assert {"Lake", "LakeError", "init", "open"} <= set(lake.__all__)
    assert lake.Lake is Lake
    assert issubclass(ReadOnly, PermissionError)
    assert issubclass(ReadOnly, lake.LakeError)


def test_the_import_is_light() -> None:
    code = (
        "import lake, sys; print(sorted({'numpy', 'pysam', 'duckdb', 'tqdm', 'fsspec', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class TestHistory:
    def test_log(self, filled: Lake) -> None:
        filled.rm("a.txt", message="second")
        filled.mkdir("made")
        assert [commit.message for commit in filled.log()] == ["mkdir made", "second", "first"]
        assert [commit.message for commit in filled.log("a.txt")] == ["second", "first"]
        assert [commit.message for commit in filled.log("d")] == ["first"]
        assert [commit.message for commit in filled.log(limit=1)] == ["mkdir made"]
        assert [commit.message for commit in filled.log("@main~1/")] == ["second", "first"]
        assert filled.log()[0].parents == (filled.log()[1].id,)

    def test_history_of_a_path(self, filled: Lake) -> None:
        with filled.open("a.txt", "w") as file:
            file.write("longer")
        filled.rm("a.txt")
        found = filled.history("a.txt")
        assert [entry.size if entry else None for _, entry in found] == [None, 6, 1]

    def test_diff(self, filled: Lake) -> None:
        filled.branch("exp")
        filled.rm("@exp/a.txt")
        filled.set_meta("@exp/d/b.txt", {"x": 1})
        with filled.open("@exp/c.txt", "w") as file:
            file.write("new")
        changes = {one.path: one.change for one in filled.diff("main", "exp")}
        assert changes == {"a.txt": "removed", "c.txt": "added", "d/b.txt": "annotated"}
        assert [one.path for one in filled.diff("main", "exp", "d")] == ["d/b.txt"]
        assert filled.diff("main") == []


class TestRefs:
    def test_branches_and_tags(self, filled: Lake) -> None:
        made = filled.branch("exp", "main")
        assert (made.name, made.parent) == ("exp", "main")
        filled.tag("v1")
        filled.rm("@exp/a.txt")
        assert branch_files(filled) == {"a.txt": b"a", "d/b.txt": b"b"}
        assert branch_files(filled, ref="exp") == {"d/b.txt": b"b"}
        assert {branch.name for branch in filled.branches()} == {"exp", "main"}
        assert [tag.name for tag in filled.tags()] == ["v1"]
        filled.delete_branch("exp")
        filled.delete_tag("v1")
        with pytest.raises(NotFound):
            filled.ls("@exp")
        with pytest.raises(NotFound):
            filled.ls("@v1")

    @pytest.mark.parametrize("name", ["a/b", "a@b", "a~1", "17", "", "x y\n"])
    def test_names_that_are_none(self, filled: Lake, name: str) -> None:
        with pytest.raises(InvalidRef):
            filled.branch(name)
        with pytest.raises(InvalidRef):
            filled.tag(name)

    def test_names_that_are_taken(self, filled: Lake) -> None:
        filled.branch("exp")
        for make in (filled.branch, filled.tag):
            with pytest.raises(AlreadyExists):
                make("exp")
        with pytest.raises(NotFound, match="no branch"):
            filled.branch("new", "expp")

    def test_a_lake_opened_at_a_ref(self, filled: Lake) -> None:
        filled.branch("exp")
        filled.tag("v1")
        with Lake.open_at(filled.root, ref="exp") as other:
            other.rm("a.txt")
            assert [entry.path for entry in other.ls()] == ["d"]
        assert filled.exists("a.txt")
        with Lake.open_at(filled.root, ref="v1") as tagged:
            assert tagged.exists("a.txt")
            for write in (lambda: tagged.rm("a.txt"), lambda: tagged.mkdir("x"), lambda: tagged.open("x", "w")):
                with pytest.raises(ReadOnly, match="lake branch NAME v1"):
                    write()

    def test_missing_paths_name_what_comes_close(self, filled: Lake) -> None:
        for act in (filled.stat, filled.ls, filled.open, filled.rm):
            with pytest.raises(NotFound, match=r"did you mean .*d/b\.txt"):
                act("d/b.tx")

    def test_no_way_out(self, filled: Lake) -> None:
        for act in (filled.stat, filled.open, filled.rm, filled.mkdir):
            with pytest.raises(InvalidPath, match=r"\.\."):
                act("d/../../etc/passwd")


class TestReadOnly:
    def test_reads_work_and_writes_do_not(self, filled: Lake, tmp_path: Path, bams: Path) -> None:
        filled.put(bams / "c.bam", "", index=False)
        with Lake.open_at(filled.root, readonly=True) as lk:
            assert branch_files(lk)["a.txt"] == b"a"
            assert lk.get("d", tmp_path / "out") == [tmp_path / "out/b.txt"]
            assert lk.slice("c.bam", "chr1:1-9,000").to_bytes()
            make_tree(tmp_path, {"f": "1"})
            for write in (
                lambda: lk.put(tmp_path / "f", "x"),
                lambda: lk.rm("a.txt"),
                lambda: lk.mv("a.txt", "b.txt"),
                lambda: lk.mkdir("x"),
                lambda: lk.open("x", "wb"),
                lambda: lk.branch("x"),
                lambda: lk.tag("x"),
                lambda: lk.set_meta("a.txt", {"x": 1}),
                lambda: lk.commit("x").__enter__(),
            ):
                with pytest.raises(ReadOnly, match=r"read-only|for reading only"):
                    write()

    def test_a_directory_without_write_permission(self, filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        access = os.access
        root = os.fspath(filled.root)
        monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != root and access(path, mode))
        with Lake.open_at(filled.root) as lk:
            assert lk.repo.readonly
            with pytest.raises(ReadOnly, match="write permission"):
                lk.open("x", "wb")


class TestHandles:
    def test_pickles_and_copies(self, filled: Lake) -> None:
        with Lake.open_at(filled.root, ref="main~0", readonly=True) as lk:
            again = pickle.loads(pickle.dumps(lk))
            assert (again.root, again.ref, again.repo.readonly) == (lk.root, "main~0", True)
            assert branch_files(again) == branch_files(copy.deepcopy(lk)) == branch_files(filled)
            again.close()

    def test_a_closed_lake_opens_again(self, filled: Lake) -> None:
        filled.close()
        filled.rm("a.txt")
        assert [entry.path for entry in filled.ls()] == ["d"]
        assert repr(filled) == f"Lake({str(filled.root)!r}, ref='main')"

    def test_errors_are_one_line(self, filled: Lake) -> None:
        for act in (
            lambda: filled.stat("nothing\nhere"),
            lambda: filled.ls("@no/x"),
            lambda: filled.slice("a.txt", "chr1"),
            lambda: filled.slice("d", "chr1"),
        ):
            with pytest.raises(LakeError) as caught:
                act()
            assert str(caught.value).strip()
