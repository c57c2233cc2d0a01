"""Everybody at once: who holds a connection, who asks, who commits, who publishes, and who is killed at it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lake.lake import Lake
from tests.catalog.conftest import Put
from tests.catalog.truth import check

WRITERS, COMMITS = 8, 6

OPEN = "import lake, sys; lk = lake.open(sys.argv[1]);"

WRITE = f"""{OPEN}
for number in range({COMMITS}):
    with lk.open(f"{{sys.argv[2]}}/{{number}}", "w") as file:
        file.write("x")
    path = f"{{sys.argv[2]}}/{{number}}"
    assert lk.sql("SELECT count(*) FROM files WHERE path = ?", [path]).fetchall() == [(1,)]
lk.close()
"""

ASK = f"""{OPEN}
seen = 0
while seen < {WRITERS * COMMITS}:
    ((now, commits),) = lk.sql("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM commits)").fetchall()
    assert now == commits >= seen, (now, commits, seen)
    seen = now
"""

PUBLISH = f"""{OPEN}
while True:
    lk.catalog.publish(force=True)
    print("published", flush=True)
"""

REBUILD = PUBLISH.replace("publish(force=True)", "rebuild()")


def running(script: str, lk: Lake, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(lk.root), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGKILL)
    return process.communicate()[1]


def test_nobody_is_in_anybodys_way(lk: Lake) -> None:
    with lk.catalog.connect() as held:
        publishers = [running(PUBLISH, lk), running(REBUILD, lk)]
        others = [running(ASK, lk), *(running(WRITE, lk, f"w{number}") for number in range(WRITERS))]
        try:
            while any(process.poll() is None for process in others):
                before = held.sql("SELECT count(*) FROM files").fetchall()[0][0]
                held.refresh()
                assert held.sql("SELECT count(*) FROM files").fetchall()[0][0] >= before
                time.sleep(0.05)
            errors = [process.communicate()[1] for process in others]
            assert [process.returncode for process in others] == [0] * len(others), errors
            assert all(process.poll() is None for process in publishers)
        finally:
            said = [killed(process) for process in [*publishers, *others]]
        assert not any(said), said
        held.refresh()
        check(lk, held)
    check(lk)
    lk.catalog.publish(force=True)
    check(lk)


def test_publishers_that_are_killed_leave_a_working_catalog(lk: Lake, put: Put) -> None:
    chance = random.Random()
    for number in range(5):
        put(f"{number}", "x")
        publisher = running(REBUILD if number % 2 else PUBLISH, lk)
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "published\n"
        time.sleep(chance.uniform(0, 0.1))
        killed(publisher)
        check(lk)
    folder = Path(lk.root) / "catalog"
    assert len(list(folder.iterdir())) < 20
    lk.catalog.publish(force=True)
    assert not list(folder.glob("building-*"))
    assert len(list(folder.glob("generation-*.json"))) == 2
    check(lk)
