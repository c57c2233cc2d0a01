"""The index that an mzML brings along: never used, only compared."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

__all__ = ["OwnIndex"]

_ENTRY = re.compile(
    rb"<(?:offset(?:\s[^<>]*)?>\s*(\d{1,18})\s*</|index\s[^<>]*?name\s*=\s*[\"'](\w+)[\"']"
    rb"|indexListOffset\s*>\s*(\d{1,18})\s*</|(indexList)[\s>])"
)


class OwnIndex:
    """Offsets of an indexList, read as it goes by. Source: mzML 1.1.2, schema of indexedmzML."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, list[NDArray[np.int64]]] = {}
        self._name = b""
        self._place = -1
        self._stated = -1

    @property
    def found(self) -> bool:
        """Whether there is an indexList."""
        return self._place >= 0

    def update(self, buffer: bytearray, at: int, base: int) -> int:
        """Read what is whole in ``buffer[at:]``, where ``buffer`` begins at offset ``base``; returns where it ends."""
        # Up to the last end tag: an entry ends with one, and none has another inside.
        stop = buffer.rfind(b"</", at)
        if stop < 0:
            # An index has end tags all over: what has none is not kept.
            return at if len(buffer) - at < 1 << 16 else len(buffer)
        numbers: list[int] = []
        for entry in _ENTRY.finditer(buffer, at, stop + 2):
            if entry[1] is not None:
                numbers.append(int(entry[1]))
                continue
            self._take(numbers)
            numbers = []
            if entry[2] is not None:
                self._name = entry[2]
            elif entry[3] is not None:
                self._stated = int(entry[3])
            elif self._place < 0:
                self._place = base + entry.start()
        self._take(numbers)
        return stop + 2

    def _take(self, numbers: list[int]) -> None:
        if numbers:
            self._offsets.setdefault(self._name, []).append(np.array(numbers, np.int64))

    def agrees(self, spectra: NDArray[np.int64], chromatograms: NDArray[np.int64]) -> bool:
        """Whether it lists every spectrum and chromatogram in file order at its right offset, and itself, too."""
        return (
            self._stated == self._place
            and np.array_equal(self._of(b"spectrum"), spectra)
            and np.array_equal(self._of(b"chromatogram"), chromatograms)
        )

    def _of(self, name: bytes) -> NDArray[np.int64]:
        parts = self._offsets.get(name)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)
