"""Facts kept with the objects: made once, stored as Parquet artifacts, completed when an index or a table is made."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lake.artifacts import (
    FACTS_PREFIX,
    SEQUENCE_INDEX,
    artifact_bytes,
    find_index,
    keep_artifact,
    pack_artifact,
)
from lake.errors import FormatError, LakeError
from lake.formats.base import RegionFormat
from lake.formats.facts.kinds import FACT_KINDS
from lake.formats.facts.sources import FactSource, IndexFile, fact_source
from lake.formats.registry import region_format
from lake.journal.values import Artifact, ObjectRecord
from lake.objects import ObjectReader
from lake.repository import Repository

__all__ = [
    "keep_located_facts",
    "kept_facts",
    "load_facts",
    "made_facts",
    "made_located_facts",
    "pack_facts",
    "remake_facts",
    "unpack_facts",
]

_FEW_ROWS = 64
_PARQUET = b"PAR1"

_LOCATED = ("contig_stats", "chunks")
"""Kinds that need an index or a table."""


def pack_facts(table: pa.Table) -> bytes:
    """A facts table as bytes: Parquet, or an Arrow stream where it has a few rows only."""
    if table.num_rows > _FEW_ROWS:
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd")
        return out.getvalue()
    # A lake reads thousands of these at once, and one of Parquet takes ten times as long.
    plain = pa.table(table.columns, names=table.column_names).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as stream:
        stream.write_table(plain)
    return bytes(sink.getvalue())


def unpack_facts(kind: str, body: bytes) -> pa.Table:
    """The rows of a kind, with the schema of the kind.

    Raises:
        FormatError: damaged, or rows of other columns.
    """
    schema = FACT_KINDS[kind].schema
    try:
        if body.startswith(_PARQUET):
            table = pq.read_table(io.BytesIO(body))
        else:
            with pa.ipc.open_stream(body) as stream:
                table = stream.read_all()
        if table.column_names != schema.names:
            raise FormatError(f"a stored table of {kind} has other columns")
        return pa.table(table.columns, schema=schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"a stored table of {kind} is damaged: {error}") from None


def made_facts(
    repo: Repository, reader: ObjectReader, artifacts: Sequence[Artifact] = (), *, whole: bool = True
) -> tuple[list[Artifact], list[ObjectRecord]]:
    """Facts of an object that is being stored, ready to be registered with it.

    Args:
        repo: the lake.
        reader: the object.
        artifacts: indexes and tables that will be registered with it.
        whole: also facts that take a pass over the whole content.

    Raises:
        FormatError: the header or the index is damaged.
    """
    source = fact_source(reader.record.format)
    if source is None or (source.reads_all and not whole):
        return [], []
    tables = source.header(reader)
    form = region_format(reader.record.format)
    if form is not None and artifacts:
        tables |= _from_index(repo, source, form, reader, artifacts)
    return _packed(repo, reader, source.code, tables)


def load_facts(repo: Repository, reader: ObjectReader) -> dict[str, pa.Table]:
    """All facts of a stored object by kind; what is missing is made, and kept where the lake can be written.

    Raises:
        FormatError: the file is damaged where the facts stand.
    """
    source = fact_source(reader.record.format)
    if source is None:
        return {}
    artifacts = repo.journal.artifacts(reader.source)
    tables = _stored(repo, artifacts, source.code)
    fresh: dict[str, pa.Table] = {}
    if not any(kind not in _LOCATED for kind in tables):
        fresh |= source.header(reader)
    form = region_format(reader.record.format)
    if form is not None and not all(kind in tables for kind in source.located_kinds):
        made = _from_index(repo, source, form, reader, artifacts)
        fresh |= {kind: rows for kind, rows in made.items() if kind not in tables}
    _keep(repo, reader, source.code, fresh)
    tables |= fresh
    return {kind: tables[kind] for kind in FACT_KINDS if kind in tables}


def kept_facts(repo: Repository, record: ObjectRecord, kinds: Collection[str]) -> dict[str, pa.Table]:
    """Those of the kinds that are kept of an object; reads nothing of the object itself."""
    source = fact_source(record.format)
    if source is None:
        return {}
    wanted = {FACTS_PREFIX + kind for kind in kinds}
    artifacts = [artifact for artifact in repo.journal.artifacts(record.digest) if artifact.kind in wanted]
    return _stored(repo, artifacts, source.code)


def remake_facts(repo: Repository) -> None:
    """Make the facts of every object again from its own bytes; of a damaged one those that are kept stay."""
    for record in repo.journal.objects():
        source = fact_source(record.format)
        if source is None or record.problems:
            # A put describes no file that it finds damaged.
            continue
        with contextlib.suppress(LakeError):
            reader = repo.shelf.reader(record.digest)
            tables = source.header(reader)
            form = region_format(record.format)
            if form is not None:
                tables |= _from_index(repo, source, form, reader)
            _keep(repo, reader, source.code, tables)


def keep_located_facts(
    repo: Repository, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes] | None, table: bytes | None
) -> None:
    """Make and keep the facts that a new index or table allows; exact intervals replace bounds."""
    source = fact_source(reader.record.format)
    if source is not None and not repo.readonly:
        _keep(repo, reader, source.code, _located(source, form, reader, index, table))


def made_located_facts(
    repo: Repository, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes], table: bytes
) -> tuple[list[Artifact], list[ObjectRecord]]:
    """As `keep_located_facts`, but ready to be registered with a commit."""
    source = fact_source(reader.record.format)
    if source is None:
        return [], []
    return _packed(repo, reader, source.code, _located(source, form, reader, index, table))


def _from_index(
    repo: Repository, source: FactSource, form: RegionFormat, reader: ObjectReader, artifacts: Sequence[Artifact] = ()
) -> dict[str, pa.Table]:
    """Facts of the index and table at hand."""
    known = artifacts or repo.journal.artifacts(reader.source)
    index = find_index(repo, form, known)
    table = next((artifact for artifact in known if artifact.kind == form.table_kind), None)
    if index is None and table is None:
        return {}
    return _located(source, form, reader, index, artifact_bytes(repo, table) if table is not None else None)


def _located(
    source: FactSource, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes] | None, table: bytes | None
) -> dict[str, pa.Table]:
    kind, body = index or (None, None)
    contigs: Mapping[str, int] = form.open(reader, kind=kind, index=body, table=table).contigs
    return source.located(reader, IndexFile(kind, body, form.table_kind, table, reader.chunks.offsets, contigs))


def _stored(repo: Repository, artifacts: Iterable[Artifact], code: str) -> dict[str, pa.Table]:
    tables = {}
    for artifact in artifacts:
        kind = artifact.kind.removeprefix(FACTS_PREFIX)
        if artifact.kind != kind and artifact.code == code and kind in FACT_KINDS:
            try:
                tables[kind] = unpack_facts(kind, artifact_bytes(repo, artifact))
            except LakeError:
                # Derived, hence made again rather than missed.
                continue
    return tables


def _keep(repo: Repository, reader: ObjectReader, code: str, tables: Mapping[str, pa.Table]) -> None:
    if repo.readonly or not tables:
        return
    for kind, body in _bodies(tables):
        keep_artifact(repo, reader.source, kind, code, body)


def _packed(
    repo: Repository, reader: ObjectReader, code: str, tables: Mapping[str, pa.Table]
) -> tuple[list[Artifact], list[ObjectRecord]]:
    made: list[Artifact] = []
    records: list[ObjectRecord] = []
    for kind, body in _bodies(tables):
        artifact, held = pack_artifact(repo, reader.source, kind, code, body)
        made.append(artifact)
        records += held
    return made, records


def _bodies(tables: Mapping[str, pa.Table]) -> Iterable[tuple[str, bytes]]:
    for kind, table in tables.items():
        yield FACTS_PREFIX + kind, pack_facts(table)
        if kind == "sequences":
            yield SEQUENCE_INDEX, b"".join(bytes.fromhex(md5) for md5 in table["md5"].to_pylist())
