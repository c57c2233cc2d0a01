"""The catalog of one lake: connections that ask it, and generations that keep it quick."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lake.catalog.limits import Limits
from lake.errors import LakeError, ReadOnly, StorageError
from lake.generation_journal import GenerationJournal
from lake.repository import Repository
from lake.stores.durable import System

if TYPE_CHECKING:
    import duckdb

    from lake.catalog.generations import CatalogFolder, Generation
    from lake.catalog.session import CatalogConnection
    from lake.feed import LakeFeed

__all__ = ["CatalogDesk", "CatalogStatus"]

PUBLISH_COMMITS = 1000
PUBLISH_OBJECTS = 5000
PUBLISH_FACTS = 10_000
"""How much may have happened since the last generation: every session reads it anew from the journal."""

_LOOK = 256
"""Changed paths of this process after which it looks whether a generation is due."""


_CURSORS = 64
"""Newest questions whose relations may be built upon after they are gone themselves."""

_PARENTS: list[CatalogConnection | duckdb.DuckDBPyConnection | None] = []
"""Connections of the process of which this is a fork."""


class CatalogStatus(NamedTuple):
    number: int | None
    """Number of the newest generation that is whole; None without one."""
    seq: int
    """Newest commit that it holds."""
    behind: int
    """Commits since, which every session reads from the journal."""
    files: int
    """Number of its files on disk."""
    bytes: int


class CatalogDesk:
    """Asks and publishes the catalog of a repository. Loads DuckDB when it is first needed.

    Args:
        repo: the lake.
        ref: the ref that is asked unless another is named.
    """

    def __init__(self, repo: Repository, ref: str = "main") -> None:
        self._repo = repo
        self._ref = ref
        self._lock = threading.Lock()
        self._session: CatalogConnection | None = None
        self._open: weakref.WeakSet[CatalogConnection] = weakref.WeakSet()
        self._cursors: deque[duckdb.DuckDBPyConnection] = deque(maxlen=_CURSORS)
        self._pending = 0
        self._aside = threading.Lock()
        self._publisher: threading.Thread | None = None
        self._gave_up = False
        self._process = os.getpid()

    @cached_property
    def _folder(self) -> CatalogFolder:
        from lake.catalog.generations import CatalogFolder

        return CatalogFolder(self._repo.root / "catalog")

    @cached_property
    def _feed(self) -> LakeFeed:
        from lake.feed import LakeFeed

        return LakeFeed(self._repo)

    # -- asking -------------------------------------------------------------------------------------------------
    def connect(
        self, *, at: str | None = None, limits: Limits | None = None, sandbox: bool = False
    ) -> CatalogConnection:
        """A DuckDB connection with the views of the lake, as of now; its ``refresh()`` sees what came later.

        It may be held for days: nobody is blocked by it, and nobody blocks it.

        Args:
            at: any ref.
            limits: memory and threads that it may take.
            sandbox: without files, network and changes of settings, for queries of strangers.

        Raises:
            InvalidRef, NotFound: no such ref.
            StorageError, NotALake: the journal is damaged or gone.
        """
        from lake.catalog.session import CatalogConnection, usable

        if isinstance(self._repo.journal, GenerationJournal) and usable(self._folder, self._feed, 0) is None:
            raise StorageError(
                f"the catalog in {self._folder.path} is of other software than this: publish it anew where the lake "
                "can be written ('lake catalog rebuild')"
            )
        made = CatalogConnection(self._folder, self._feed, at or self._ref, limits=limits, sandbox=sandbox)
        self._open.add(made)
        self._notice(made)
        return made

    def refresh(self) -> None:
        """Let every connection of this process see what was committed since.

        Raises:
            NotFound: the ref of a connection is gone; all others see it nevertheless.
        """
        self._look_for_fork()
        failed: LakeError | None = None
        for connection in list(self._open):
            try:
                if not connection.closed:
                    connection.refresh()
            except LakeError as error:
                failed = error
        if failed is not None:
            raise failed

    def sql(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None, tables: Mapping[str, Any]
    ) -> duckdb.DuckDBPyRelation:
        """The answer of one reading query, lazily; it sees every commit made before the call.

        Raises:
            BadQuery: not a query, or not one that reads; the message is DuckDB's.
        """
        import duckdb

        from lake.catalog.statements import check_query, explained
        from lake.errors import BadQuery

        cursor = self._cursor()
        check_query(cursor, query)
        for name, table in tables.items():
            cursor.register(name, table)
        try:
            relation = cursor.sql(query, params=params)
        except duckdb.Error as error:
            raise BadQuery(explained(_placed(cursor, query, error))) from None
        if relation is None:
            raise BadQuery("the query has no answer")
        # DuckDB before 2.0 closes a cursor of which Python knows no more, although relations still ask it.
        weakref.finalize(relation, _let_go, cursor)
        self._cursors.append(cursor)
        return relation

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        self._look_for_fork()
        with self._lock:
            session = self._session
            if session is None or session.closed or session.stale():
                # A new one: other threads may be asking the old one, which goes with the last of their relations.
                session = self._session = self.connect()
            return session.raw.cursor()

    def _look_for_fork(self) -> None:
        """In a child begin anew: its parent's threads, which might hold the locks, are not here."""
        if self._process == os.getpid():
            return
        # Threads that DuckDB waits for when a connection goes did not come along: it must never go.
        _PARENTS.extend([*self._open, self._session])
        _PARENTS.extend(self._cursors)
        self._session, self._publisher, self._process = None, None, os.getpid()
        self._lock, self._aside, self._open = threading.Lock(), threading.Lock(), weakref.WeakSet()
        self._cursors.clear()

    # -- publishing ---------------------------------------------------------------------------------------------
    def publish(self, *, force: bool = False) -> Generation | None:
        """Publish a generation where one is due, or in any case; None where none is due or another process is at it.

        Raises:
            ReadOnly: the lake is opened read-only.
            StorageError: it cannot be written; the last one stays.
        """
        return self._publish(force=force, anew=False)

    def rebuild(self, *, facts: bool = False) -> Generation:
        """Make the catalog again from the journal and the stored facts; with ``facts`` those from the files first.

        Raises:
            ReadOnly: the lake is opened read-only.
            StorageError: it cannot be written.
        """
        if facts:
            self._check_writable()
            from lake.facts import remake_facts

            remake_facts(self._repo)
        made = self._publish(force=True, anew=True)
        assert made is not None
        return made

    def _publish(self, *, force: bool, anew: bool) -> Generation | None:
        from lake.catalog.building import Builder, publishing_lock

        self._check_writable()
        system = self._repo.system
        builder = Builder(self._folder, self._feed, _file_sync(system), system.sync_directory)
        with publishing_lock(self._folder.path / "publish.lock", wait=force) as mine:
            if not mine or not (force or self.due()):
                return None
            return builder.build(anew=anew)

    def _check_writable(self) -> None:
        if self._repo.readonly:
            raise ReadOnly(self._repo.refusal())

    def status(self) -> CatalogStatus:
        """What is published."""
        from lake.catalog.session import usable

        newest = usable(self._folder, self._feed)
        tip = self._repo.journal.tip()
        if newest is None:
            return CatalogStatus(None, 0, tip.seq, 0, 0)
        size = sum(file.size for file in newest.files)
        return CatalogStatus(newest.number, newest.reach.seq, tip.seq - newest.reach.seq, len(newest.files), size)

    def due(self) -> bool:
        """Whether so much happened since the last generation that sessions would start slowly."""
        from lake.catalog.session import usable

        newest = usable(self._folder, self._feed)
        return _is_far(newest.reach if newest is not None else None, self._repo.journal.tip())

    def _notice(self, session: CatalogConnection) -> None:
        """Whoever had to read much from the journal, for whatever reason, sees to it that others need not."""
        if _is_far(session.generation.reach if session.generation is not None else None, session.reach):
            self._publish_aside()

    def committed(self, changes: int) -> None:
        """Note a commit of this process. A generation that is due is published aside; whoever commits never waits."""
        self._pending += changes
        if self._pending >= _LOOK:
            self._look()

    def _look(self) -> None:
        self._pending = 0
        # By manifests and sizes alone: without DuckDB and Arrow, which take longer to load than most commits.
        newest = self._folder.newest(hashed=0)
        with contextlib.suppress(LakeError):
            if _is_far(newest.reach if newest is not None else None, self._repo.journal.tip()):
                self._publish_aside()

    def _publish_aside(self) -> None:
        self._look_for_fork()
        with self._aside:
            if self._repo.readonly or self._gave_up or (self._publisher is not None and self._publisher.is_alive()):
                return
            self._publisher = threading.Thread(target=self.publish_quietly, name="regionlake-catalog")
            self._publisher.start()

    def publish_quietly(self) -> None:
        """Publish a generation where one is due.

        What cannot be published now is read from the journal, and published by the next process that can: a warning
        (logger ``lake.catalog``).
        """
        try:
            self.publish()
        except LakeError as error:
            import logging

            self._gave_up = True
            logging.getLogger("lake.catalog").warning("the catalog was not published: %s", error)

    def close(self) -> None:
        """Publish what is due after the commits of this process, and close the connection of `sql`."""
        self._look_for_fork()
        if self._pending:
            self._look()
        publisher, self._publisher = self._publisher, None
        if publisher is not None and publisher is not threading.current_thread():
            publisher.join()
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _let_go(cursor: duckdb.DuckDBPyConnection) -> None:
    """What was kept for a relation goes with it."""


def _is_far(since: Sequence[int] | None, tip: Sequence[int]) -> bool:
    """Whether so much lies between two marks that a session would start slowly."""
    commits, objects, _, facts = (new - old for new, old in zip(tip, since or (0, 0, 0, 0), strict=True))
    return commits >= PUBLISH_COMMITS or objects >= PUBLISH_OBJECTS or facts >= PUBLISH_FACTS


def _placed(cursor: duckdb.DuckDBPyConnection, query: str, error: duckdb.Error) -> duckdb.Error:
    """The error with the place in the query, which relations leave out where a query cannot be planned."""
    import duckdb

    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException)):
        try:
            cursor.execute(query)
        except type(error) as again:
            return again
        except duckdb.Error:
            return error
    return error


def _file_sync(system: System) -> Any:
    def sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            system.fsync(descriptor)
        finally:
            os.close(descriptor)

    return sync
