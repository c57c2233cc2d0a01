"""Tickets a second of one worker, beside a bare route of the same framework in the same run.

    python -m tests.benchmarks.htsget_tickets --bam deep.bam       (coordinate-sorted, .bai beside it)

Clients keep 32 connections and ask for the next ticket when the last one has come; they are one other process, which
on a machine of two processors takes the second. Repeated: few tickets, over and over. Deferred: no region comes
twice, edges behind signed URLs. Inline: the same with exact edges inside of the ticket.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlsplit

import lake
from tests.benchmarks.measuring import Figure, arguments_of, percentile, present, scratch

__all__ = ["main"]

_CONNECTIONS = 32
_BARE = """
import socket, sys, uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response
app = FastAPI()
@app.get("/bare")
async def bare(request: Request) -> Response:
    return Response(b"{}", media_type="application/json")
listener = socket.create_server(("127.0.0.1", 0))
print("http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
"""


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=1)
    parser.add_argument("--bam", type=Path, required=True, help="a coordinate-sorted BAM with its .bai beside it")
    parser.add_argument("--requests", type=int, default=20_000, help="requests of each kind")
    parser.add_argument("--width", type=int, default=10_000, help="bases of a region")
    arguments = parser.parse_args(argv)
    count = arguments.requests
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.put([arguments.bam, f"{arguments.bam}.bai"], "runs/")
        path = f"runs/{arguments.bam.name}"
        lk.index(path)
        asked = _queries(lk, path, arguments.width, 2 * count)
        serve = [sys.executable, "-m", "lake.cli", "-C", str(lk.root), "serve", "--port", "0", "--no-access-log"]
        with _running([sys.executable, "-c", _BARE]) as bare, _running(serve) as base:
            ticket = f"/reads/{quote(path)}?format=BAM"
            plans = {
                "bare route": (bare, ["/bare"] * count),
                "repeated tickets": (base, [f"{ticket}&{asked[number % 50]}" for number in range(count)]),
                "distinct, deferred edges": (base, [f"{ticket}&{each}&inline=none" for each in asked[:count]]),
                "distinct, exact inline edges": (
                    base,
                    [f"{ticket}&{each}" for each in asked[count : count + count // 4]],
                ),
            }
            measured = {}
            for name, (where, targets) in plans.items():
                _load(where, targets[: max(len(targets) // 20, 50)])
                measured[name] = _load(where, targets)
    return present(_figures(measured))


def _figures(measured: dict[str, tuple[float, list[float]]]) -> list[Figure]:
    rate = measured["bare route"][0]
    goals = {
        "repeated tickets": 6_000,
        "distinct, deferred edges": 5_000,
        "distinct, exact inline edges": 1_000,
    }
    figures = [Figure("bare route", rate, "/s")]
    for name, goal in goals.items():
        found, waits = measured[name]
        figures.append(Figure(name, found, "/s", at_least=goal, note=f"{found / rate:.2f} of the bare route"))
        figures.append(Figure(f"{name}, p99", 1000 * percentile(waits, 99), "ms", at_most=60))
    return figures


def _queries(lk: lake.Lake, path: str, width: int, count: int) -> list[str]:
    chance = random.Random(7)
    places = [(name, length) for name, length in lk.desk.file(lk.reader(path).source, path)[0].contigs.items()]
    weights = [length for _, length in places]
    found = []
    for name, length in chance.choices(places, weights, k=count):
        start = chance.randrange(max(1, length - width))
        found.append(f"referenceName={quote(name)}&start={start}&end={min(start + width, length)}")
    return found


@contextmanager
def _running(command: list[str]) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()


def _load(base: str, targets: Sequence[str]) -> tuple[float, list[float]]:
    """Requests a second, and how long each took, from a process of its own."""
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "tests.benchmarks.htsget_tickets", base]
    done = subprocess.run(
        [*command, "load"], input="\n".join(targets), capture_output=True, text=True, check=True, timeout=300
    )
    seconds, waits = json.loads(done.stdout)
    return len(targets) / seconds, waits


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole."""

    def __init__(self, host: str, waiting: deque[str], waits: list[float], done: asyncio.Future[None]) -> None:
        self._host = host
        self._waiting = waiting
        self._waits = waits
        self._done = done
        self._data = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        if not self._waiting:
            self._transport.close()
            self._done.set_result(None)
            return
        self._data = b""
        self._began = time.perf_counter()
        self._transport.write(f"GET {self._waiting.popleft()} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < size:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
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
    if sys.argv[2:] == ["load"]:
        import uvloop

        print(json.dumps(uvloop.run(_ask_all(sys.argv[1], sys.stdin.read().split("\n")))))
    else:
        main()
