"""Bytes that Python makes, for a C library that reads files; and files that it writes, for Python to read meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from types import TracebackType
from typing import Self

__all__ = ["Feed", "spooled"]

_PIECE = 1 << 20
_TICK = 0.05
"""Seconds between two looks at a file that grows."""


class Feed:
    """The reading end of a pipe into which a thread writes pieces; a context that ends both.

    Whoever reads sees the end of the file also where the pieces ended in an error: `check` tells.
    """

    name = "-"
    """What pysam takes for a stream, beside which no index is looked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._read, self._write = os.pipe()
        self._pool = ThreadPoolExecutor(1, "regionlake-feed")
        self._written = self._pool.submit(self._run, pieces)

    def fileno(self) -> int:
        return self._read

    def check(self) -> None:
        """Raise what the pieces ended in, if it was an error. To be asked once the reader has seen the end."""
        self._written.result()

    def failed(self) -> bool:
        """Whether the pieces have ended in an error by now."""
        return self._written.done() and self._written.exception() is not None

    def _run(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._write, view) :]
        except BrokenPipeError:
            # The reader has seen enough.
            return
        finally:
            os.close(self._write)

    def release(self) -> None:
        """Close our copy of the reading end, once the reader has its own: then its end is the end of the thread."""
        if self._read >= 0:
            os.close(self._read)
            self._read = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()
        self._pool.shutdown()


def spooled(write: Callable[[str, Callable[[], bool]], None]) -> Iterator[bytes]:
    """The bytes of a temporary file while another thread writes it.

    A pipe would not do: htslib, called from Python, may hold the interpreter's lock while it writes, and wait for a
    reader that waits for the lock.

    Args:
        write: writes to the path that it is given until it is done, or until the function that it is given says stop.

    Raises:
        What ``write`` raises, after the bytes that it has written.
    """
    stopped = Event()
    with tempfile.NamedTemporaryFile(prefix="regionlake-") as file, ThreadPoolExecutor(1, "regionlake-decode") as pool:
        written = pool.submit(write, file.name, stopped.is_set)
        at = 0
        try:
            while True:
                finished = written.done()
                piece = os.pread(file.fileno(), _PIECE, at)
                at += len(piece)
                if piece:
                    yield piece
                elif finished:
                    break
                else:
                    wait([written], _TICK)
            written.result()
        finally:
            stopped.set()
