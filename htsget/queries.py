"""SQL for strangers: connections without files, network or settings, limits on each query, answers on disk first."""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any

from lake.catalog.limits import Limits
from lake.catalog.session import CatalogConnection
from lake.errors import BadQuery
from lake.htsget.errors import Problem
from lake.htsget.settings import Settings
from lake.lake import Lake
from lake.results.answers import AnswerFormat, write_answer
from lake.results.query import Remedies, ask

__all__ = ["MEDIA_TYPES", "QueryDesk"]

MEDIA_TYPES: dict[str, AnswerFormat] = {
    "application/json": AnswerFormat.JSON,
    "application/x-ndjson": AnswerFormat.JSONL,
    "text/csv": AnswerFormat.CSV,
    "application/vnd.apache.arrow.stream": AnswerFormat.ARROW,
    "application/vnd.apache.parquet": AnswerFormat.PARQUET,
}
"""What an answer can be, the usual first."""

_IN_MEMORY = 4 << 20
"""Bytes of an answer that need no file."""

_REMEDIES = Remedies("it is all that this server allows", "that is all that this server allows", "give it in params")

# DuckDB tells where the files of the catalog lie, and runs text that stands in strings. The query is searched as it was
# sent, strings and comments too: what takes these out first, and reads one of them otherwise than DuckDB does, can be
# led past all that follows. Behind a name, what DuckDB may take for space or comment counts as the bracket of a call.
_TELLING = re.compile(
    r"\b(duckdb_\w+|pragma_\w+|current_setting|getenv|query|query_table|sniff_csv|glob|which_secret)\b"
    r"\"?[^\w!-~]*(?:\(|/\*|--)"
    r"|\b(duckdb_(databases|settings|secrets|logs|log_contexts|temporary_files|extensions|external_file_cache)"
    r"|pragma_database_list)\b|\bu&\"",
    re.IGNORECASE,
)


class QueryDesk:
    """Answers queries of one server; as many at once as the settings say, the others wait."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake = lake
        self._seconds = settings.sql_seconds
        self._bytes = settings.sql_bytes
        self._limits = Limits(memory=settings.sql_memory, threads=settings.sql_threads)
        self._turns = asyncio.Semaphore(settings.sql_queries)
        # Threads of their own: queries that take long, or wait for their turn, hold up nothing else.
        self._pool = ThreadPoolExecutor(settings.sql_queries, "lake-sql")
        self._lock = threading.Lock()
        self._idle: list[CatalogConnection] = []

    async def answer(self, query: str, parameters: Mapping[str, Any], form: AnswerFormat) -> IO[bytes]:
        """The whole answer as a file at its start; the caller closes it.

        Raises:
            BadQuery: no query that reads, an error of DuckDB, or one of the limits.
            Problem: 413, the answer is too large; 503, too many wait.
        """
        if _TELLING.search(query):
            raise BadQuery("this server does not answer questions about itself: ask the views of the catalog")
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            busy = "too many queries are under way: try again"
            raise Problem(503, "Unavailable", busy, {"Retry-After": "5"}) from None
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._answered, query, parameters, form)
        finally:
            self._turns.release()

    def _answered(self, query: str, parameters: Mapping[str, Any], form: AnswerFormat) -> IO[bytes]:
        with self._connection() as connection:
            return self._written(connection, query, parameters, form)

    def _written(
        self, connection: CatalogConnection, query: str, parameters: Mapping[str, Any], form: AnswerFormat
    ) -> IO[bytes]:
        sink = _Bounded(self._bytes)
        try:
            found = ask(connection.raw, query, parameters, seconds=self._seconds, remedies=_REMEDIES)
            try:
                write_answer(found, form, sink)  # type: ignore[arg-type]
            finally:
                found.close()
            sink.file.seek(0)
        except BaseException:
            sink.file.close()
            raise
        return sink.file

    @contextmanager
    def _connection(self) -> Iterator[CatalogConnection]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._lake.catalog.connect(limits=self._limits, sandbox=True)
        else:
            connection.refresh()
        try:
            yield connection
        except BaseException:
            # Whatever state a failed query left behind is not for the next one.
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class _Bounded:
    """A file that takes so many bytes and no more."""

    closed = False

    def __init__(self, most: int) -> None:
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._left = most

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise Problem(413, "PayloadTooLarge", "the answer is larger than this server gives: ask for less")
        self.file.write(data)
        return size

    def tell(self) -> int:
        return self.file.tell()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        """Arrow closes what it has written; the file is still to be read."""
