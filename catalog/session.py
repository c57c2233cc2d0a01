"""A connection that asks the catalog: DuckDB in memory, with a generation attached read-only and the tail beside it."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import duckdb

from lake.catalog.feed import Feed, families_fingerprint
from lake.catalog.generations import CatalogFolder, Generation
from lake.catalog.limits import Limits
from lake.catalog.reach import Reach
from lake.catalog.statements import run
from lake.catalog.tail import TAIL, Tail, load_tail
from lake.catalog.views import MACROS, Source, comments, view_statements
from lake.errors import BadQuery, NotFound

__all__ = ["CatalogConnection", "usable"]

_DAMAGE = re.compile(r"Corrupt database file|checksum|IO Error|read enough bytes|Serialization Error")
"""What DuckDB says of a damaged file, under classes that depend on its version and on who reads; of others, too."""

Found = TypeVar("Found")

_ATTEMPTS = 3
"""Times that a generation may vanish between its manifest and its files before that is an error."""


def usable(folder: CatalogFolder, feed: Feed, hashed: float | None = None) -> Generation | None:
    """The newest generation that is whole, was read from this journal and knows the kinds of facts of today.

    ``hashed`` is that of `CatalogFolder.newest`.
    """
    generation = folder.newest(hashed)
    if generation is None or generation.journal != feed.identity():
        return None
    if generation.families != families_fingerprint(feed.families):
        return None
    # A journal that was set back to an older copy goes on with other commits under the same numbers.
    if any(mine > theirs for mine, theirs in zip(generation.reach, feed.tip(), strict=True)):
        return None
    if generation.reach.seq and feed.commit_id(generation.reach.seq) != generation.commit:
        return None
    return generation


class CatalogConnection:
    """A DuckDB connection with the views of a lake; every attribute of `duckdb.DuckDBPyConnection` is one of its own.

    It sees the lake as it was when it was made or refreshed, and blocks nobody for however long it is held.

    Args:
        folder: the generations.
        feed: what happened since.
        at: the ref that is asked.
        limits: what a query may take.
        sandbox: no files, no network, no change of settings: for queries of strangers.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        folder: CatalogFolder,
        feed: Feed,
        at: str,
        *,
        limits: Limits | None = None,
        sandbox: bool = False,
    ) -> None:
        self._folder = folder
        self._feed = feed
        self._at = at
        self._limits = limits or Limits()
        self._sandbox = sandbox
        self.closed = False
        self._lock = threading.RLock()
        self._attached: dict[str, str] = {}
        self._generation: Generation | None = None
        self._tail: Tail | None = None
        self.raw = self._open()
        """The connection itself."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name == "raw":
                raise AttributeError(name)
            return getattr(self.raw, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def generation(self) -> Generation | None:
        """What it has attached; None when everything comes from the journal."""
        return self._generation

    @property
    def reach(self) -> Reach:
        """How far it sees."""
        assert self._tail is not None
        return self._tail.until

    def close(self) -> None:
        """Close it; further calls do nothing."""
        self.closed = True
        self.raw.close()

    def asking(self, question: Callable[[Self], Found]) -> Found:
        """What a question finds; it is asked once more, of the journal, where the generation turns out to be damaged.

        Args:
            question: asks this connection and holds nothing of it when it fails.
        """
        try:
            return question(self)
        except (duckdb.Error, BadQuery) as error:
            if not self.distrust(error):
                raise
        with self._lock:
            self._reopen()
        return question(self)

    def distrust(self, error: Exception) -> bool:
        """Whether an error of a query may come from damage in the generation, which then is out of use from now on.

        DuckDB sees a damaged block of a large file when it reads it.
        """
        if self._generation is None or _DAMAGE.search(str(error)) is None:
            return False
        damaged = self._folder.damaged()
        for generation in damaged:
            self._folder.discard(generation)
        names = {file.name for generation in damaged for file in generation.files}
        return any(file.name in names for file in self._generation.files)

    def _reopen(self) -> None:
        old, self.raw = self.raw, self._open()
        old.close()

    def stale(self) -> bool:
        """Whether anything was committed since it was made or refreshed."""
        assert self._tail is not None
        return self._feed.tip() != self._tail.until or self._feed.viewpoint(self._at).seq != self._tail.seq

    def refresh(self) -> bool:
        """See what was committed since; returns whether there was anything. Answers begun before stay what they are.

        No other thread may begin a query meanwhile.
        """
        with self._lock:
            if not self.stale():
                return False
            if self._sandbox:
                self._reopen()
            else:
                # A cursor of its own: the caller's may be in a transaction, or in the middle of an answer.
                with self.raw.cursor() as cursor:
                    self._load(cursor)
            return True

    def _open(self) -> duckdb.DuckDBPyConnection:
        spill = Path(tempfile.gettempdir()) / f"regionlake-{os.getpid()}-{secrets.token_hex(4)}.spill"
        settings: dict[str, Any] = {"temp_directory": str(spill), "python_scan_all_frames": True}
        if self._limits.memory is not None:
            settings["memory_limit"] = self._limits.memory
        if self._limits.threads is not None:
            settings["threads"] = self._limits.threads
        connection = duckdb.connect(":memory:", config=settings)
        try:
            self._attached.clear()
            self._load(connection)
            for macro in MACROS:
                run(connection, macro)
            if self._sandbox:
                run(connection, "SET python_enable_replacements = false")
                run(connection, "SET enable_external_access = false")
                run(connection, "SET lock_configuration = true")
        except BaseException:
            connection.close()
            raise
        return connection

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        for _ in range(_ATTEMPTS):
            identity = self._feed.identity()
            try:
                generation = self._attach(connection)
                self._show_undamaged(connection, generation)
            except NotFound:
                # The commit that the ref meant a moment ago may have been expired since.
                if self._feed.identity() == identity:
                    raise
                continue
            # What was expired meanwhile is in the generation, and may be missing in the difference from it.
            if generation is None or self._feed.identity() == identity:
                return
        self._show(connection, None)

    def _show_undamaged(self, connection: duckdb.DuckDBPyConnection, generation: Generation | None) -> None:
        try:
            self._show(connection, generation)
        except duckdb.Error as error:
            if generation is None or _DAMAGE.search(str(error)) is None:
                raise
            self._folder.discard(generation)
            self._show(connection, None)

    def _show(self, connection: duckdb.DuckDBPyConnection, generation: Generation | None) -> None:
        # Not one transaction: DuckDB 1.4 and 2.0 lose large inserts into tables that were made in the same one.
        tail = self._fill(connection, generation)
        # A query that was planned a moment ago may still look for what was attached before.
        self._detach(connection, [found for found in (generation, self._generation) if found is not None])
        self._generation, self._tail = generation, tail

    def _fill(self, connection: duckdb.DuckDBPyConnection, generation: Generation | None) -> Tail:
        since = generation.reach if generation is not None else Reach()
        tail = load_tail(connection, self._feed, since, self._at, base=generation is not None)
        source = Source(tail)
        if generation is not None:
            core = self._attached[generation.core.name]
            segments = tuple((self._attached[segment.name], segment.name) for segment in generation.segments)
            source = Source(tail, generation, core, segments)
            run(
                connection,
                f"CREATE OR REPLACE TABLE {TAIL}.replaced AS SELECT c.id FROM {core}.files c"
                f" WHERE c.path IN (SELECT path FROM {TAIL}.files)",
            )
        run(connection, ";".join([*view_statements(source, self._feed.families), *comments(self._feed.families)]))
        return tail

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> Generation | None:
        for attempt in range(_ATTEMPTS):
            generation = usable(self._folder, self._feed)
            if generation is None:
                return None
            try:
                for file in generation.files:
                    self._attach_file(connection, file.name)
            except duckdb.Error as error:
                if _DAMAGE.search(str(error)) is None:
                    raise
                # It was pruned meanwhile, or is damaged: then it stays away, and everything comes from the journal.
                if attempt + 1 == _ATTEMPTS or (self._folder.path / generation.core.name).exists():
                    self._folder.discard(generation)
                continue
            return generation
        return None

    def _attach_file(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        if name in self._attached:
            return
        alias = name.removesuffix(".duckdb").replace("-", "_")
        path = str(self._folder.path / name).replace("'", "''")
        run(connection, f"ATTACH '{path}' AS {alias} (READ_ONLY)")
        self._attached[name] = alias

    def _detach(self, connection: duckdb.DuckDBPyConnection, kept: Sequence[Generation]) -> None:
        wanted = {file.name for generation in kept for file in generation.files}
        for name in [name for name in self._attached if name not in wanted]:
            run(connection, f"DETACH {self._attached.pop(name)}")
