"""Directories, removals, copies and moves; each one commit, none of them moves bytes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from fsspec.callbacks import Callback

from lake.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    IsDirectory,
    LakeError,
    NotDirectory,
    NotFound,
    ReadOnly,
    Unsupported,
)
from lake.fs import LakeFileSystem
from lake.lake import Lake


@pytest.fixture
def fs(fs: LakeFileSystem) -> LakeFileSystem:
    fs.pipe({"a/x": b"1", "a/b/y": b"22", "a/b/c/z": b"333", "top": b"4444"})
    return fs


class Commits:
    """Counts the commits since it was made."""

    def __init__(self, lk: Lake) -> None:
        self._lk = lk
        self._before = len(lk.log())

    def __len__(self) -> int:
        return len(self._lk.log()) - self._before


@pytest.fixture
def commits(fs: LakeFileSystem, lk: Lake) -> Commits:
    return Commits(lk)


# -- directories ----------------------------------------------------------------------------------------------------
def test_directories_stay_once_made(fs: LakeFileSystem, commits: Commits) -> None:
    fs.mkdir("d/e/f")
    assert len(commits) == 1
    fs.rmdir("d/e/f")
    assert fs.isdir("d/e")
    assert not fs.exists("d/e/f")


def test_mkdir_refuses(fs: LakeFileSystem) -> None:
    for taken in ("a", "a/x", "a/b", ""):
        with pytest.raises(FileExistsError):
            fs.mkdir(taken)
    with pytest.raises(NotFound):
        fs.mkdir("p/q", create_parents=False)
    with pytest.raises(NotDirectory):
        fs.mkdir("top/q/r")
    with pytest.raises(Unsupported):
        fs.mkdir("p#q")
    fs.mkdir("p", create_parents=False)


def test_makedirs(fs: LakeFileSystem) -> None:
    fs.makedirs("d/e")
    fs.makedirs("d/e", exist_ok=True)
    with pytest.raises(AlreadyExists):
        fs.makedirs("d/e")
    with pytest.raises(AlreadyExists):
        fs.makedirs("top", exist_ok=True)


def test_rmdir_refuses(fs: LakeFileSystem) -> None:
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("a")
    with pytest.raises(NotDirectory):
        fs.rmdir("top")
    with pytest.raises(NotFound):
        fs.rmdir("missing")


# -- rm -------------------------------------------------------------------------------------------------------------
def test_rm(fs: LakeFileSystem, commits: Commits) -> None:
    with pytest.raises(IsDirectory):
        fs.rm("a")
    fs.rm("a", recursive=True)
    assert fs.find("") == ["top"]
    fs.rm_file("top")
    assert fs.find("") == []
    assert len(commits) == 2


def test_rm_patterns_and_lists(fs: LakeFileSystem, commits: Commits) -> None:
    fs.rm(["a/b/*", "top"], recursive=True)
    assert fs.find("") == ["a/x"]
    assert len(commits) == 1
    with pytest.raises(FileNotFoundError):
        fs.rm("nothing*")


def test_rm_file_takes_names_literally(fs: LakeFileSystem) -> None:
    fs.pipe({"n[1]": b"", "n1": b""})
    fs.rm_file("n[1]")
    assert fs.exists("n1")
    with pytest.raises(NotFound):
        fs.rm_file("n*")


def test_to_the_top(fs: LakeFileSystem, folder: Path) -> None:
    fs.put(f"{folder}/", "", recursive=True)
    fs.copy("a/b/", "", recursive=True)
    assert {"a%23b%2541", "sub/big", "sub/none", "y", "c/z"} < set(fs.find(""))
    with pytest.raises(LakeError):
        fs.pipe_file("", b"")
    with pytest.raises(LakeError):
        fs.put_file(folder / "sub" / "big", "")
    with pytest.raises(LakeError):
        fs.cp_file("top", "")


def test_rm_to_a_depth(fs: LakeFileSystem) -> None:
    fs.mkdir("a/empty")
    fs.rm("a", recursive=True, maxdepth=1)
    assert fs.find("", withdirs=True) == ["a", "a/b", "a/b/c", "a/b/c/z", "a/b/y", "top"]


def test_what_cannot_be_removed(fs: LakeFileSystem, lk: Lake) -> None:
    lk.tag("v1")
    with pytest.raises(ReadOnly):
        fs.rm("@v1/top")
    with pytest.raises(Unsupported):
        fs.rm("top#x")


# -- cp and mv ------------------------------------------------------------------------------------------------------
def objects(fs: LakeFileSystem) -> set[Path]:
    return set((Path(fs.root) / "objects").rglob("*"))


def test_copies_move_no_bytes(fs: LakeFileSystem, lk: Lake, commits: Commits) -> None:
    lk.set_meta("a/x", {"project": "demo"})
    before = objects(fs)
    fs.copy("a/", "new", recursive=True)
    fs.cp_file("a/x", "one")
    assert fs.find("new") == ["new/b/c/z", "new/b/y", "new/x"]
    assert lk.meta("new/x") == lk.meta("one") == {"project": "demo"}
    assert objects(fs) == before
    assert len(commits) == 3


def test_copies_across_refs(fs: LakeFileSystem, lk: Lake) -> None:
    lk.tag("v1")
    lk.branch("exp")
    fs.rm("top")
    fs.cp_file("@v1/top", "top")
    fs.copy("@v1/a/x", "@exp/x2")
    assert fs.cat_file("top") == b"4444"
    assert fs.cat_file("@exp/x2") == b"1"
    assert not fs.exists("x2")


def test_copying_what_is_not_there(fs: LakeFileSystem) -> None:
    with pytest.raises(NotFound):
        fs.cp_file("missing", "new")
    fs.copy(["top", "missing"], ["p", "q"], on_error="ignore")
    assert fs.exists("p")
    with pytest.raises(NotFound):
        fs.copy(["top", "missing"], ["p2", "q2"])
    assert not fs.exists("p2")


def test_mv(fs: LakeFileSystem, commits: Commits) -> None:
    before = objects(fs)
    fs.mv("a", "moved")
    fs.mv("top", "moved/")
    fs.mv("moved/top", "moved/top")
    assert fs.find("") == ["moved/b/c/z", "moved/b/y", "moved/top", "moved/x"]
    assert len(commits) == 2
    fs.mv("moved/b/*", "flat/", recursive=True)
    assert fs.find("") == ["flat/c/z", "flat/y", "moved/top", "moved/x"]
    fs.mv(["moved/top", "moved/x"], ["t", "x"])
    assert fs.find("") == ["flat/c/z", "flat/y", "t", "x"]
    assert len(commits) == 4
    assert objects(fs) == before


def test_mv_refuses(fs: LakeFileSystem, lk: Lake) -> None:
    lk.branch("exp")
    with pytest.raises(NotFound):
        fs.mv("missing", "new")
    with pytest.raises(InvalidInput, match="another branch"):
        fs.mv("top", "@exp/top")


# -- the local disk -------------------------------------------------------------------------------------------------
class Recorder(Callback):  # type: ignore[misc]
    """Keeps what it is told, and its branches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.branches: dict[str, Recorder] = {}

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Recorder:
        self.branches[path_1.rsplit("/", 1)[-1]] = child = Recorder()
        return child


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "local" / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a#b%41").write_bytes(b"odd")
    (folder / "sub" / "big").write_bytes(b"x" * 300_000)
    (folder / "sub" / "none").write_bytes(b"")
    return folder


def test_put_is_one_commit_and_tells_each_file(fs: LakeFileSystem, folder: Path, commits: Commits) -> None:
    callback = Recorder()
    fs.put(str(folder), "in", recursive=True, callback=callback)
    assert fs.find("in") == ["in/a%23b%2541", "in/sub/big", "in/sub/none"]
    assert len(commits) == 1
    assert callback.value == callback.size == 5
    assert {name: (child.value, child.size) for name, child in callback.branches.items() if child.size} == {
        "a#b%41": (3, 3),
        "big": (300_000, 300_000),
    }


def test_get_gives_names_back(fs: LakeFileSystem, folder: Path, tmp_path: Path) -> None:
    fs.put(str(folder), "in", recursive=True)
    callback = Recorder()
    fs.get("in", str(tmp_path / "out"), recursive=True, callback=callback)
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")} == {
        path.relative_to(folder) for path in folder.rglob("*")
    }
    assert (tmp_path / "out" / "a#b%41").read_bytes() == b"odd"
    assert callback.branches["big"].value == callback.branches["big"].size == 300_000


def test_put_all_or_nothing(fs: LakeFileSystem, folder: Path, commits: Commits) -> None:
    with pytest.raises(FileNotFoundError):
        fs.put([str(folder / "sub" / "big"), str(folder / "missing")], ["p", "q"])
    with pytest.raises(FileNotFoundError):
        fs.put_file(str(folder / "missing"), "q")
    assert len(commits) == 0
    assert not fs.exists("p")


def test_put_file(fs: LakeFileSystem, folder: Path) -> None:
    callback = Recorder()
    fs.put_file(folder / "sub" / "big", "big", callback=callback)
    assert callback.value == callback.size == 300_000
    with pytest.raises(AlreadyExists):
        fs.put_file(folder / "sub" / "big", "top", mode="create")
    fs.put_file(folder / "sub", "folder")
    assert fs.isdir("folder")


def test_the_lake_is_not_put_into_itself(fs: LakeFileSystem) -> None:
    with pytest.raises(InvalidInput, match="lake itself"):
        fs.put_file(Path(fs.root) / "journal.db", "journal")


def test_get_file(fs: LakeFileSystem, tmp_path: Path) -> None:
    callback = Recorder()
    fs.get_file("a/b/c/z", tmp_path / "deep" / "z", callback=callback)
    assert (tmp_path / "deep" / "z").read_bytes() == b"333"
    assert callback.value == callback.size == 3
    with open(tmp_path / "open", "wb") as file:
        fs.get_file("top", file)
    assert (tmp_path / "open").read_bytes() == b"4444"
    with pytest.raises(NotFound):
        fs.get_file("missing", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_sources_of_a_name_stay_where_they_are_put(fs: LakeFileSystem, tmp_path: Path, lk: Lake) -> None:
    lk.tag("v1")
    fs.get("@v1/a", str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "b" / "c" / "z").read_bytes() == b"333"


# -- transactions ---------------------------------------------------------------------------------------------------
def test_a_transaction_is_one_commit(fs: LakeFileSystem, lk: Lake, commits: Commits, folder: Path) -> None:
    other = LakeFileSystem(fs.root, skip_instance_cache=True)
    with fs.transaction:
        with fs.open("w", "wb") as file:
            file.write(b"w")
        with fs.open("t", "w") as file:
            file.write("t")
        fs.pipe_file("p", b"p")
        fs.pipe({"d/1": b"", "d/2": b""})
        fs.put(str(folder), "in", recursive=True)
        fs.rm("top")
        fs.mv("a/x", "x")
        fs.copy("a/", "copy", recursive=True)
        fs.mkdir("made")
        fs.touch("d/1")
        assert fs.cat_file("w") == b"w"
        assert fs.find("copy") == ["copy/b/c/z", "copy/b/y"]
        assert not fs.exists("top")
        assert not other.exists("w")
        assert other.exists("top")
    assert len(commits) == 1
    assert lk.log()[0].message == "write w and 9 more"
    assert other.cat_file("x") == b"1"
    assert other.isdir("made")
    assert other.cat_file("p") == b"p"
    assert lk.fsck().ok


def test_rolling_back(fs: LakeFileSystem, commits: Commits) -> None:
    with contextlib.suppress(RuntimeError), fs.transaction:
        fs.pipe_file("p", b"p")
        fs.rm("top")
        left_open = fs.open("w", "wb")
        left_open.write(b"w")
        raise RuntimeError
    assert left_open.closed
    assert len(commits) == 0
    assert fs.exists("top")
    assert not fs.exists("p")
    fs.pipe_file("after", b"")
    assert len(commits) == 1
    assert not [path for path in (Path(fs.root) / "staging").rglob("*") if path.is_file()]


def test_files_left_open_are_committed(fs: LakeFileSystem, commits: Commits) -> None:
    with fs.transaction as transaction:
        file = fs.open("w", "wb")
        file.write(b"w")
    assert file.closed
    assert fs.cat_file("w") == b"w"
    assert transaction.result is not None
    assert len(commits) == 1


def test_transactions_without_a_block(fs: LakeFileSystem, lk: Lake, commits: Commits) -> None:
    fs.start_transaction()
    fs.pipe_file("p", b"p")
    assert len(commits) == 0
    fs.end_transaction()
    assert len(commits) == 1
    with fs.transaction("one\nreason"):
        fs.pipe_file("q", b"q")
        fs.pipe_file("r", b"r")
    assert lk.log()[0].message == "one\nreason"


def test_transactions_do_not_nest(fs: LakeFileSystem, commits: Commits) -> None:
    def nest() -> None:
        with fs.transaction:
            fs.pipe_file("p", b"p")
            fs.transaction.__enter__()

    with pytest.raises(InvalidInput, match="under way"):
        nest()
    assert len(commits) == 0
    with fs.transaction:
        pass
    assert len(commits) == 0


def test_a_transaction_that_cannot_be(fs: LakeFileSystem, commits: Commits) -> None:
    other = LakeFileSystem(fs.root, skip_instance_cache=True)

    def collide() -> None:
        with fs.transaction:
            fs.pipe_file("p", b"p")
            fs.mv("top", "new")
            other.rm("top")

    with pytest.raises(Conflict, match="top"):
        collide()
    assert not fs.exists("p")
    assert len(commits) == 1


def test_a_transaction_has_one_branch(fs: LakeFileSystem, lk: Lake) -> None:
    lk.branch("exp")
    with fs.transaction:
        fs.pipe_file("@exp/p", b"p")
        assert fs.exists("@exp/p")
        assert not fs.exists("p")
        with pytest.raises(InvalidInput, match="exp"):
            fs.pipe_file("q", b"q")
    assert fs.exists("@exp/p")
    assert not fs.exists("q")


def test_threads_take_part(fs: LakeFileSystem, commits: Commits) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with fs.transaction, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: fs.pipe_file(f"t/{number}", b""), range(12)))
    assert len(commits) == 1
    assert len(fs.find("t")) == 12
