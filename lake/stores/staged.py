"""What lies in staging until it is published."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import NamedTuple

from lake.digest import Digest
from lake.stores.spool import Spool

__all__ = ["Packed", "StagedFile"]


@dataclass(slots=True)
class StagedFile:
    """A complete file in staging."""

    digest: Digest
    size: int
    path: str
    handle: str
    """Its name once it is published."""
    fd: int | None
    """Kept open for its sync, which then reports every failed write; None in batches of many files."""

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def discard(self) -> None:
        """Close it, and remove it unless it has left staging."""
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Packed(NamedTuple):
    """A small file inside a spool."""

    digest: Digest
    size: int
    spool: Spool
    offset: int

    def read(self) -> bytes:
        return self.spool.read(self.offset, self.size)
