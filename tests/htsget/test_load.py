"""Many downloads at once, in a process of its own: memory stays small, every byte is right, and ingest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lake.lake import Lake
from tests.lake.samples import NOISE

READERS = 500
SLOW = 300
"""Of these readers, how many stop for a while in the middle."""
MEMORY = 300 << 20
BYTES = NOISE * 2


@contextlib.contextmanager
def served(root: Path) -> Iterator[tuple[str, int]]:
    """URL and process id of ``lake serve``."""
    command = [sys.executable, "-m", "lake.cli", "-C", str(root), "serve", "--port", "0", "--no-access-log"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line[line.index("http://") :].split()[0].rstrip("/"), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=60)


def peak_memory(pid: int) -> int:
    """Bytes of the largest resident set that a process has had."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("no /proc to read the memory of a process from")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


async def download(base: str, path: str, pause: asyncio.Event | None = None) -> bool:
    """Whether a body is `BYTES`; with ``pause``, a bit is read and then nothing until the event comes."""
    where = urlsplit(base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 18)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        seen = 0
        while piece := await reader.read(1 << 18):
            if not BYTES.startswith(piece, seen):
                return False
            seen += len(piece)
            if pause is not None:
                await pause.wait()
        return seen == len(BYTES)
    finally:
        writer.close()


@pytest.fixture
def url_path(lk: Lake, tmp_path: Path) -> str:
    (tmp_path / "big.bin").write_bytes(BYTES)
    lk.put(tmp_path / "big.bin", "big.bin")
    return f"/objects/{lk.stat('big.bin').digest}"


def test_500_slow_readers_in_little_memory(lk: Lake, url_path: str) -> None:
    async def load(base: str) -> list[bool]:
        go_on = asyncio.Event()
        paused = [asyncio.create_task(download(base, url_path, go_on)) for _ in range(SLOW)]
        others = await asyncio.gather(*(download(base, url_path) for _ in range(READERS - SLOW)))
        go_on.set()
        return [*others, *await asyncio.gather(*paused)]

    with served(lk.root) as (base, pid):
        right = asyncio.run(load(base))
        assert peak_memory(pid) < MEMORY
    assert right == [True] * READERS


def test_answers_are_right_while_others_ingest(lk: Lake, url_path: str, tmp_path: Path) -> None:
    processes = []
    for number in range(4):
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        for file in range(40):
            (folder / f"{file}.bin").write_bytes(NOISE[file : 200_000 + 1000 * number])
        command = [sys.executable, "-m", "lake.cli", "-C", str(lk.root), "put", str(folder), f"in{number}/"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    async def load(base: str) -> int:
        answers = 0
        while any(process.poll() is None for process in processes) or not answers:
            assert all(await asyncio.gather(*(download(base, url_path) for _ in range(4))))
            answers += 4
        return answers

    try:
        with served(lk.root) as (base, _):
            assert asyncio.run(load(base)) >= 4
    finally:
        codes = [process.wait(timeout=60) for process in processes]
    assert codes == [0] * 4
