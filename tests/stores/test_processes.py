"""Processes that die, that write at the same time, and the order in which one calls the kernel."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lake.crashpoints import CRASH_POINTS
from lake.stores.base import Method
from lake.stores.local import LocalStore
from lake.testing.stores import put_bytes
from tests.stores.conftest import objects, staging

WRITER = """
import io, sys
from pathlib import Path
from lake.stores.base import Method
from lake.stores.local import LocalStore

root, source, start, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with LocalStore(root).batch(f"s{start}") as batch:
    batch.put_file(source, method=Method.MOVE)
    for number in range(start, stop):
        batch.put_stream(io.BytesIO(b"%d" % number * 1000))
    stored = batch.publish()
    print(*(each.digest for each in stored), flush=True)
    batch.release()
"""


def start(root: Path, source: Path, numbers: range, crash_point: str = "", *prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", WRITER, str(root), str(source), str(numbers.start), str(numbers.stop)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"REGIONLAKE_CRASHPOINT": crash_point},
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"source" * 100_000)
    return path


@pytest.mark.parametrize("point", CRASH_POINTS)
@pytest.mark.parametrize("state", ["new", "known", "damaged"])
def test_a_crash_at_every_step(root: Path, source: Path, point: str, state: str) -> None:
    content = source.read_bytes()
    before = [] if state == "new" else put_bytes(LocalStore(root), content, b"0" * 1000)
    if state == "damaged":
        path = root / before[1].location.handle
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    process = start(root, source, range(3), point)
    output, _ = process.communicate(timeout=60)
    if point == "source-linked" and process.returncode == 0:
        pytest.skip("this filesystem grants no leases: nothing was linked")
    assert process.returncode == -signal.SIGKILL
    assert source.exists() is (point != "source-removed")

    store = LocalStore(root)
    if state != "damaged" or point in ("names-made", "published", "source-removed"):
        present = objects(root)
        assert set(output.split()) <= set(present)
        assert {each.digest for each in before} <= set(present)
    assert store.sessions() == ["s0"]
    for session in store.sessions():
        store.reap(session)
    assert staging(root) == []

    if point != "source-removed":
        assert source.read_bytes() == content
        with store.batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            batch.publish()
            batch.release()
        assert not source.exists()
    put_bytes(store, *(b"%d" % number * 1000 for number in range(3)))
    assert len(objects(root)) == 4


def test_processes_that_put_the_same_content(root: Path, tmp_path: Path) -> None:
    processes = []
    for number in range(4):
        source = tmp_path / f"source{number}"
        source.write_bytes(b"same source" * 50_000)
        processes.append(start(root, source, range(number, number + 100)))
    digests = set()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        digests.update(output.split())
    assert set(objects(root)) == digests
    assert len(digests) == 104
    assert staging(root) == []


def test_the_kernel_sees_the_order(root: Path, source: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    calls = "trace=openat,fsync,renameat2,fchmod,unlink"
    process = start(root, source, range(1), "", "strace", "-f", "-y", "-e", calls, "-o", str(trace))
    output, _ = process.communicate(timeout=60)
    if process.returncode != 0 and not output:
        pytest.skip("strace may not trace here")
    lines = [line for line in trace.read_text().splitlines() if str(root) in line]

    def position(pattern: str) -> int:
        found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
        assert found, f"no call {pattern} in {lines}"
        return found[0]

    moved, small = output.split()
    for digest in (moved, small):
        renamed = position(rf'renameat2\(.*staging/s0/\w+/\d+".*{digest}", RENAME_NOREPLACE\) = 0')
        staged = re.search(r"staging/s0/\w+/\d+", lines[renamed])
        assert staged is not None
        folder = position(rf"fsync\(\d+<{re.escape(str(root))}/objects/{digest[:2]}>\)")
        top = position(rf"fsync\(\d+<{re.escape(str(root))}/objects>\)")
        assert renamed < folder
        assert renamed < top
    synced = position(rf"fsync\(\d+<{re.escape(str(root))}/staging/s0/\w+/1>\)")
    assert position(r"openat\(.*staging/s0/\w+/1.*O_EXCL") < synced < position("renameat2")


def test_unknown_streams_do_not_share_names(root: Path) -> None:
    with LocalStore(root).batch("s1") as one, LocalStore(root).batch("s1") as two:
        one.put_stream(io.BytesIO(b"one"))
        two.put_stream(io.BytesIO(b"two"))
        one.publish()
        two.publish()
    assert sorted(objects(root).values()) == [b"one", b"two"]
