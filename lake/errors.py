"""The one hierarchy of errors, grouped by what a handler would do about them.

    LakeError
    ├── NotALake            FileNotFoundError   no lake at this place
    ├── UnsupportedVersion  RuntimeError        the lake is newer than this software
    ├── LakeLocked          TimeoutError        another process holds the journal for too long
    ├── NotFound            FileNotFoundError   no such path, ref, object or attribute
    ├── AlreadyExists       FileExistsError     the name is taken
    ├── IsDirectory         IsADirectoryError   a file was asked for
    ├── NotDirectory        NotADirectoryError  a directory was asked for
    ├── ReadOnly            PermissionError     a tag, a past commit, a read-only lake
    ├── Conflict            RuntimeError        somebody else committed first: read again, retry
    │   └── Collected       RuntimeError        gc took what was being stored: put it again
    ├── InvalidPath         ValueError          not a path that a lake can hold
    ├── InvalidRef          ValueError          not a ref
    ├── InvalidRegion       ValueError          not a region of this file
    ├── InvalidInput        ValueError          any other argument that cannot be used
    ├── BadQuery            ValueError          not a query that the catalog answers; as many lines as DuckDB says
    ├── FormatError         ValueError          the bytes are not what the format demands
    ├── Unsupported         ValueError          understood, but not something that can be answered
    ├── SourceChanged       OSError             a file changed or vanished while it was read
    ├── Unreadable          OSError             a file outside the lake cannot be read
    ├── StorageError        OSError             the disk or the object store failed
    │   ├── QuotaExceeded   OSError             more bytes than a quota allows; errno is EDQUOT
    │   └── StaleJournal    OSError             the journal lacks what its log has: it is not used
    └── DamagedObject       OSError             stored bytes no longer match their digest

Each class is also the builtin that a caller would expect, so ``except FileNotFoundError`` works. A message is
one line: what happened, where, and what to do about it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar, TypeVar

__all__ = [
    "AlreadyExists",
    "BadQuery",
    "Collected",
    "Conflict",
    "DamagedObject",
    "FormatError",
    "InvalidInput",
    "InvalidPath",
    "InvalidRef",
    "InvalidRegion",
    "IsDirectory",
    "LakeError",
    "LakeLocked",
    "NotALake",
    "NotDirectory",
    "NotFound",
    "QuotaExceeded",
    "ReadOnly",
    "SourceChanged",
    "StaleJournal",
    "StorageError",
    "Unreadable",
    "Unsupported",
    "UnsupportedVersion",
    "with_others",
]

Failure = TypeVar("Failure", bound=BaseException)


class LakeError(Exception):
    """Base of every error that regionlake raises on purpose."""

    code: ClassVar[str] = "error"
    """Stable, append-only word for programs; never renamed."""


class NotALake(LakeError, FileNotFoundError):
    code = "not-a-lake"


class UnsupportedVersion(LakeError, RuntimeError):
    code = "unsupported-version"


class LakeLocked(LakeError, TimeoutError):
    code = "locked"


class NotFound(LakeError, FileNotFoundError):
    code = "not-found"


class AlreadyExists(LakeError, FileExistsError):
    code = "already-exists"


class IsDirectory(LakeError, IsADirectoryError):
    code = "is-directory"


class NotDirectory(LakeError, NotADirectoryError):
    code = "not-directory"


class ReadOnly(LakeError, PermissionError):
    code = "read-only"


class Conflict(LakeError, RuntimeError):
    code = "conflict"


class Collected(Conflict):
    """Stored bytes went to the trash before a commit named them."""

    code = "collected"

    def __init__(self, message: str, digests: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.digests = tuple(digests)
        """Whose bytes: 64 hexadecimal digits each."""

    @classmethod
    def of(cls, digests: Sequence[str]) -> Collected:
        """The error for one or more of them."""
        more = f" and {len(digests) - 1} more" if len(digests) > 1 else ""
        return cls(f"b3:{digests[0]}{more} was collected while it was stored: put it again", digests)


class InvalidPath(LakeError, ValueError):
    code = "invalid-path"


class InvalidRef(LakeError, ValueError):
    code = "invalid-ref"


class InvalidRegion(LakeError, ValueError):
    code = "invalid-region"


class InvalidInput(LakeError, ValueError):
    code = "invalid-input"


class BadQuery(LakeError, ValueError):
    """Not a query that the catalog answers. The message may have several lines: DuckDB points at the place."""


class FormatError(LakeError, ValueError):
    code = "format"


class Unsupported(LakeError, ValueError):
    code = "unsupported"


class SourceChanged(LakeError, OSError):
    code = "source-changed"


class Unreadable(LakeError, OSError):
    code = "unreadable"


class StorageError(LakeError, OSError):
    code = "storage"


class StaleJournal(StorageError):
    code = "stale-journal"


class QuotaExceeded(StorageError):
    """Nothing was committed; ``errno`` is EDQUOT, as of a filesystem's quota."""

    code = "quota"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.EDQUOT


class DamagedObject(LakeError, OSError):
    code = "damaged"


def with_others(failures: Sequence[Failure]) -> Failure:
    """The first of several failures, with the messages of the others as its notes."""
    for other in failures[1:]:
        failures[0].add_note(str(other))
    return failures[0]
