"""The views that people ask, as SQL over a generation and a tail, with a comment on every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lake.catalog.feed import Family
from lake.catalog.generations import Generation
from lake.catalog.layers import CHUNK_MAP, OBJECT_ROWS, identifier
from lake.catalog.tail import TAIL, Tail

__all__ = ["MACROS", "Source", "comments", "view_statements"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a session's rows come from."""

    tail: Tail
    generation: Generation | None = None
    core: str = ""
    """Name under which the core is attached."""
    segments: tuple[tuple[str, str], ...] = ()
    """For each segment the name under which it is attached, and that of its file."""


_FIXED: dict[str, tuple[str, dict[str, str]]] = {
    "files": (
        "files at the ref that is asked, one row a path",
        {
            "path": "path in the lake; joins every view of facts [entry]",
            "digest": "BLAKE3-256 of the content, 64 hexadecimal digits; joins objects and chunks [object]",
            "size": "bytes [object]",
            "format": "format as detected from the content: BAM, VCF, ... [object]",
            "modified": "time of modification, UTC [entry]",
            "commit": "number of the commit that made this version [entry]",
            "attributes": "attributes, a JSON object; null without any [entry]",
        },
    ),
    "objects": (
        "objects of the lake, also those of other refs and of history, and those that hold big artifacts",
        {
            "digest": "BLAKE3-256 of the content, 64 hexadecimal digits [object]",
            "size": "bytes [object]",
            "format": "format as detected from the content; of an artifact its kind [object]",
            "chunks": "number of chunks [chunk map]",
            "problems": "what the checks at ingest found wrong, a sentence each [ingest]",
            "md5": "hexadecimal, where asked for (put --checksums) [ingest]",
            "sha256": "hexadecimal, where asked for (put --checksums) [ingest]",
            "damaged": "number of chunks that are known not to match their digests [fsck, reads]",
        },
    ),
    "commits": (
        "commits of all branches; of a tag, a commit or a moment those up to it",
        {
            "seq": "number of the commit, lake-wide, from 1 [journal]",
            "branch": "branch that it was made on [journal]",
            "created": "time, UTC [journal]",
            "author": "who made it [journal]",
            "message": "why [journal]",
            "id": "BLAKE3-256 of parents, changes and metadata, hexadecimal [journal]",
            "changes": "number of paths that it changed [journal]",
        },
    ),
    "chunks": (
        "chunks of all objects, a row for each contig that a chunk covers",
        {
            "digest": "digest of the object; joins files and objects [object]",
            "ord": "number of the chunk in its object, from 0 [chunk map]",
            "offset": "first byte in the object, 0-based [chunk map]",
            "length": "bytes [chunk map]",
            "chunk_digest": "BLAKE3-256 of the bytes of the chunk [chunk map]",
        },
    ),
    "attributes": (
        "attributes of files at the ref that is asked, a row for each",
        {
            "path": "path in the lake [entry]",
            "key": "name of the attribute [entry]",
            "type": "str, int, float, bool or json [entry]",
            "value": "the value as text; JSON for lists and objects [entry]",
            "number": "the value of an int or float, else null [entry]",
        },
    ),
}

_CHUNK_OWN = ("ord", "offset", "length")
"""Columns of the kind ``chunks`` that the chunk map has, too."""

MACROS = (
    # Without "chr", and with one name for the mitochondrion, so that a region fits files of either fashion.
    """CREATE OR REPLACE MACRO contig_name(contig) AS
         regexp_replace(regexp_replace(contig, '^(?i)chr', ''), '^(?i)mt?$', 'MT')""",
    """CREATE OR REPLACE MACRO region_contig(region) AS
         regexp_extract(region, '^[{]?(.*?)[}]?(?::[0-9,]+(?:-[0-9,]*)?)?$', 1)""",
    """CREATE OR REPLACE MACRO region_start(region) AS
         greatest(coalesce(try_cast(replace(regexp_extract(region, ':([0-9,]+)(?:-[0-9,]*)?$', 1), ',', '')
                                    AS BIGINT), 1), 1) - 1""",
    """CREATE OR REPLACE MACRO region_stop(region) AS
         coalesce(try_cast(replace(regexp_extract(region, ':[0-9,]+-([0-9,]+)$', 1), ',', '') AS BIGINT),
                  9223372036854775807)""",
    """CREATE OR REPLACE MACRO "overlaps"(contig, start, stop, region) AS
         coalesce(contig = region
                  OR contig_name(contig) = contig_name(region_contig(region))
                     AND stop > region_start(region) AND start < region_stop(region), false)""",
    """CREATE OR REPLACE MACRO within_ppm(value, target, ppm) AS
         value BETWEEN target - target * ppm / 1e6 AND target + target * ppm / 1e6""",
)
"""``overlaps(contig, start, stop, 'chr17:41196312-41277500')``: 0-based half-open columns, a region of samtools."""


def view_statements(source: Source, families: Sequence[Family]) -> list[str]:
    """Statements that make every view anew."""
    statements = [
        f"CREATE OR REPLACE VIEW {TAIL}.current AS {_current(source)}",
        "CREATE OR REPLACE VIEW files AS SELECT path, lower(hex(digest)) AS digest, size, format, modified,"
        f' "commit", attributes::JSON AS attributes FROM {TAIL}.current',
        f"CREATE OR REPLACE VIEW {TAIL}.known AS {_objects(source)}",
        "CREATE OR REPLACE VIEW objects AS SELECT lower(hex(digest)) AS digest, size, format, chunks, problems, md5,"
        f" sha256, damaged FROM {TAIL}.known",
        f"CREATE OR REPLACE VIEW commits AS SELECT seq, branch, created, author, message, id, changes"
        f" FROM ({_commits(source)}) WHERE seq <= {source.tail.told}",
        f"CREATE OR REPLACE VIEW attributes AS {_attributes(source)}",
    ]
    statements += [_facts_view(source, family) for family in families if family.name != "chunks"]
    statements.append(_chunks_view(source, next((family for family in families if family.name == "chunks"), None)))
    return statements


def _current(source: Source) -> str:
    columns = 'path, object, digest, size, format, modified, "commit", attributes'
    parts = [f"SELECT {columns} FROM {TAIL}.files WHERE object IS NOT NULL"]
    if source.core:
        left_out = f" WHERE id NOT IN (FROM {TAIL}.replaced)" if source.tail.files else ""
        parts.insert(0, f"SELECT {columns} FROM {source.core}.files{left_out}")
    return _joined(parts, source.tail.files)


def _objects(source: Source) -> str:
    columns = "object, digest, size, format, chunks, problems, md5, sha256, damaged"
    parts = []
    for place, file in source.segments:
        conditions = ["live", *_left_out(source, file, OBJECT_ROWS)]
        parts.append(f"SELECT {columns} FROM {place}.{OBJECT_ROWS} WHERE {' AND '.join(conditions)}")
    parts.append(f"SELECT {columns} FROM {TAIL}.{OBJECT_ROWS} WHERE live")
    return _joined(parts, source.tail.objects)


def _commits(source: Source) -> str:
    columns = "seq, branch, created, author, message, id, changes"
    parts = [f"SELECT {columns} FROM {TAIL}.commits"]
    if source.core:
        parts.insert(0, f"SELECT {columns} FROM {source.core}.commits")
    return " UNION ALL ".join(parts)


def _attributes(source: Source) -> str:
    parts = [f'SELECT path, "key", "type", "value", "number" FROM {TAIL}.attributes']
    if source.core:
        left_out = f" WHERE a.file NOT IN (FROM {TAIL}.replaced)" if source.tail.files else ""
        parts.insert(
            0,
            'SELECT f.path, a."key", a."type", a."value", a."number"'
            f" FROM {source.core}.attributes a JOIN {source.core}.files f ON f.id = a.file{left_out}",
        )
    return _joined(parts, source.tail.files)


def _joined(parts: Sequence[str], tail_rows: int) -> str:
    """All parts, or without the tail, which is the last one, where it is empty: one table less to plan for."""
    return " UNION ALL ".join(parts if tail_rows or len(parts) == 1 else parts[:-1])


def _facts(source: Source, family: Family) -> str:
    """Rows of a kind, with the column ``object``, from all layers."""
    parts = []
    for place, file in source.segments:
        if source.generation is None or not _has_rows(source.generation, file, family.name):
            continue
        parts.append(_layer(place, family, _left_out(source, file, family.name)))
    if source.tail.facts.get(family.name) or not parts:
        parts.append(_layer(TAIL, family, []))
    return " UNION ALL ".join(parts)


def _left_out(source: Source, file: str, kind: str) -> list[str]:
    """Conditions on the rows of a segment that still count."""
    conditions = []
    if source.generation is not None and source.generation.stale.get(kind):
        conditions.append(
            f"object NOT IN (SELECT object FROM {source.core}.superseded"
            f" WHERE segment = {_text(file)} AND kind = {_text(kind)})"
        )
    if kind in source.tail.renewed:
        conditions.append(f"object NOT IN (SELECT object FROM {TAIL}.renewed WHERE kind = {_text(kind)})")
    return conditions


def _has_rows(generation: Generation, file: str, table: str) -> bool:
    return any(segment.name == file and segment.rows.get(table) for segment in generation.segments)


def _links(place: str, family: Family) -> str:
    return f"{place}.{identifier(f'{family.name}_of' if family.shared else family.name)}"


def _layer(place: str, family: Family, conditions: Sequence[str]) -> str:
    columns = ", ".join(map(identifier, family.columns))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    if not family.shared:
        return f"SELECT object, {columns} FROM {place}.{identifier(family.name)}{where}"
    links = f'(SELECT object, "set" FROM {_links(place, family)}{where})'
    return f'SELECT object, {columns} FROM {links} JOIN {place}.{identifier(family.name)} USING ("set")'


def _facts_view(source: Source, family: Family) -> str:
    columns = ", ".join(f"k.{identifier(name)}" for name in family.columns)
    return (
        f"CREATE OR REPLACE VIEW {identifier(family.name)} AS SELECT f.path, {columns}"
        f" FROM ({_facts(source, family)}) k JOIN {TAIL}.current f ON f.object = k.object"
    )


def _chunks_view(source: Source, family: Family | None) -> str:
    columns = 'object, ord, "offset", length, digest'
    parts = [
        f"SELECT {columns} FROM {place}.{CHUNK_MAP}"
        for place, file in source.segments
        if source.generation is not None and _has_rows(source.generation, file, CHUNK_MAP)
    ]
    if source.tail.chunks:
        parts.append(f"SELECT {columns} FROM {TAIL}.{CHUNK_MAP}")
    parts.append(f'SELECT object, 0 AS ord, 0 AS "offset", size AS length, digest FROM {TAIL}.known WHERE chunks = 1')
    extra = [name for name in family.schema.names if name not in _CHUNK_OWN] if family is not None else []
    regions = ""
    if family is not None:
        regions = f" LEFT JOIN ({_facts(source, family)}) r ON r.object = m.object AND r.ord = m.ord"
    return (
        'CREATE OR REPLACE VIEW chunks AS SELECT lower(hex(o.digest)) AS digest, m.ord, m."offset", m.length,'
        " lower(hex(m.digest)) AS chunk_digest"
        + "".join(f", r.{identifier(name)}" for name in extra)
        + f" FROM ({' UNION ALL '.join(parts)}) m JOIN {TAIL}.known o ON o.object = m.object{regions}"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def comments(families: Sequence[Family]) -> list[str]:
    """COMMENT ON statements for every view and column: meaning, unit and source."""
    found = []
    described = {name: (summary, dict(columns)) for name, (summary, columns) in _FIXED.items()}
    for family in families:
        columns = {field.name: _field_comment(field) for field in family.schema}
        if family.name == "chunks":
            described["chunks"][1].update({k: v for k, v in columns.items() if k not in _CHUNK_OWN})
            continue
        columns.setdefault("ord", "place of the row among those of its file, from 0")
        described[family.name] = (family.summary, {"path": "path in the lake; joins files", **columns})
    for view, (summary, columns) in described.items():
        found.append(f"COMMENT ON VIEW {identifier(view)} IS {_text(summary)}")
        found += [
            f"COMMENT ON COLUMN {identifier(view)}.{identifier(column)} IS {_text(text)}"
            for column, text in columns.items()
        ]
    return found


def _field_comment(field: pa.Field) -> str:
    told = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    unit = f" ({told['unit']})" if told.get("unit") else ""
    return f"{told.get('source', '')}{unit}"
