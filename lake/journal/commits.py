"""The transaction of a commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from lake.clock import now
from lake.journal import (
    branches,
    claims,
    edits,
    events,
    objects,
    quotas,
)
from lake.journal.values import (
    Artifact,
    Change,
    Commit,
    ObjectRecord,
    Put,
    View,
)

__all__ = ["register", "write"]


def register(sql: sqlite3.Connection, records: Iterable[ObjectRecord], derived: Iterable[Artifact]) -> None:
    objects.register(sql, records)
    objects.add_artifacts(sql, derived)


def write(
    sql: sqlite3.Connection,
    name: str,
    branch: branches.BranchRow,
    changes: Sequence[Change],
    *,
    message: str,
    author: str,
    op_id: str | None,
) -> tuple[Commit, list[str]]:
    """The commit, and what to warn of once it stands."""
    seq = sql.execute("SELECT coalesce(max(seq), 0) + 1 FROM commits").fetchone()[0]
    created = max(now(), 1)
    wanted = {change.digest for change in changes if isinstance(change, Put)}
    named = objects.live(sql, wanted)
    claims.refuse_dead(sql, wanted - named.keys())
    edit = edits.Edit(sql, View(branch.id, seq, name), created, named)
    for change in changes:
        edit.apply(change)
    sizes = ((path, state.size) for path, state in edit.delta.items())
    warnings = quotas.charge(sql, View(branch.id, branch.head, name), sizes)
    parents = [row[0].hex() for row in sql.execute("SELECT id FROM commits WHERE seq = ?", (branch.head,))]
    identity = edits.commit_id(parents, edit.delta, branch=name, author=author, created=created, message=message)
    sql.execute(
        "INSERT INTO commits VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, identity, branch.id, created, author, message, len(edit.delta), op_id),
    )
    sql.executemany(
        "INSERT INTO commit_parent VALUES(?, ?, ?)",
        ((seq, number, bytes.fromhex(parent)) for number, parent in enumerate(parents)),
    )
    sql.execute("UPDATE branch SET head_seq = ? WHERE id = ?", (seq, branch.id))
    events.record(sql, "commit", seq=seq)
    made = Commit(seq, identity.hex(), name, created, author, message, tuple(parents), len(edit.delta))
    return made, warnings
