"""Opening, reading ranges, writing, appending, pickling; from threads and forks."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import AlreadyExists, DamagedObject, InvalidInput, IsDirectory, NotFound, ReadOnly, Unsupported
from lake.fs import LakeFileSystem
from lake.lake import Lake

DATA = bytes(range(256)) * 4
BOUND = st.none() | st.integers(-1100, 1100)


@pytest.fixture
def fs(fs: LakeFileSystem) -> LakeFileSystem:
    fs.pipe_file("data", DATA)
    return fs


# -- ranges ---------------------------------------------------------------------------------------------------------
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=BOUND, end=BOUND)
def test_ranges_are_those_of_bytes(fs: LakeFileSystem, start: int | None, end: int | None) -> None:
    assert fs.cat_file("data", start, end) == DATA[start:end]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(BOUND, BOUND), max_size=5))
def test_many_ranges(fs: LakeFileSystem, ranges: list[tuple[int | None, int | None]]) -> None:
    starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
    found = fs.cat_ranges(["data"] * len(ranges), starts, ends, max_gap=100)
    assert found == [DATA[start:end] for start, end in ranges]


def test_ranges_that_fail(fs: LakeFileSystem) -> None:
    good, bad = fs.cat_ranges(["data", "missing"], 0, 5)
    assert good == DATA[:5]
    assert isinstance(bad, NotFound)
    with pytest.raises(NotFound):
        fs.cat_ranges(["missing"], 0, 5, on_error="raise")
    with pytest.raises(InvalidInput, match="as many"):
        fs.cat_ranges(["data", "data"], [0], 5)


def test_cat(fs: LakeFileSystem) -> None:
    fs.pipe({"d/a": b"A", "d/b": b"B"})
    assert fs.cat("d/a") == b"A"
    assert fs.cat(["d/a", "d/b"]) == {"d/a": b"A", "d/b": b"B"}
    assert fs.cat("d/*") == fs.cat("d", recursive=True) == {"d/a": b"A", "d/b": b"B"}
    assert fs.head("data", 3) == DATA[:3]
    assert fs.tail("data", 3) == DATA[-3:]
    with pytest.raises(IsDirectory):
        fs.cat_file("d")


def test_damage_is_never_served(fs: LakeFileSystem) -> None:
    stored = Path(fs.local_path("data"))
    stored.chmod(0o644)
    stored.write_bytes(b"x" + DATA[1:])
    with pytest.raises(DamagedObject, match="data"):
        fs.cat_file("data")


# -- files for reading ----------------------------------------------------------------------------------------------
def test_a_file_for_reading(fs: LakeFileSystem) -> None:
    opened: Any = fs.open("data")
    assert io.BufferedReader in type(opened).__mro__
    with opened as file:
        assert (file.size, file.mode, file.path) == (1024, "rb", "data")
        assert file.full_name == file.name == "lake://data"
        assert file.details == file.info() == fs.info("data")
        buffer = bytearray(10)
        assert file.readinto(buffer) == 10
        assert bytes(buffer) == DATA[:10]
        assert file.seek(-5, os.SEEK_END) == 1019
        assert file.read() == DATA[-5:]
    assert file.closed


def test_the_caches_of_fsspec(fs: LakeFileSystem) -> None:
    cached: Any = fs.open("data", block_size=16, cache_type="bytes")
    with cached as file:
        fs.pipe_file("data", b"new")
        assert (file.size, file.cache.name, file.read(3)) == (1024, "bytes", DATA[:3])
        file.seek(100)
        assert file.read() == DATA[100:]


def test_readers_keep_what_they_opened(fs: LakeFileSystem) -> None:
    with fs.open("data") as file:
        file.read(1)
        fs.pipe_file("data", b"new")
        assert file.read() == DATA[1:]


def test_files_pickle_as_what_they_opened(fs: LakeFileSystem) -> None:
    with fs.open("data") as file:
        file.seek(100)
        frozen = pickle.dumps(file)
    fs.pipe_file("data", b"new")
    with pickle.loads(frozen) as file:
        assert file.read() == DATA[100:]
    with fs.open("other", "wb") as file, pytest.raises(TypeError, match="reading"):
        pickle.dumps(file)


def test_files_are_what_they_show(fs: LakeFileSystem) -> None:
    with fs.open("data") as one, fs.open("data") as two:
        assert one == two
        assert hash(one) == hash(two)
        fs.pipe_file("data", b"new")
        with fs.open("data") as three:
            assert three != one
    with fs.open("other", "wb") as writer:
        assert writer == writer
        assert {writer: 1}[writer] == 1


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz"])
@pytest.mark.parametrize("mode", ["b", ""])
def test_compression(fs: LakeFileSystem, compression: str, mode: str) -> None:
    text = "first\nsecond\n"
    with fs.open("c", "w" + mode, compression=compression) as file:
        file.write(text if not mode else text.encode())
    assert fs.cat_file("c") != text.encode()
    with fs.open("c", "r" + mode, compression=compression) as file:
        lines = list(file)
    assert lines == ["first\n", "second\n"] if not mode else [b"first\n", b"second\n"]


def test_an_error_while_compressing_stores_nothing(fs: LakeFileSystem) -> None:
    for mode in ("wb", "w"):
        with contextlib.suppress(RuntimeError), fs.open("c.gz", mode, compression="infer") as file:
            file.write("half" if mode == "w" else b"half")
            raise RuntimeError
        assert not fs.exists("c.gz")
    gc.collect()


def test_text(fs: LakeFileSystem) -> None:
    with fs.open("t", "w", encoding="latin-1", newline="") as file:
        file.write("ä\r\n")
    assert fs.cat_file("t") == b"\xe4\r\n"
    with fs.open("t", "rt", encoding="latin-1") as file:
        assert file.read() == "ä\n"
    fs.write_text("t", "é")
    assert fs.read_text("t") == "é"


# -- files for writing ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["wb", "xb", "w", "x"])
def test_close_publishes(fs: LakeFileSystem, lk: Lake, mode: str) -> None:
    before = len(lk.log())
    file = fs.open("new", mode)
    file.write(b"abc" if "b" in mode else "abc")
    assert not fs.exists("new")
    file.close()
    file.close()
    assert fs.cat_file("new") == b"abc"
    assert len(lk.log()) == before + 1


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_an_error_stores_nothing(fs: LakeFileSystem, lk: Lake, mode: str) -> None:
    before = lk.log()
    with contextlib.suppress(RuntimeError), fs.open("data", mode) as file:
        file.write(b"half" if "b" in mode else "half")
        raise RuntimeError
    assert fs.cat_file("data") == DATA
    assert lk.log() == before


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_forgotten_file_stores_nothing(fs: LakeFileSystem, mode: str) -> None:
    file = fs.open("data", mode)
    file.write(b"half" if "b" in mode else "half")
    del file
    gc.collect()
    assert fs.cat_file("data") == DATA


def test_commit_and_discard(fs: LakeFileSystem) -> None:
    for ending, expected in (("commit", True), ("discard", False)):
        with fs.open(ending, "wb", autocommit=False) as file:
            file.write(b"abc")
        assert not fs.exists(ending)
        getattr(file, ending)()
        assert fs.exists(ending) is expected


@pytest.mark.parametrize("mode", ["ab", "a", "r+b", "w+b", "rb+"])
def test_appending_is_refused(fs: LakeFileSystem, mode: str) -> None:
    with pytest.raises(Unsupported, match="written whole"):
        fs.open("data", mode)


def test_where_nothing_can_be_written(fs: LakeFileSystem, lk: Lake) -> None:
    lk.tag("v1")
    fs.mkdir("d")
    with pytest.raises(ReadOnly):
        fs.open("@v1/data", "wb")
    with pytest.raises(IsDirectory):
        fs.open("d", "wb")
    with pytest.raises(IsDirectory):
        fs.open("d")
    with pytest.raises(Unsupported, match="region"):
        fs.open("data#x", "wb")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file("data/below", b"")


def test_writing_to_another_branch(fs: LakeFileSystem, lk: Lake) -> None:
    lk.branch("exp")
    fs.pipe_file("@exp/data", b"exp")
    assert fs.cat_file("data") == DATA
    assert LakeFileSystem(lk.root, ref="exp").cat_file("data") == b"exp"


def test_exclusive(fs: LakeFileSystem) -> None:
    with pytest.raises(FileExistsError):
        fs.open("data", "xb")
    first, second = fs.open("new", "xb"), fs.open("new", "xb")
    first.write(b"first")
    second.write(b"second")
    first.close()
    with pytest.raises(AlreadyExists):
        second.close()
    assert fs.cat_file("new") == b"first"


RACER = """
import sys
from lake.fs import LakeFileSystem
file = LakeFileSystem(sys.argv[1]).open("raced", "xb")
file.write(sys.argv[2].encode())
print("ready", flush=True)
sys.stdin.readline()
try:
    file.close()
except FileExistsError:
    sys.exit(3)
"""


def test_of_two_processes_one_makes_the_file(fs: LakeFileSystem) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, fs.root, word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for word in ("one", "two")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate()
    codes = [racer.returncode for racer in racers]
    assert sorted(codes) == [0, 3]
    assert fs.cat_file("raced") == (b"one", b"two")[codes.index(0)]


def test_pipe_modes(fs: LakeFileSystem) -> None:
    with pytest.raises(AlreadyExists):
        fs.pipe({"new": b"", "data": b""}, mode="create")
    assert not fs.exists("new")
    fs.pipe({"new": b"1"}, mode="create")
    with pytest.raises(AlreadyExists):
        fs.pipe_file("new", b"", mode="create")


def test_touch(fs: LakeFileSystem) -> None:
    before = fs.info("data")
    fs.touch("data", truncate=False)
    after = fs.info("data")
    assert after["digest"] == before["digest"]
    assert after["mtime"] > before["mtime"]
    fs.touch("data")
    fs.touch("fresh", truncate=False)
    assert fs.size("data") == fs.size("fresh") == 0


# -- threads, processes, pickles ------------------------------------------------------------------------------------
def test_threads_share_a_filesystem(fs: LakeFileSystem) -> None:
    def work(number: int) -> bytes:
        fs.pipe_file(f"t/{number}", str(number).encode())
        LakeFileSystem(fs.root).pipe_file(f"u/{number}", b"")
        found: bytes = fs.cat_file(f"t/{number}")
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [str(number).encode() for number in range(40)]
    assert len(fs.find("t")) == len(fs.find("u")) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on(fs: LakeFileSystem) -> None:
    child = os.fork()
    if child == 0:
        try:
            fs.pipe_file("child", fs.cat_file("data", 0, 5))
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert fs.cat_file("child") == DATA[:5]


def test_filesystems_pickle(fs: LakeFileSystem) -> None:
    assert pickle.loads(pickle.dumps(fs)).cat_file("data") == DATA
    again = LakeFileSystem.from_json(fs.to_json())
    assert again == fs
    assert hash(again) == hash(fs)
    assert LakeFileSystem(fs.root, ref="main~0") != fs


def test_the_same_tokens_everywhere(fs: LakeFileSystem) -> None:
    from dask.tokenize import tokenize

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(LakeFileSystem, fs.root).result()
    assert other is not fs
    assert other.lake is fs.lake
    assert tokenize(other) == tokenize(fs)
    assert other.fsid == fs.fsid == f"lake_{fs.lake.repo.config.id}"


def test_the_lake_around(fs: LakeFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fs.root)
    assert LakeFileSystem() == fs
    other = Lake.init(tmp_path / "other")
    monkeypatch.chdir(other.root)
    assert LakeFileSystem().root == str(other.root)
    monkeypatch.setenv("LAKE_ROOT", fs.root)
    assert LakeFileSystem() == fs
    other.close()


def test_no_lake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a lake"):
        LakeFileSystem(tmp_path)
