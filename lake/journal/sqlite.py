"""The embedded journal: one SQLite file beside the objects."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lake.clock import now
from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import Conflict, LakeError
from lake.journal import (
    branches,
    claims,
    edits,
    entries,
    events,
    expiry,
    feed,
    history,
    inventory,
    leases,
    objects,
    quotas,
    scrub,
    tokens,
    usage,
    verification,
)
from lake.journal.base import (
    Artifact,
    Branch,
    Change,
    Checked,
    Claim,
    Commit,
    Damage,
    Dead,
    Difference,
    Entry,
    Kept,
    Lease,
    LogState,
    Mark,
    ObjectRecord,
    PackUse,
    Probe,
    Put,
    Quota,
    Scrubbed,
    Share,
    Tag,
    Token,
    View,
)
from lake.journal.connection import VERSION, Database, copy, create
from lake.stores.base import Location
from lake.stores.durable import System

__all__ = ["SqliteJournal", "create"]

_quota_log = logging.getLogger("lake.quotas")

_PAGE = 64
_FILES = 10_000
"""Objects a page, where little is told of each."""
_VERSIONS = 20_000
"""Versions of paths that a transaction looks at."""


class SqliteJournal:
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
        self._database = Database(*self._arguments, system)

    def __getstate__(self) -> tuple[Path, float, bool]:
        return self._arguments

    def __setstate__(self, state: tuple[Path, float, bool]) -> None:
        self._arguments = state
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
            if found is None:
                expiry.check_there(sql, view)
            return found

    def is_directory(self, view: View, path: str) -> bool:
        with self._database.reading() as sql:
            return entries.is_directory(sql, view, path)

    def children(self, view: View, directory: str) -> list[Entry]:
        with self._database.reading() as sql:
            expiry.check_there(sql, view)
            return entries.children(sql, view, directory)

    def walk(self, view: View, directory: str) -> list[Entry]:
        with self._database.reading() as sql:
            expiry.check_there(sql, view)
            return entries.walk(sql, view, directory)

    def history(self, view: View, path: str) -> list[tuple[Commit, Entry | None]]:
        with self._database.reading() as sql:
            return history.history(sql, view, path)

    def log(self, view: View, limit: int | None = None, path: str | None = None) -> list[Commit]:
        with self._database.reading() as sql:
            return history.log(sql, view, limit, path)

    def diff(self, old: View, new: View, prefix: str = "") -> list[Difference]:
        with self._database.reading() as sql:
            return entries.diff(sql, old, new, prefix)

    def near(self, view: View, path: str, limit: int = 3) -> list[str]:
        with self._database.reading() as sql:
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
            _register(sql, records, derived)
            made, warnings = _commit(sql, branch, row, changes, message=message, author=author, op_id=op_id)
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
            _register(sql, objects, artifacts)

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

    # -- checks -------------------------------------------------------------------------------------------------
    def objects_in(self, handle: str) -> list[ObjectRecord]:
        with self._database.reading() as sql:
            return objects.in_file(sql, handle)

    def derived_from(self, digest: Digest) -> list[tuple[Digest, str]]:
        with self._database.reading() as sql:
            return objects.derived_from(sql, digest)

    def scrubbed(self) -> Iterator[Scrubbed]:
        last = 0
        while True:
            with self._database.reading() as sql:
                last, page = scrub.read_after(sql, last, _FILES)
            if not page:
                return
            yield from page

    def begin_scrub(self, *, restart: bool = False) -> int:
        with self._database.writing() as sql:
            return scrub.begin(sql, restart)

    def end_scrub(self) -> None:
        with self._database.writing() as sql:
            scrub.end(sql)

    def record_scrub(self, found: Sequence[Checked]) -> None:
        with self._database.writing() as sql:
            scrub.record(sql, found)

    def verify(self, *, rows: bool = True) -> list[str]:
        # A connection of its own: what others keep in memory is not what the disk says.
        return _verified(*self._arguments[:2], rows)

    # -- feed of the catalog ------------------------------------------------------------------------------------
    def identity(self) -> str:
        with self._database.direct() as sql:
            return feed.identity(sql)

    def tip(self) -> Mark:
        with self._database.direct() as sql:
            return feed.tip(sql)

    def feed_files(self, view: View, after: str, limit: int) -> tuple[list[tuple[Any, ...]], str | None]:
        with self._database.reading() as sql:
            return feed.files(sql, view, after, limit)

    def feed_changed_files(self, old: View, new: View) -> list[tuple[str, tuple[Any, ...] | None]]:
        with self._database.reading() as sql:
            return feed.changed_files(sql, old, new)

    def feed_objects(self, since: Mark, until: Mark, after: int, limit: int) -> list[tuple[Any, ...]]:
        with self._database.reading() as sql:
            return feed.objects(sql, since, until, after, limit)

    def feed_commits(self, after: int, until: int, limit: int) -> list[tuple[Any, ...]]:
        with self._database.direct() as sql:
            return feed.commits(sql, after, until, limit)

    def feed_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        with self._database.direct() as sql:
            return feed.artifacts(sql, prefix, after, newest, limit)

    def feed_other_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        with self._database.direct() as sql:
            return feed.other_artifacts(sql, prefix, after, newest, limit)

    def feed_directories(self, view: View) -> list[tuple[Any, ...]]:
        with self._database.reading() as sql:
            return feed.directories(sql, view)

    # -- gc -----------------------------------------------------------------------------------------------------
    def probe(self, handles: Sequence[str]) -> Probe:
        with self._database.reading() as sql:
            return claims.probe(sql, handles)

    def claims(self, handles: Sequence[str] | None = None) -> list[Claim]:
        with self._database.reading() as sql:
            return claims.claims(sql, handles)

    def due_claims(self, deadline: int | None) -> list[Claim]:
        with self._database.reading() as sql:
            return claims.due(sql, deadline)

    def loose_objects(self) -> list[int]:
        with self._database.reading() as sql:
            return claims.loose(sql)

    def described(self, numbers: Sequence[int]) -> list[Dead]:
        with self._database.reading() as sql:
            return claims.described(sql, numbers)

    def set_aside(self, numbers: Sequence[int], deadline: int) -> tuple[list[Dead], list[str]]:
        with self._database.writing() as sql:
            return claims.set_aside(sql, numbers, deadline)

    def unnamed_files(self, handles: Sequence[str]) -> list[str]:
        with self._database.reading() as sql:
            return claims.unnamed(sql, handles)

    def claim_files(self, handles: Sequence[str], deadline: int) -> list[str]:
        with self._database.writing() as sql:
            return claims.claim_files(sql, handles, deadline)

    def claims_moved(self, files: Sequence[tuple[str, int]]) -> None:
        with self._database.writing() as sql:
            claims.moved(sql, files)

    def trashed(self, digests: Sequence[Digest] | None = None) -> dict[Digest, Location]:
        with self._database.reading() as sql:
            return claims.trashed(sql, digests)

    def restore(self, digests: Sequence[Digest], handles: Sequence[str]) -> int:
        with self._database.writing() as sql:
            return claims.restore(sql, digests, handles)

    def forget_claims(self, wanted: Sequence[Claim]) -> tuple[list[Claim], int]:
        with self._database.writing() as sql:
            return claims.forget(sql, wanted)

    def dead_members(self, before: int | None) -> list[int]:
        with self._database.reading() as sql:
            return claims.dead_members(sql, before)

    def forget_members(self, numbers: Sequence[int]) -> int:
        with self._database.writing() as sql:
            return claims.forget_members(sql, numbers)

    def pack_uses(self) -> list[PackUse]:
        with self._database.reading() as sql:
            return claims.packs(sql)

    def pack_members(self, pack: str) -> dict[Digest, Location]:
        with self._database.reading() as sql:
            return claims.members(sql, pack)

    # -- space --------------------------------------------------------------------------------------------------
    def shares(self, view: View, directory: str, by: str, *, history: bool = False) -> tuple[list[Share], Share]:
        with self._database.reading() as sql:
            return usage.shares(sql, view, directory, by, history=history)

    def quotas(self) -> list[Quota]:
        with self._database.reading() as sql:
            return quotas.quotas(sql)

    def set_quota(self, quota: Quota) -> None:
        with self._database.writing() as sql:
            quotas.set_quota(sql, quota)

    def remove_quota(self, prefix: str) -> None:
        with self._database.writing() as sql:
            quotas.forget(sql, prefix)

    def used(self, prefix: str, view: View) -> int:
        with self._database.reading() as sql:
            return quotas.used(sql, prefix, view)

    def check_quotas(self, view: View, sizes: Mapping[str, int]) -> None:
        with self._database.reading() as sql:
            quotas.check(sql, view, sizes)

    # -- expiry -------------------------------------------------------------------------------------------------
    def histories(self) -> list[Kept]:
        with self._database.reading() as sql:
            return expiry.histories(sql)

    def expire(self, seqs: Sequence[int]) -> list[int]:
        with self._database.writing() as sql:
            return expiry.let_go(sql, seqs)

    def sweep_history(self) -> int:
        after: expiry.Key | None = ("", 0, 0)
        removed = 0
        with self._database.reading() as sql:
            there = expiry.points(sql)
        while after is not None:
            with self._database.reading() as sql:
                gone, after = expiry.unseen(sql, there, after, _VERSIONS)
            if gone:
                with self._database.writing() as sql:
                    expiry.remove(sql, gone)
                removed += len(gone)
        return removed

    def drop_branches(self) -> list[str]:
        with self._database.writing() as sql:
            return expiry.drop_branches(sql)

    def expirations(self) -> int:
        with self._database.direct() as sql:
            return expiry.rounds(sql)

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


def _verified(path: Path, timeout: float, rows: bool) -> list[str]:
    found: list[str] = []
    try:
        database = Database(path, timeout, readonly=True)
        try:
            with database.reading() as sql:
                # Text that is no longer text is something to tell of, not to stumble over.
                sql.text_factory = lambda raw: raw.decode(errors="surrogateescape")
                found.extend(verification.problems(sql, VERSION, rows=rows))
        finally:
            database.close()
    except (LakeError, sqlite3.Error) as error:
        found.append(str(error))
    return found


def _register(sql: sqlite3.Connection, records: Iterable[ObjectRecord], derived: Iterable[Artifact]) -> None:
    objects.register(sql, records)
    objects.add_artifacts(sql, derived)


def _commit(
    sql: sqlite3.Connection,
    name: str,
    branch: branches.BranchRow,
    changes: Sequence[Change],
    *,
    message: str,
    author: str,
    op_id: str | None,
) -> tuple[Commit, list[str]]:
    """The commit, and what to warn of once it stands."""
    seq = sql.execute("SELECT coalesce(max(seq), 0) + 1 FROM commits").fetchone()[0]
    created = max(now(), 1)
    wanted = {change.digest for change in changes if isinstance(change, Put)}
    named = objects.live(sql, wanted)
    claims.refuse_dead(sql, wanted - named.keys())
    edit = edits.Edit(sql, View(branch.id, seq, name), created, named)
    for change in changes:
        edit.apply(change)
    sizes = ((path, state.size) for path, state in edit.delta.items())
    warnings = quotas.charge(sql, View(branch.id, branch.head, name), sizes)
    parents = [row[0].hex() for row in sql.execute("SELECT id FROM commits WHERE seq = ?", (branch.head,))]
    identity = edits.commit_id(parents, edit.delta, branch=name, author=author, created=created, message=message)
    sql.execute(
        "INSERT INTO commits VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, identity, branch.id, created, author, message, len(edit.delta), op_id),
    )
    sql.executemany(
        "INSERT INTO commit_parent VALUES(?, ?, ?)",
        ((seq, number, bytes.fromhex(parent)) for number, parent in enumerate(parents)),
    )
    sql.execute("UPDATE branch SET head_seq = ? WHERE id = ?", (seq, branch.id))
    events.record(sql, "commit", seq=seq)
    made = Commit(seq, identity.hex(), name, created, author, message, tuple(parents), len(edit.delta))
    return made, warnings
