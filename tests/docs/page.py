"""docs/catalog.md as data: its examples, and what a lake answers to them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

from lake.lake import Lake
from lake.results.answers import AnswerFormat, write_answer
from lake.results.query import ask

__all__ = ["PAGE", "Example", "answer", "described_views", "examples", "renewed", "written_views"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"

_EXAMPLE = re.compile(r"```(?P<language>sql|python)\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_VIEWS = re.compile(r"(?<=<!-- views -->\n)\n.*?\n(?=<!-- end of views -->)", re.DOTALL)


class Example(NamedTuple):
    """A block of code, and what the page shows for it."""

    heading: str
    language: str
    code: str
    output: str | None
    """None where the page shows nothing."""


def examples(page: str) -> list[Example]:
    return [
        Example(_HEADING.findall(page, 0, found.start())[-1], found["language"], found["code"], found["output"])
        for found in _EXAMPLE.finditer(page)
    ]


def answer(lk: Lake, language: str, code: str) -> str:
    """What ``lake sql`` prints for a query, or what a piece of Python prints that has ``lk``."""
    if language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {"lk": lk})
        return printed.getvalue()
    sink = io.BytesIO()
    with lk.catalog.connect() as catalog, contextlib.closing(ask(catalog.raw, code, {})) as found:
        write_answer(found, AnswerFormat.TABLE, sink)
    return sink.getvalue().decode()


def written_views(page: str) -> str:
    """The tables of views and columns in a page."""
    (found,) = _VIEWS.findall(page)
    return str(found)


def described_views(lk: Lake) -> str:
    """The same tables from what the catalog says of itself: names, types and comments."""
    tables = []
    views = """SELECT view_name, comment FROM duckdb_views()
               WHERE NOT internal AND schema_name = 'main' ORDER BY view_name"""
    columns = """SELECT column_name, data_type, comment FROM duckdb_columns()
                 WHERE table_name = ? AND schema_name = 'main' AND database_name = current_database()
                 ORDER BY column_index"""
    with lk.catalog.connect() as catalog:
        for view, summary in catalog.execute(views).fetchall():
            rows = catalog.execute(columns, [view]).fetchall()
            lines = [f"| {name} | {kind} | {comment} |\n" for name, kind, comment in rows]
            tables.append(f"\n### {view}\n\n{summary}\n\n| column | type | meaning |\n|---|---|---|\n{''.join(lines)}")
    return "".join(tables) + "\n"


def renewed(page: str, lk: Lake) -> str:
    """A page with the answers of today in place of those that it shows."""

    def with_output(found: re.Match[str]) -> str:
        if found["output"] is None:
            return found[0]
        code = f"```{found['language']}\n{found['code']}```\n"
        return f"{code}\n```text\n{answer(lk, found['language'], found['code'])}```\n"

    return _EXAMPLE.sub(with_output, _VIEWS.sub(lambda _: described_views(lk), page))
