"""Letting go of history: commits that nothing holds go, then the versions of paths that no commit left sees.

A view of a branch sees of it what it held as of some commit that lies on it: its head, a tag, the point where a child
branch left. So a version of a path, seen by commits in [seq, until) of its branch, is needed as long as one of those
commits is there. That can only become less true: new commits come behind all others, and new tags and branches begin
at commits that are there. Hence commits go first, in small transactions, and versions later, in as many as it takes.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from itertools import pairwise
from typing import NamedTuple

from lake.clock import now
from lake.errors import NotFound
from lake.journal import events
from lake.journal.values import Kept, View

__all__ = [
    "Key",
    "Points",
    "check_there",
    "drop_branch",
    "drop_branches",
    "histories",
    "let_go",
    "points",
    "remove",
    "remove_commits",
    "rounds",
    "unseen",
]

_REMEMBERED = 30 * 86_400 * 10**9
"""Nanoseconds for which the operations of expired commits are known: clients that try again do so sooner."""

Key = tuple[str, int, int]
"""Path, branch and commit of a version: what orders the entries."""

Points = dict[int, "array[int]"]
"""The commits of every branch, ascending."""

_VERSIONS = """
SELECT path, branch, seq, until FROM entry WHERE (path, branch, seq) > (?, ?, ?) ORDER BY path, branch, seq LIMIT ?"""


class _Branch(NamedTuple):
    id: int
    name: str
    deleted: bool
    parent: int | None
    fork: int
    head: int


def histories(sql: sqlite3.Connection, alone: str | None = None) -> list[Kept]:
    """Every branch with its own commits and what holds them; see `lake.journal.base.Journal.histories`."""
    rows = _branches(sql)
    commits: dict[int, list[tuple[int, int]]] = {row.id: [] for row in rows}
    for branch, seq, created in sql.execute("SELECT branch, seq, created FROM commits ORDER BY seq DESC"):
        commits[branch].append((seq, created))
    going = {seq for row in rows if row.deleted and alone is None for seq, _ in commits[row.id]}
    held = _held(sql, rows, _needed(sql, rows, going))
    return [
        Kept(
            row.name,
            row.deleted,
            tuple(commits[row.id]),
            {seq: tuple(held[seq]) for seq, _ in commits[row.id] if seq in held},
        )
        for row in rows
    ]


def let_go(sql: sqlite3.Connection, seqs: Iterable[int]) -> list[int]:
    """Remove the rows of those commits that nothing holds now; returns their numbers, ascending."""
    rows = _branches(sql)
    wanted = set(seqs)
    held = _held(sql, rows, _needed(sql, rows, wanted))
    going = [
        seq
        for seq in sorted(wanted - held.keys())
        if sql.execute("SELECT 1 FROM commits WHERE seq = ?", (seq,)).fetchone()
    ]
    if going:
        runs = _runs(going)
        remove_commits(sql, runs)
        events.record(sql, "expire", {"commits": [list(run) for run in runs]})
    return going


def remove_commits(sql: sqlite3.Connection, runs: Iterable[Sequence[int]]) -> None:
    """Remove the commits of runs (first and last number, both included); their operations stay known for a while."""
    moment, count = now(), 0
    for first, last in runs:
        sql.execute(
            "INSERT OR REPLACE INTO operation SELECT op_id, seq, ? FROM commits"
            " WHERE seq BETWEEN ? AND ? AND op_id IS NOT NULL",
            (moment, first, last),
        )
        count += sql.execute("DELETE FROM commits WHERE seq BETWEEN ? AND ?", (first, last)).rowcount
        sql.execute("DELETE FROM commit_parent WHERE seq BETWEEN ? AND ?", (first, last))
    sql.execute("DELETE FROM operation WHERE expired < ?", (moment - _REMEMBERED,))
    sql.execute("INSERT INTO expiry(happened, commits) VALUES(?, ?)", (moment, count))


def rounds(sql: sqlite3.Connection) -> int:
    """How many times commits went; what was read of history before the last time may not go on after it."""
    return int(sql.execute("SELECT coalesce(max(id), 0) FROM expiry").fetchone()[0])


def points(sql: sqlite3.Connection) -> Points:
    found: Points = {}
    for branch, seq in sql.execute("SELECT branch, seq FROM commits ORDER BY seq"):
        found.setdefault(branch, array("q")).append(seq)
    return found


def unseen(sql: sqlite3.Connection, there: Points, after: Key, limit: int) -> tuple[list[Key], Key | None]:
    """Of the next ``limit`` versions those that no commit sees, and the version to go on behind; None at the end.

    What was committed since the commits were counted stays.
    """
    newest = max((seqs[-1] for seqs in there.values()), default=0)
    rows = sql.execute(_VERSIONS, (*after, limit)).fetchall()
    nothing: array[int] = array("q")
    gone = []
    for path, branch, seq, until in rows:
        if seq > newest:
            continue
        seen = there.get(branch, nothing)
        place = bisect_left(seen, seq)
        if place == len(seen) or seen[place] >= until:
            gone.append((path, branch, seq))
    return gone, rows[-1][:3] if len(rows) == limit else None


def remove(sql: sqlite3.Connection, versions: Sequence[Key]) -> None:
    sql.executemany("DELETE FROM entry WHERE path = ? AND branch = ? AND seq = ?", versions)


def drop_branches(sql: sqlite3.Connection) -> list[str]:
    """Forget deleted branches of which nothing is left: no commit, no child, no tag; returns their names."""
    rows = _branches(sql)
    needed = _needed(sql, rows)
    going = [row for row in reversed(rows) if row.id not in needed]
    for row in going:
        drop_branch(sql, row.id)
        events.record(sql, "drop-branch", {"branch": row.id})
    return [row.name for row in going]


def drop_branch(sql: sqlite3.Connection, branch: int) -> None:
    sql.execute("DELETE FROM ancestry WHERE branch = ?", (branch,))
    sql.execute("DELETE FROM usage WHERE branch = ?", (branch,))
    sql.execute("DELETE FROM branch WHERE id = ?", (branch,))


def check_there(sql: sqlite3.Connection, view: View) -> None:
    """Raise NotFound for a view that was resolved before its commit went: what it sees may be gone in part."""
    query = "SELECT NOT EXISTS (SELECT 1 FROM commits WHERE seq = ?) OR NOT EXISTS (SELECT 1 FROM branch WHERE id = ?)"
    if view.seq and sql.execute(query, (view.seq, view.branch)).fetchone()[0]:
        raise NotFound(f"commit {view.seq} has been expired meanwhile: read at a newer one")


def _branches(sql: sqlite3.Connection) -> list[_Branch]:
    """All, deleted ones too; parents before their children."""
    rows = sql.execute("SELECT id, name, deleted, parent, fork_seq, head_seq FROM branch ORDER BY id")
    return [_Branch(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]


def _needed(sql: sqlite3.Connection, rows: Sequence[_Branch], going: Set[int] = frozenset()) -> set[int]:
    """Branches that are not deleted, that a tag or a needed branch reads, or that have commits besides those going.

    The newest commit of all stays, and its branch with it: the next commit gets the number behind it.
    """
    own = "SELECT seq FROM commits WHERE branch = ? AND seq BETWEEN ? AND ?"
    needed = {branch for (branch,) in sql.execute("SELECT branch FROM tag")}
    needed |= {branch for (branch,) in sql.execute("SELECT branch FROM commits ORDER BY seq DESC LIMIT 1")}
    for row in reversed(rows):
        stays = row.id in needed or not row.deleted
        if stays or any(seq not in going for (seq,) in sql.execute(own, (row.id, row.fork + 1, row.head))):
            needed.add(row.id)
        if row.id in needed and row.parent is not None:
            needed.add(row.parent)
    return needed


def _held(sql: sqlite3.Connection, rows: Sequence[_Branch], needed: set[int]) -> dict[int, list[str]]:
    """Commits that must stay, each with what holds it."""
    held: dict[int, list[str]] = {}
    for row in rows:
        if not row.deleted:
            held.setdefault(row.head, []).append(f"head of {row.name}")
        if row.parent is not None and row.id in needed:
            held.setdefault(row.fork, []).append(f"start of {row.name}")
    for name, seq in sql.execute("SELECT name, seq FROM tag ORDER BY name"):
        held.setdefault(seq, []).append(f"tag {name}")
    for (seq,) in sql.execute("SELECT max(seq) FROM commits"):
        held.setdefault(seq, []).append("newest of all")
    return held


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as runs, first and last included."""
    if not numbers:
        return []
    breaks = [place for place, (one, two) in enumerate(pairwise(numbers), 1) if two != one + 1]
    starts, ends = [0, *breaks], [*breaks, len(numbers)]
    return [(numbers[start], numbers[end - 1]) for start, end in zip(starts, ends, strict=True)]
