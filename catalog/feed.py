"""What the catalog is made of, and the contract of what brings it. Arrow in; nothing of formats or journals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from lake.catalog.reach import Reach

__all__ = [
    "ARTIFACTS",
    "CHUNKS",
    "COMMITS",
    "DIRECTORIES",
    "FILES",
    "OBJECTS",
    "Fact",
    "Family",
    "Feed",
    "Viewpoint",
    "families_fingerprint",
]


@dataclass(frozen=True)
class Family:
    """One kind of facts: a view of its own name."""

    name: str
    summary: str
    schema: pa.Schema
    """Columns; their metadata ``unit`` and ``source`` become comments."""
    shared: bool = False
    """Many objects have the very same table: it is kept once."""

    @property
    def columns(self) -> list[str]:
        """Names behind ``path`` in the view. A kind without ``ord`` gets one: the row's place in its table."""
        own = list(self.schema.names)
        return own if "ord" in own else [*own, "ord"]


class Fact(NamedTuple):
    """The facts of one kind that one object has; a later one of the same kind replaces it."""

    kind: str
    object: int
    body: bytes
    """As `Feed.unpack` reads it."""


FILES = pa.schema(
    [
        ("path", pa.string()),
        ("object", pa.int64()),  # null: there is no file of that path any more
        ("digest", pa.binary()),
        ("size", pa.int64()),
        ("format", pa.string()),
        ("modified", pa.timestamp("us")),
        ("commit", pa.int64()),
        ("attributes", pa.string()),  # JSON object or null
    ]
)

DIRECTORIES = pa.schema(
    [
        ("path", pa.string()),
        ("modified", pa.timestamp("us")),
        ("commit", pa.int64()),
        ("attributes", pa.string()),  # JSON object or null
    ]
)
"""Directories of the main branch that were made on purpose: for `lake.generation_journal`, no view shows them."""

OBJECTS = pa.schema(
    [
        ("object", pa.int64()),
        ("digest", pa.binary()),
        ("size", pa.int64()),
        ("format", pa.string()),
        ("chunks", pa.int32()),
        ("problems", pa.list_(pa.string())),
        ("md5", pa.string()),
        ("sha256", pa.string()),
        ("damaged", pa.int32()),
        ("live", pa.bool_()),
        ("damage", pa.list_(pa.int32())),  # numbers of the chunks that are known to be damaged
        ("pack", pa.binary()),  # digest of the pack that it lies in; null: in a file of its own
        ("start", pa.int64()),  # its first byte there, 0-based
    ]
)

CHUNKS = pa.schema(
    [
        ("object", pa.int64()),
        ("ord", pa.int32()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("digest", pa.binary()),
    ]
)

ARTIFACTS = pa.schema(
    [
        ("artifact", pa.int64()),  # the greatest one of an object, a kind, a code and inputs counts
        ("object", pa.int64()),
        ("kind", pa.string()),
        ("code", pa.string()),
        ("inputs", pa.string()),
        ("target", pa.binary()),  # digest of the object that holds the bytes of a big one
        ("body", pa.binary()),
    ]
)
"""Artifacts that are no facts: indexes and tables."""

COMMITS = pa.schema(
    [
        ("seq", pa.int64()),
        ("id", pa.string()),
        ("branch", pa.string()),
        ("created", pa.timestamp("us")),
        ("author", pa.string()),
        ("message", pa.string()),
        ("changes", pa.int64()),
    ]
)


class Viewpoint(Protocol):
    """A ref, resolved."""

    @property
    def seq(self) -> int:
        """Number of the newest commit that it sees."""
        ...

    @property
    def name(self) -> str | None:
        """Name of the branch where the ref is a branch as of now, hence goes on; else None."""
        ...


class Feed(Protocol):
    """What happened in a lake, as tables. Batches have the schemas above."""

    @property
    def families(self) -> Sequence[Family]: ...

    def identity(self) -> str:
        """Tells the journal behind it from any other; `Reach` means something only together with it."""
        ...

    def tip(self) -> Reach: ...

    def commit_id(self, seq: int) -> str | None:
        """Hash of a commit; None where there is none of that number."""
        ...

    def viewpoint(self, at: str) -> Viewpoint:
        """What a ref means now."""
        ...

    def main(self, seq: int) -> Viewpoint:
        """The main branch as of a commit."""
        ...

    def changed_files(self, since: int | None, now: Viewpoint) -> Iterator[pa.RecordBatch]:
        """Sorted by path, what to change in the main branch as of a commit to get the files seen now.

        None for ``since``: all files that are seen now.
        """
        ...

    def directories(self, now: Viewpoint) -> Iterator[pa.RecordBatch]:
        """All directories that were made on purpose and are seen now."""
        ...

    def objects(self, since: Reach, until: Reach) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Objects that came or changed, and the chunks of those with several; one not ``live`` is gone."""
        ...

    def commits(self, since: Reach, until: Reach) -> Iterator[pa.RecordBatch]: ...

    def artifacts(self, since: Reach, until: Reach) -> Iterator[pa.RecordBatch]:
        """Artifacts that are no facts, in the order in which they were kept."""
        ...

    def facts(self, since: Reach, until: Reach) -> Iterator[Fact]:
        """Facts in the order in which they were kept."""
        ...

    def unpack(self, kind: str, body: bytes) -> pa.Table:
        """The rows of a `Fact`, in the schema of its family."""
        ...


def families_fingerprint(families: Sequence[Family]) -> str:
    """Changes when a kind of facts, or a column of one, is added, dropped or retyped."""
    return "; ".join(
        f"{family.name}({', '.join(f'{field.name} {field.type}' for field in family.schema)}){'*' * family.shared}"
        for family in families
    )
