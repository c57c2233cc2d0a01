"""What all benchmarks share: runs in turns, medians, peak memory of a process, and the line that a figure prints."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Contestant",
    "Figure",
    "Series",
    "Usage",
    "arguments_of",
    "evict",
    "interleave",
    "lake_command",
    "percentile",
    "present",
    "read_through",
    "run",
    "scratch",
    "settle",
    "warm_memory",
]

_PIECE = 1 << 20

# An installed package has its bytecode; where writing that is forbidden, every process would compile the sources anew.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Figure:
    """One measured number, with the bound that it should keep."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    """What it was computed from: medians and ranges of the contestants."""

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None for figures without one."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    def __str__(self) -> str:
        bound = f"<= {self.at_most:g}" if self.at_most is not None else ""
        bound = f">= {self.at_least:,g}" if self.at_least is not None else bound
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.what:<46} {_number(self.value):>9} {self.unit:<4} {bound:<10} {verdict:<7} {self.note}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


class Series(tuple[float, ...]):
    """Seconds of several runs of the same thing."""

    __slots__ = ()

    @property
    def median(self) -> float:
        return statistics.median(self)

    def __str__(self) -> str:
        return f"{self.median:.3g} s ({min(self):.3g}-{max(self):.3g})"


class Contestant(NamedTuple):
    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    """Called before every run, untimed."""


def interleave(contestants: Sequence[Contestant], turns: int) -> list[Series]:
    """Run A B B A A B …, so that a machine that slows down slows all of them; seconds by contestant.

    Every other turn goes backwards: memory and disk that one has just used are faster for the next.
    """
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn in range(turns):
        pairs = list(zip(contestants, seconds, strict=True))
        for contestant, taken in pairs if turn % 2 == 0 else reversed(pairs):
            contestant.prepare()
            start = time.perf_counter()
            contestant.run()
            taken.append(time.perf_counter() - start)
    return [Series(taken) for taken in seconds]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


class Usage(NamedTuple):
    """What a finished process took."""

    seconds: float
    peak: int
    """Bytes of its largest resident set. A process starts with the size of the one that made it: keep that small."""


def run(command: Sequence[str | os.PathLike[str]]) -> Usage:
    """Run a command to its end; what it prints is dropped.

    Raises:
        CalledProcessError: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Usage(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def lake_command(root: Path, *arguments: str | os.PathLike[str]) -> list[str]:
    """The command line ``lake -C root …`` of this very interpreter."""
    return [sys.executable, "-m", "lake.cli", "-C", str(root), *(os.fspath(argument) for argument in arguments)]


def read_through(path: Path) -> None:
    """Bring a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(_PIECE):
            pass


def evict(path: Path) -> None:
    """Drop a file from the page cache, where the system can."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def settle(*leftovers: Path) -> None:
    """Remove what an earlier run left and wait for the disk, so that nobody pays for another's writes."""
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    os.sync()


def warm_memory(size: int) -> None:
    """Have so many bytes of free memory at hand for whoever runs next.

    A virtual machine gives memory that is not used back to its host, and whoever needs it then waits for it: the one
    who happened to run second after a pause would win.
    """
    _ = b"\1" * size


def arguments_of(description: str, turns: int) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--work", type=Path, help="directory for temporary data (default: the system's)")
    parser.add_argument("--turns", type=int, default=turns, help=f"runs of each contestant (default {turns})")
    return parser


@contextlib.contextmanager
def scratch(work: Path | None) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="regionlake-benchmark-", dir=work) as name:
        yield Path(name)


def present(figures: Sequence[Figure]) -> list[Figure]:
    """Print figures, a line each."""
    for figure in figures:
        print(figure, flush=True)
    return list(figures)
