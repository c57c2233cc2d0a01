"""The contract of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lake.digest import Digest
from lake.journal.care import CareJournal
from lake.journal.values import (
    Artifact,
    Branch,
    Change,
    Commit,
    Damage,
    Difference,
    Entry,
    Lease,
    LogState,
    ObjectRecord,
    Tag,
    Token,
    View,
)
from lake.stores.base import Location

__all__ = ["Journal"]


class Journal(CareJournal, Protocol):
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
