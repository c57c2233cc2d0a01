"""The numbers of docs/limits.md, as far as a test reaches them in little time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake.chunks import ChunkMap, ChunkWatcher, cutter_for
from lake.errors import InvalidPath
from lake.lake import Lake
from lake.paths import MAX_NAME_BYTES, MAX_PATH_BYTES
from lake.retention import Policy

GIB = 1 << 30
TIB = 1 << 40


@pytest.mark.parametrize(("container", "name"), [(None, "FASTQ"), (None, "VCF"), (None, "binary"), ("gzip", "CSV")])
def test_a_tebibyte_has_about_a_million_chunks(container: str | None, name: str) -> None:
    """Zeros are cut at the largest size that a cutter allows, four times the average; a line may reach further."""
    cutter = cutter_for(container, name, TIB)
    assert cutter is not None
    watcher = ChunkWatcher(cutter)
    piece = memoryview(bytes(16 << 20))
    for _ in range(4):
        watcher.update(piece)
    found = watcher.finish()
    assert found is not None
    assert 4 << 20 <= max(found.lengths) <= 5 << 20


def test_a_map_of_a_million_chunks() -> None:
    """36 MB in the journal; lengths and their number have 32 bits, offsets as many as it takes."""
    count = 1 << 20
    chunks = ChunkMap(((4 << 20) + 1,) * count, bytes(32) * count)
    body = chunks.encode()
    assert len(body) == 5 + 36 * count
    again = ChunkMap.decode(body, chunks.size)
    assert again.size > 4 * TIB
    assert again.locate(again.size - 1, 1) == range(count - 1, count)


def test_a_sparse_file_of_two_gibibytes(lk: Lake, tmp_path: Path) -> None:
    """Past 32 bits of anything that is signed, at the speed of hashing: holes are not read."""
    size = 2 * GIB + 5
    with open(tmp_path / "sparse", "wb") as file:
        file.write(b"first")
        file.seek(size - 4)
        file.write(b"last")
    lk.put(tmp_path / "sparse", "sparse", method="move")
    with lk.open("sparse", "rb", verify=True) as file:
        assert file.read(5) == b"first"
        file.seek(size - 4)
        assert file.read() == b"last"
    assert lk.stat("sparse").size == size
    lk.rm("sparse")
    # The check behind every test would read it all once more.
    lk.expire(Policy(last=1))
    assert lk.gc(trash=0).freed == size


def test_paths(lk: Lake) -> None:
    deep = "/".join(["d" * MAX_NAME_BYTES] * 16)
    assert len(deep) == MAX_PATH_BYTES - 1
    for path in (deep, "é" * (MAX_NAME_BYTES // 2), "a/" * 2000 + "f"):
        with lk.open(path, "w") as file:
            file.write("x")
        assert lk.exists(path)
    assert len(lk.ls(recursive=True)) == 3
    for path in ("x" * (MAX_NAME_BYTES + 1), f"{deep}/f", "é" * 128):
        with pytest.raises(InvalidPath, match="the limit is"):
            lk.open(path, "w")


def test_hundreds_of_branches_deep(lk: Lake) -> None:
    """A thousand are one of the benchmarks, `tests.benchmarks.lookup`."""
    journal = lk.repo.journal
    write(lk, "f")
    above = "main"
    for number in range(200):
        journal.create_branch(f"b{number}", above)
        above = f"b{number}"
    view = journal.resolve(above)
    found = journal.lookup(view, "f")
    assert found is not None
    assert found.commit == 1
    assert [entry.path for entry in journal.walk(view, "")] == ["f"]


def test_fifty_processes_at_once(lk: Lake) -> None:
    children = []
    for number in range(50):
        child = os.fork()
        if not child:
            try:
                write(lk, f"w{number}")
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 50
    assert {entry.path for entry in lk.ls()} == {f"w{n}" for n in range(50)}
    assert len(lk.log()) == 50


def write(lk: Lake, path: str) -> None:
    with lk.open(path, "w") as file:
        file.write(path)
