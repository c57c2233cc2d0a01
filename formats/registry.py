"""Every format module by name, loaded when first asked for; and the companions that lie beside files."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import NamedTuple, cast

from lake.formats.base import Format, RegionFormat

__all__ = ["COMPANION_ONLY", "FORMATS", "PARTNERS", "Companion", "companion", "get_format", "region_format"]

FORMATS: dict[str, str] = {
    "BAM": "lake.formats.alignments.bam:BAM",
    "CRAM": "lake.formats.cram.cram:CRAM",
    "BCF": "lake.formats.variants.bcf:BCF",
    "BED": "lake.formats.lines.tabix:BED",
    "GFF3": "lake.formats.lines.tabix:GFF3",
    "GTF": "lake.formats.lines.tabix:GTF",
    "SAM": "lake.formats.alignments.sam:SAM",
    "TSV": "lake.formats.lines.tabix:TSV",
    "VCF": "lake.formats.variants.vcf:VCF",
    "text": "lake.formats.lines.tabix:TEXT",
    "BigBed": "lake.formats.signals.bigbed:BIGBED",
    "BigWig": "lake.formats.signals.bigwig:BIGWIG",
    "FASTA": "lake.formats.sequences.fasta:FASTA",
    "FASTQ": "lake.formats.sequences.fastq:FASTQ",
    "HDF5": "lake.formats.arrays.array_format:HDF5",
    "h5ad": "lake.formats.arrays.array_format:H5AD",
    "netCDF": "lake.formats.arrays.array_format:NETCDF",
    "gzip": "lake.formats.gzip_file:GZIP",
    "MGF": "lake.formats.spectra.mgf:MGF",
    "imzML": "lake.formats.spectra.imzml:IMZML",
    "mzML": "lake.formats.spectra.mzml:MZML",
    "mzMLb": "lake.formats.spectra.mzmlb:MZMLB",
    "mzXML": "lake.formats.spectra.mzxml:MZXML",
}
"""Where a format's constant is, ``module:attribute``, by the name that detection gives."""

COMPANION_ONLY = frozenset(("TSV", "text"))
"""Formats of which regions can be asked only where a companion index says which columns count."""

PARTNERS = {"ibd": "imzML"}
"""Formats of files that hold the data of others, and the format of those."""

_COMPANIONS: dict[str, tuple[str, ...]] = {
    "bai": (".bam",),
    "crai": (".cram",),
    "csi": (".bam", ".bcf", ".vcf.gz", ".bed.gz", ".gff.gz", ".gff3.gz", ".gtf.gz", ".sam.gz"),
    "fai": (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz", ".fastq", ".fq", ".fastq.gz", ".fq.gz"),
    "gzi": (".gz", ".bgz", ".bam", ".bcf"),
    "tbi": (".vcf.gz", ".bed.gz", ".gff.gz", ".gff3.gz", ".gtf.gz", ".sam.gz"),
}
"""Suffixes of the files that an index of a kind can belong to, for indexes named without them (``s1.bai``)."""


@cache
def get_format(name: str) -> Format | None:
    """The format of that name, or None when nothing is known of it beyond its name.

    A listed module that cannot be loaded raises: a format must not vanish silently.
    """
    where = FORMATS.get(name)
    if where is None:
        return None
    module, _, attribute = where.partition(":")
    return cast("Format", getattr(import_module(module), attribute))


@cache
def region_format(name: str) -> RegionFormat | None:
    """The format of that name when regions of it can be asked, else None."""
    found = get_format(name)
    return found if isinstance(found, RegionFormat) else None


class Companion(NamedTuple):
    """A name that belongs to an index of another file."""

    kind: str
    """``bai``, ``csi``, ``crai``, ``tbi``, ``fai`` or ``gzi``."""
    owners: tuple[str, ...]
    """Paths that the file may have, best first: ``s1.bam`` for ``s1.bam.bai``, and also for ``s1.bai``."""


def companion(path: str) -> Companion | None:
    """What index a path is by its suffix, and of which file; None for any other path."""
    stem, dot, ending = path.rpartition(".")
    kind = ending.lower()
    suffixes = _COMPANIONS.get(kind)
    if not dot or suffixes is None or not stem.rpartition("/")[2]:
        return None
    if stem.lower().endswith(suffixes):
        return Companion(kind, (stem,))
    return Companion(kind, (stem, *(stem + suffix for suffix in suffixes)))
