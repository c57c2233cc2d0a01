"""The contract of the journal, and the values that cross it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from lake.clock import now
from lake.digest import Digest
from lake.stores.base import Location

__all__ = [
    "ABSENT",
    "PRESENT",
    "Annotate",
    "Artifact",
    "Branch",
    "Change",
    "Commit",
    "Damage",
    "Difference",
    "Entry",
    "Expect",
    "Journal",
    "Json",
    "Kind",
    "MakeDirectory",
    "Mark",
    "ObjectRecord",
    "Put",
    "Remove",
    "Tag",
    "Token",
    "View",
]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""A typed attribute value."""


class Kind(IntEnum):
    TOMBSTONE = 0
    """Hides what the branch inherits; never seen outside the journal."""
    FILE = 1
    DIRECTORY = 2
    """A directory that was made on purpose: it exists without files."""


class Entry(NamedTuple):
    """A path at a ref. The field order is the column order of the journal's statements."""

    path: str
    kind: int
    """A `Kind`."""
    size: int
    """Bytes; 0 for directories."""
    modified: int
    """Nanoseconds since the epoch, UTC."""
    commit: int
    """Sequence number of the commit that made this version of the entry."""
    attrs: str | None
    """Attributes as a JSON object, or None."""
    digest: bytes | None
    """32 bytes; None for directories."""
    format: str | None
    """Name of the object's format; None for directories."""

    @property
    def hex(self) -> Digest:
        """The object's digest as text."""
        assert self.digest is not None
        return Digest(self.digest.hex())

    @property
    def attributes(self) -> dict[str, Json]:
        loaded: dict[str, Json] = json.loads(self.attrs) if self.attrs else {}
        return loaded


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """What the journal knows of an object."""

    digest: Digest
    size: int
    format: str
    location: Location
    chunks: bytes | None = None
    """Encoded chunk map (`lake.chunks.ChunkMap.encode`); None when the object is one chunk."""
    problems: tuple[str, ...] = ()
    """What the checks at ingest found wrong, a sentence each."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Further digests that were asked for: ``md5``, ``sha256`` in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something derived from an object, kept under (object, kind, code, inputs)."""

    object: Digest
    kind: str
    """``bai``, ``csi``, ``bgzf-blocks``, …"""
    code: str
    """Version of the code that made it; ``adopted`` for an index that came with the data."""
    body: bytes | None = None
    """The bytes, when small."""
    target: Digest | None = None
    """The object that holds the bytes, when big."""
    inputs: str = ""
    """Digests of further inputs (a reference, …), joined by commas."""


class Expect(NamedTuple):
    """Precondition on one path, checked inside the commit. Violated: `lake.errors.Conflict`."""

    present: bool
    commit: int | None = None
    """The entry's version: the `Entry.commit` that the caller has seen; None for any."""


ABSENT = Expect(present=False)
PRESENT = Expect(present=True)


@dataclass(frozen=True, slots=True)
class Put:
    """Let a path name an object."""

    path: str
    digest: Digest
    attributes: Mapping[str, Json] | None = None
    """The whole new set of attributes; None keeps those of the entry that is replaced."""
    patch: Mapping[str, Json] | None = None
    """Merged over them; a None value removes the key."""
    modified: int | None = None
    """Nanoseconds; None: the time of the commit."""
    expect: Expect | None = None


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make an (empty) directory exist. Already a directory: nothing happens."""

    path: str
    expect: Expect | None = None
    attributes: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file's entry, or the entry of a directory that was made on purpose."""

    path: str
    expect: Expect | None = PRESENT


@dataclass(frozen=True, slots=True)
class Annotate:
    """Change attributes of an existing entry; a None value removes the key."""

    path: str
    patch: Mapping[str, Json]
    expect: Expect | None = PRESENT


Change = Put | MakeDirectory | Remove | Annotate


class View(NamedTuple):
    """A ref, resolved: what can be read."""

    branch: int
    seq: int
    """Entries of commits up to and including this one are seen."""
    name: str | None
    """Name of the branch when the ref is a branch's head, hence can be written; else None."""


class Commit(NamedTuple):
    seq: int
    """Lake-wide sequence number, from 1."""
    id: str
    """Hexadecimal hash of parents, changes and metadata."""
    branch: str
    created: int
    """Nanoseconds since the epoch, UTC."""
    author: str
    message: str
    parents: tuple[str, ...]
    changes: int
    """Number of entries that the commit changed."""
    replayed: bool = False
    """True when the operation id was known and this is the first call's result."""


class Branch(NamedTuple):
    name: str
    head: int
    """Sequence number of the newest commit seen from the branch; 0 for an empty lake."""
    parent: str | None
    forked: int
    """Sequence number at which the branch left its parent; 0 for `main`."""
    created: int


class Tag(NamedTuple):
    name: str
    seq: int
    created: int


class Difference(NamedTuple):
    """One path that differs between two views."""

    path: str
    change: str
    """``added``, ``removed``, ``modified`` (content) or ``annotated`` (attributes only)."""
    old: Entry | None
    new: Entry | None


class Damage(NamedTuple):
    """A chunk of an object that no longer matches its digest."""

    digest: Digest
    ord: int
    """0-based number of the chunk."""
    offset: int
    length: int
    found: int
    """When, nanoseconds since the epoch."""


class Token(NamedTuple):
    """What lets somebody in over the network, but for its secret."""

    id: str
    """A random word; stands in the text of the token."""
    name: str
    hash: bytes
    """SHA-256 of the secret."""
    grants: str
    """JSON array: what `lake.grants.grants_of` reads."""
    created: int
    """Nanoseconds since the epoch, UTC."""
    expires: int | None
    """Nanoseconds since the epoch, UTC; None: never."""

    @property
    def live(self) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now() < self.expires


class Mark(NamedTuple):
    """How far a reader of everything has read. Only the journal that gave it can tell what lies behind it."""

    seq: int = 0
    """Newest commit, of all branches."""
    object: int = 0
    """Newest object."""
    change: int = 0
    """Newest change of an object that was there already."""
    artifact: int = 0
    """Newest artifact."""


class Journal(Protocol):
    """Truth about commits, refs, entries, objects, artifacts and leases.

    Every method is one transaction that ends before the method returns. Safe for threads, processes and forks.
    """

    # -- refs ---------------------------------------------------------------------------------------------------
    def resolve(self, ref: str) -> View:
        """``main``, ``v1``, ``17``, ``main~2``, ``main@{2026-11-20}``, and combinations such as ``main@{…}~1``.

        Raises:
            InvalidRef: not the grammar of refs.
            NotFound: no such branch, tag or commit; names come close ones.
        """
        ...

    def branches(self) -> list[Branch]: ...

    def create_branch(self, name: str, start: str) -> Branch:
        """Fork at the ref ``start``. Costs no copies of entries. Raises AlreadyExists, InvalidRef, NotFound."""
        ...

    def delete_branch(self, name: str) -> None: ...

    def tags(self) -> list[Tag]: ...

    def create_tag(self, name: str, target: str) -> Tag: ...

    def delete_tag(self, name: str) -> None: ...

    # -- reading ------------------------------------------------------------------------------------------------
    def lookup(self, view: View, path: str) -> Entry | None:
        """The entry of a path; None where there is none, or a directory exists only through its files."""
        ...

    def is_directory(self, view: View, path: str) -> bool:
        """Whether something lies below the path, or it is a directory of its own; the root always is one."""
        ...

    def children(self, view: View, directory: str) -> list[Entry]:
        """What lies directly below, sorted by path: files and directories (implied ones with commit 0)."""
        ...

    def walk(self, view: View, directory: str) -> list[Entry]:
        """Every entry below, at any depth, sorted by path; implied directories are not listed."""
        ...

    def history(self, view: View, path: str) -> list[tuple[Commit, Entry | None]]:
        """Every version of a path seen from the view, newest first; None where it was removed."""
        ...

    def log(self, view: View, limit: int | None = None, path: str | None = None) -> list[Commit]:
        """Commits seen from the view, newest first; with a path those that changed it or something below it."""
        ...

    def diff(self, old: View, new: View, prefix: str = "") -> list[Difference]: ...

    def near(self, view: View, path: str, limit: int = 3) -> list[str]:
        """Existing paths that come close to a missing one, best first."""
        ...

    # -- writing ------------------------------------------------------------------------------------------------
    def commit(
        self,
        branch: str,
        changes: Sequence[Change],
        *,
        objects: Iterable[ObjectRecord] = (),
        artifacts: Iterable[Artifact] = (),
        message: str = "",
        author: str = "",
        op_id: str | None = None,
        expected_head: int | None = None,
    ) -> Commit:
        """Apply all changes or none, durably.

        ``objects`` that are not known yet are registered in the same transaction; live ones that are known get the
        location given now and stay the same otherwise. A change may only name live objects. ``op_id`` makes a
        replay return the first result (``replayed=True``). ``expected_head`` asks for compare-and-swap on the
        branch head.

        Raises:
            Conflict: a precondition or the expected head does not hold, or a named object is not live.
            NotFound: the branch does not exist; `Annotate` or `Remove` of what is not there.
            NotDirectory: a parent of a path is a file.
            IsDirectory: a `Put` names a directory.
            ReadOnly: the journal cannot be written.
            LakeLocked: another process kept the journal for longer than the time-out.
        """
        ...

    # -- objects and artifacts ----------------------------------------------------------------------------------
    def object(self, digest: Digest) -> ObjectRecord | None:
        """The live object of that digest."""
        ...

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Which of them are live objects."""
        ...

    def locations(self, digests: Sequence[Digest]) -> dict[Digest, Location]:
        """Where those of them that are live objects lie."""
        ...

    def relocate(self, locations: Mapping[Digest, Location]) -> None:
        """Remember that the bytes of live objects now lie elsewhere, all or none; they are durable there already.

        Raises:
            NotFound: no live object of one of the digests.
            InvalidInput: a location has another length than its object.
        """
        ...

    def objects(self) -> Iterator[ObjectRecord]:
        """Every live object (pages of bounded size, each its own transaction)."""
        ...

    def with_checksum(self, checksum: str) -> list[Digest]:
        """Live objects of which a further checksum (lower-case hexadecimal) is known."""
        ...

    def add_checksums(self, digest: Digest, checksums: Mapping[str, str]) -> None:
        """Remember further checksums of a live object, beside those that are known. Raises NotFound."""
        ...

    def paths_of(self, digest: Digest) -> list[tuple[str, str, int]]:
        """Where an object is or was named: (path, branch, commit), newest first."""
        ...

    def add_artifacts(self, artifacts: Sequence[Artifact], objects: Sequence[ObjectRecord] = ()) -> None:
        """Register artifacts (and the objects that hold big ones) outside any commit; replaces same keys."""
        ...

    def artifacts(self, digest: Digest) -> list[Artifact]: ...

    def artifacts_of(self, kind: str, after: int = 0) -> tuple[int, list[Artifact]]:
        """Artifacts of a kind registered since a mark (0: all), of live objects; and the mark to go on from."""
        ...

    def record_damage(self, digest: Digest, chunks: Sequence[tuple[int, int, int]]) -> None:
        """Remember damaged chunks ``(ord, offset, length)``."""
        ...

    def clear_damage(self, digest: Digest) -> None: ...

    def damage(self, digest: Digest | None = None) -> list[Damage]: ...

    # -- feed of the catalog: rows as tuples, a page at once, so that a million need no million objects ---------
    def identity(self) -> str:
        """Tells this journal from any other, also from one made again for the same lake."""
        ...

    def tip(self) -> Mark:
        """The newest of everything."""
        ...

    def feed_files(self, view: View, after: str, limit: int) -> tuple[list[tuple[Any, ...]], str | None]:
        """The next files behind a path (object id, digest, size, format, modified, commit, attributes behind it).

        And the path to go on behind; None at the end.
        """
        ...

    def feed_changed_files(self, old: View, new: View) -> list[tuple[str, tuple[Any, ...] | None]]:
        """Paths that may differ between views, sorted, each with its row as `feed_files` has it in the new one."""
        ...

    def feed_objects(self, since: Mark, until: Mark, after: int, limit: int) -> list[tuple[Any, ...]]:
        """The next objects behind an id: (id, digest, size, format, problems, checksums, map, state, damaged chunks).

        Of those registered since a mark; the first page, ``after`` = 0, begins with older ones that have changed.
        """
        ...

    def feed_commits(self, after: int, until: int, limit: int) -> list[tuple[Any, ...]]:
        """The next commits of all branches: (seq, id, branch, created, author, message, changes)."""
        ...

    def feed_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        """The next artifacts whose kind begins so, by id: (id, object id, kind, body, digest of the target).

        Of objects up to the id ``newest``; those that replace others while pages are read are told, too.
        """
        ...

    # -- leases -------------------------------------------------------------------------------------------------
    def acquire_lease(self, owner: str, kind: str, seconds: float) -> str:
        """A new lease; returns its id, a directory-safe random word."""
        ...

    def renew_lease(self, lease: str, seconds: float) -> bool:
        """Extend; False when the lease is gone."""
        ...

    def release_lease(self, lease: str) -> None: ...

    def expired_leases(self, kind: str) -> list[str]: ...

    def live_leases(self, kind: str) -> list[str]: ...

    # -- tokens -------------------------------------------------------------------------------------------------
    def add_token(self, token: Token) -> None:
        """Raises AlreadyExists: the id is taken."""
        ...

    def token(self, token: str) -> Token | None:
        """The token of that id, expired or not."""
        ...

    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        ...

    def revoke_token(self, token: str) -> None:
        """Forget the token of that id. Raises NotFound."""
        ...

    def close(self) -> None:
        """Close connections of this process."""
        ...
