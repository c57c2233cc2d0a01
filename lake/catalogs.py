"""The catalog of one lake: connections that ask it, and generations that keep it quick."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.catalog.limits import Limits
from lake.errors import LakeError, ReadOnly
from lake.repository import Repository
from lake.stores.durable import System

if TYPE_CHECKING:
    import duckdb

    from lake.catalog.generations import CatalogFolder, Generation
    from lake.catalog.session import CatalogConnection
    from lake.feed import LakeFeed

__all__ = ["CatalogDesk"]

PUBLISH_COMMITS = 1000
PUBLISH_OBJECTS = 5000
PUBLISH_FACTS = 10_000
"""How much may have happened since the last generation: every session reads it anew from the journal."""

_LOOK = 256
"""Changed paths of this process after which it looks whether a generation is due."""


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
        self._pending = 0
        self._publisher: threading.Thread | None = None

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
        from lake.catalog.session import CatalogConnection

        made = CatalogConnection(self._folder, self._feed, at or self._ref, limits=limits, sandbox=sandbox)
        self._open.add(made)
        return made

    def refresh(self) -> None:
        """Let every connection of this process see what was committed since."""
        for connection in list(self._open):
            if connection.process == os.getpid() and not connection.closed:
                connection.refresh()

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

        cursor = self._current().raw.cursor()
        check_query(cursor, query)
        for name, table in tables.items():
            cursor.register(name, table)
        try:
            relation = cursor.sql(query, params=params)
        except duckdb.Error as error:
            raise BadQuery(explained(error)) from None
        if relation is None:
            raise BadQuery("the query has no answer")
        return relation

    def _current(self) -> CatalogConnection:
        with self._lock:
            session = self._session
            if session is None or session.process != os.getpid() or session.closed:
                session = self._session = self.connect()
            else:
                session.refresh()
            return session

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
        system = System()
        builder = Builder(self._folder, self._feed, _file_sync(system), system.sync_directory)
        self._folder.path.mkdir(exist_ok=True)
        with publishing_lock(self._folder.path / "publish.lock", wait=force) as mine:
            if not mine or not (force or self.due()):
                return None
            return builder.build(anew=anew)

    def _check_writable(self) -> None:
        if self._repo.readonly:
            raise ReadOnly(f"{self._repo.root} is opened read-only: its catalog cannot be published")

    def due(self) -> bool:
        """Whether so much happened since the last generation that sessions would start slowly."""
        newest = self._folder.newest_reach()
        tip = self._repo.journal.tip()
        return (
            tip.seq - newest[0] >= PUBLISH_COMMITS
            or tip.object - newest[1] >= PUBLISH_OBJECTS
            or tip.artifact - newest[3] >= PUBLISH_FACTS
        )

    def committed(self, changes: int) -> None:
        """Note a commit of this process. A generation that is due is published aside; whoever commits never waits."""
        self._pending += changes
        if self._pending >= _LOOK:
            self._pending = 0
            self._publish_aside()

    def _publish_aside(self) -> None:
        if self._repo.readonly or (self._publisher is not None and self._publisher.is_alive()) or not self.due():
            return
        self._publisher = threading.Thread(target=self._publish_quietly, name="regionlake-catalog")
        self._publisher.start()

    def _publish_quietly(self) -> None:
        # What cannot be published now is read from the journal, and published by whoever comes next.
        try:
            self.publish()
        except LakeError as error:
            import logging

            logging.getLogger("lake.catalog").warning("the catalog was not published: %s", error)

    def close(self) -> None:
        """Publish what is due after the commits of this process, and close the connection of `sql`."""
        if self._pending:
            self._pending = 0
            self._publish_aside()
        publisher, self._publisher = self._publisher, None
        if publisher is not None and publisher is not threading.current_thread():
            publisher.join()
        session, self._session = self._session, None
        if session is not None and session.process == os.getpid():
            session.close()


def _file_sync(system: System) -> Any:
    def sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            system.fsync(descriptor)
        finally:
            os.close(descriptor)

    return sync
