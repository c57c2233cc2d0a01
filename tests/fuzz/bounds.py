"""What input may cost: seconds and memory of one case."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["MOST_MEMORY", "MOST_SECONDS", "Exceeded", "bounded"]

MOST_SECONDS = 5.0
MOST_MEMORY = 300 << 20

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Exceeded(BaseException):
    """A case took too long or too much. No `Exception`: nothing that answers errors may catch it."""


def _resident(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


@contextmanager
def bounded(seconds: float = MOST_SECONDS, memory: int = MOST_MEMORY) -> Iterator[None]:
    """The body takes no more processor time and no more resident memory above what there was (Linux).

    Raises:
        Exceeded: it does. Time is only seen between two steps of Python.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Exceeded(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    measured = _RESET.exists()
    if measured:
        # proc(5), clear_refs: 5 sets the peak to what is resident now.
        _RESET.write_text("5")
    start = _resident("VmRSS") if measured else 0
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if measured and (taken := _resident("VmHWM") - start) > memory:
        raise Exceeded(f"{taken >> 20} MiB of memory")
