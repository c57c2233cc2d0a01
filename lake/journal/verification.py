"""Whether a journal says what it said when it was written: SQLite's own structure, and every row against a digest.

No page of SQLite has a checksum, so each row is held against something else: commits and entries against the ids of
commits, chunk maps and artifacts against their digests, branches against their commits, and the rows that nothing of
that kind covers against a second copy, an index over all their columns, which SQLite's integrity check compares.
"""

from __future__ import annotations

import itertools
import operator
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from typing import Any

from blake3 import blake3

from lake.journal.edits import State, commit_id
from lake.journal.values import Kind

__all__ = ["problems"]

_TOLD = 20
"""Problems of one kind that are told."""

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"

_COMMITS = """
SELECT c.seq, c.id, c.created, c.author, c.message, c.changes, b.name
FROM commits c LEFT JOIN branch b ON b.id = c.branch ORDER BY c.seq"""

_PARENTS = "SELECT ord, parent FROM commit_parent WHERE seq = ? ORDER BY ord"

_ENTRIES = """
SELECT e.seq, e.path, e.kind, e.object, e.size, e.mtime, e.attrs, o.digest, o.chunk_root, e.branch = c.branch
FROM entry e LEFT JOIN object o ON o.id = e.object LEFT JOIN commits c ON c.seq = e.seq ORDER BY e.seq"""

_ENDS = """
SELECT path, seq FROM (
  SELECT path, seq, until, lead(seq, 1, 9223372036854775807) OVER (PARTITION BY path, branch ORDER BY seq) AS next
  FROM entry)
WHERE typeof(until) != 'integer' OR until > next OR (
  until < next AND (until > (SELECT max(seq) FROM commits) OR until IN (SELECT seq FROM commits)
                    OR NOT EXISTS (SELECT 1 FROM expiry)))
LIMIT ?"""
"""Only where history has expired may the version be gone that followed another."""

_HEADS = """
SELECT b.name FROM branch b
WHERE b.deleted = 0 AND b.head_seq != coalesce((SELECT max(seq) FROM commits WHERE branch = b.id), b.fork_seq)
LIMIT ?"""

_MAPS = """
SELECT lower(hex(o.digest)), o.chunk_root, m.body FROM object o LEFT JOIN chunk_map m ON m.object = o.id
WHERE o.chunk_root IS NOT NULL OR m.object IS NOT NULL"""

_ARTIFACTS = """
SELECT a.kind, lower(hex(o.digest)), a.body, a.digest FROM artifact a LEFT JOIN object o ON o.id = a.object
WHERE a.body IS NOT NULL OR a.digest IS NOT NULL"""

_STATES = "SELECT lower(hex(digest)) FROM object WHERE (state = 'live') != (trashed IS NULL) LIMIT ?"

_PLACES = """
SELECT lower(hex(digest)) AS name FROM object WHERE loc_len != size OR typeof(loc_off) != 'integer' OR loc_off < 0
  OR (handle NOT GLOB 'packs/*' AND (loc_off != 0
      OR handle != 'objects/' || substr(lower(hex(digest)), 1, 2) || '/' || lower(hex(digest)))) LIMIT ?"""

_NUMBERS = """
SELECT name FROM sqlite_sequence WHERE seq < CASE name
  WHEN 'object' THEN (SELECT coalesce(max(id), 0) FROM object)
  WHEN 'artifact' THEN (SELECT coalesce(max(id), 0) FROM artifact)
  WHEN 'object_change' THEN (SELECT coalesce(max(id), 0) FROM object_change)
  WHEN 'event' THEN (SELECT coalesce(max(id), 0) FROM event)
  WHEN 'claim' THEN (SELECT coalesce(max(id), 0) FROM claim)
  WHEN 'expiry' THEN (SELECT coalesce(max(id), 0) FROM expiry)
  ELSE 9223372036854775807 END"""


def problems(sql: sqlite3.Connection, version: int, *, rows: bool = True) -> Iterator[str]:
    """What is wrong, a sentence each; nothing when the journal is sound.

    Args:
        sql: a connection inside a read transaction, which has read nothing yet: pages that it keeps are not looked at.
        version: the version of the schema that is expected.
        rows: hold each row against its digest, too.

    Raises:
        sqlite3.DatabaseError: so damaged that SQLite cannot go on.
    """
    for (said,) in sql.execute(f"PRAGMA integrity_check({_TOLD})").fetchall():
        if said != "ok":
            yield said
    if sql.execute("PRAGMA user_version").fetchone() != (version,):
        yield f"its version is not {version}"
    if sql.execute(_SCHEMA).fetchall() != _expected_schema():
        # Nothing can be asked of tables that are others than they should be.
        yield "its tables are not those of a journal of this version"
        return
    if not rows:
        return
    yield from itertools.islice(_commits(sql), _TOLD)
    yield from itertools.islice(_chunk_maps(sql), _TOLD)
    yield from itertools.islice(_artifacts(sql), _TOLD)
    for path, seq in sql.execute(_ENDS, (_TOLD,)):
        yield f"{path}: where its version of commit {seq} ends is wrong"
    for (name,) in sql.execute(_HEADS, (_TOLD,)):
        yield f"branch {name}: its head is not its newest commit"
    for (digest,) in sql.execute(_STATES, (_TOLD,)):
        yield f"object b3:{digest} is neither live nor in the trash"
    for (digest,) in sql.execute(_PLACES, (_TOLD,)):
        yield f"object b3:{digest} is recorded at a place where it cannot lie"
    for (table,) in sql.execute(_NUMBERS):
        yield f"numbers of {table} would be given twice"


def _expected_schema() -> list[Any]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(files(__package__).joinpath("schema.sql").read_text("utf-8"))
        return fresh.execute(_SCHEMA).fetchall()


def _commits(sql: sqlite3.Connection) -> Iterator[str]:
    """Every commit's id, made again from its rows."""
    expired = sql.execute("SELECT count(*) FROM expiry").fetchone() != (0,)
    groups = itertools.groupby(sql.execute(_ENTRIES), key=operator.itemgetter(0))
    group = next(groups, None)
    for seq, identity, created, author, message, changes, branch in sql.execute(_COMMITS):
        while group is not None and _before(group[0], seq):
            # Expired commits leave the versions that later ones see; numbers have no other gaps.
            if group[0] < 1:
                yield from _without_commit(group[0], expired)
            group = next(groups, None)
        rows: list[Any] = []
        if group is not None and group[0] == seq:
            rows, group = list(group[1]), next(groups, None)
        parents = sql.execute(_PARENTS, (seq,)).fetchall()
        try:
            delta = {row[1]: _state(row) for row in rows}
            made = commit_id(
                [parent.hex() for _, parent in parents],
                delta,
                branch=branch,
                author=author,
                created=created,
                message=message,
            )
            if [number for number, _ in parents] != list(range(len(parents))):
                made = b""
        except (AttributeError, TypeError, ValueError):
            made = b""
        if made != identity or changes != len(rows) or not all(row[-1] for row in rows):
            yield f"commit {seq} does not match its id"
    if group is not None:
        yield f"entries of a commit {group[0]} that is not there"


def _without_commit(seq: object, expired: bool) -> Iterator[str]:
    """What was put in a commit of the past stays for as long as a later one sees it, though history has expired."""
    if not expired:
        yield f"entries of a commit {seq} that is not there"


def _before(found: object, seq: object) -> bool:
    return isinstance(found, int) and isinstance(seq, int) and found < seq


def _state(row: tuple[Any, ...]) -> State:
    _, _, kind, number, size, modified, attrs, digest, root, _ = row
    if (kind == Kind.FILE) != (digest is not None) or (number is None) != (digest is None):
        raise ValueError("a file without an object")
    return State(Kind(kind), number, size, modified, attrs, digest, root)


def _chunk_maps(sql: sqlite3.Connection) -> Iterator[str]:
    for digest, root, body in sql.execute(_MAPS):
        if not isinstance(body, bytes) or blake3(body).digest() != root:
            yield f"the chunk map of object b3:{digest} does not match its digest"


def _artifacts(sql: sqlite3.Connection) -> Iterator[str]:
    for kind, digest, body, sealed in sql.execute(_ARTIFACTS):
        if not isinstance(body, bytes) or blake3(body).digest() != sealed:
            yield f"the artifact {kind} of object b3:{digest} does not match its digest: it is made again"
