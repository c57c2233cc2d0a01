"""What a check remembers: it goes on after an interruption, and finds what was unchecked for longest (R3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.errors import NotFound
from lake.fsck import checking
from lake.lake import Lake
from tests.lake.samples import flip, make_tree, object_file

_FILES = 12


class Killed(BaseException):
    pass


@pytest.fixture
def filled(bare: Lake, tmp_path: Path) -> Lake:
    make_tree(tmp_path / "tree", {f"{number}.txt": f"{number}" * 1000 for number in range(_FILES)})
    bare.put(f"{tmp_path}/tree/.", "d")
    return bare


def _interrupt(lk: Lake, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let a check end, as by a signal, when it has recorded so many objects one by one."""
    left = [after]

    def step(name: str) -> None:
        if name == "scrub-recorded":
            left[0] -= 1
            if not left[0]:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checking, "crash_point", step)
        patched.setattr(checking, "_OBJECTS", 1)
        with pytest.raises(Killed):
            lk.fsck()


def test_an_interrupted_check_goes_on(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(object_file(filled, "d/3.txt"), 0)
    _interrupt(filled, monkeypatch, 5)
    with Lake.open_at(filled.root) as again:
        report = again.fsck()
    assert report.objects + report.resumed == _FILES
    assert 0 < report.resumed <= 5
    assert [finding.paths for finding in report.findings] == [("d/3.txt@main",)]
    assert filled.fsck().objects == _FILES


def test_restart(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupt(filled, monkeypatch, 5)
    assert filled.fsck(restart=True).objects == _FILES


def test_a_clock_that_was_wrong_hides_nothing(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONLAKE_CLOCK", "86400")
    _interrupt(filled, monkeypatch, 5)
    monkeypatch.delenv("REGIONLAKE_CLOCK")
    assert filled.fsck().objects == _FILES


def test_percent_and_age(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [filled.fsck(percent=25).objects for _ in range(4)]
    assert sum(seen) >= _FILES
    assert filled.fsck(older_than=3600).objects == 0
    monkeypatch.setenv("REGIONLAKE_CLOCK", "7200")
    assert filled.fsck(older_than=3600).objects == _FILES


def test_paths(filled: Lake, bams: Path) -> None:
    filled.put(bams / "a.bam", "runs/")
    flip(object_file(filled, "d/3.txt"), 0)
    assert filled.fsck("runs").ok
    report = filled.fsck(["d/3.txt", "runs/a.bam"])
    assert (report.ok, [finding.paths for finding in report.findings]) == (False, [("d/3.txt@main",)])
    with pytest.raises(NotFound):
        filled.fsck("none")


def test_a_fast_check_reads_no_bytes(filled: Lake) -> None:
    flip(object_file(filled, "d/3.txt"), 0)
    report = filled.fsck(fast=True)
    assert (report.ok, report.objects, report.bytes) == (True, _FILES, 0)
    object_file(filled, "d/4.txt").unlink()
    file = object_file(filled, "d/5.txt")
    file.chmod(0o600)
    file.write_bytes(b"short")
    assert sorted(finding.problem for finding in filled.fsck(fast=True).findings) == ["missing", "size"]


def test_a_damaged_journal_is_one_finding(filled: Lake) -> None:
    filled.close()
    with filled.repo.journal._database.writing() as sql:  # type: ignore[attr-defined]
        sql.execute("UPDATE commits SET message = 'forged' WHERE seq = 1")
        sql.execute("UPDATE entry SET until = 7 WHERE path = 'd/3.txt'")
    found = {finding.detail for finding in filled.fsck().findings}
    assert found == {"commit 1 does not match its id", "d/3.txt: where its version of commit 1 ends is wrong"}
