"""Contigs numbered in the order in which a file has them, which need not be that of its header."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.intervals.batch import NO_CONTIG
from lake.formats.lines.columns import starts_of_runs

__all__ = ["Numbering"]

I64 = NDArray[np.int64]


class Numbering:
    """Numbers of contigs by name. It grows while a file is read for the first time, and is fixed from then on."""

    def __init__(self, names: Iterable[bytes] = (), *, fixed: bool = False) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._fixed = fixed

    @property
    def names(self) -> list[bytes]:
        return list(self._numbers)

    def number(self, name: bytes) -> int:
        """
        Raises:
            FormatError: a name that a fixed numbering does not have; too many names.
        """
        known = self._numbers.get(name)
        if known is not None:
            return known
        shown = name[:80].decode("utf-8", "replace")
        if self._fixed:
            raise FormatError(f"the contig {shown!r} is not in the file's table: file or table are damaged")
        if len(self._numbers) >= NO_CONTIG - 1:
            raise FormatError(f"more than {NO_CONTIG - 1} contigs, {shown!r} being the last one read")
        self._numbers[name] = len(self._numbers)
        return len(self._numbers) - 1

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, data: bytes, start: I64, stop: I64, missing: bytes | None = None) -> I64:
        """Numbers of the names at ``[start, stop)`` of the data; neighbours that are equal are looked up once.

        The name ``missing`` stands for no contig and gives -1.
        """
        runs = starts_of_runs(data, start, stop)
        numbers = [
            -1 if (name := data[first:last]) == missing else self.number(name)
            for first, last in zip(start[runs].tolist(), stop[runs].tolist(), strict=True)
        ]
        return np.repeat(np.array(numbers, np.int64), np.diff(runs, append=len(start)))
