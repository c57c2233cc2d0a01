"""The contract of the journal, and the values that cross it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
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
    "Checked",
    "Claim",
    "Commit",
    "Damage",
    "Dead",
    "Difference",
    "Entry",
    "Expect",
    "Journal",
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
            Collected: gc took a named object, or the file of one of ``objects``, since its ``probe``.
            NotFound: the branch does not exist; `Annotate` or `Remove` of what is not there.
            NotDirectory: a parent of a path is a file.
            IsDirectory: a `Put` names a directory.
            QuotaExceeded: more bytes would lie below a path than its quota allows.
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

    def relocate(self, locations: Mapping[Digest, Location], probe: int = 0) -> None:
        """Remember that the bytes of live objects now lie elsewhere, all or none; they are durable there already.

        ``probe`` is `Probe.newest` from before the new files got their names.

        Raises:
            Collected: gc has been at a new file since.
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

    # -- checks -------------------------------------------------------------------------------------------------
    def objects_in(self, handle: str) -> list[ObjectRecord]:
        """Live objects that lie in a stored file, by their offset in it."""
        ...

    def derived_from(self, digest: Digest) -> list[tuple[Digest, str]]:
        """What an object was derived from that holds artifacts: (object, kind of the artifact)."""
        ...

    def scrubbed(self) -> Iterator[Scrubbed]:
        """Where every live object lies and when its bytes were checked (pages of bounded size, each a transaction)."""
        ...

    def begin_scrub(self, *, restart: bool = False) -> int:
        """When the check of all objects began: now, or when one began that has not ended, unless it is to restart."""
        ...

    def end_scrub(self) -> None:
        """The check of all objects has come to its end."""
        ...

    def record_scrub(self, found: Sequence[Checked]) -> None:
        """Remember what was found of objects; known damage of theirs becomes what was found now."""
        ...

    def verify(self, *, rows: bool = True) -> list[str]:
        """What is wrong with the journal itself, a sentence each: its file and, with ``rows``, each row's digest.

        Reads the disk, not what this process remembers of it.
        """
        ...

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
        """The next objects behind an id.

        (id, digest, size, format, problems, checksums, map, state, damaged chunks: ``3,7`` or None, handle, offset)

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

    def feed_other_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        """The next artifacts of other kinds: (id, object id, kind, code, inputs, target's digest, body)."""
        ...

    def feed_directories(self, view: View) -> list[tuple[Any, ...]]:
        """Directories that were made on purpose, by path: (path, modified, commit, attributes)."""
        ...

    # -- gc: an object is dead in the journal before its file moves, forgotten there before the file goes -------
    def probe(self, handles: Sequence[str]) -> Probe:
        """What a writer asks before files get these names: the newest claim, and claims that have to be settled."""
        ...

    def claims(self, handles: Sequence[str] | None = None) -> list[Claim]:
        """Claims on these files; None: all whose file may not have moved yet."""
        ...

    def due_claims(self, deadline: int | None) -> list[Claim]:
        """Claims on files in the trash whose deadline is not later than that; None: all of them."""
        ...

    def loose_objects(self) -> list[int]:
        """Numbers of live objects that no entry of any branch and commit names, nor anything that is kept.

        Owners come before what is derived from them.
        """
        ...

    def described(self, numbers: Sequence[int]) -> list[Dead]:
        """Those of the numbered objects that are live."""
        ...

    def set_aside(self, numbers: Sequence[int], deadline: int) -> tuple[list[Dead], list[str]]:
        """Let objects go to the trash that are still loose, and claim files in which nothing live is left.

        Returns:
            the objects that went, and the handles of the claimed files.
        """
        ...

    def unnamed_files(self, handles: Sequence[str]) -> list[str]:
        """Those of the files in which no live object lies, and that nobody has claimed."""
        ...

    def claim_files(self, handles: Sequence[str], deadline: int) -> list[str]:
        """Claim those of the files that are still unnamed; returns them."""
        ...

    def claims_moved(self, files: Sequence[tuple[str, int]]) -> None:
        """Claimed files lie in the trash now: handle and size in bytes of each."""
        ...

    def trashed(self, digests: Sequence[Digest] | None = None) -> dict[Digest, Location]:
        """Where objects in the trash lay before, with what was derived from them; all of them for None."""
        ...

    def restore(self, digests: Sequence[Digest], handles: Sequence[str]) -> int:
        """Files are in their places again: their claims go, and objects in the trash are live; the newest claim."""
        ...

    def forget_claims(self, wanted: Sequence[Claim]) -> tuple[list[Claim], int]:
        """Let claims go, and the dead objects of their files, before the files are deleted.

        Returns:
            the claims that were still there as given, and the number of objects.
        """
        ...

    def dead_members(self, before: int | None) -> list[int]:
        """Numbers of objects in the trash since that time or longer whose file stays; of all for None."""
        ...

    def forget_members(self, numbers: Sequence[int]) -> int:
        """Forget those of `dead_members` that still are; returns how many."""
        ...

    def pack_uses(self) -> list[PackUse]:
        """Packs that hold live objects."""
        ...

    def pack_members(self, pack: str) -> dict[Digest, Location]:
        """The live objects of a pack, by offset."""
        ...

    # -- space --------------------------------------------------------------------------------------------------
    def shares(self, view: View, directory: str, by: str, *, history: bool = False) -> tuple[list[Share], Share]:
        """How much lies below a directory, in groups by name, and all in all.

        Args:
            by: ``project`` (the attribute of files), ``format``, ``top-level`` (names directly below the directory),
                ``branch`` (at the head of each), or a depth: directories so many levels below.
            history: count every version that history keeps, of all branches, instead of what the view sees.
        """
        ...

    def quotas(self) -> list[Quota]:
        """All quotas, by path."""
        ...

    def set_quota(self, quota: Quota) -> None:
        """Make or replace the quota of a path. What lies there already stays, however much it is."""
        ...

    def remove_quota(self, prefix: str) -> None:
        """Raises NotFound."""
        ...

    def used(self, prefix: str, view: View) -> int:
        """Bytes of the files at or below a path that the head of a branch sees."""
        ...

    def check_quotas(self, view: View, sizes: Mapping[str, int]) -> None:
        """Raise QuotaExceeded where a commit that makes the files at those paths so large would."""
        ...

    # -- expiry -------------------------------------------------------------------------------------------------
    def histories(self) -> list[Kept]:
        """The commits of every branch, those of deleted branches too, as long as there are any."""
        ...

    def expire(self, seqs: Sequence[int]) -> list[int]:
        """Let those of the commits go that nothing holds, for good; returns their numbers.

        They are no refs any more, and no number is given again. `sweep_history` removes what only they saw.
        """
        ...

    def sweep_history(self) -> int:
        """Remove every version of a path that no commit sees any more; returns how many there were.

        Pages of bounded size, each its own transaction: others read and write meanwhile.
        """
        ...

    def drop_branches(self) -> list[str]:
        """Forget deleted branches that have no commit, no child and no tag left; returns their names."""
        ...

    def expirations(self) -> int:
        """Grows whenever commits are let go of; what was read of history before does not go on after it."""
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

    def leases(self) -> list[Lease]:
        """All leases of all kinds, expired ones too, by the time at which they expire."""
        ...

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

    # -- log ----------------------------------------------------------------------------------------------------
    def log_state(self) -> LogState:
        """How far the sealed log is; the next write brings it up to the journal.

        Raises:
            StaleJournal: the log has events that the journal does not have.
            StorageError: the end of the log is damaged, or it cannot be read.
        """
        ...

    def log_problems(self) -> list[str]:
        """What is wrong with the sealed log, a sentence each; reads all of it. Lacking new events is nothing wrong."""
        ...

    # -- copies -------------------------------------------------------------------------------------------------
    def files(self) -> Iterator[tuple[str, int]]:
        """For every live object the handle of the file that holds it, and where in it the object ends.

        A pack comes once for each of its objects. Pages of bounded size, each its own transaction.
        """
        ...

    def copy_to(self, target: Path) -> None:
        """Write all of the journal, as it is at one moment, into a new file; others go on writing meanwhile.

        The copy can be read where nothing can be written. It has the same `identity`.

        Raises:
            StorageError, ReadOnly: the file cannot be written.
        """
        ...

    def close(self) -> None:
        """Close connections of this process."""
        ...
