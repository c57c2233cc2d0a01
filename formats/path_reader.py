"""A plain file as a `ByteReader`."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from lake.digest import Digest
from lake.errors import FormatError

__all__ = ["PathReader"]


class PathReader:
    """Reads of ranges of a file that does not change meanwhile; closed by leaving the context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    @cached_property
    def source(self) -> Digest:
        """Digest of the content, computed when first asked for."""
        return Digest(blake3().update_mmap(self._path).hexdigest())

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise FormatError(f"cannot read {length} bytes at {offset}")
        return os.pread(self._file.fileno(), length, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._file.close()
