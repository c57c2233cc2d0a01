"""Objects, what is derived from them, and what is wrong with them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from lake.clock import now
from lake.digest import Digest
from lake.errors import Collected, InvalidInput, NotFound
from lake.journal import claims, events
from lake.journal.values import Artifact, Damage, ObjectRecord
from lake.stores.base import Location
from lake.stores.places import is_pack

__all__ = [
    "Live",
    "add_artifacts",
    "add_checksums",
    "artifacts",
    "artifacts_of",
    "clear_damage",
    "damage",
    "derived_from",
    "in_file",
    "live",
    "locations",
    "paths_of",
    "read",
    "read_after",
    "record_damage",
    "register",
    "relocate",
    "with_checksum",
]

_BATCH = 500
"""Digests a query: far below the number of variables that any build of SQLite allows."""

_RECORD = """
SELECT o.id, o.digest, o.size, o.format, o.handle, o.loc_off, o.loc_len, o.problems, o.checksums, m.body
FROM object o LEFT JOIN chunk_map m ON m.object = o.id WHERE o.state = 'live'"""


class Live(NamedTuple):
    """What a commit must know of an object."""

    id: int
    size: int
    chunk_root: bytes | None


def live(sql: sqlite3.Connection, digests: Iterable[Digest]) -> dict[Digest, Live]:
    """Those of the digests that are live objects."""
    rows = _select(sql, "digest, id, size, chunk_root", "state = 'live'", digests)
    return {Digest(digest.hex()): Live(*rest) for digest, *rest in rows}


def locations(sql: sqlite3.Connection, digests: Iterable[Digest]) -> dict[Digest, Location]:
    """Where those of the digests that are live objects lie."""
    rows = _select(sql, "digest, handle, loc_off, loc_len", "state = 'live'", digests)
    return {Digest(digest.hex()): Location(*rest) for digest, *rest in rows}


def register(sql: sqlite3.Connection, records: Iterable[ObjectRecord]) -> None:
    """Make objects known. Of a live one the location changes, and checksums are added; one in the trash is live again.

    Raises:
        Collected: gc has been at the file of one since its probe.
        InvalidInput: a known object of another size.
    """
    given = {record.digest: record for record in records}
    known = {
        Digest(raw.hex()): (state, Location(*place))
        for raw, state, *place in _select(sql, "digest, state, handle, loc_off, loc_len", "true", given)
    }
    fresh = [record for digest, record in given.items() if digest not in known]
    dead = {digest: given[digest].location for digest, (state, _) in known.items() if state != "live"}
    placed = {
        digest: given[digest].location
        for digest, (_, place) in known.items()
        if digest not in dead and place != given[digest].location
    }
    new_places = [*(record.digest for record in fresh), *dead, *placed]
    claims.admit(
        sql, [claims.Placing(digest, given[digest].location.handle, given[digest].probe) for digest in new_places]
    )
    sql.executemany(
        "INSERT INTO object(digest, size, format, handle, loc_off, loc_len, problems, checksums, chunk_root)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        map(_row, fresh),
    )
    sql.executemany(
        "INSERT INTO chunk_map SELECT id, ? FROM object WHERE digest = ?",
        [(record.chunks, _raw(record.digest)) for record in fresh if record.chunks is not None],
    )
    claims.revive(sql, list(dead.items()))
    for digest in known:
        if given[digest].checksums:
            add_checksums(sql, digest, given[digest].checksums)
    _place(sql, {**dead, **placed})


def relocate(sql: sqlite3.Connection, places: Mapping[Digest, Location], probe: int) -> None:
    """
    Raises:
        NotFound: no live object of one of the digests.
        InvalidInput: a location has another length than its object.
        Collected: gc has been at one of the new files since the probe.
    """
    claims.admit(sql, [claims.Placing(digest, location.handle, probe) for digest, location in places.items()])
    _place(sql, places)


def _place(sql: sqlite3.Connection, places: Mapping[Digest, Location]) -> None:
    found = live(sql, places)
    for digest, location in places.items():
        if digest not in found:
            raise NotFound(f"no object {digest}")
        size = found[digest].size
        if size != location.length:
            raise InvalidInput(f"object {digest} has {size} bytes: it cannot lie in {location.length}")
    sql.executemany(
        "UPDATE object SET handle = ?, loc_off = ?, loc_len = ? WHERE id = ?",
        [(*location, found[digest].id) for digest, location in places.items()],
    )
    for digest in places:
        _changed(sql, _raw(digest))
    for start in range(0, len(places), _BATCH):
        batch = list(places.items())[start : start + _BATCH]
        events.record(sql, "relocate", {digest: list(place) for digest, place in batch})


def read(sql: sqlite3.Connection, digest: Digest) -> ObjectRecord | None:
    row = sql.execute(f"{_RECORD} AND o.digest = ?", (_raw(digest),)).fetchone()
    return None if row is None else _record(row)


def read_after(sql: sqlite3.Connection, last: int, limit: int) -> tuple[int, list[ObjectRecord]]:
    """The next live objects after an internal id, and the id to go on from."""
    rows = sql.execute(f"{_RECORD} AND o.id > ? ORDER BY o.id LIMIT ?", (last, limit)).fetchall()
    return (rows[-1][0] if rows else last), [_record(row) for row in rows]


def with_checksum(sql: sqlite3.Connection, checksum: str) -> list[Digest]:
    # Few objects have any, and nobody asks often: a look at all of them needs no index that every write pays for.
    rows = sql.execute(
        "SELECT digest FROM object WHERE state = 'live' AND instr(checksums, ?) > 0", (json.dumps(checksum),)
    )
    return [Digest(digest.hex()) for (digest,) in rows]


def add_checksums(sql: sqlite3.Connection, digest: Digest, checksums: Mapping[str, str]) -> None:
    row = sql.execute("SELECT checksums FROM object WHERE digest = ? AND state = 'live'", (_raw(digest),)).fetchone()
    if row is None:
        raise NotFound(f"no object {digest}")
    merged = {**(json.loads(row[0]) if row[0] else {}), **checksums}
    sql.execute("UPDATE object SET checksums = ? WHERE digest = ?", (json.dumps(merged, sort_keys=True), _raw(digest)))
    events.record(sql, "checksums", {"digest": digest, "checksums": dict(checksums)})
    _changed(sql, _raw(digest))


def paths_of(sql: sqlite3.Connection, digest: Digest) -> list[tuple[str, str, int]]:
    return sql.execute(
        "SELECT e.path, b.name, e.seq FROM object o JOIN entry e ON e.object = o.id JOIN branch b ON b.id = e.branch"
        " WHERE o.digest = ? ORDER BY e.seq DESC, e.path",
        (_raw(digest),),
    ).fetchall()


def add_artifacts(sql: sqlite3.Connection, new: Iterable[Artifact]) -> None:
    """Raises `Collected` when an artifact is of, or kept in, an object that is not live."""
    items = list(new)
    named = {digest for item in items for digest in (item.object, item.target) if digest is not None}
    known = live(sql, named)
    claims.refuse_dead(sql, named - known.keys())
    for item in items:
        for digest in (item.object, item.target):
            if digest is not None and digest not in known:
                message = f"artifact {item.kind}: {digest} is not a live object: store it again, then retry"
                raise Collected(message, [digest])
        target = None if item.target is None else known[item.target].id
        sql.execute(
            "INSERT OR REPLACE INTO artifact(object, kind, code, inputs, target, body, digest)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            (known[item.object].id, item.kind, item.code, item.inputs, target, item.body, _sealed(item.body)),
        )


def artifacts(sql: sqlite3.Connection, digest: Digest) -> list[Artifact]:
    rows = sql.execute(
        "SELECT a.kind, a.code, a.body, t.digest, a.inputs, a.digest FROM object o JOIN artifact a ON a.object = o.id"
        " LEFT JOIN object t ON t.id = a.target WHERE o.digest = ? AND o.state = 'live'"
        " ORDER BY a.kind, a.code, a.inputs",
        (_raw(digest),),
    )
    return [
        Artifact(digest, kind, code, body, None if target is None else Digest(target.hex()), inputs)
        for kind, code, body, target, inputs, sealed in rows
        # A damaged one can be made again, as one that is not there.
        if _sealed(body) == sealed
    ]


def artifacts_of(sql: sqlite3.Connection, kind: str, after: int) -> tuple[int, list[Artifact]]:
    rows = sql.execute(
        "SELECT a.id, o.digest, a.kind, a.code, a.body, t.digest, a.inputs FROM artifact a"
        " JOIN object o ON o.id = a.object LEFT JOIN object t ON t.id = a.target"
        " WHERE a.kind = ? AND a.id > ? AND o.state = 'live' ORDER BY a.id",
        (kind, after),
    ).fetchall()
    found = [
        Artifact(Digest(digest.hex()), name, code, body, None if target is None else Digest(target.hex()), inputs)
        for _, digest, name, code, body, target, inputs in rows
    ]
    return (rows[-1][0] if rows else after), found


def _sealed(body: bytes | None) -> bytes | None:
    return None if body is None else blake3(body).digest()


def record_damage(sql: sqlite3.Connection, digest: Digest, chunks: Sequence[tuple[int, int, int]]) -> None:
    row = sql.execute("SELECT id FROM object WHERE digest = ?", (_raw(digest),)).fetchone()
    if row is None:
        raise NotFound(f"no object {digest}")
    found = now()
    sql.executemany("INSERT OR IGNORE INTO damage VALUES(?, ?, ?, ?, ?)", ((row[0], *chunk, found) for chunk in chunks))
    _changed(sql, _raw(digest))


def clear_damage(sql: sqlite3.Connection, digest: Digest) -> None:
    raw = _raw(digest)
    if sql.execute("DELETE FROM damage WHERE object = (SELECT id FROM object WHERE digest = ?)", (raw,)).rowcount:
        _changed(sql, raw)


def _changed(sql: sqlite3.Connection, raw: bytes) -> None:
    """Let the catalog read an object again."""
    sql.execute("INSERT INTO object_change(object) SELECT id FROM object WHERE digest = ?", (raw,))


def damage(sql: sqlite3.Connection, digest: Digest | None) -> list[Damage]:
    query = "SELECT o.digest, d.ord, d.offset, d.length, d.found FROM damage d JOIN object o ON o.id = d.object"
    if digest is None:
        rows = sql.execute(f"{query} ORDER BY o.digest, d.ord")
    else:
        rows = sql.execute(f"{query} WHERE o.digest = ? ORDER BY d.ord", (_raw(digest),))
    return [Damage(Digest(raw.hex()), *rest) for raw, *rest in rows]


def in_file(sql: sqlite3.Connection, handle: str) -> list[ObjectRecord]:
    """Live objects that lie in a stored file, by offset."""
    if is_pack(handle):
        place = "o.handle = ? AND o.handle >= 'packs/' AND o.handle < 'packs0'"
        rows = sql.execute(f"{_RECORD} AND {place} ORDER BY o.loc_off, o.id", (handle,))
        return [_record(row) for row in rows]
    record = read(sql, Digest(handle[-64:]))
    return [record] if record is not None and record.location.handle == handle else []


def derived_from(sql: sqlite3.Connection, digest: Digest) -> list[tuple[Digest, str]]:
    rows = sql.execute(
        "SELECT o.digest, a.kind FROM object t JOIN artifact a ON a.target = t.id JOIN object o ON o.id = a.object"
        " WHERE t.digest = ? ORDER BY a.id",
        (_raw(digest),),
    )
    return [(Digest(raw.hex()), kind) for raw, kind in rows]


def _record(row: tuple[Any, ...]) -> ObjectRecord:
    _, raw, size, format_name, handle, offset, length, problems, checksums, chunks = row
    return ObjectRecord(
        Digest(raw.hex()),
        size,
        format_name,
        Location(handle, offset, length),
        chunks,
        tuple(json.loads(problems)) if problems else (),
        json.loads(checksums) if checksums else {},
    )


def _select(sql: sqlite3.Connection, columns: str, condition: str, digests: Iterable[Digest]) -> Iterator[Any]:
    """Rows of ``object`` for those of the digests that are known; the first column is the digest."""
    wanted = list(dict.fromkeys(digests))
    for start in range(0, len(wanted), _BATCH):
        batch = [_raw(digest) for digest in wanted[start : start + _BATCH]]
        yield from sql.execute(
            f"SELECT {columns} FROM object WHERE digest IN ({_marks(batch)}) AND {condition}", batch
        ).fetchall()


def _row(record: ObjectRecord) -> tuple[Any, ...]:
    return (
        _raw(record.digest),
        record.size,
        record.format,
        *record.location,
        json.dumps(record.problems, ensure_ascii=False) if record.problems else None,
        json.dumps(dict(record.checksums), sort_keys=True) if record.checksums else None,
        None if record.chunks is None else blake3(record.chunks).digest(),
    )


def _raw(digest: Digest) -> bytes:
    try:
        return bytes.fromhex(digest)
    except ValueError:
        raise InvalidInput(f"not a digest: {digest!r}: wanted 64 hexadecimal digits") from None


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
