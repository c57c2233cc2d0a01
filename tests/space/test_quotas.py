"""Quotas: refused and warned of in the commit, wherever it comes from, and by many processes at once."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lake.errors import InvalidInput, NotFound, QuotaExceeded, ReadOnly, StorageError
from lake.journal.values import Put
from lake.lake import Lake
from lake.sizes import human, parse_size
from lake.space import QuotaUse
from lake.testing.journal import object_record
from tests.lake.samples import make_tree, staged


def used(lk: Lake, prefix: str, branch: str = "main") -> int:
    return next(use.used for use in lk.quotas() if (use.prefix, use.branch) == (prefix, branch))


def put(lk: Lake, tmp_path: Path, path: str, size: int) -> None:
    (tmp_path / "file").write_bytes(b"\7" * size)
    lk.put(tmp_path / "file", path)


def test_a_commit_beyond_the_hard_bound_does_not_happen(lk: Lake, tmp_path: Path) -> None:
    lk.set_quota("study", hard=100)
    put(lk, tmp_path, "study/a", 90)
    head = lk.log()[0].seq
    with pytest.raises(QuotaExceeded, match=r"study on main would hold 110 B .*quota is 100 B") as caught:
        put(lk, tmp_path, "study/b", 20)
    assert isinstance(caught.value, StorageError)
    assert caught.value.errno == errno.EDQUOT
    assert str(caught.value).startswith("study on main")
    assert (lk.log()[0].seq, lk.exists("study/b"), staged(lk)) == (head, False, [])
    put(lk, tmp_path, "study/b", 10)
    put(lk, tmp_path, "elsewhere", 1000)
    put(lk, tmp_path, "study2", 1000)
    assert used(lk, "study") == 100


def test_whatever_commits_is_checked(lk: Lake, tmp_path: Path) -> None:
    put(lk, tmp_path, "big", 90)
    put(lk, tmp_path, "study/a", 90)
    lk.set_quota("study", hard=100)
    with pytest.raises(QuotaExceeded):
        lk.cp("big", "study/b")
    with pytest.raises(QuotaExceeded):
        lk.mv("big", "study/b")
    with pytest.raises(QuotaExceeded), lk.open("study/b", "wb") as file:
        file.write(b"\1" * 90)
    with pytest.raises(QuotaExceeded):
        copy_twice(lk)
    with lk.commit("one goes, one comes"):
        lk.rm("study/a")
        put(lk, tmp_path, "study/b", 95)
    assert used(lk, "study") == 95
    head = str(lk.log()[0].seq)
    lk.rm("study/b")
    put(lk, tmp_path, "study/c", 10)
    put(lk, tmp_path, "study/b", 1)
    with pytest.raises(QuotaExceeded):
        lk.cp(f"@{head}/study/b", "study/b")
    assert staged(lk) == []


def copy_twice(lk: Lake) -> None:
    with lk.commit("two"):
        lk.rm("study/a")
        lk.cp("big", "study/b")
        lk.cp("big", "study/c")


def test_what_shrinks_always_goes(lk: Lake, tmp_path: Path) -> None:
    put(lk, tmp_path, "a", 500)
    put(lk, tmp_path, "b", 500)
    lk.set_quota(hard=100)
    lk.rm("a")
    put(lk, tmp_path, "b", 400)
    lk.set_meta("b", {"k": 1})
    with pytest.raises(QuotaExceeded):
        put(lk, tmp_path, "c", 1)


def test_every_branch_by_itself(lk: Lake, tmp_path: Path) -> None:
    put(lk, tmp_path, "a", 60)
    lk.set_quota("/", hard=100)
    lk.branch("exp")
    for branch in ("main", "exp"):
        put(lk, tmp_path, f"@{branch}/b", 40)
        with pytest.raises(QuotaExceeded, match=branch):
            put(lk, tmp_path, f"@{branch}/c", 1)
    assert lk.quotas() == [QuotaUse("", "main", 100, None, 100), QuotaUse("", "exp", 100, None, 100)]
    lk.remove_quota()
    put(lk, tmp_path, "c", 1)
    assert lk.quotas() == []
    with pytest.raises(NotFound):
        lk.remove_quota()


def test_a_soft_bound_warns(lk: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lk.set_quota("s", soft=50, hard=1000)
    with caplog.at_level(logging.WARNING, "lake.quotas"), warnings.catch_warnings():
        warnings.simplefilter("error")
        put(lk, tmp_path, "s/a", 50)
        assert caplog.messages == []
        put(lk, tmp_path, "s/b", 10)
        assert caplog.messages == ["s on main holds 60 B, more than its soft quota of 50 B"]
        lk.rm("s/a")
        lk.set_meta("s/b", {"k": 1})
    assert len(caplog.messages) == 1


def test_refused_before_anything_is_copied(lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lk.set_quota("s", hard=5)
    folder = make_tree(tmp_path / "files", {"a": "123", "b": "456"})
    monkeypatch.setattr("lake.lake.Intake", None)
    with pytest.raises(QuotaExceeded):
        lk.put(folder, "s")


def test_bounds(lk: Lake) -> None:
    for bounds in ({}, {"soft": 2, "hard": 1}, {"hard": -1}):
        with pytest.raises(InvalidInput):
            lk.set_quota("s", **bounds)
    with Lake.open_at(lk.root, readonly=True) as reading, pytest.raises(ReadOnly):
        reading.set_quota("s", hard=1)


WRITER = """
import sys
from lake.errors import QuotaExceeded
from lake.journal.values import Put
from lake.lake import Lake
from lake.testing.journal import object_record

record = object_record("0123456789")
with Lake.open_at(sys.argv[1]) as lk:
    for number in range(20):
        try:
            lk.change([Put(f"s/{sys.argv[2]}-{number}", record.digest)], "more")
        except QuotaExceeded:
            pass
"""


def test_eight_processes_at_the_bound(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        lk.repo.journal.commit("main", [], objects=[object_record("0123456789")])
        lk.change([Put("s/first", object_record("0123456789").digest)], "")
        lk.set_quota("s", hard=305)
        command = [sys.executable, "-c", WRITER, str(lk.root)]
        writers = [subprocess.Popen([*command, str(number)]) for number in range(8)]
        assert [writer.wait(60) for writer in writers] == [0] * 8
        assert used(lk, "s") == sum(entry.size for entry in lk.ls("s")) == 300


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500", 500), ("1k", 1000), ("1.5T", 1_500_000_000_000), ("2 TB", 2 * 10**12), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "T", "-1", "1Z", "1e9", "1..5", "9" * 19, "2000P"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


def test_sizes_for_people() -> None:
    assert [human(size) for size in (0, 999, 1000, 1_234_567, 10**15)] == ["0 B", "999 B", "1 kB", "1.23 MB", "1 PB"]
