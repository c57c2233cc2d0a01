"""The values that cross the journal's interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

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
    "Checked",
    "Claim",
    "Commit",
    "Damage",
    "Dead",
    "Difference",
    "Entry",
    "Expect",
    "Json",
    "Kept",
    "Kind",
    "Lease",
    "LogState",
    "MakeDirectory",
    "Mark",
    "ObjectRecord",
    "PackUse",
    "Probe",
    "Put",
    "Quota",
    "Remove",
    "Scrubbed",
    "Share",
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
    probe: int = field(default=0, compare=False)
    """The newest claim of gc when the object's file was about to get its name; not kept."""


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


class Checked(NamedTuple):
    """One object, compared with its digest."""

    digest: Digest
    checked: int
    """When, nanoseconds since the epoch."""
    problem: str | None = None
    """``missing``, ``size`` or ``damaged``; None: every byte is right."""
    chunks: tuple[tuple[int, int, int], ...] = ()
    """Damaged chunks: number, offset, length."""


class Scrubbed(NamedTuple):
    """Where a live object lies, and when it was checked."""

    handle: str
    length: int
    checked: int
    """Nanoseconds since the epoch; 0: never."""
    sound: bool
    """Nothing was wrong then."""


class Claim(NamedTuple):
    """A stored file that gc takes away."""

    id: int
    """Only grows, and none is used twice."""
    handle: str
    size: int
    """Bytes of the file; 0 until it has moved."""
    moved: int
    """1: it lies in the trash."""
    deadline: int
    """Nanoseconds since the epoch from which on it may be deleted."""


class Probe(NamedTuple):
    """What gc was up to when a writer asked."""

    newest: int
    """The newest claim ever made, whether it is still there or not; 0 for none."""
    unmoved: list[str]
    """Claimed files, of those asked about, that may still have to move."""


class Dead(NamedTuple):
    """An object that went to the trash."""

    id: int
    raw: bytes
    """Its digest."""
    size: int
    format: str
    handle: str


class PackUse(NamedTuple):
    """A pack that holds live objects."""

    handle: str
    live: int
    """Bytes of those."""


class Lease(NamedTuple):
    """The word of somebody at work."""

    id: str
    owner: str
    """``user@host:process:random``."""
    kind: str
    expires: int
    """Nanoseconds since the epoch."""


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


class LogState(NamedTuple):
    """How the sealed log and the journal stand to each other."""

    events: int
    """In the journal."""
    sealed: int
    """Of them, those that the log has."""

    @property
    def behind(self) -> int:
        """Events that the log lacks."""
        return self.events - self.sealed


class Quota(NamedTuple):
    """Bounds of the bytes of the files below a path, at the head of each branch by itself."""

    prefix: str
    """The path; empty for all of the lake."""
    soft: int | None
    """Bytes beyond which commits warn."""
    hard: int | None
    """Bytes beyond which no commit goes."""


class Share(NamedTuple):
    """How much of a lake belongs to something."""

    name: str
    files: int
    bytes: int
    """Of the files."""
    stored: int
    """Of the objects that have these bytes, each counted once."""


class Kept(NamedTuple):
    """The history of one branch, and what holds it."""

    branch: str
    deleted: bool
    commits: tuple[tuple[int, int], ...]
    """Number and time (nanoseconds since the epoch, UTC) of its own commits, newest first."""
    held: Mapping[int, tuple[str, ...]]
    """Those that must stay: heads, tags, commits at which branches begin, each with what holds it."""


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
