"""The command ``sql``: one query and its answer, or the prompt."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lake.catalog.limits import Limits
from lake.cli.messages import complain
from lake.cli.output import attributes, open_lake
from lake.errors import BadQuery, InvalidInput, LakeError, StorageError, Unreadable
from lake.transfer import replacing

if TYPE_CHECKING:
    from lake.catalog.session import CatalogConnection
    from lake.results.answers import AnswerFormat
    from lake.results.query import Answer

__all__ = ["asked", "complain_of_query", "deliver", "format_for", "sql"]

_LONGEST = 10 << 20
"""Bytes of a query. Nobody writes a longer one; a data file given by mistake is."""
_SUFFIXES = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".parquet": "parquet",
    ".txt": "table",
    "": "table",
}


def sql(arguments: argparse.Namespace) -> int:
    text = _query_text(arguments)
    form = format_for(arguments.output, arguments.format)
    limits = Limits(arguments.memory_limit, arguments.threads, arguments.timeout)
    if text is None and (arguments.output is not None or arguments.param):
        raise InvalidInput("-o and --param belong to a query: give one")
    with open_lake(arguments) as lk, lk.catalog.connect(at=arguments.at, limits=limits) as catalog:
        points = partial(lk.points, ref=arguments.at)
        if text is None:
            from lake.cli.prompt import Prompt

            return Prompt(catalog, limits, form, points).run()
        from lake.peak_calls import bind_peaks

        try:
            text = bind_peaks(text, points, catalog.raw.register)
            with contextlib.closing(asked(catalog, text, attributes(arguments.param), limits)) as answer:
                deliver(answer, form, arguments.output)
        except BadQuery as error:
            if catalog.distrust(error):
                raise StorageError("the catalog on disk is damaged, and out of use from now on: ask again") from None
            complain_of_query(error)
            return 1
    return 0


def asked(catalog: CatalogConnection, text: str, parameters: Mapping[str, Any], limits: Limits) -> Answer:
    """The answer of a query, as `lake.results.query.ask` gives it, whatever has happened to the generation on disk."""
    from lake.results.query import ask

    def question(catalog: CatalogConnection) -> Answer:
        # Else a mistyped view is looked for among the variables of this program.
        catalog.raw.execute("SET python_enable_replacements = false")
        return ask(catalog.raw, text, parameters, seconds=limits.seconds)

    return catalog.asking(question)


def complain_of_query(error: BadQuery) -> None:
    """The error on its line, then DuckDB's excerpt with the marked position as it stands."""
    message, found, excerpt = str(error).partition("\n\nLINE ")
    complain(message)
    if found and sys.stderr is not None:
        from lake.results.grid import harmless

        for line in f"LINE {excerpt}".splitlines():
            print(harmless(line), file=sys.stderr)


def _query_text(arguments: argparse.Namespace) -> str | None:
    """The query; None where the prompt has to ask for it."""
    if arguments.file is not None and arguments.file != "-":
        try:
            with open(arguments.file, "rb") as file:
                return _decoded(file, arguments.file)
        except OSError as error:
            raise Unreadable(f"cannot read {arguments.file}: {error.strerror}") from error
    if arguments.query is not None and arguments.query != "-":
        return str(arguments.query)
    if sys.stdin is None:
        raise InvalidInput("standard input is closed: give the query as an argument or with -f FILE")
    if arguments.query is None and arguments.file is None and sys.stdin.isatty():
        return None
    return _decoded(sys.stdin.buffer, "standard input")


def _decoded(file: IO[bytes], name: str) -> str:
    content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise InvalidInput(f"{name}: longer than {_LONGEST:,} bytes, which no query is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not UTF-8 at byte {error.start}: not a query") from None


def format_for(output: str | None, named: str | None) -> AnswerFormat:
    """The format that was asked for, else that of the file's suffix, else a table.

    Raises:
        InvalidInput: a suffix that says nothing.
    """
    from lake.results.answers import AnswerFormat

    if named is not None:
        return AnswerFormat(named)
    suffix = os.path.splitext(output or "")[1].lower()
    if suffix not in _SUFFIXES:
        raise InvalidInput(f"{output}: nothing is known of {suffix}: say with --format how to write it")
    return AnswerFormat(_SUFFIXES[suffix])


def deliver(answer: Answer, form: AnswerFormat, output: str | None) -> int:
    """Write an answer to a file, which appears whole or not at all, or to standard output; returns its rows.

    Raises:
        InvalidInput: binary data for a terminal.
        BadQuery: as the batches of the answer do.
        StorageError: the file cannot be written.
    """
    from lake.results.answers import BINARY, write_answer

    if output is not None and output != "-":
        with _opened(Path(output)) as sink:
            return write_answer(answer, form, sink)
    terminal = sys.stdout.isatty()
    if terminal and form in BINARY:
        raise InvalidInput(f"{form} is binary and standard output is a terminal: write it to a file with -o FILE")
    sys.stdout.flush()
    try:
        rows = write_answer(answer, form, sys.stdout.buffer, shutil.get_terminal_size().columns if terminal else None)
        sys.stdout.buffer.flush()
    except OSError as error:
        if isinstance(error, (LakeError, BrokenPipeError)):
            raise
        raise StorageError(f"cannot write the answer to standard output: {error.strerror or error}") from error
    return rows


@contextlib.contextmanager
def _opened(destination: Path) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        if _is_special(destination):
            # Devices and pipes are written to; a rename would put a file in their place.
            try:
                yield stack.enter_context(open(destination, "wb"))
            except OSError as error:
                raise StorageError(f"cannot write {destination}: {error.strerror}") from error
            return
        if destination.is_dir():
            raise InvalidInput(f"{destination} is a directory: name a file")
        descriptor = stack.enter_context(replacing(destination))
        yield stack.enter_context(open(descriptor, "wb", closefd=False))


def _is_special(destination: Path) -> bool:
    try:
        mode = destination.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
