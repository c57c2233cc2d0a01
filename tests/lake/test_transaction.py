"""Many changes, one commit: all or nothing, and visible from inside at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lake.errors import Conflict, InvalidInput, IsDirectory, NotFound, ReadOnly
from lake.lake import Lake
from tests.lake.samples import branch_files, make_tree


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    lk.put(f"{make_tree(tmp_path / 'tree', {'a.txt': 'a', 'd/b.txt': 'b', 'd/e/c.txt': 'c'})}/.", "")
    return lk


def test_all_of_it_is_one_commit(filled: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path, {"new.txt": "new"})
    head = filled.log()[0].seq
    with filled.commit("spring cleaning") as transaction:
        filled.put(tmp_path / "new.txt", "in/")
        with filled.open("written.txt", "w") as file:
            file.write("by hand")
        filled.mv("d", "moved")
        filled.rm("a.txt")
        filled.cp("moved/b.txt", "copy.txt")
        filled.set_meta("copy.txt", {"n": 1})
        filled.mkdir("made")
    assert transaction.result is not None
    assert transaction.result.message == "spring cleaning"
    assert [commit.seq for commit in filled.log()][:2] == [transaction.result.seq, head]
    assert branch_files(filled) == {
        "copy.txt": b"b",
        "in/new.txt": b"new",
        "made": None,
        "moved/b.txt": b"b",
        "moved/e/c.txt": b"c",
        "written.txt": b"by hand",
    }
    assert filled.meta("copy.txt") == {"n": 1}


def test_reads_inside_see_what_was_changed(filled: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path, {"new.txt": "new"})
    other = Lake.open_at(filled.root)
    with filled.commit():
        filled.put(tmp_path / "new.txt", "in/deep/")
        filled.mv("d/e", "f")
        filled.rm("a.txt")
        assert [entry.path for entry in filled.ls()] == ["d", "f", "in"]
        assert [entry.path for entry in filled.ls("", recursive=True)] == ["d/b.txt", "f/c.txt", "in/deep/new.txt"]
        assert filled.expand("**/*.txt") == ["d/b.txt", "f/c.txt", "in/deep/new.txt"]
        assert [filled.exists(path) for path in ("a.txt", "d", "d/e", "f", "in/deep")] == [
            False,
            True,
            False,
            True,
            True,
        ]
        assert filled.stat("in/deep/new.txt").size == 3
        with filled.open("in/deep/new.txt") as file:
            assert file.read() == b"new"
        assert filled.get("in", tmp_path / "out") == [tmp_path / "out/deep/new.txt"]
        with pytest.raises(NotFound):
            filled.open("a.txt")
        with pytest.raises(IsDirectory):
            filled.open("in/deep", "w")
        filled.put(tmp_path / "new.txt", "in")
        assert filled.exists("in/new.txt")
        # Nobody else does, neither by this lake's past nor by another handle.
        assert filled.exists("a.txt", ref="main~0")
        assert [entry.path for entry in other.ls()] == ["a.txt", "d"]
    assert [entry.path for entry in other.ls()] == ["d", "f", "in"]
    other.close()


def test_an_error_leaves_nothing(filled: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path, {"new.txt": "new"})
    before, commits = branch_files(filled), filled.log()

    def fail() -> None:
        with filled.commit("never"):
            filled.put(tmp_path / "new.txt", "in/")
            filled.rm("d", recursive=True)
            with filled.open("a.txt", "w") as file:
                file.write("other")
            raise KeyError("something else went wrong")

    with pytest.raises(KeyError):
        fail()
    assert branch_files(filled) == before
    assert filled.log() == commits
    filled.rm("a.txt")


def test_one_that_changes_nothing(filled: Lake) -> None:
    commits = filled.log()
    with filled.commit("nothing") as transaction:
        filled.ls()
    assert transaction.result is None
    assert filled.log() == commits


def test_no_two_at_once_in_a_thread(filled: Lake) -> None:
    with pytest.raises(InvalidInput, match="under way"), filled.commit(), filled.commit():
        pass
    with filled.commit():
        worker = threading.Thread(target=filled.rm, args=("a.txt",))
        worker.start()
        worker.join()
        filled.rm("d/b.txt")
    assert [commit.changes for commit in filled.log()[:2]] == [1, 1]


def test_only_one_branch(filled: Lake) -> None:
    filled.branch("exp")
    with filled.commit(branch="exp"):
        filled.rm("@exp/a.txt")
        with pytest.raises(InvalidInput, match="under way"):
            filled.rm("@main/a.txt")
    assert filled.exists("a.txt")
    assert not filled.exists("@exp/a.txt")


def test_paths_without_ref_are_those_of_its_branch(filled: Lake) -> None:
    filled.branch("exp")
    with filled.commit(branch="exp"):
        filled.rm("a.txt")
    assert filled.exists("@main/a.txt")
    assert not filled.exists("@exp/a.txt")


@pytest.mark.parametrize("ref", ["1", "main~0", "v1"])
def test_not_in_the_past(filled: Lake, ref: str) -> None:
    filled.tag("v1")
    with pytest.raises(ReadOnly, match="not a branch"), filled.commit(branch=ref):
        pass


def test_an_expected_head(filled: Lake) -> None:
    head = filled.branches()[0].head
    with filled.commit("first", expected_head=head):
        filled.rm("a.txt")
    with pytest.raises(Conflict), filled.commit("second", expected_head=head):
        filled.rm("d/b.txt")
    assert filled.exists("d/b.txt")


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="no /dev/fd on this system")
def test_writers_of_many_files_hold_nothing_open(lk: Lake) -> None:
    with lk.commit("many"):
        with lk.open("first", "wb") as file:
            file.write(b"1")
        before = len(os.listdir("/dev/fd"))
        for number in range(50):
            with lk.open(f"n{number}", "wb") as file:
                file.write(b"%d" % number)
        assert len(os.listdir("/dev/fd")) <= before + 2
    assert len(lk.ls()) == 51
    assert {status.stat().st_mode & 0o777 for status in (lk.root / "objects").glob("*/*")} == {0o444}
