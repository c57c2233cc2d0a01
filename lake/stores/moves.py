"""Sources that the lake takes over instead of copying them: when that is safe, and how to give them back."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

from lake.stores.durable import System
from lake.stores.intake import SourceFile, check_same

__all__ = ["MovedSource", "may_move"]


@dataclass(frozen=True, slots=True)
class MovedSource:
    """A file that is to go once the commit stands."""

    path: str
    status: os.stat_result
    """What it was when it was opened."""
    linked: bool
    """It is the stored file itself, under its old name; otherwise it was copied."""

    def check_unchanged(self) -> None:
        """Raise SourceChanged unless the file is what it was."""
        check_same(self.path, self.status)

    def restore_mode(self) -> None:
        """Give a source that stays its permissions back."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(self.path), self.status):
                os.chmod(self.path, stat.S_IMODE(self.status.st_mode))


def may_move(file: SourceFile, system: System) -> bool:
    """Whether a file has no other name, no writer and no other owner. On True its descriptor holds a read lease."""
    return (
        file.status.st_nlink == 1
        and file.status.st_uid == os.geteuid()
        # Where the name cannot be removed afterwards, the lake's file would keep a second, foreign name.
        and os.access(os.path.dirname(os.path.abspath(file.path)), os.W_OK | os.X_OK)
        and system.lease(file.fd)
    )
