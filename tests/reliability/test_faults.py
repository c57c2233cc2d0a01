"""Disks that are full or fail, and processes that may have no more: one clear error, nothing lost, later success."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.errors import StorageError
from lake.lake import Lake
from lake.repository import Repository
from lake.testing.faults import FaultySystem
from tests.lake.samples import NOISE, branch_files, staged

CODES = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE]


@pytest.fixture
def system() -> FaultySystem:
    return FaultySystem()


@pytest.fixture
def lk(tmp_path: Path, system: FaultySystem) -> Iterator[Lake]:
    """A lake on a disk that can be made to fail; it must be sound at the end."""
    with Lake.init(tmp_path / "lake") as made:
        (tmp_path / "old").write_bytes(b"old")
        made.put(tmp_path / "old", "old")
    with Lake(Repository.open(made.root, system=system)) as lk:
        yield lk
        system.failing.clear()
        report = lk.fsck()
        assert report.ok
        assert report.foreign == []
        assert staged(lk) == []


@pytest.mark.parametrize("call", ["write", "fsync", "rename_new", "sync_directory"])
@pytest.mark.parametrize("code", CODES)
def test_a_put_on_a_failing_disk(lk: Lake, system: FaultySystem, tmp_path: Path, call: str, code: int) -> None:
    sources = [tmp_path / "a", tmp_path / "b"]
    for source in sources:
        source.write_bytes(NOISE + source.name.encode())
    system.failing[call] = code
    with pytest.raises(StorageError) as caught:
        lk.put(sources, "x/")
    assert "\n" not in str(caught.value)
    assert staged(lk) == []
    assert branch_files(lk) == {"old": b"old"}
    system.failing.clear()
    system.calls.clear()
    lk.put(sources, "x/")
    # What could not be brought to the disk is written again: a sync of the same bytes would tell nothing.
    assert "write" in system.calls
    assert branch_files(lk) == {"old": b"old", "x/a": NOISE + b"a", "x/b": NOISE + b"b"}


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.EIO), ("sync_directory", errno.ENOSPC)])
def test_a_catalog_that_cannot_be_published(lk: Lake, system: FaultySystem, call: str, code: int) -> None:
    lk.catalog.publish(force=True)
    before = lk.catalog.status().number
    lk.mkdir("x")
    system.failing[call] = code
    with pytest.raises(StorageError):
        lk.catalog.publish(force=True)
    with lk.catalog.connect() as asked:
        assert asked.sql("SELECT path FROM files").fetchall() == [("old",)]
    system.failing.clear()
    after = lk.catalog.publish(force=True)
    assert after is not None
    assert before is not None
    assert after.number > before
    assert list((lk.root / "catalog").glob("building-*")) == []


def test_writes_that_take_little_at_once(tmp_path: Path, lk: Lake) -> None:
    (tmp_path / "big").write_bytes(NOISE)
    with Lake(Repository.open(lk.root, system=FaultySystem(short_writes=4097))) as slow:
        slow.put(tmp_path / "big", "big")
    assert branch_files(lk) == {"old": b"old", "big": NOISE}


def in_process(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> None:
    """Run a script in a process of its own; it fails the test when it fails."""
    command = [*prefix, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr


def test_a_limit_on_the_size_of_files(lk: Lake, tmp_path: Path) -> None:
    """EFBIG, in the store and in the journal's own files, which no seam of ours reaches."""
    (tmp_path / "big").write_bytes(NOISE)
    in_process(
        """
        import resource, sys
        import lake
        from lake.errors import LakeError

        lk = lake.open(sys.argv[1])
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most))
        try:
            lk.put(sys.argv[2], "big")
        except LakeError as error:
            assert "\\n" not in str(error)
        else:
            sys.exit("a file larger than the limit was stored")
        acknowledged = 0
        try:
            for number in range(100):
                lk.set_meta("old", {"note": str(number) * 50_000})
                acknowledged = number
        except LakeError as error:
            assert "\\n" not in str(error)
        else:
            sys.exit("the journal grew over the limit")
        assert lk.stat("old").attributes["note"] == str(acknowledged) * 50_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        lk.set_meta("old", {"note": None})
        lk.put(sys.argv[2], "big")
        lk.close()
        """,
        lk.root,
        tmp_path / "big",
    )
    assert branch_files(lk) == {"old": b"old", "big": NOISE}


def test_no_more_files_may_be_open(lk: Lake, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_bytes(b"%d" % number * 70_000)
    in_process(
        """
        import os, resource, sys
        from pathlib import Path
        import lake
        from lake.errors import LakeError

        lk = lake.open(sys.argv[1])
        sources = [str(path) for path in Path(sys.argv[2]).glob("*.txt")]
        before = [entry.path for entry in lk.ls("", recursive=True)]
        lk.repo.session()
        soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        failed = 0
        for room in range(0, 12, 2):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + room, most))
            try:
                report = lk.put(sources, "x/", all_or_nothing=True)
            except (LakeError, OSError) as error:
                failed += 1
                assert "\\n" not in str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
            found = [entry.path for entry in lk.ls("", recursive=True)]
            assert found == before or len(found) == len(before) + len(sources), found
            assert not [path for path in Path(sys.argv[1], "staging").rglob("*") if path.is_file()]
        assert failed
        lk.put(sources, "x/")
        lk.close()
        """,
        lk.root,
        tmp_path,
    )
    assert len(branch_files(lk)) == 41


def test_signals_that_interrupt_every_call(lk: Lake, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_bytes(b"%d" % number * 70_000)
    in_process(
        """
        import signal, sys
        from pathlib import Path
        import lake

        lk = lake.open(sys.argv[1])
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, True)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        lk.put([str(path) for path in Path(sys.argv[2]).glob("*.txt")], "x/")
        lk.catalog.publish(force=True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        lk.close()
        """,
        lk.root,
        tmp_path,
    )
    assert len(branch_files(lk)) == 31


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a small disk of its own, so that SQLite's log, its checkpoints and DuckDB meet the end of it as well."""
    if shutil.which("unshare") is None or os.geteuid():
        pytest.skip("needs a mount of its own")
    in_process(
        """
        import os, subprocess, sys
        from pathlib import Path
        place = Path(sys.argv[1])
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place]).returncode:
            print("needs a mount of its own")
            sys.exit(77)
        import lake
        from lake.errors import LakeError

        lk = lake.Lake.init(place / "lake")
        with lk.open("old", "wb") as file:
            file.write(b"old")
        wanted, failed = {"old": b"old"}, set()
        for room in (3_000_000, 1_000_000, 300_000, 100_000, 40_000, 9_000, 0):
            free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
            (place / f"ballast-{room}").write_bytes(bytes(max(free - room, 0)))
            for number in range(6):
                path, content = f"{room}-{number}", os.urandom(30_000)
                try:
                    with lk.open(path, "wb") as file:
                        file.write(content)
                    wanted[path] = content
                    lk.set_meta(path, {"note": "x" * 20_000})
                except (LakeError, OSError) as error:
                    failed.add(type(error).__name__)
                    assert "\\n" not in str(error)
                assert lk.open("old", "rb").read() == b"old"
            try:
                lk.catalog.publish(force=True)
            except LakeError as error:
                failed.add("catalog")
            found = {entry.path for entry in lk.ls("", recursive=True)}
            assert found == set(wanted), found ^ set(wanted)
        assert failed >= {"StorageError", "catalog"}, failed
        for ballast in place.glob("ballast-*"):
            ballast.unlink()
        with lk.open("new", "wb") as file:
            file.write(b"new")
        assert {path: lk.open(path, "rb").read() for path in wanted} == wanted
        lk.catalog.publish(force=True)
        assert lk.fsck().ok
        lk.close()
        again = lake.open(place / "lake")
        assert {entry.path for entry in again.ls("", recursive=True)} == {*wanted, "new"}
        assert not [path for path in (place / "lake" / "staging").rglob("*") if path.is_file()]
        again.close()
        """,
        tmp_path,
        prefix=("unshare", "-m", "--propagation", "private"),
    )
