"""What gc takes away and gives back: objects that nothing names, claims on the files that held them, and their end.

Ids of claims only grow. Whoever stores something notes the newest one before its files get their names (the *probe*),
so that the commit can tell whether gc has been at one of them since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from lake.clock import now
from lake.digest import Digest
from lake.errors import Collected, LakeLocked
from lake.journal import events, leases
from lake.journal.values import Claim, Dead, PackUse, Probe
from lake.stores.base import Location
from lake.stores.places import is_plain

__all__ = [
    "Placing",
    "admit",
    "claim_files",
    "claims",
    "dead_members",
    "described",
    "due",
    "forget",
    "forget_members",
    "loose",
    "members",
    "moved",
    "packs",
    "probe",
    "refuse_dead",
    "restore",
    "revive",
    "set_aside",
    "trashed",
    "unnamed",
]

_BATCH = 500
"""Values a query: far below the number of variables that any build of SQLite allows."""

_DEEPEST = 16
"""Artifacts of artifacts go no deeper; a ring of them, which no format makes, is cut here."""

_PACKED = "handle >= 'packs/' AND handle < 'packs0'"
"""The condition of the index ``object_pack``; a query has to repeat it to be served by it."""

T = TypeVar("T")


class Placing(NamedTuple):
    """An object that a commit says lies in a file."""

    digest: Digest
    handle: str
    probe: int


# -- what writers ask ---------------------------------------------------------------------------------------------
def probe(sql: sqlite3.Connection, handles: Sequence[str]) -> Probe:
    """The newest claim ever made, and those of the files that are claimed and may not have moved yet."""
    return Probe(_newest(sql), [claim.handle for claim in claims(sql, handles) if not claim.moved])


def _newest(sql: sqlite3.Connection) -> int:
    # Not the greatest id there is: claims that are gone count, too.
    row = sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'claim'").fetchone()
    return 0 if row is None else int(row[0])


def admit(sql: sqlite3.Connection, placings: Sequence[Placing]) -> None:
    """Let objects be named as lying in their files. A claim that is older than the probe goes: the file is a new one.

    Raises:
        Collected: gc took one of the files since the probe, or may have.
    """
    if not placings:
        return
    (purged,) = sql.execute("SELECT claim FROM purge").fetchone()
    found = {claim.handle: claim for claim in claims(sql, [placing.handle for placing in placings])}
    late = []
    for placing in placings:
        claim = found.get(placing.handle)
        if purged > placing.probe or (claim is not None and (claim.id > placing.probe or not claim.moved)):
            late.append(placing.digest)
    if late:
        raise Collected.of(late)
    _unclaim(sql, found)


def refuse_dead(sql: sqlite3.Connection, digests: Iterable[Digest]) -> None:
    """Raises `Collected` when one of the digests is that of an object in the trash."""
    dead = list(_dead(sql, digests))
    if dead:
        raise Collected.of(dead)


def revive(sql: sqlite3.Connection, placed: Sequence[tuple[Digest, Location]]) -> None:
    """Objects in the trash are live again, at these places. What they had and is gone itself is made again."""
    keys = [(bytes.fromhex(digest),) for digest, _ in placed]
    sql.executemany(
        "UPDATE object SET state = 'live', trashed = NULL, handle = ?, loc_off = ?, loc_len = ? WHERE digest = ?",
        [(*location, raw) for (_, location), (raw,) in zip(placed, keys, strict=True)],
    )
    if placed:
        events.record(sql, "revive", {digest: list(location) for digest, location in placed})
    this = "(SELECT id FROM object WHERE digest = ?)"
    for statement in (
        f"INSERT INTO object_change(object) SELECT id FROM object WHERE id = {this}",
        f"DELETE FROM artifact WHERE object = {this} AND target IN (SELECT id FROM object WHERE state <> 'live')",
        # New ids, because the catalog has read past the old ones, maybe while the object was in the trash.
        "INSERT OR REPLACE INTO artifact(object, kind, code, inputs, target, body, digest)"
        f" SELECT object, kind, code, inputs, target, body, digest FROM artifact WHERE object = {this}",
    ):
        sql.executemany(statement, keys)


def restore(sql: sqlite3.Connection, digests: Sequence[Digest], handles: Sequence[str]) -> int:
    """Files are in their places again: their claims go, the objects are live. Returns the newest claim ever made."""
    _unclaim(sql, handles)
    revive(sql, list(_dead(sql, digests).items()))
    return _newest(sql)


def trashed(sql: sqlite3.Connection, digests: Sequence[Digest] | None) -> dict[Digest, Location]:
    """Where objects in the trash lay, for those of the digests, and what was derived from them; or all of them."""
    if digests is None:
        rows = sql.execute("SELECT digest, handle, loc_off, loc_len FROM object WHERE state = 'trash'")
        return {Digest(digest.hex()): Location(*rest) for digest, *rest in rows}
    found: dict[Digest, Location] = {}
    wanted = list(digests)
    while wanted:
        dead = _dead(sql, wanted)
        found.update(dead)
        derived = (
            sql.execute(
                "SELECT t.digest FROM object o JOIN artifact a ON a.object = o.id JOIN object t ON t.id = a.target"
                " WHERE o.digest = ?",
                (bytes.fromhex(digest),),
            )
            for digest in dead
        )
        targets = (Digest(raw.hex()) for rows in derived for (raw,) in rows)
        wanted = [digest for digest in targets if digest not in found]
    return found


def _dead(sql: sqlite3.Connection, digests: Iterable[Digest]) -> dict[Digest, Location]:
    query = "SELECT digest, handle, loc_off, loc_len FROM object WHERE state = 'trash'"
    raw = [bytes.fromhex(digest) for digest in dict.fromkeys(digests)]
    rows = (row for page in _pages(raw) for row in sql.execute(f"{query} AND digest IN ({_marks(page)})", page))
    return {Digest(digest.hex()): Location(*rest) for digest, *rest in rows}


# -- claims -------------------------------------------------------------------------------------------------------
def claims(sql: sqlite3.Connection, handles: Sequence[str] | None) -> list[Claim]:
    """Claims on these files; None: those whose file may not have moved yet."""
    query = "SELECT id, handle, size, moved, deadline FROM claim"
    if handles is None:
        return [Claim(*row) for row in sql.execute(f"{query} WHERE moved = 0 ORDER BY id")]
    return [
        Claim(*row)
        for page in _pages(handles)
        for row in sql.execute(f"{query} WHERE handle IN ({_marks(page)})", page)
    ]


def moved(sql: sqlite3.Connection, files: Sequence[tuple[str, int]]) -> None:
    """The files lie in the trash now: handle and size of each."""
    sql.executemany("UPDATE claim SET moved = 1, size = ? WHERE handle = ?", [(size, handle) for handle, size in files])


def due(sql: sqlite3.Connection, deadline: int | None) -> list[Claim]:
    """Claims on files in the trash whose deadline is not later; all for None."""
    query = "SELECT id, handle, size, moved, deadline FROM claim WHERE moved = 1 AND deadline <= ? ORDER BY id"
    return [Claim(*row) for row in sql.execute(query, ((1 << 63) - 1 if deadline is None else deadline,))]


def _claim(sql: sqlite3.Connection, handles: Iterable[str], deadline: int) -> None:
    # A claim of an earlier life gives way: only a new id is later than the probes of those that store the file now.
    sql.executemany(
        "INSERT OR REPLACE INTO claim(handle, size, moved, deadline) VALUES(?, 0, 0, ?)",
        [(handle, deadline) for handle in handles],
    )


def _unclaim(sql: sqlite3.Connection, handles: Iterable[str]) -> None:
    sql.executemany("DELETE FROM claim WHERE handle = ?", [(handle,) for handle in handles])


# -- mark and sweep -----------------------------------------------------------------------------------------------
def loose(sql: sqlite3.Connection) -> list[int]:
    """Ids of live objects that no entry names, nor anything that is kept; owners before what is derived from them."""
    # A byte for each id there may be, instead of a table: a million objects take seconds there, and less than one here.
    (top,) = sql.execute("SELECT coalesce(max(id), 0) FROM object").fetchone()
    is_loose, is_live = bytearray(top + 1), bytearray(top + 1)
    for (number,) in sql.execute("SELECT id FROM object"):
        is_live[number] = is_loose[number] = 1
    for (number,) in sql.execute("SELECT id FROM object WHERE state = 'trash'"):
        is_live[number] = is_loose[number] = 0
    for (number,) in sql.execute("SELECT object FROM entry WHERE object IS NOT NULL"):
        is_loose[number] = 0
    derived = "SELECT target, object FROM artifact WHERE target IS NOT NULL"
    kept = True
    while kept:
        kept = False
        for target, owner in sql.execute(derived):
            if is_loose[target] and is_live[owner] and not is_loose[owner]:
                is_loose[target], kept = 0, True
    owners: dict[int, int] = {target: owner for target, owner in sql.execute(derived) if is_loose[target]}
    found = [number for number, yes in enumerate(is_loose) if yes]
    return sorted(found, key=lambda number: _depth(number, owners)) if owners else found


def _depth(number: int, owners: Mapping[int, int]) -> int:
    depth = 0
    while number in owners and depth < _DEEPEST:
        number, depth = owners[number], depth + 1
    return depth


def described(sql: sqlite3.Connection, numbers: Sequence[int]) -> list[Dead]:
    """Those of the numbered objects that are live."""
    query = "SELECT id, digest, size, format, handle FROM object WHERE state = 'live' AND id IN (%s)"
    return [Dead(*row) for page in _pages(numbers) for row in sql.execute(query % _marks(page), page)]


def set_aside(sql: sqlite3.Connection, numbers: Sequence[int], deadline: int) -> tuple[list[Dead], list[str]]:
    """Objects go to the trash, unless something has come to name them; a file in which nothing live is left is claimed.

    Returns:
        the objects that went, and the files that are to follow.
    """
    _refuse_during_backup(sql)
    dead = [Dead(*row) for row in _still_loose(sql, numbers)]
    present = now()
    sql.executemany("UPDATE object SET state = 'trash', trashed = ? WHERE id = ?", [(present, d.id) for d in dead])
    if dead:
        events.record(sql, "collect", {"at": present, "objects": [each.id for each in dead]})
    sql.executemany("INSERT INTO object_change(object) VALUES(?)", [(each.id,) for each in dead])
    handles = list(dict.fromkeys(each.handle for each in dead))
    named = _live_handles(sql, handles)
    empty = [handle for handle in handles if handle not in named]
    _claim(sql, empty, deadline)
    return dead, empty


def _still_loose(sql: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[int, bytes, int, str, str]]:
    rows = {}
    owners = []
    for page in _pages(numbers):
        for row in sql.execute(
            f"SELECT id, digest, size, format, handle FROM object o WHERE id IN ({_marks(page)}) AND state = 'live'"
            " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.object = o.id)",
            page,
        ):
            rows[row[0]] = row
        owners += sql.execute(
            "SELECT a.target, a.object FROM artifact a JOIN object o ON o.id = a.object"
            f" WHERE a.target IN ({_marks(page)}) AND o.state = 'live'",
            page,
        ).fetchall()
    while kept := [target for target, owner in owners if target in rows and owner not in rows]:
        for target in kept:
            rows.pop(target, None)
    return list(rows.values())


def unnamed(sql: sqlite3.Connection, handles: Sequence[str]) -> list[str]:
    """Those of the files in which no live object lies, and that are not claimed."""
    taken = _live_handles(sql, handles) | {claim.handle for claim in claims(sql, handles)}
    return [handle for handle in handles if handle not in taken]


def claim_files(sql: sqlite3.Connection, handles: Sequence[str], deadline: int) -> list[str]:
    """Claim those of the files that are still `unnamed`; returns them."""
    _refuse_during_backup(sql)
    free = unnamed(sql, handles)
    _claim(sql, free, deadline)
    return free


def _refuse_during_backup(sql: sqlite3.Connection) -> None:
    # It copies the files that the journal named when it began. One that was stopped for longer than its lease misses
    # some and says so.
    if leases.live(sql, "backup"):
        raise LakeLocked(
            "a backup of this lake is being made, or was killed minutes ago: nothing more is taken away; run lake gc"
            " again after it"
        )


def _live_handles(sql: sqlite3.Connection, handles: Sequence[str]) -> set[str]:
    # The file of one object is found by its digest: an index of all places would cost every put.
    plain = [handle for handle in handles if is_plain(handle)]
    packed = [handle for handle in handles if not is_plain(handle)]
    wanted = set(plain)
    found: set[str] = set()
    for page in _pages([bytes.fromhex(handle[-64:]) for handle in plain]):
        query = f"SELECT handle FROM object WHERE state = 'live' AND digest IN ({_marks(page)})"
        found.update(handle for (handle,) in sql.execute(query, page) if handle in wanted)
    for pack in packed:
        query = f"SELECT 1 FROM object WHERE handle = ? AND {_PACKED} AND state = 'live' LIMIT 1"
        if sql.execute(query, (pack,)).fetchone() is not None:
            found.add(pack)
    return found


# -- packs --------------------------------------------------------------------------------------------------------
def packs(sql: sqlite3.Connection) -> list[PackUse]:
    """Packs that hold live objects, and how many of their bytes those take."""
    rows = sql.execute(f"SELECT handle, sum(loc_len) FROM object WHERE {_PACKED} AND state = 'live' GROUP BY handle")
    return [PackUse(*row) for row in rows]


def members(sql: sqlite3.Connection, pack: str) -> dict[Digest, Location]:
    """The live objects of a pack, in their order in it."""
    rows = sql.execute(
        f"SELECT digest, handle, loc_off, loc_len FROM object WHERE handle = ? AND {_PACKED} AND state = 'live'"
        " ORDER BY loc_off",
        (pack,),
    )
    return {Digest(digest.hex()): Location(*rest) for digest, *rest in rows}


# -- purge --------------------------------------------------------------------------------------------------------
def forget(sql: sqlite3.Connection, wanted: Sequence[Claim]) -> tuple[list[Claim], int]:
    """Claims go, with the objects of their files, before the files do.

    Returns:
        those of the claims that were still there, and the number of objects.
    """
    held = {claim.handle: claim for claim in claims(sql, [claim.handle for claim in wanted]) if claim.moved}
    gone = [claim for claim in wanted if held.get(claim.handle) == claim]
    numbers: list[int] = []
    for claim in gone:
        if is_plain(claim.handle):
            query = "SELECT id FROM object WHERE state = 'trash' AND digest = ? AND handle = ?"
            rows = sql.execute(query, (bytes.fromhex(claim.handle[-64:]), claim.handle))
        else:
            query = f"SELECT id FROM object WHERE state = 'trash' AND handle = ? AND {_PACKED}"
            rows = sql.execute(query, (claim.handle,))
        numbers += [number for (number,) in rows]
    _erase(sql, numbers)
    _unclaim(sql, [claim.handle for claim in gone])
    if gone:
        sql.execute("UPDATE purge SET claim = max(claim, ?)", (max(claim.id for claim in gone),))
    return gone, len(numbers)


def dead_members(sql: sqlite3.Connection, before: int | None) -> list[int]:
    """Ids of objects in the trash since then or longer whose file stays, because others in it are live."""
    rows = sql.execute(
        "SELECT id FROM object o WHERE state = 'trash' AND trashed <= ?"
        " AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.handle = o.handle)",
        ((1 << 63) - 1 if before is None else before,),
    )
    return [number for (number,) in rows]


def forget_members(sql: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Forget those of the objects that are still in the trash, under no claim; returns how many."""
    dead = [
        number
        for page in _pages(numbers)
        for (number,) in sql.execute(
            f"SELECT id FROM object o WHERE id IN ({_marks(page)}) AND state = 'trash'"
            " AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.handle = o.handle)",
            page,
        )
    ]
    _erase(sql, dead)
    return len(dead)


def _erase(sql: sqlite3.Connection, numbers: Sequence[int]) -> None:
    if not numbers:
        return
    events.record(sql, "erase", {"objects": list(numbers)})
    keys = [(number,) for number in numbers]
    for statement in (
        "DELETE FROM chunk_map WHERE object = ?",
        "DELETE FROM artifact WHERE object = ?",
        "DELETE FROM artifact WHERE target = ?",
        "DELETE FROM damage WHERE object = ?",
        "DELETE FROM scrub WHERE object = ?",
        # The catalog may not have heard yet that the object is dead: `feed.objects` says so of one without a row.
        "INSERT INTO object_change(object) VALUES(?)",
        "DELETE FROM object WHERE id = ?",
    ):
        sql.executemany(statement, keys)


def _pages(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
