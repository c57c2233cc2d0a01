"""What the views have to say, from the journal and the stored facts alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from lake.artifacts import FACTS_PREFIX, artifact_bytes
from lake.chunks import ChunkMap
from lake.digest import Digest
from lake.facts import unpack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.journal.values import Commit, Json, ObjectRecord
from lake.lake import Lake

__all__ = ["Rows", "catalog_rows", "check", "lake_rows"]

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
"""Sorted rows by view."""

_FIXED = {
    "files": 'path, digest, size, format, modified, "commit", attributes',
    "objects": "digest, size, format, chunks, problems, md5, sha256, damaged",
    "commits": "seq, branch, created, author, message, id, changes",
    "attributes": 'path, "key", "type", "value", "number"',
    "chunks": 'digest, ord, "offset", length, chunk_digest, contig, start, stop, exact, rt_start, rt_stop, ms_levels',
}


def catalog_rows(asked: Any) -> Rows:
    """All rows of all views; ``asked`` is a lake or a connection."""
    found = {view: asked.sql(f"SELECT {columns} FROM {view}").fetchall() for view, columns in _FIXED.items()}
    found["files"] = [(*row[:-1], json.loads(row[-1] or "{}")) for row in found["files"]]
    for kind in FACT_KINDS:
        if kind != "chunks":
            columns = ", ".join(f'"{name}"' for name in ["path", *_fact_columns(kind)])
            found[kind] = asked.sql(f"SELECT {columns} FROM {kind}").fetchall()
    return _sorted(found)


def lake_rows(lk: Lake, ref: str = "main") -> Rows:
    """The same as `catalog_rows`, without the catalog."""
    journal = lk.repo.journal
    entries = [entry for entry in lk.ls("", ref=ref, recursive=True) if entry.digest is not None]
    facts = {record.digest: _stored_facts(lk, record.digest) for record in journal.objects()}
    found: Rows = {kind: [] for kind in FACT_KINDS}
    found["files"] = [(e.path, e.hex, e.size, e.format, _moment(e.modified), e.commit, e.attributes) for e in entries]
    found["attributes"] = [(e.path, key, *_typed(value)) for e in entries for key, value in e.attributes.items()]
    for entry in entries:
        for kind, rows in facts[entry.hex].items():
            found[kind] += [(entry.path, *row) for row in rows]
    found["objects"] = [_object_row(lk, record) for record in journal.objects()]
    found["commits"] = [_commit_row(commit) for commit in _commits(lk, ref)]
    found["chunks"] = [
        row for record in journal.objects() for row in _chunk_rows(record, facts[record.digest].get("chunks", []))
    ]
    return _sorted(found)


def check(lk: Lake, asked: Any = None, ref: str = "main") -> None:
    """The catalog says what the lake says."""
    found, wanted = catalog_rows(asked if asked is not None else lk), lake_rows(lk, ref)
    assert found.keys() == wanted.keys()
    for view, rows in wanted.items():
        assert found[view] == rows, view


def _fact_columns(kind: str) -> list[str]:
    own = FACT_KINDS[kind].schema.names
    return own if "ord" in own else [*own, "ord"]


def _stored_facts(lk: Lake, digest: Digest) -> dict[str, list[Row]]:
    found = {}
    for artifact in lk.repo.journal.artifacts(digest):
        kind = artifact.kind.removeprefix(FACTS_PREFIX)
        if artifact.kind != kind:
            table = unpack_facts(kind, artifact_bytes(lk.repo, artifact))
            rows = [tuple(row.values()) for row in table.to_pylist()]
            has_place = "ord" in table.schema.names
            found[kind] = rows if has_place else [(*row, place) for place, row in enumerate(rows)]
    return found


def _object_row(lk: Lake, record: ObjectRecord) -> Row:
    chunks = len(ChunkMap.decode(record.chunks, record.size)) if record.chunks is not None else 1
    sums = record.checksums
    damaged = len(lk.repo.journal.damage(record.digest))
    problems = list(record.problems)
    return (record.digest, record.size, record.format, chunks, problems, sums.get("md5"), sums.get("sha256"), damaged)


def _chunk_rows(record: ObjectRecord, facts: Iterable[Row]) -> Iterable[Row]:
    regions: dict[int, list[Row]] = {}
    for fact in facts:
        regions.setdefault(fact[0], []).append(fact[3:])
    chunks: list[Row] = [(0, 0, record.size, record.digest)]
    if record.chunks is not None:
        chunks = [tuple(chunk) for chunk in ChunkMap.decode(record.chunks, record.size)]
    for chunk in chunks:
        for region in regions.get(chunk[0], [(None,) * 7]):
            yield (record.digest, *chunk, *region)


def _commits(lk: Lake, ref: str) -> Iterable[Commit]:
    view = lk.repo.journal.resolve(ref)
    upto = view.seq if view.name is None else lk.repo.journal.tip().seq
    seen = {commit.seq: commit for branch in lk.branches() for commit in lk.log(ref=branch.name)}
    return [commit for commit in seen.values() if commit.seq <= upto]


def _commit_row(commit: Commit) -> Row:
    created = _moment(commit.created)
    return (commit.seq, commit.branch, created, commit.author, commit.message, commit.id, commit.changes)


def _typed(value: Json) -> Row:
    """Type, text and number of an attribute."""
    if isinstance(value, str):
        return "str", value, None
    if isinstance(value, bool):
        return "bool", json.dumps(value), None
    if isinstance(value, int | float):
        return type(value).__name__, json.dumps(value), float(value)
    return "json", json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True), None


def _moment(nanoseconds: int) -> datetime:
    # As the catalog keeps it: microseconds, without a zone.
    return datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(microseconds=nanoseconds // 1000)


def _sorted(found: Rows) -> Rows:
    return {view: sorted(rows, key=repr) for view, rows in found.items()}
