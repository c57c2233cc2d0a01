"""Branches, tags, and what refs mean in a journal."""

from __future__ import annotations

import difflib
import sqlite3
from typing import NamedTuple

from lake.clock import now
from lake.errors import AlreadyExists, InvalidInput, NotFound
from lake.journal import events
from lake.journal.refs import Back, Until, check_name, parse
from lake.journal.values import Branch, Tag, View

__all__ = [
    "MAIN",
    "BranchRow",
    "add",
    "branches",
    "create_branch",
    "create_tag",
    "delete_branch",
    "delete_tag",
    "live_branch",
    "resolve",
    "tags",
]

MAIN = "main"
_ALWAYS = (1 << 63) - 1

_BRANCHES = """
SELECT b.name, b.head_seq, p.name, b.fork_seq, b.created FROM branch b LEFT JOIN branch p ON p.id = b.parent
WHERE b.deleted = 0"""

# Newest first, walking `commits` backwards: the commits that a view (branch, seq) sees.
_SEEN = """
SELECT c.branch, c.seq FROM commits c CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = c.branch
WHERE c.seq <= ? AND c.seq <= a.upto"""


class BranchRow(NamedTuple):
    id: int
    head: int


def live_branch(sql: sqlite3.Connection, name: str) -> BranchRow:
    """Raises `NotFound`, naming close ones."""
    row = sql.execute("SELECT id, head_seq FROM branch WHERE name = ? AND deleted = 0", (name,)).fetchone()
    if row is None:
        raise NotFound(f"no branch {name!r}{_suggestion(sql, name)}")
    return BranchRow(*row)


def resolve(sql: sqlite3.Connection, ref: str) -> View:
    """See `lake.journal.base.Journal.resolve`."""
    parsed = parse(ref)
    view = _numbered(sql, parsed.base) if isinstance(parsed.base, int) else _named(sql, parsed.base)
    for step in parsed.steps:
        view = _step(sql, view, step, ref)
    return view


def _named(sql: sqlite3.Connection, name: str) -> View:
    row = sql.execute("SELECT id, head_seq FROM branch WHERE name = ? AND deleted = 0", (name,)).fetchone()
    if row is not None:
        return View(row[0], row[1], name)
    row = sql.execute("SELECT branch, seq FROM tag WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFound(f"no branch, tag or commit {name!r}{_suggestion(sql, name)}")
    return View(row[0], row[1], None)


def _numbered(sql: sqlite3.Connection, seq: int) -> View:
    row = sql.execute("SELECT branch FROM commits WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        newest = sql.execute("SELECT max(seq) FROM commits").fetchone()[0]
        # Numbers are given without gaps, and the newest commit always stays.
        if newest and 0 < seq < newest:
            raise NotFound(f"commit {seq} has been expired: `lake log` lists those that were kept")
        raise NotFound(f"no commit {seq}: {f'the newest is {newest}' if newest else 'nothing has been committed yet'}")
    return View(row[0], seq, None)


def _step(sql: sqlite3.Connection, view: View, step: Back | Until, ref: str) -> View:
    match step:
        case Back(commits):
            query, bound = f"{_SEEN} ORDER BY c.seq DESC LIMIT 1 OFFSET ?", commits
            missing = f"{ref!r}: its history has no {commits} commits before that"
        case Until(last):
            query, bound = f"{_SEEN} AND c.created <= ? ORDER BY c.seq DESC LIMIT 1", last
            missing = f"{ref!r}: no commit had been made by then"
    row = sql.execute(query, (view.branch, view.seq, bound)).fetchone()
    if row is None:
        raise NotFound(missing)
    return View(row[0], row[1], None)


def branches(sql: sqlite3.Connection) -> list[Branch]:
    return [Branch._make(row) for row in sql.execute(f"{_BRANCHES} ORDER BY b.id")]


def create_branch(sql: sqlite3.Connection, name: str, start: str) -> Branch:
    _check_free(sql, name)
    view = resolve(sql, start)
    child = add(sql, name, view.branch, view.seq, now())
    return Branch._make(sql.execute(f"{_BRANCHES} AND b.id = ?", (child,)).fetchone())


def add(sql: sqlite3.Connection, name: str, parent: int | None, forked: int, created: int) -> int:
    """Make a branch that leaves another one (by its number) behind a commit; returns its number."""
    cursor = sql.execute(
        "INSERT INTO branch(name, parent, fork_seq, head_seq, created) VALUES(?, ?, ?, ?, ?)",
        (name, parent, forked, forked, created),
    )
    child = cursor.lastrowid
    assert child is not None
    sql.execute("INSERT INTO ancestry VALUES(?, ?, ?)", (child, child, _ALWAYS))
    sql.execute(
        "INSERT INTO ancestry SELECT ?, ancestor, min(upto, ?) FROM ancestry WHERE branch = ?", (child, forked, parent)
    )
    events.record(sql, "branch", {"id": child, "name": name, "parent": parent, "forked": forked, "created": created})
    return child


def delete_branch(sql: sqlite3.Connection, name: str) -> None:
    """The row and its entries stay, for the branches, tags and commit numbers that see them."""
    if name == MAIN:
        raise InvalidInput(f"the branch {MAIN!r} cannot be deleted: what names no ref reads it")
    number = live_branch(sql, name).id
    sql.execute("UPDATE branch SET deleted = 1 WHERE id = ?", (number,))
    events.record(sql, "branch-deleted", {"id": number})


def tags(sql: sqlite3.Connection) -> list[Tag]:
    return [Tag._make(row) for row in sql.execute("SELECT name, seq, created FROM tag ORDER BY name")]


def create_tag(sql: sqlite3.Connection, name: str, target: str) -> Tag:
    _check_free(sql, name)
    view = resolve(sql, target)
    if not view.seq:
        raise NotFound(f"{target!r} has no commit yet that {name!r} could name: commit something first")
    tag = Tag(name, view.seq, now())
    sql.execute("INSERT INTO tag VALUES(?, ?, ?, ?)", (name, view.branch, view.seq, tag.created))
    events.record(sql, "tag", {"name": name, "branch": view.branch, "seq": view.seq, "created": tag.created})
    return tag


def delete_tag(sql: sqlite3.Connection, name: str) -> None:
    if not sql.execute("DELETE FROM tag WHERE name = ?", (name,)).rowcount:
        raise NotFound(f"no tag {name!r}{_suggestion(sql, name)}")
    events.record(sql, "tag-deleted", {"name": name})


def _check_free(sql: sqlite3.Connection, name: str) -> None:
    check_name(name)
    for kind, query in (
        ("branch", "SELECT 1 FROM branch WHERE name = ? AND deleted = 0"),
        ("tag", "SELECT 1 FROM tag WHERE name = ?"),
    ):
        if sql.execute(query, (name,)).fetchone():
            raise AlreadyExists(f"there is a {kind} {name!r} already: choose another name, or delete it first")


def _suggestion(sql: sqlite3.Connection, name: str) -> str:
    names = [row[0] for row in sql.execute("SELECT name FROM branch WHERE deleted = 0 UNION SELECT name FROM tag")]
    close = difflib.get_close_matches(name, names, 3)
    return f": did you mean {' or '.join(close)}?" if close else ": `lake branch` and `lake tag` list them"
