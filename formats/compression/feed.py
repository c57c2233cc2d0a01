"""The first inflated bytes of a file, as many as are asked for: how binary headers are read."""

from __future__ import annotations

from bisect import bisect_right

from lake.errors import FormatError
from lake.formats.compression.containers import Container

__all__ = ["Feed"]

_MOST = 1 << 28


class Feed:
    """Bytes from the start of a file; ``what`` names the header in messages."""

    def __init__(self, container: Container, what: str) -> None:
        self.data = bytearray()
        self._what = what
        self._shift = container.shift
        self._runs = container.runs(0)[0]
        self._starts = [0]
        self._coffsets = [0]

    def need(self, size: int) -> None:
        """Hold at least ``size`` bytes.

        Raises:
            FormatError: the file has less, or nobody would hold that many.
        """
        if size > _MOST:
            raise FormatError(f"the {self._what} is larger than 256 MiB, or its lengths are damaged")
        while len(self.data) < size:
            run = next(self._runs, None)
            if run is None:
                raise FormatError(f"the file ends inside its {self._what}: it is truncated or damaged")
            self.data += run.data
            self._starts.append(len(self.data))
            self._coffsets.append(run.next)

    def place(self, at: int) -> int:
        """The place of a byte that is held, or of the first one that is not."""
        block = bisect_right(self._starts, at) - 1
        return (self._coffsets[block] << self._shift) + at - self._starts[block]
