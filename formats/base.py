"""The contract of a format module.

A format is a module with one public constant that satisfies `Format`; `lake.formats.registry` lists them. A format
of which regions can be asked also satisfies `RegionFormat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lake.formats.reader import ByteReader
from lake.formats.references import References, RequiredReference
from lake.formats.region import Region
from lake.segments import Plan

__all__ = [
    "ColumnFormat",
    "CutFormat",
    "Format",
    "IndexKind",
    "NamedFormat",
    "PairedFormat",
    "PlainFile",
    "ReferencedFormat",
    "RegionFile",
    "RegionFormat",
    "StrictFormat",
]


class Format(Protocol):
    """What a lake knows of a kind of file."""

    @property
    def name(self) -> str:
        """The field's own word, upper case where the field writes it so: ``BAM``, ``VCF``, ``mzML``."""
        ...

    @property
    def media_type(self) -> str: ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Usual endings of file names, longest first, with the dot."""
        ...

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Cheap checks (block chain, end marker, header): what is wrong, one sentence each; empty when sound.

        ``whole`` says that the file's cutter has followed its structure to the very end already.

        Never raises on damaged input; never reads the whole file's content beyond what it needs.
        """
        ...


@dataclass(frozen=True, slots=True)
class IndexKind:
    """A companion index: how it is called and where it is found beside its file."""

    kind: str
    """``bai``, ``csi``, ``tbi``, …: also the artifact's kind."""
    suffixes: tuple[str, ...]
    """What is appended to the file's name: ``.bai``. ``^.bai`` replaces the last suffix (``s1.bai`` for ``s1.bam``)."""


class RegionFile(Protocol):
    """One object opened for region queries. Safe for use by several threads."""

    @property
    def contigs(self) -> Mapping[str, int]:
        """Length in bases by contig name, 0 where the file does not state it."""
        ...

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions (samtools notation) into a plan: every record once, in file order.

        Without regions and targets: the whole file. ``targets``, of a BED file, narrow the regions to what both
        select; alone, they are the regions.

        Raises:
            InvalidRegion: cannot be parsed, unknown contig, reversed.
            FormatError: the file or the index is damaged where the query must look.
        """
        ...


@runtime_checkable
class PlainFile(RegionFile, Protocol):
    """A file whose slices have a second form, of verbatim spans and a few literals."""

    def plan_plain(self, regions: Sequence[str]) -> Plan:
        """As `RegionFile.plan`, but nothing of the records is read for it, and nothing in them changed: the slice is
        valid, if less convenient to tools (mzML without its index)."""
        ...


@runtime_checkable
class RegionFormat(Format, Protocol):
    """A format of which regions can be asked."""

    @property
    def planner(self) -> str:
        """Version of the planner and of what it derives; part of a slice's identity."""
        ...

    @property
    def encoder(self) -> str:
        """What writes the bytes of edges, with its version; part of a slice's identity."""
        ...

    @property
    def indexes(self) -> tuple[IndexKind, ...]:
        """Companion indexes that can be adopted, preferred one first."""
        ...

    @property
    def table_kind(self) -> str | None:
        """Kind of the derived table that speeds queries up (``bgzf-blocks/1``), or None."""
        ...

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Prove that a whole chunk of an object, cut by the format's own cutter, can be decoded.

        Asked before bytes of a file are passed on of which not everything has been decoded once.

        Raises:
            FormatError: it cannot; says where.
        """
        ...

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why the index cannot belong to the object (one sentence), or None when it can be adopted."""
        ...

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made for the object (unsorted, no contigs, …), or None."""
        ...

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write an index of the file at ``path`` to ``out``; returns its kind.

        A format whose table comes out of the same pass writes that too, to ``table`` where it is given.

        Raises:
            FormatError: the file cannot be indexed; the message says why. Neither file is left behind.
        """
        ...

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """The derived table of ``table_kind``."""
        ...

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> RegionFile:
        """Open for queries. Without index and table, queries scan the file."""
        ...


@runtime_checkable
class CutFormat(Format, Protocol):
    """A format whose places to cut are known only once the whole file is there."""

    def cuts(self, reader: ByteReader) -> list[int]:
        """Offsets at which chunks of the file begin, ascending, without 0.

        Raises:
            FormatError: the file is damaged, or cannot be read: its chunks go by its content.
        """
        ...


@runtime_checkable
class StrictFormat(Format, Protocol):
    """A format that can be read in a slower way that takes nothing for granted."""

    def check_strictly(self, reader: ByteReader) -> list[str]:
        """What that finds wrong, one sentence each; asked where files with damage are to be refused."""
        ...


@runtime_checkable
class ColumnFormat(RegionFormat, Protocol):
    """A format of lines, where a companion index may name the columns that count."""

    def reads_otherwise(self, reader: ByteReader, known: bytes, index: bytes) -> bool:
        """Whether an index names other columns than a table or another index that the file has already.

        Raises:
            FormatError: one of them is damaged.
        """
        ...


@runtime_checkable
class NamedFormat(RegionFormat, Protocol):
    """A format whose records can be found by name."""

    @property
    def names_kind(self) -> str:
        """Kind of the index of names, which is made only where it is asked for."""
        ...

    def build_names(self, reader: ByteReader) -> bytes:
        """The index of names.

        Raises:
            FormatError: the file is malformed or damaged.
        """
        ...

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        names: bytes | None = None,
    ) -> RegionFile:
        """Open for queries; without an index of names, those are found by a scan."""
        ...


@runtime_checkable
class ReferencedFormat(RegionFormat, Protocol):
    """A format whose records may need sequences that do not lie in the file."""

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        references: References | None = None,
    ) -> RegionFile:
        """Open for queries; ``references`` knows the sequences."""
        ...

    def required_references(self, reader: ByteReader) -> list[RequiredReference]:
        """Sequences without which not all records can be decoded, in header order.

        Raises:
            FormatError: the file is damaged.
        """
        ...


@runtime_checkable
class PairedFormat(RegionFormat, Protocol):
    """A format of which the data lie in a second file, its partner, beside the first."""

    @property
    def partner_kind(self) -> str:
        """Kind of the artifact that names the partner."""
        ...

    @property
    def partner_suffix(self) -> str:
        """What replaces the suffix of the file in the name of its partner, with the dot; in any case of letters."""
        ...

    def check_partner(self, reader: ByteReader, partner: ByteReader) -> str | None:
        """Why the second file cannot be the partner (one sentence), or None when it is; reads all of it."""
        ...

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        partner: ByteReader | None = None,
    ) -> RegionFile:
        """Open for queries; those that need a partner that is not known are refused."""
        ...
