"""Things derived from objects, small ones inside the journal, big ones as objects of their own."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lake.digest import Digest
from lake.errors import Conflict, LakeError, NotFound
from lake.formats.base import RegionFormat
from lake.journal.values import Artifact, ObjectRecord
from lake.objects import ObjectReader
from lake.repository import Repository

__all__ = [
    "ADOPTED",
    "FACTS_PREFIX",
    "INLINE_LIMIT",
    "SEQUENCE_INDEX",
    "BuiltIndex",
    "artifact_bytes",
    "build_index",
    "find_index",
    "index_paths",
    "is_of_facts",
    "keep_artifact",
    "pack_artifact",
]

ADOPTED = "adopted"
"""Code of an index that came with the data and passed the check."""

FACTS_PREFIX = "facts."
"""Kinds of facts as kinds of artifacts: ``facts.samples``."""

SEQUENCE_INDEX = "sequence-md5/1"
"""Kind of the artifact that lists, in the order of ``facts.sequences``, 16 bytes of MD5 a sequence."""

INLINE_LIMIT = 64 << 10
"""Bytes up to which an artifact lives in the journal."""


def pack_artifact(
    repo: Repository, digest: Digest, kind: str, code: str, body: bytes
) -> tuple[Artifact, list[ObjectRecord]]:
    """An artifact ready to be registered; the bytes of a big one are durable as an object when this returns."""
    if len(body) <= INLINE_LIMIT:
        return Artifact(digest, kind, code, body=body), []
    with repo.batch() as batch:
        staged = batch.put_stream(io.BytesIO(body))
        stored = batch.publish()[0]
    record = ObjectRecord(staged.digest, staged.size, kind, stored.location, probe=stored.probe)
    return Artifact(digest, kind, code, target=staged.digest), [record]


def keep_artifact(repo: Repository, digest: Digest, kind: str, code: str, body: bytes) -> None:
    """Register an artifact outside of any commit.

    It can be made again, so it is simply not kept where the lake cannot be written, or while the commit that brings the
    object itself is still under way.
    """
    if repo.readonly or repo.journal.object(digest) is None:
        return
    artifact, records = pack_artifact(repo, digest, kind, code, body)
    # Nothing is kept of an object that has left the lake meanwhile.
    with contextlib.suppress(Conflict):
        repo.add_artifacts([artifact], records)


def artifact_bytes(repo: Repository, artifact: Artifact) -> bytes:
    """
    Raises:
        NotFound, DamagedObject: the object that holds the bytes is gone or damaged.
    """
    if artifact.body is not None:
        return artifact.body
    if artifact.target is None:
        raise NotFound(f"artifact {artifact.kind} of b3:{artifact.object} has neither body nor object")
    reader = repo.shelf.reader(artifact.target)
    return reader.read(0, reader.size)


def find_index(repo: Repository, form: RegionFormat, artifacts: Iterable[Artifact]) -> tuple[str, bytes] | None:
    """Kind and bytes of the best index among an object's artifacts; one that cannot be read counts as absent."""
    by_kind: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        by_kind.setdefault(artifact.kind, []).append(artifact)
    for index in form.indexes:
        for artifact in by_kind.get(index.kind, ()):
            try:
                return index.kind, artifact_bytes(repo, artifact)
            except LakeError:
                # It can be made again: a lost index must not cost the data its regions.
                continue
    return None


class BuiltIndex(NamedTuple):
    """An index, and the format's table where that came out of the same pass."""

    kind: str
    body: bytes
    table: bytes | None

    def bodies(self, form: RegionFormat) -> list[tuple[str, bytes]]:
        """Kind and bytes of each artifact that was made."""
        made = [(self.kind, self.body)]
        if self.table is not None and form.table_kind is not None:
            made.append((form.table_kind, self.table))
        return made


def build_index(repo: Repository, form: RegionFormat, reader: ObjectReader) -> BuiltIndex:
    """Make an index of a stored object.

    Raises:
        FormatError: it cannot be indexed, and why.
        DamagedObject: its bytes are not what they were.
    """
    with repo.scratch() as folder:
        path = repo.store.local_path(reader.located())
        if path is None:
            # It lies in a pack, hence is small.
            path = folder / "object"
            path.write_bytes(reader.read(0, reader.size))
        out, table = folder / "index", folder / "table"
        kind = form.build_index(path, out, threads=max(1, os.cpu_count() or 1), table=table)
        return BuiltIndex(kind, out.read_bytes(), table.read_bytes() if table.exists() else None)


def index_paths(form: RegionFormat, path: str) -> Sequence[tuple[str, str]]:
    """Where the companion indexes of a file may lie: (kind, path), best first."""
    found = []
    for index in form.indexes:
        for suffix in index.suffixes:
            if suffix.startswith("^"):
                found.append((index.kind, str(Path(path).with_suffix("")) + suffix[1:]))
            else:
                found.append((index.kind, path + suffix))
    return found


def is_of_facts(kind: str) -> bool:
    """Whether a kind of artifact serves the catalog and not the regions of its file."""
    return kind.startswith(FACTS_PREFIX) or kind == SEQUENCE_INDEX
