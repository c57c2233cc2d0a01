"""The interactive prompt of ``lake sql``: queries until a semicolon, and commands that begin with a dot."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import has_completions, has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from lake.catalog.limits import Limits
from lake.catalog.session import CatalogConnection
from lake.cli.completion import Vocabulary, complete, paths_below, read_vocabulary
from lake.cli.messages import complain
from lake.cli.output import table
from lake.cli.sql import asked, complain_of_query, deliver, format_for
from lake.errors import BadQuery, InvalidInput, LakeError, NotFound
from lake.peak_calls import bind_peaks
from lake.results.answers import AnswerFormat

__all__ = ["Prompt", "PromptCompleter", "history_file"]

_HELP = [
    [".help", "this list"],
    [".tables", "the views"],
    [".schema [VIEW]", "columns, types and what they mean"],
    [".mode FORMAT", "how answers are written: " + ", ".join(AnswerFormat)],
    [".output FILE", "write the next answer to a file, in the format of its suffix"],
    [".timer on|off", "say how long an answer took"],
    [".refresh", "see what was committed since; every query does so by itself"],
    [".quit", "leave, like Ctrl-D"],
]
_FIRST, _NEXT = "lake> ", "  ... "


def history_file() -> Path:
    """Where queries are remembered: below ``XDG_STATE_HOME`` (XDG Base Directory Specification), on every system."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"
    return state / "regionlake" / "history"


class Prompt:
    """A session at a terminal.

    Args:
        connection: it is refreshed before each query.
        limits: of each query.
        form: how answers are written until ``.mode`` says otherwise.
        points: those of runs, for the table function ``peaks()``.
    """

    def __init__(
        self,
        connection: CatalogConnection,
        limits: Limits,
        form: AnswerFormat,
        points: Callable[[Sequence[str]], Any],
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._form = form
        self._points = points
        self._output: str | None = None
        self._timer = True
        self._commands: dict[str, Callable[[list[str]], None]] = {
            ".help": self._help,
            ".tables": self._tables,
            ".schema": self._schema,
            ".mode": self._mode,
            ".output": self._set_output,
            ".timer": self._set_timer,
            ".refresh": self._refresh,
        }

    def run(self) -> int:
        """Read and answer until the end of input; returns the exit status."""
        session: PromptSession[str] = PromptSession(
            _FIRST,
            multiline=True,
            prompt_continuation=_NEXT,
            history=_history(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=PromptCompleter(self._connection, self._vocabulary()),
            complete_while_typing=False,
            key_bindings=_key_bindings(),
        )
        print("The catalog of this lake, read-only. A query ends with ';'. '.help' lists commands, Ctrl-D leaves.")
        while True:
            try:
                line = session.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return 0
            if line.strip() in (".quit", ".exit"):
                return 0
            self._answer(line.strip())

    def _answer(self, text: str) -> None:
        started = time.perf_counter()
        try:
            if text.startswith("."):
                self._command(text)
            elif text.strip("; \n\t"):
                self._query(text)
                if self._timer:
                    print(f"{time.perf_counter() - started:.3f} s")
        except KeyboardInterrupt:
            complain("interrupted")
        except BadQuery as error:
            complain_of_query(error)
        except LakeError as error:
            complain(str(error))

    def _query(self, text: str) -> None:
        self._connection.refresh()
        text = bind_peaks(text, self._points, self._connection.raw.register)
        answer = asked(self._connection, text, {}, self._limits)
        output, self._output = self._output, None
        form = self._form
        if output is not None and Path(output).suffix:
            form = format_for(output, None)
        with contextlib.closing(answer):
            rows = deliver(answer, form, output)
        if output is not None:
            print(f"{rows:,} rows in {output}")

    def _command(self, text: str) -> None:
        try:
            name, *words = shlex.split(text)
        except ValueError as error:
            raise InvalidInput(f"{text}: {error}") from None
        command = self._commands.get(name)
        if command is None:
            raise NotFound(f"no command {name}: '.help' lists them")
        command(words)

    def _vocabulary(self) -> Vocabulary:
        commands: dict[str, list[str]] = {name: [] for name in [*self._commands, ".quit"]}
        commands[".mode"] = list(AnswerFormat)
        commands[".timer"] = ["on", "off"]
        vocabulary = read_vocabulary(self._connection.raw, commands)
        commands[".schema"] += vocabulary.views
        return vocabulary

    def _help(self, words: list[str]) -> None:
        table(_HELP)

    def _tables(self, words: list[str]) -> None:
        table([[view] for view in self._vocabulary().views])

    def _schema(self, words: list[str]) -> None:
        views = self._vocabulary().views
        unknown = [name for name in words if name not in views]
        if unknown:
            raise NotFound(f"no view {unknown[0]}: '.tables' lists them")
        rows = self._connection.raw.execute(
            "SELECT table_name, column_name, lower(data_type), coalesce(comment, '') FROM duckdb_columns()"
            " WHERE table_name IN (SELECT unnest($views)) AND database_name = current_database()"
            " AND schema_name = current_schema() ORDER BY table_name, column_index",
            {"views": words or list(views)},
        ).fetchall()
        table([list(map(str, row)) for row in rows])

    def _mode(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in list(AnswerFormat):
            raise InvalidInput(f".mode takes one of {', '.join(AnswerFormat)}")
        self._form = AnswerFormat(words[0])

    def _set_output(self, words: list[str]) -> None:
        if len(words) > 1:
            raise InvalidInput(".output takes one file")
        if words and Path(words[0]).suffix:
            format_for(words[0], None)
        self._output = os.path.expanduser(words[0]) if words else None

    def _set_timer(self, words: list[str]) -> None:
        if words not in (["on"], ["off"]):
            raise InvalidInput(".timer takes on or off")
        self._timer = words == ["on"]

    def _refresh(self, words: list[str]) -> None:
        self._connection.refresh()


class PromptCompleter(Completer):
    """`complete`, as prompt_toolkit asks for it. It has cursors of its own: a query may be half answered."""

    def __init__(self, connection: CatalogConnection | duckdb.DuckDBPyConnection, vocabulary: Vocabulary) -> None:
        self._connection = connection
        self._vocabulary = vocabulary

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        with self._connection.cursor() as cursor:
            found = complete(
                document.text_before_cursor,
                document.text_after_cursor,
                self._vocabulary,
                lambda beginning: paths_below(cursor, beginning),
            )
            for text in found.texts:
                yield Completion(text, start_position=-found.typed)


def _key_bindings() -> KeyBindings:
    """Enter ends a query after its semicolon, and a command anywhere; before it begins another line."""
    bindings = KeyBindings()

    @bindings.add("enter", filter=has_focus("DEFAULT_BUFFER") & ~has_completions)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if not text or text.startswith(".") or text.endswith(";"):
            buffer.validate_and_handle()
        else:
            buffer.newline(copy_margin=False)

    @bindings.add("enter", filter=has_focus("DEFAULT_BUFFER") & has_completions)
    def take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    return bindings


def _history() -> History:
    place = history_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.closing(os.fdopen(os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))):
            return FileHistory(place)
    except OSError as error:
        print(f"queries are not remembered: {place}: {error.strerror}", file=sys.stderr)
        return InMemoryHistory()
