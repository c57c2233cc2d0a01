"""Servers as processes, and a client that keeps many connections busy from a process of its own.

python -m tests.benchmarks.http_load URL < targets     (a path with its query a line)
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from tests.benchmarks.measuring import lake_command, percentile

__all__ = ["Load", "Service", "load", "running", "serving"]

_CONNECTIONS = 32


class Service(NamedTuple):
    """A server that runs."""

    base: str
    process: int

    def processor_seconds(self) -> float:
        """Processor time of the server and its workers so far; 0.0 where the system does not tell (no ``/proc``)."""
        return _processor_seconds(self.process) if os.path.isdir("/proc/self/task") else 0.0


class Load(NamedTuple):
    """What a server did under load."""

    rate: float
    """Requests a second."""
    p99: float
    """Milliseconds from a request to the end of its answer."""
    processor: float
    """Microseconds of the server's processor time a request: other work of the machine does not change it much."""


@contextmanager
def running(command: Sequence[str | os.PathLike[str]]) -> Iterator[Service]:
    """The server of a command that prints its URL first; it is told to end when the block does."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            base = next(word for word in line.split() if word.startswith("http://"))
            yield Service(base.rstrip("/"), process.pid)
        finally:
            process.terminate()


@contextmanager
def serving(root: Path, workers: int = 1) -> Iterator[Service]:
    """``lake serve`` of a lake, on a free port."""
    options = ["--port", "0", "--no-access-log", "--workers", str(workers)]
    with running(lake_command(root, "serve", *options)) as service:
        yield service


def load(service: Service, targets: Sequence[str]) -> Load:
    """Ask for all targets over 32 connections, each for the next one when it has its answer."""
    before = service.processor_seconds()
    command = [sys.executable, "-m", __name__, service.base]
    done = subprocess.run(command, input="\n".join(targets), stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    seconds, p99 = json.loads(done.stdout)
    spent = service.processor_seconds() - before
    return Load(len(targets) / seconds, 1000 * p99, 1e6 * spent / len(targets))


def _processor_seconds(process: int) -> float:
    """Of a process and its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own + sum(_processor_seconds(int(child)) for child in children)


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole."""

    def __init__(self, host: str, waiting: deque[str], waits: list[float], done: asyncio.Future[None]) -> None:
        self._host = host
        self._waiting = waiting
        self._waits = waits
        self._done = done
        self._data = bytearray()
        self._size = -1
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        if not self._waiting:
            self._transport.close()
            self._done.set_result(None)
            return
        self._data.clear()
        self._size = -1
        self._began = time.perf_counter()
        self._transport.write(f"GET {self._waiting.popleft()} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._size < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._data[:end]).lower()
            assert head.startswith(b"http/1.1 200"), head
            self._size = end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._data) >= self._size:
            self._waits.append(time.perf_counter() - self._began)
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed the connection"))


async def _ask_all(base: str, targets: Sequence[str]) -> tuple[float, list[float]]:
    loop = asyncio.get_running_loop()
    place = urlsplit(base)
    waiting, waits = deque(targets), list[float]()
    ends = [loop.create_future() for _ in range(_CONNECTIONS)]
    began = time.perf_counter()
    for end in ends:

        def make(end: asyncio.Future[None] = end) -> _Connection:
            return _Connection(place.netloc, waiting, waits, end)

        await loop.create_connection(make, place.hostname or "", place.port or 80)
    await asyncio.gather(*ends)
    return time.perf_counter() - began, waits


if __name__ == "__main__":
    import uvloop

    seconds, waits = uvloop.run(_ask_all(sys.argv[1], sys.stdin.read().split("\n")))
    print(json.dumps([seconds, percentile(waits, 99)]))
