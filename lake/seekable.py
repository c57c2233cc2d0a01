"""What read-only files over something of a known size share: where they stand."""

from __future__ import annotations

import io

__all__ = ["SeekableFile"]


class SeekableFile(io.RawIOBase):
    """A raw file of ``size`` bytes; whoever derives from it reads at ``_position`` and moves that on."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Raises:
            ValueError: before the start of the file.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}: before the start of the file")
        self._position = base + offset
        return self._position
