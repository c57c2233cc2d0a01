"""The contract of an object store: immutable bytes, put once under their digest, read by ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self

from lake.digest import Digest

__all__ = [
    "Batch",
    "Capabilities",
    "Known",
    "Location",
    "Method",
    "ObjectStore",
    "Settle",
    "Staged",
    "Stored",
    "Watcher",
]


class Location(NamedTuple):
    """Where the bytes of an object lie. Recorded at put, never computed from the digest by a reader."""

    handle: str
    """The store's own name for what holds the bytes, relative to the store: ``objects/ab/<digest>``."""
    offset: int
    """First byte of the object inside that, 0-based."""
    length: int
    """Bytes of the object."""


Known = Callable[[Sequence[Digest]], Mapping[Digest, Location]]
"""Where the journal says that objects lie, for those of the digests that it knows; asked once a `Batch.publish`."""

Settle = Callable[[Sequence[str]], int]
"""Asked with the handles that a `Batch.publish` is about to name or to rely on, before it looks at any of them: sees to
it that nobody is about to take one away for what happened before, and returns a number to tell what comes later."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store promises beyond the contract."""

    local_paths: bool
    """`ObjectStore.local_path` gives plain files."""
    durable: bool
    """Published objects survive a loss of power."""
    links: bool
    """`Method.MOVE` and `Method.REFLINK` can avoid copying."""


class Method(StrEnum):
    """How the bytes of a source file come into the store."""

    COPY = "copy"
    MOVE = "move"
    """Take the file itself where nothing else links to or writes it, else copy; the source goes at `Batch.release`."""
    REFLINK = "reflink"
    """Share blocks where the filesystem can, else copy."""


class Watcher(Protocol):
    """Sees every stored byte, in order, in the pass that stores and hashes it."""

    def update(self, piece: memoryview, /) -> None: ...


class Staged(NamedTuple):
    """Bytes that were taken in and hashed, not yet published. ``token`` belongs to the batch."""

    digest: Digest
    size: int
    token: int


class Stored(NamedTuple):
    """A published object."""

    digest: Digest
    location: Location
    new: bool
    """False when the store had the object already and its bytes are right."""
    healed: bool
    """True when the store's copy was damaged and has been replaced by the bytes put now."""
    probe: int = 0
    """What `Settle` said of its handle."""


class Batch(Protocol):
    """Puts that become durable together. Leaving the context without `publish` removes what was staged."""

    def put_stream(self, source: BinaryIO, watcher: Watcher | None = None) -> Staged:
        """Take in a stream to its end."""
        ...

    def put_file(self, source: Path, watcher: Watcher | None = None, method: Method = Method.COPY) -> Staged:
        """Take in a file.

        Raises:
            SourceChanged: the file changed, shrank or vanished while it was read.
            StorageError: the disk is full or failed; nothing of this file remains staged.
        """
        ...

    def open(self, staged: Staged) -> BinaryIO:
        """Something staged and not yet published as a seekable, read-only file: for checks before it is kept."""
        ...

    def drop(self, staged: Staged) -> None:
        """Take something staged out of the batch and remove it at once."""
        ...

    def publish(self) -> list[Stored]:
        """Make everything staged so far durable under its digest, in the order of the puts.

        When this returns, data, names and directories are on stable storage; only then may a commit name them.
        Content that the store already holds, or that is known to lie somewhere in it, is checked against its
        digest: good bytes stay where they are (``new=False``); damaged or missing ones are replaced
        (``healed=True``), maybe at another location.
        """
        ...

    def release(self) -> None:
        """After the commit: remove the sources that were moved."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class ObjectStore(Protocol):
    """Immutable bytes by digest. Every method may be called by many threads and processes at once."""

    @property
    def capabilities(self) -> Capabilities: ...

    def batch(self, session: str, known: Known | None = None, settle: Settle | None = None) -> Batch:
        """Start a batch whose staging belongs to the lease ``session`` (a directory-safe word).

        ``known`` lets the batch find content that lies elsewhere than under its own name. Many small files may be
        stored together: their locations then share a handle.
        """
        ...

    def open(self, location: Location) -> BinaryIO:
        """The object as an unverified, seekable, read-only binary file, as fast as a plain one.

        Raises:
            NotFound: the bytes are not there.
        """
        ...

    def read(self, location: Location, offset: int, length: int) -> bytes:
        """The bytes ``[offset, offset + length)`` of the object, clamped at its end. Unverified.

        Raises:
            NotFound: the bytes are not there.
            StorageError: the disk failed, or the file is shorter than recorded.
        """
        ...

    def read_many(self, location: Location, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """One `read` for each ``(offset, length)``, in order."""
        ...

    def has(self, digest: Digest) -> Location | None:
        """Where the object lies under its own name, or None. Presence only: says nothing of its bytes."""
        ...

    def present(self, location: Location) -> int:
        """How many of the object's bytes are there, from its first on; 0 when nothing is."""
        ...

    def sessions(self) -> list[str]:
        """Sessions that have staging."""
        ...

    def list(self) -> Iterator[tuple[Digest, Location]]:
        """Every object that is present under its own name, in no order.

        Raises:
            StorageError: a directory cannot be read (never a silent part).
        """
        ...

    def delete(self, digest: Digest) -> bool:
        """Remove what lies under the object's own name; False when nothing did."""
        ...

    def forget(self, location: Location) -> None:
        """Drop cached handles of the object, so that the next read opens it anew."""
        ...

    def local_path(self, location: Location) -> Path | None:
        """The plain file that holds exactly the object, or None where there is none."""
        ...

    def reap(self, session: str) -> None:
        """Remove whatever staging a dead session left."""
        ...
