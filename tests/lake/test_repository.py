"""One lake, many processes: nothing is lost, whoever dies, and forks go on working."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lake.crashpoints import CRASH_POINTS
from lake.errors import LakeLocked
from lake.lake import Lake
from lake.repository import Repository, default_author
from tests.lake.samples import branch_files, make_tree, staged

PUT_MANY = """
import sys, lake
from pathlib import Path
root, folder, name, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
lk = lake.open(root)
for number in range(count):
    source = folder / f"{name}-{number}.txt"
    source.write_text(f"{name} {number}")
    lk.put(source, f"{name}/")
    print(source.name, flush=True)
"""

PUT_ONE = """
import sys, lake
lake.open(sys.argv[1]).put([sys.argv[2], sys.argv[3]], "x/", method="move")
"""


def start(code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_eight_processes_lose_nothing(lk: Lake, tmp_path: Path) -> None:
    workers = [start(PUT_MANY, lk.root, tmp_path, f"w{number}", 25) for number in range(8)]
    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0
    wanted = {f"w{w}/w{w}-{n}.txt": f"w{w} {n}".encode() for w in range(8) for n in range(25)}
    assert branch_files(lk) == wanted
    assert len(lk.log()) == 200


def test_a_process_killed_at_any_moment(lk: Lake, tmp_path: Path) -> None:
    source = random.Random(4)
    for turn in range(3):
        worker = start(PUT_MANY, lk.root, tmp_path, f"t{turn}", 10_000)
        assert worker.stdout is not None
        acknowledged = [worker.stdout.readline().strip()]
        time.sleep(source.uniform(0.01, 0.15))
        os.kill(worker.pid, signal.SIGKILL)
        acknowledged += worker.communicate(timeout=60)[0].split()
        with Lake.open_at(lk.root) as again:
            found = branch_files(again)
            for name in acknowledged:
                assert found[f"t{turn}/{name}"] == name.removesuffix(".txt").replace("-", " ").encode()
            assert again.fsck().ok
    _expire(lk)


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_move_that_is_killed_at_each_step(lk: Lake, tmp_path: Path, point: str) -> None:
    """Copies are in tests/reliability."""
    make_tree(tmp_path, {"old": "old", "a.txt": "a" * 5000, "b.txt": "b" * 5000})
    lk.put(tmp_path / "old", "old")
    worker = start(PUT_ONE, lk.root, tmp_path / "a.txt", tmp_path / "b.txt", REGIONLAKE_CRASHPOINT=point)
    worker.communicate(timeout=60)
    reached = worker.returncode == -signal.SIGKILL
    assert reached or worker.returncode == 0
    assert reached or point == "staging-written"
    committed = not reached or point == "source-removed"
    x = {"x/a.txt": b"a" * 5000, "x/b.txt": b"b" * 5000} if committed else {}
    with Lake.open_at(lk.root) as again:
        assert branch_files(again) == {"old": b"old", **x}
        assert again.fsck().ok
        sources = [path for path in (tmp_path / "a.txt", tmp_path / "b.txt") if path.exists()]
        assert committed or len(sources) == 2
        make_tree(tmp_path, {"a.txt": "a" * 5000, "b.txt": "b" * 5000})
        again.put([tmp_path / "a.txt", tmp_path / "b.txt"], "x/")
        assert branch_files(again) == {"old": b"old", "x/a.txt": b"a" * 5000, "x/b.txt": b"b" * 5000}
        assert {file.stat().st_mode & 0o777 for file in (lk.root / "objects").glob("*/*")} == {0o444}
    _expire(lk)


def _expire(lk: Lake) -> None:
    """As if the leases of processes that died had run out: the next session clears up behind them."""
    lk.close()
    for lease in lk.repo.journal.live_leases("staging"):
        lk.repo.journal.release_lease(lease)
    with Lake.open_at(lk.root) as again:
        again.mkdir("after")
        again.repo.session()
        assert staged(again) == []


def test_a_forked_child_and_its_parent_go_on(lk: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path, {name: name for name in ("before", "child", "parent")})
    lk.put(tmp_path / "before", "before")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            lk.put(tmp_path / "child", "child")
            with lk.open("written", "wb") as file:
                file.write(b"by the child")
            status = 0 if lk.exists("before") else 2
        finally:
            os._exit(status)
    lk.put(tmp_path / "parent", "parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lk.rm("before")
    assert branch_files(lk) == {"child": b"child", "parent": b"parent", "written": b"by the child"}
    _expire(lk)


def test_a_lake_that_another_process_keeps_locked(lk: Lake, tmp_path: Path) -> None:
    lk.mkdir("before")
    impatient = Lake(Repository.open(lk.root, timeout=0.2))
    with open(lk.root / "journal.lock", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LakeLocked) as caught:
            impatient.mkdir("after")
        assert [entry.path for entry in impatient.ls()] == ["before"]
    assert "\n" not in str(caught.value)
    impatient.mkdir("after")
    impatient.close()


def test_who_commits(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_AUTHOR", "Ada")
    lk.mkdir("x")
    assert lk.log()[0].author == "Ada"
    monkeypatch.delenv("LAKE_AUTHOR")
    assert default_author()
