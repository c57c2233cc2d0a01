"""Tickets a second of one worker, beside a bare route of the same framework in the same run; and of two workers.

    python -m tests.benchmarks.htsget_tickets --bam deep.bam       (coordinate-sorted, .bai beside it)

Clients keep 32 connections and ask for the next ticket when the last one has come; they are one other process, which
on a machine of two processors takes the second. Repeated: few tickets, over and over. Deferred: no region comes
twice, edges behind signed URLs. Inline: the same with exact edges inside of the ticket; two workers are compared by
these, which leave the least to the client.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import lake
from tests.benchmarks.http_load import Load, Service, load, running, serving
from tests.benchmarks.measuring import Figure, arguments_of, present, scratch

__all__ = ["main", "queries"]

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
_GOALS = {"repeated tickets": 6_000, "distinct, deferred edges": 5_000, "distinct, exact inline edges": 1_000}


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
        asked = queries(lk, path, arguments.width, 2 * count)
        ticket = f"/reads/{quote(path)}?format=BAM"
        inline = [f"{ticket}&{each}" for each in asked[count : count + count // 2]]
        with running([sys.executable, "-c", _BARE]) as bare, serving(lk.root) as one:
            plans: dict[str, tuple[Service, list[str]]] = {
                "bare route": (bare, ["/bare"] * count),
                "repeated tickets": (one, [f"{ticket}&{asked[number % 50]}" for number in range(count)]),
                "distinct, deferred edges": (one, [f"{ticket}&{each}&inline=none" for each in asked[:count]]),
                "distinct, exact inline edges": (one, inline[: count // 4]),
            }
            measured = {name: _warm(service, targets) for name, (service, targets) in plans.items()}
        with serving(lk.root, workers=2) as two:
            both = _warm(two, inline)
    return present(_figures(measured, both))


def _warm(service: Service, targets: Sequence[str]) -> Load:
    load(service, targets[-max(len(targets) // 20, 64) :])
    return load(service, targets)


def _figures(measured: dict[str, Load], both: Load) -> list[Figure]:
    bare = measured["bare route"]
    figures = [Figure("bare route", bare.rate, "/s", note=f"{bare.processor:.0f} us of the server's processor time")]
    for name, goal in _GOALS.items():
        found = measured[name]
        note = f"{found.rate / bare.rate:.3f} of the bare route; {found.processor:.0f} us of processor time"
        figures.append(Figure(name, found.rate, "/s", at_least=goal, note=note))
        figures.append(Figure(f"{name}, p99", found.p99, "ms", at_most=60))
    alone = measured["distinct, exact inline edges"]
    note = f"{both.rate:,.0f}/s against {alone.rate:,.0f}/s; {both.processor:.0f} us of processor time"
    return [*figures, Figure("two workers / one, exact inline edges", both.rate / alone.rate, "x", None, 1.6, note)]


def queries(lk: lake.Lake, path: str, width: int, count: int) -> list[str]:
    """Random regions of a file as htsget writes them."""
    chance = random.Random(7)
    places = [(name, length) for name, length in lk.desk.file(lk.reader(path).source, path)[0].contigs.items()]
    weights = [length for _, length in places]
    found = []
    for name, length in chance.choices(places, weights, k=count):
        start = chance.randrange(max(1, length - width))
        found.append(f"referenceName={quote(name)}&start={start}&end={min(start + width, length)}")
    return found


if __name__ == "__main__":
    main()
