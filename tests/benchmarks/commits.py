"""Small commits by several processes on one lake: how many a second together, and how long each takes.

    python -m tests.benchmarks.commits

A commit adds one entry under a path of its own; it is durable when the call returns. The verb `cp`, which looks up
source and destination before it commits, is shown beside it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import lake
from lake.journal.values import Put
from tests.benchmarks.measuring import Figure, arguments_of, percentile, present, scratch

__all__ = ["main"]


_ROOT = Path(__file__).resolve().parents[2]


class _Share(NamedTuple):
    """What one process did."""

    start: float
    stop: float
    latencies: list[float]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--commits", type=int, default=1000, help="commits of each process")
    parser.add_argument("--worker", nargs=2, metavar=("LAKE", "VERB"), help="be one of the processes")
    parser.add_argument("--number", type=int, default=0, help="which of them")
    arguments = parser.parse_args(argv)
    if arguments.worker is not None:
        root, verb = arguments.worker
        _work(Path(root), verb, arguments.number, arguments.commits)
        return []
    figures: list[Figure] = []
    with scratch(arguments.work) as folder:
        seed = folder / "seed"
        seed.write_bytes(b"seed")
        for verb, bound in (("commit", True), ("cp", False)):
            rates, tails, middles = [], [], []
            for turn in range(arguments.turns):
                root = folder / f"{verb}-{turn}"
                with lake.init(root) as lk:
                    lk.put(seed, "seed")
                rate, latencies = _compete(root, verb, arguments.processes, arguments.commits)
                rates.append(rate)
                tails.append(percentile(latencies, 99) * 1000)
                middles.append(percentile(latencies, 50) * 1000)
            name = f"{verb} by {arguments.processes} processes"
            at_least, at_most = (1500.0, 20.0) if bound else (None, None)
            spread = f"({min(rates):,.0f}-{max(rates):,.0f})"
            note = f"p50 {statistics.median(middles):.2g} ms; p99 of the runs {min(tails):.3g}-{max(tails):.3g} ms"
            figures.append(Figure(name, statistics.median(rates), "/s", at_least=at_least, note=spread))
            figures.append(Figure(f"{name}, p99", statistics.median(tails), "ms", at_most=at_most, note=note))
    return present(figures)


def _compete(root: Path, verb: str, processes: int, commits: int) -> tuple[float, list[float]]:
    """Commits a second from the first start to the last stop, and the seconds of each commit."""
    command = [sys.executable, "-m", "tests.benchmarks.commits", "--worker", str(root), verb]
    workers = [
        subprocess.Popen(
            [*command, "--commits", str(commits), "--number", str(number)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [_Share(*json.loads(worker.communicate()[0])) for worker in workers]
    with lake.open(root) as lk:
        assert len(lk.log()) == processes * commits + 1
    seconds = max(share.stop for share in shares) - min(share.start for share in shares)
    return processes * commits / seconds, [latency for share in shares for latency in share.latencies]


def _work(root: Path, verb: str, number: int, commits: int) -> None:
    """One of the processes: says that it is ready, waits for a line, commits, and prints its share."""
    with lake.open(root) as lk:
        digest = lk.stat("seed").digest
        assert digest is not None

        def commit(path: str) -> object:
            return lk.repo.commit("main", [Put(path, digest)], message="small")

        def copy(path: str) -> object:
            return lk.cp("seed", path)

        do: Callable[[str], object] = {"commit": commit, "cp": copy}[verb]
        latencies = []
        print("ready", flush=True)
        sys.stdin.readline()
        start = before = time.monotonic()
        for count in range(commits):
            do(f"w{number}/{count:06}")
            now = time.monotonic()
            latencies.append(now - before)
            before = now
        print(json.dumps(_Share(start, before, latencies)))


if __name__ == "__main__":
    main()
