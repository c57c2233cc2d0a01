"""The events of the log, done again in an empty journal.

Every kind of event has a function here that does from its body what was done. Whoever adds a kind adds its function.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from blake3 import blake3

from lake.digest import Digest
from lake.errors import StorageError, UnsupportedVersion
from lake.journal import branches, claims, events, expiry, objects, quotas
from lake.journal.edits import State, commit_id
from lake.journal.values import Json, Kind, Quota
from lake.stores.base import Location

__all__ = ["KINDS", "claim_trash", "forget_claims", "relocate", "replay"]

_PAGE = 10_000
_BATCH = 500
_CLAIM_BITS = 40
"""Claims between two times that a journal is made again: never so many."""


def replay(sql: sqlite3.Connection, records: Iterable[Mapping[str, Any]]) -> int:
    """Fill an empty journal, in the transaction under way, from the records of a log; returns the number of events.

    Numbers and ids (of commits, branches, objects, events), names and times are those of the journal that was.

    Raises:
        StorageError: a commit does not have the id that the log tells, or a record is not what it should be.
        UnsupportedVersion: a kind of event that newer software has written.
    """
    number = 0
    entries: list[list[Any]] = []
    for record in records:
        number = record["event"]
        try:
            _add_objects(sql, record.get("objects", ()))
            entries += record.get("entries", ())
            if "kind" not in record:
                continue
            _apply(sql, record, entries)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, sqlite3.IntegrityError) as error:
            raise StorageError(f"event {number} of the log cannot be done again: {error!r}") from error
        entries = []
    _let_versions_go(sql)
    return number


def _apply(sql: sqlite3.Connection, record: Mapping[str, Any], entries: list[list[Any]]) -> None:
    number, kind, body = record["event"], record["kind"], record["body"]
    before = events.newest(sql)
    if kind == "commit":
        _commit(sql, record, entries)
    elif kind in KINDS:
        KINDS[kind](sql, body)
    else:
        raise UnsupportedVersion(f"the log has an event of the kind {kind!r} that this software does not know")
    # What is done again must not be told as if it were new.
    sql.execute("DELETE FROM event WHERE id > ?", (before,))
    sql.execute(
        "INSERT INTO event(id, kind, seq, body) VALUES(?, ?, ?, ?)",
        (number, kind, body["seq"], None)
        if kind == "commit"
        else (number, kind, None, None if body is None else events.body_text(body)),
    )


def _add_objects(sql: sqlite3.Connection, rows: Iterable[list[Any]]) -> None:
    for number, digest, size, name, handle, offset, length, problems, checksums, encoded in rows:
        chunks = None if encoded is None else base64.b64decode(encoded, validate=True)
        root = None if chunks is None else blake3(chunks).digest()
        # One that was erased, and whose content has come again: the log may tell of that first.
        sql.execute("DELETE FROM object WHERE digest = ?", (bytes.fromhex(digest),))
        sql.execute(
            "INSERT INTO object(id, digest, size, format, handle, loc_off, loc_len, problems, checksums, chunk_root)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, bytes.fromhex(digest), size, name, handle, offset, length, problems, checksums, root),
        )
        if chunks is not None:
            sql.execute("INSERT INTO chunk_map VALUES(?, ?)", (number, chunks))


def _commit(sql: sqlite3.Connection, record: Mapping[str, Any], entries: list[list[Any]]) -> None:
    body = record["body"]
    seq, branch = body["seq"], body["branch"]
    delta = {}
    for path, kind, digest, size, modified, attrs in entries:
        state = _state(sql, kind, digest, size, modified, attrs)
        delta[path] = state
        sql.execute("UPDATE entry SET until = ? WHERE path = ? AND branch = ? AND until > ?", (seq, path, branch, seq))
        sql.execute(
            "INSERT INTO entry(path, branch, seq, kind, object, size, mtime, attrs) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (path, branch, seq, kind, state.object, size, modified, attrs),
        )
    if body.get("expired"):
        return
    (name,) = sql.execute("SELECT name FROM branch WHERE id = ?", (branch,)).fetchone()
    said = {"author": body["author"], "created": body["created"], "message": body["message"]}
    digest = commit_id(body["parents"], delta, branch=name, **said)
    if [seq, digest.hex()] != list(record["commit"]):
        raise StorageError(f"the log tells commit {seq} other than its id does: restore the lake from a backup")
    sql.execute(
        "INSERT INTO commits VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, digest, branch, body["created"], body["author"], body["message"], len(delta), body["op_id"]),
    )
    sql.executemany(
        "INSERT INTO commit_parent VALUES(?, ?, ?)",
        ((seq, order, bytes.fromhex(parent)) for order, parent in enumerate(body["parents"])),
    )
    sql.execute("UPDATE branch SET head_seq = ? WHERE id = ?", (seq, branch))


def _state(
    sql: sqlite3.Connection, kind: int, digest: str | None, size: int, modified: int, attrs: str | None
) -> State:
    if digest is None:
        return State(Kind(kind), None, size, modified, attrs, None, None)
    raw = bytes.fromhex(digest)
    row = sql.execute("SELECT id, chunk_root FROM object WHERE digest = ?", (raw,)).fetchone()
    if row is None:
        raise ValueError(f"object {digest} was never told of")
    return State(Kind(kind), row[0], size, modified, attrs, raw, row[1])


def _branch(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    number = branches.add(sql, body["name"], body["parent"], body["forked"], body["created"])
    if number != body["id"]:
        raise ValueError(f"branch {body['id']} would be {number}")


def _branch_deleted(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    sql.execute("UPDATE branch SET deleted = 1 WHERE id = ?", (body["id"],))


def _tag(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    sql.execute("INSERT INTO tag VALUES(?, ?, ?, ?)", (body["name"], body["branch"], body["seq"], body["created"]))


def _tag_deleted(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    sql.execute("DELETE FROM tag WHERE name = ?", (body["name"],))


def relocate(sql: sqlite3.Connection, places: Mapping[Digest, Location]) -> None:
    """Tell of objects that were found elsewhere than where the log says, as new events."""
    for start in range(0, len(places), _BATCH):
        body: dict[str, Json] = {digest: list(place) for digest, place in list(places.items())[start : start + _BATCH]}
        _relocate(sql, body)
        events.record(sql, "relocate", body)


def _relocate(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    # An object that the log was told of later has come with its newest place.
    sql.executemany(
        "UPDATE object SET handle = ?, loc_off = ?, loc_len = ? WHERE digest = ?",
        [(*Location(*place), bytes.fromhex(digest)) for digest, place in body.items()],
    )


def _checksums(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    digest = Digest(body["digest"])
    if objects.live(sql, [digest]):
        objects.add_checksums(sql, digest, body["checksums"])


def _collect(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    numbers = [(body["at"], number) for number in body["objects"]]
    sql.executemany("UPDATE object SET state = 'trash', trashed = ? WHERE id = ?", numbers)


def _revive(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    raw = [(bytes.fromhex(digest),) for digest in body]
    sql.executemany("UPDATE object SET state = 'live', trashed = NULL WHERE digest = ?", raw)
    _relocate(sql, body)


def _erase(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    numbers = [(number,) for number in body["objects"]]
    sql.executemany("DELETE FROM chunk_map WHERE object = ?", numbers)
    sql.executemany("DELETE FROM object WHERE id = ?", numbers)


def _expire(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    expiry.remove_commits(sql, body["commits"])


def _drop_branch(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    expiry.drop_branch(sql, body["branch"])


def _quota(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    quotas.set_quota(sql, Quota(**body))


def _no_quota(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    quotas.forget(sql, body["prefix"])


def _nothing(sql: sqlite3.Connection, body: Mapping[str, Any]) -> None:
    """The journal was made again here: what it is has been done by the events before."""


KINDS: dict[str, Callable[[sqlite3.Connection, Any], None]] = {
    "branch": _branch,
    "branch-deleted": _branch_deleted,
    "tag": _tag,
    "tag-deleted": _tag_deleted,
    "relocate": _relocate,
    "checksums": _checksums,
    "collect": _collect,
    "revive": _revive,
    "erase": _erase,
    "expire": _expire,
    "drop-branch": _drop_branch,
    "quota": _quota,
    "no-quota": _no_quota,
    "rebuilt": _nothing,
}
"""What every kind of event but ``commit`` does, from its body."""


def _let_versions_go(sql: sqlite3.Connection) -> None:
    """Versions of paths that only expired commits saw."""
    there = expiry.points(sql)
    after: expiry.Key | None = ("", 0, 0)
    while after is not None:
        gone, after = expiry.unseen(sql, there, after, _PAGE)
        expiry.remove(sql, gone)


def forget_claims(sql: sqlite3.Connection) -> None:
    """Number claims of gc from beyond all that there were, and refuse whoever has looked at older ones.

    The log does not know of claims; a writer that has probed for them in the old journal has to store once more.
    """
    (before,) = sql.execute("SELECT count(*) FROM event WHERE kind = 'rebuilt'").fetchone()
    first = (before + 1) << _CLAIM_BITS
    sql.execute("DELETE FROM sqlite_sequence WHERE name = 'claim'")
    sql.execute("INSERT INTO sqlite_sequence(name, seq) VALUES('claim', ?)", (first,))
    sql.execute("UPDATE purge SET claim = ?", (first,))


def claim_trash(sql: sqlite3.Connection, files: Iterable[tuple[str, int]], deadline: int) -> None:
    """Let gc know again of files that lie in the trash: handle and size of each. Those of live objects are left out."""
    for handle, size in files:
        if claims.unnamed(sql, [handle]):
            sql.execute("INSERT INTO claim(handle, size, moved, deadline) VALUES(?, ?, 1, ?)", (handle, size, deadline))
