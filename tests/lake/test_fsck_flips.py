"""Every single bit of a lake: a flip is found, or it can be shown to change nothing (I11, R1)."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from lake.digest import digest_of
from lake.errors import LakeError
from lake.htsget.signing import load_secret
from lake.journal.values import Token
from lake.lake import Lake
from lake.retention import Policy
from lake.stores.places import plain_handle
from tests.lake.samples import NOISE, make_tree

_UNSEEN = ("sqlite_sequence",)
"""Its numbers only ever grow: one that is too great costs nothing."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, bams: Path) -> Path:
    """A closed lake with something in every kind of file."""
    folder = tmp_path_factory.mktemp("flips")
    with pytest.MonkeyPatch.context() as patch:
        _fix_time_and_chance(patch)
        _make(folder, bams / "a.bam")
    return folder / "lake"


def _fix_time_and_chance(patch: pytest.MonkeyPatch) -> None:
    """The same flips are to hit the same rows in every run."""
    source, ticks = random.Random(5), itertools.count(1_700_000_000_000_000_000, 1_000_000)
    patch.setattr("lake.clock.time", SimpleNamespace(time_ns=lambda: next(ticks)))
    patch.setattr("lake.gc._SKEW", 1 << 70)
    patch.setattr("secrets.token_hex", lambda size=16: source.randbytes(size).hex())


def _make(folder: Path, bam: Path) -> None:
    make_tree(folder / "tree", {f"{number}.txt": f"content {number}" for number in range(80)})
    make_tree(folder / "gone", {f"{number}.txt": f"not for long {number}" for number in range(80)})
    (folder / "big").write_bytes(NOISE[: 1 << 20])
    shutil.copy(bam, folder / "a.bam")
    for file in folder.rglob("*"):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    with Lake.init(folder / "lake") as lk:
        lk.put(f"{folder}/tree/.", "small")
        lk.put(folder / "big", "d/", meta={"sample": "s1", "depth": 30})
        lk.put(folder / "a.bam", "d/")
        lk.branch("exp")
        lk.tag("v1")
        lk.put(f"{folder}/gone/.", "gone")
        lk.rm("small/3.txt")
        lk.rm("d/big")
        lk.rm("gone", recursive=True)
        lk.repo.journal.add_token(Token("t1", "reader", b"\1" * 32, '[{"read": "d/"}]', 1, None))
        lk.expire(Policy(last=1))
        load_secret(lk.root)
        left = lk.root / plain_handle(digest_of(b"left by a crash"))
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"left by a crash")
        lk.gc(grace=0)
        lk.catalog.publish(force=True)


@pytest.fixture(scope="module")
def rows(whole: Path) -> list[str]:
    return _rows(whole)


def _rows(root: Path) -> list[str]:
    """Everything that the journal holds, as text."""
    with closing(sqlite3.connect(f"file:{root}/journal.db?mode=ro", uri=True)) as sql:
        sql.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        return [line for line in sql.iterdump() if not any(name in line for name in _UNSEEN)]


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "lake"))


def _flip(file: Path, bit: int) -> None:
    mode = file.stat().st_mode & 0o777
    file.chmod(0o600)
    with open(file, "r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0]
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))
    file.chmod(mode)


def _found(root: Path) -> bool:
    """Whether the lake does not open, or a check of it tells of something."""
    try:
        with Lake.open_at(root, readonly=True) as lk:
            report = lk.fsck()
    except LakeError:
        return True
    return not report.ok or bool(report.generations or report.packs)


def _places(file: Path, count: int, seed: int) -> Iterator[int]:
    """Some bits of a file: of each byte one where it has few, else of so many."""
    source = random.Random(f"{file.name}{seed}")
    size = file.stat().st_size
    places = range(size) if size <= count else sorted(source.sample(range(size), count))
    for place in places:
        yield 8 * place + source.randrange(8)


def test_the_copy_is_sound(copy: Path) -> None:
    assert not _found(copy)


@pytest.mark.parametrize("name", ["lake.toml", "server.key"])
def test_words(copy: Path, name: str) -> None:
    from lake.fsck.surroundings import check_words

    for bit in _places(copy / name, 400, 1):
        _flip(copy / name, bit)
        assert check_words(copy), bit
        _flip(copy / name, bit)
    assert not check_words(copy)


@pytest.mark.parametrize(
    "pattern",
    ["objects/*/*", "packs/*", "catalog/*.json", "catalog/*.duckdb", "log/*.log", "trash/*/*/*"],
)
def test_files(copy: Path, pattern: str) -> None:
    files = sorted(file for file in copy.glob(pattern) if file.is_file())
    assert files
    for file in files:
        for bit in _places(file, 3, 2):
            _flip(file, bit)
            assert _found(copy), (file, bit)
            _flip(file, bit)
    assert not _found(copy)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("entry WHERE path = 'small/5.txt'", "mtime"),
        ("entry WHERE path = 'small/5.txt'", "attrs"),
        ("entry WHERE path = 'small/5.txt'", "until"),
        ("object WHERE state = 'trash' AND handle LIKE 'packs/%' LIMIT 1", "loc_off"),
    ],
)
def test_what_the_log_alone_vouches_for(copy: Path, row: str, column: str) -> None:
    """Versions of paths that commits of an expired history brought, and places in packs of objects in the trash."""
    with closing(sqlite3.connect(copy / "journal.db")) as sql:
        (value,) = sql.execute(f"SELECT {column} FROM {row}").fetchone()
        other = "{}" if column == "attrs" else -1 if column == "until" else value ^ 4
        table, _, which = row.partition(" ")
        key = "(path, branch, seq)" if table == "entry" else "id"
        limited = f"{key} IN (SELECT {key.strip('()')} FROM {table} {which})"
        assert sql.execute(f"UPDATE {table} SET {column} = ? WHERE {limited}", (other,)).rowcount
        sql.commit()
    assert _found(copy)


def test_the_journal(copy: Path, rows: list[str]) -> None:
    """A bit of a page's free space changes no row; every other one is found."""
    journal = copy / "journal.db"
    unused = 0
    for bit in _places(journal, 150, 3):
        _flip(journal, bit)
        if not _found(copy):
            assert _rows(copy) == rows, f"byte {bit // 8}, bit {bit % 8}"
            unused += 1
        _flip(journal, bit)
    assert unused < 150
    assert not _found(copy)
