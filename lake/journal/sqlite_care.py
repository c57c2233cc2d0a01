"""The embedded journal's half of what keeps a lake healthy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lake.digest import Digest
from lake.errors import LakeError
from lake.journal import (
    claims,
    expiry,
    feed,
    objects,
    quotas,
    scrub,
    usage,
    verification,
)
from lake.journal.connection import VERSION, Database
from lake.journal.values import (
    Checked,
    Claim,
    Dead,
    Kept,
    Mark,
    ObjectRecord,
    PackUse,
    Probe,
    Quota,
    Scrubbed,
    Share,
    View,
)
from lake.stores.base import Location

__all__ = ["SqliteCare"]


_FILES = 10_000
"""Objects a page, where little is told of each."""
_VERSIONS = 20_000
"""Versions of paths that a transaction looks at."""


class SqliteCare:
    """`lake.journal.care.CareJournal` over a `Database`."""

    _database: Database
    _timeout: float

    @contextmanager
    def _seeing(self, *views: View) -> Iterator[sqlite3.Connection]:
        """A read transaction in which the commits of the views are there, hence all that they see."""
        with self._database.reading() as sql:
            for view in views:
                expiry.check_there(sql, view)
            yield sql

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
        return _verified(self._database.path, self._timeout, rows)

    # -- feed of the catalog ------------------------------------------------------------------------------------
    def identity(self) -> str:
        with self._database.direct() as sql:
            return feed.identity(sql)

    def tip(self) -> Mark:
        with self._database.direct() as sql:
            return feed.tip(sql)

    def feed_files(self, view: View, after: str, limit: int) -> tuple[list[tuple[Any, ...]], str | None]:
        with self._seeing(view) as sql:
            return feed.files(sql, view, after, limit)

    def feed_changed_files(self, old: View, new: View) -> list[tuple[str, tuple[Any, ...] | None]]:
        with self._seeing(old, new) as sql:
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
        with self._seeing(view) as sql:
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
        with self._seeing(view) as sql:
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
        with self._seeing(view) as sql:
            return quotas.used(sql, prefix, view)

    def check_quotas(self, view: View, sizes: Mapping[str, int]) -> None:
        with self._database.reading() as sql:
            quotas.check(sql, view, sizes)

    # -- expiry -------------------------------------------------------------------------------------------------
    def histories(self, alone: str | None = None) -> list[Kept]:
        with self._database.reading() as sql:
            return expiry.histories(sql, alone)

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
