"""Files written through file objects: nothing is seen before `close`, and nothing at all after an error."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from lake.errors import AlreadyExists, InvalidInput, IsDirectory, NotDirectory, NotFound, ReadOnly
from lake.lake import Lake
from tests.lake.samples import NOISE, branch_files, object_file, staged


def test_bytes_appear_at_close(lk: Lake) -> None:
    with lk.open("runs/x", "wb", attributes={"n": 1}) as file:
        file.write(NOISE[: 2 << 20])
        file.flush()
        file.write(memoryview(NOISE)[2 << 20 :])
        assert file.tell() == len(NOISE)
        assert not lk.exists("runs/x")
    assert branch_files(lk) == {"runs/x": NOISE}
    assert object_file(lk, "runs/x").stat().st_mode & 0o777 == 0o444
    assert lk.meta("runs/x") == {"n": 1}
    assert lk.log()[0].message == "write runs/x"


def test_text(lk: Lake) -> None:
    with lk.open("t", "w", encoding="latin-1", newline="\r\n") as file:
        file.write("grün\nrot\n")
    assert branch_files(lk) == {"t": "grün\r\nrot\r\n".encode("latin-1")}
    with lk.open("t", "r", encoding="latin-1") as file:
        assert list(file) == ["grün\n", "rot\n"]
    with lk.open("u", "xt") as file:
        file.write("ü")
    assert branch_files(lk)["u"] == "ü".encode()


@pytest.mark.parametrize("mode", ["w", "wb", "x", "xb"])
def test_an_exception_stores_nothing(lk: Lake, mode: str) -> None:
    def fail() -> None:
        with lk.open("x", mode) as file:
            file.write(b"half" if "b" in mode else "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert branch_files(lk) == {}
    assert lk.log() == []
    assert staged(lk) == []


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_writer_that_was_forgotten_stores_nothing(lk: Lake, mode: str) -> None:
    file = lk.open("x", mode)
    file.write(b"half" if "b" in mode else "half")
    del file
    gc.collect()
    assert branch_files(lk) == {}
    assert staged(lk) == []


def test_an_unknown_encoding_leaves_nothing(lk: Lake) -> None:
    with pytest.raises(LookupError):
        lk.open("x", "w", encoding="klingon")
    gc.collect()
    assert staged(lk) == []


def test_what_was_there_stays_until_close(lk: Lake) -> None:
    with lk.open("x", "wb") as file:
        file.write(b"old")
    with lk.open("x", "wb") as file:
        file.write(b"new")
        assert branch_files(lk) == {"x": b"old"}
    assert branch_files(lk) == {"x": b"new"}


def test_exclusive(lk: Lake) -> None:
    with lk.open("x", "xb") as file:
        file.write(b"first")
    with pytest.raises(AlreadyExists):
        lk.open("x", "xb")
    late = lk.open("y", "xb")
    late.write(b"late")
    with lk.open("y", "xb") as file:
        file.write(b"early")
    with pytest.raises(FileExistsError):
        late.close()
    assert branch_files(lk) == {"x": b"first", "y": b"early"}


@pytest.mark.parametrize("mode", ["a", "ab", "r+", "rb+", "w+b", "", "q"])
def test_modes_that_there_are_not(lk: Lake, mode: str) -> None:
    with lk.open("x", "wb") as file:
        file.write(b"1")
    with pytest.raises(InvalidInput, match="mode"):
        lk.open("x", mode)


def test_places_that_cannot_be_written(lk: Lake) -> None:
    with lk.open("d/x", "wb") as file:
        file.write(b"1")
    lk.tag("v1")
    with pytest.raises(IsDirectory):
        lk.open("d", "wb")
    with pytest.raises(IsDirectory):
        lk.open("", "wb")
    with pytest.raises(ReadOnly):
        lk.open("@v1/d/x", "wb")
    with pytest.raises(ReadOnly):
        lk.open("d/x", "wb", ref="1")
    with pytest.raises(NotFound):
        lk.open("@nowhere/d/x", "wb")
    with pytest.raises(NotDirectory), lk.open("d/x/y", "wb") as file:
        file.write(b"1")
    assert branch_files(lk) == {"d/x": b"1"}


def test_on_a_branch(lk: Lake) -> None:
    lk.branch("exp")
    with lk.open("@exp/x", "wb") as file:
        file.write(b"1")
    with lk.open("y", "wb", ref="exp") as file:
        file.write(b"2")
    assert branch_files(lk) == {}
    assert branch_files(lk, ref="exp") == {"x": b"1", "y": b"2"}


def test_closing_twice_and_an_empty_file(lk: Lake) -> None:
    file = lk.open("x", "wb")
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"late")
    assert branch_files(lk) == {"x": b""}
    assert len(lk.log()) == 1


def test_a_reader_keeps_what_it_opened(lk: Lake, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(NOISE)
    lk.put(tmp_path / "f", "x")
    plain, verified = lk.open("x"), lk.open("x", verify=True)
    assert plain.read(10) == verified.read(10) == NOISE[:10]
    with lk.open("x", "wb") as file:
        file.write(b"new")
    lk.rm("x")
    with plain, verified:
        assert plain.read() == verified.read() == NOISE[10:]
        plain.seek(-5, os.SEEK_END)
        verified.seek(-5, os.SEEK_END)
        assert plain.read() == verified.read() == NOISE[-5:]
