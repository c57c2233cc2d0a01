"""The embedded journal: one SQLite file beside the objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import Conflict
from lake.journal import (
    branches,
    commits,
    entries,
    expiry,
    history,
    inventory,
    leases,
    objects,
    tokens,
)
from lake.journal.connection import Database, copy, create
from lake.journal.sqlite_care import SqliteCare
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
from lake.stores.durable import System

__all__ = ["SqliteJournal", "create"]


_quota_log = logging.getLogger("lake.quotas")

_PAGE = 64
_FILES = 10_000
"""Objects a page, where little is told of each."""


class SqliteJournal(SqliteCare):
    """`lake.journal.base.Journal` in a SQLite file.

    Threads and forked children each get a connection of their own; a pickled journal opens the same file again.

    Args:
        path: the file, made by `create`.
        timeout: seconds that a write waits for other processes before it raises `LakeLocked`.
        readonly: never write, not even SQLite's side files where they can be avoided; implied when the file or its
            folder cannot be written.
        system: the operating system, for the log.

    Raises:
        NotALake: no journal there.
        UnsupportedVersion: made by newer software.
        StorageError: not a SQLite file, or damaged.
        StaleJournal: its log tells of what it does not know.
    """

    def __init__(
        self, path: Path, *, timeout: float = 30.0, readonly: bool = False, system: System | None = None
    ) -> None:
        self._arguments = (Path(path), timeout, readonly)
        self._timeout = timeout
        self._database = Database(*self._arguments, system)

    def __getstate__(self) -> tuple[Path, float, bool]:
        return self._arguments

    def __setstate__(self, state: tuple[Path, float, bool]) -> None:
        self._arguments = state
        self._timeout = state[1]
        self._database = Database(*state)

    @property
    def path(self) -> Path:
        """The journal's file. Never open it other than through SQLite."""
        return self._database.path

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path)!r})"

    # -- refs ---------------------------------------------------------------------------------------------------
    def resolve(self, ref: str) -> View:
        with self._database.reading() as sql:
            return branches.resolve(sql, ref)

    def branches(self) -> list[Branch]:
        with self._database.reading() as sql:
            return branches.branches(sql)

    def create_branch(self, name: str, start: str) -> Branch:
        with self._database.writing() as sql:
            return branches.create_branch(sql, name, start)

    def delete_branch(self, name: str) -> None:
        with self._database.writing() as sql:
            branches.delete_branch(sql, name)

    def tags(self) -> list[Tag]:
        with self._database.reading() as sql:
            return branches.tags(sql)

    def create_tag(self, name: str, target: str) -> Tag:
        with self._database.writing() as sql:
            return branches.create_tag(sql, name, target)

    def delete_tag(self, name: str) -> None:
        with self._database.writing() as sql:
            branches.delete_tag(sql, name)

    # -- reading ------------------------------------------------------------------------------------------------
    def lookup(self, view: View, path: str) -> Entry | None:
        # What a view sees never changes, so the steps of a look-up need no transaction around them.
        with self._database.direct() as sql:
            found = entries.lookup(sql, view, path)
            # Behind it: commits go before what they see does.
            expiry.check_there(sql, view)
            return found

    def is_directory(self, view: View, path: str) -> bool:
        with self._seeing(view) as sql:
            return entries.is_directory(sql, view, path)

    def children(self, view: View, directory: str) -> list[Entry]:
        with self._seeing(view) as sql:
            return entries.children(sql, view, directory)

    def walk(self, view: View, directory: str) -> list[Entry]:
        with self._seeing(view) as sql:
            return entries.walk(sql, view, directory)

    def history(self, view: View, path: str) -> list[tuple[Commit, Entry | None]]:
        with self._seeing(view) as sql:
            return history.history(sql, view, path)

    def log(self, view: View, limit: int | None = None, path: str | None = None) -> list[Commit]:
        with self._seeing(view) as sql:
            return history.log(sql, view, limit, path)

    def diff(self, old: View, new: View, prefix: str = "") -> list[Difference]:
        with self._seeing(old, new) as sql:
            return entries.diff(sql, old, new, prefix)

    def near(self, view: View, path: str, limit: int = 3) -> list[str]:
        with self._seeing(view) as sql:
            return entries.near(sql, view, path, limit)

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
        records, derived = list(objects), list(artifacts)
        with self._database.writing() as sql:
            first = None if op_id is None else history.by_operation(sql, op_id)
            if first is not None:
                return first
            row = branches.live_branch(sql, branch)
            if expected_head not in (None, row.head):
                raise Conflict(
                    f"branch {branch!r}: expected commit {expected_head} at its head, found {row.head}: "
                    "read again, then retry"
                )
            commits.register(sql, records, derived)
            made, warnings = commits.write(sql, branch, row, changes, message=message, author=author, op_id=op_id)
            crash_point("commit-written")
        crash_point("committed")
        for warning in warnings:
            _quota_log.warning(warning)
        return made

    # -- objects and artifacts ----------------------------------------------------------------------------------
    def object(self, digest: Digest) -> ObjectRecord | None:
        with self._database.reading() as sql:
            return objects.read(sql, digest)

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        with self._database.reading() as sql:
            return set(objects.live(sql, digests))

    def locations(self, digests: Sequence[Digest]) -> dict[Digest, Location]:
        with self._database.reading() as sql:
            return objects.locations(sql, digests)

    def relocate(self, locations: Mapping[Digest, Location], probe: int = 0) -> None:
        with self._database.writing() as sql:
            objects.relocate(sql, locations, probe)

    def objects(self) -> Iterator[ObjectRecord]:
        last = 0
        while True:
            with self._database.reading() as sql:
                last, page = objects.read_after(sql, last, _PAGE)
            if not page:
                return
            yield from page

    def with_checksum(self, checksum: str) -> list[Digest]:
        with self._database.reading() as sql:
            return objects.with_checksum(sql, checksum)

    def add_checksums(self, digest: Digest, checksums: Mapping[str, str]) -> None:
        with self._database.writing() as sql:
            objects.add_checksums(sql, digest, checksums)

    def paths_of(self, digest: Digest) -> list[tuple[str, str, int]]:
        with self._database.reading() as sql:
            return objects.paths_of(sql, digest)

    def add_artifacts(self, artifacts: Sequence[Artifact], objects: Sequence[ObjectRecord] = ()) -> None:
        with self._database.writing() as sql:
            commits.register(sql, objects, artifacts)

    def artifacts(self, digest: Digest) -> list[Artifact]:
        with self._database.reading() as sql:
            return objects.artifacts(sql, digest)

    def artifacts_of(self, kind: str, after: int = 0) -> tuple[int, list[Artifact]]:
        with self._database.reading() as sql:
            return objects.artifacts_of(sql, kind, after)

    def record_damage(self, digest: Digest, chunks: Sequence[tuple[int, int, int]]) -> None:
        with self._database.writing() as sql:
            objects.record_damage(sql, digest, chunks)

    def clear_damage(self, digest: Digest) -> None:
        with self._database.writing() as sql:
            objects.clear_damage(sql, digest)

    def damage(self, digest: Digest | None = None) -> list[Damage]:
        with self._database.reading() as sql:
            return objects.damage(sql, digest)

    # -- leases -------------------------------------------------------------------------------------------------
    def acquire_lease(self, owner: str, kind: str, seconds: float) -> str:
        with self._database.writing() as sql:
            return leases.acquire(sql, owner, kind, seconds)

    def renew_lease(self, lease: str, seconds: float) -> bool:
        with self._database.writing() as sql:
            return leases.renew(sql, lease, seconds)

    def release_lease(self, lease: str) -> None:
        with self._database.writing() as sql:
            leases.release(sql, lease)

    def expired_leases(self, kind: str) -> list[str]:
        with self._database.reading() as sql:
            return leases.expired(sql, kind)

    def live_leases(self, kind: str) -> list[str]:
        with self._database.reading() as sql:
            return leases.live(sql, kind)

    def leases(self) -> list[Lease]:
        with self._database.reading() as sql:
            return leases.listed(sql)

    # -- tokens -------------------------------------------------------------------------------------------------
    def add_token(self, token: Token) -> None:
        with self._database.writing() as sql:
            tokens.add(sql, token)

    def token(self, token: str) -> Token | None:
        with self._database.reading() as sql:
            return tokens.find(sql, token)

    def tokens(self) -> list[Token]:
        with self._database.reading() as sql:
            return tokens.listed(sql)

    def revoke_token(self, token: str) -> None:
        with self._database.writing() as sql:
            tokens.revoke(sql, token)

    # -- log ----------------------------------------------------------------------------------------------------
    def log_state(self) -> LogState:
        return self._database.log_state()

    def log_problems(self) -> list[str]:
        return self._database.log_problems()

    # -- copies -------------------------------------------------------------------------------------------------
    def files(self) -> Iterator[tuple[str, int]]:
        last = 0
        while True:
            with self._database.reading() as sql:
                last, page = inventory.files_after(sql, last, _FILES)
            if not page:
                return
            yield from page

    def copy_to(self, target: Path) -> None:
        with self._database.direct() as sql:
            copy(sql, target)

    def close(self) -> None:
        self._database.close()
