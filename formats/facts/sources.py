"""Which formats have facts, and the contract of what makes them. Light: loads nothing until it is asked.

A format with facts has a line in `SOURCES`; its module holds one constant that satisfies `FactSource`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from lake.formats.reader import ByteReader

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SOURCES", "WHEN_ASKED", "FactSource", "IndexFile", "fact_source"]

SOURCES: dict[str, str] = {
    "BAM": "lake.formats.facts.alignments:BAM_FACTS",
    "BCF": "lake.formats.facts.variants:BCF_FACTS",
    "BED": "lake.formats.facts.features:FEATURE_FACTS",
    "CRAM": "lake.formats.facts.alignments:CRAM_FACTS",
    "CSV": "lake.formats.facts.tables:CSV_FACTS",
    "FASTA": "lake.formats.facts.sequences:FASTA_FACTS",
    "GFF3": "lake.formats.facts.features:FEATURE_FACTS",
    "GTF": "lake.formats.facts.features:FEATURE_FACTS",
    "HDF5": "lake.formats.facts.arrays:ARRAY_FACTS",
    "JPEG": "lake.formats.facts.images:JPEG_FACTS",
    "JSON": "lake.formats.facts.tables:JSON_FACTS",
    "PNG": "lake.formats.facts.images:PNG_FACTS",
    "Parquet": "lake.formats.facts.tables:PARQUET_FACTS",
    "SAM": "lake.formats.facts.alignments:SAM_FACTS",
    "TIFF": "lake.formats.facts.images:TIFF_FACTS",
    "TSV": "lake.formats.facts.tables:TSV_FACTS",
    "VCF": "lake.formats.facts.variants:VCF_FACTS",
    "h5ad": "lake.formats.facts.arrays:ARRAY_FACTS",
    "MGF": "lake.formats.facts.spectra:SPECTRA_FACTS",
    "imzML": "lake.formats.facts.spectra:SPECTRA_FACTS",
    "mzML": "lake.formats.facts.spectra:SPECTRA_FACTS",
    "mzMLb": "lake.formats.facts.spectra:INNER_SPECTRA_FACTS",
    "mzXML": "lake.formats.facts.spectra:SPECTRA_FACTS",
    "netCDF": "lake.formats.facts.arrays:ARRAY_FACTS",
}
"""Where the facts of a format come from, ``module:attribute``, by the name that detection gives."""

WHEN_ASKED = frozenset(("CSV", "JPEG", "JSON", "PNG", "TSV"))
"""Formats whose facts are made when they are first asked for: their files are many and small, and storing one takes
less time than describing it."""


class IndexFile(NamedTuple):
    """What is at hand to tell where records lie."""

    kind: str | None
    """``bai``, ``csi``, ``tbi``, ``crai``, …; None without an index."""
    body: bytes | None
    table_kind: str | None
    table: bytes | None
    """A derived table such as ``bgzf-blocks/1``."""
    bounds: Sequence[int]
    """Offsets of the object's chunks, and behind them its size: one more than it has chunks."""
    contigs: Mapping[str, int]
    """Length by contig in the order by which index and table count; empty where only the index knows."""


class FactSource(Protocol):
    """Facts of one format. Tables have the schemas of `FACT_KINDS`; kinds without rows are left out."""

    @property
    def code(self) -> str:
        """Version of the extraction: facts made by another one are made again."""
        ...

    @property
    def reads_all(self) -> bool:
        """Whether `header` reads the whole content, which takes seconds a gigabyte."""
        ...

    @property
    def located_kinds(self) -> tuple[str, ...]:
        """Kinds of which `located` has some for every file; when they are at hand it is not asked again."""
        ...

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """Facts of the header, without a look at the records.

        Raises:
            FormatError: the header is damaged.
        """
        ...

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Facts of index and table: counts by contig, intervals by chunk.

        Raises:
            FormatError: index or table are damaged.
        """
        ...


@cache
def fact_source(name: str) -> FactSource | None:
    """The facts of the format of that name, or None when it has none."""
    where = SOURCES.get(name)
    if where is None:
        return None
    module, _, attribute = where.partition(":")
    return cast("FactSource", getattr(import_module(module), attribute))
