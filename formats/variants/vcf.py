"""VCF, in BGZF or plain: regions compiled into record-exact slices.

A record covers ``[POS - 1, POS - 1 + rlen)`` with rlen as pysam's htslib computes it. Contigs are those of the records,
numbered in file order, and those that only the header names. An index of other tools is not used: what it says of how
far records reach depends on the version of the tool that made it.
"""

from __future__ import annotations

from lake.formats.compression.containers import open_container
from lake.formats.intervals.blocked_format import BlockedFormat
from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.text_source import TextSource
from lake.formats.reader import ByteReader
from lake.formats.variants.vcf_dialect import VcfDialect

__all__ = ["VCF", "VcfFormat"]


class VcfFormat(BlockedFormat):
    """What a lake knows of VCF."""

    name = "VCF"
    media_type = "application/vnd.ga4gh.vcf"
    suffixes = (".vcf.bgz", ".vcf.gz", ".vcf")
    planner = "vcf/1"
    table_kind = "vcf-blocks/1"

    def source(self, reader: ByteReader, flavour: str, numbering: Numbering | None = None) -> TextSource:
        return TextSource(open_container(reader), VcfDialect(), numbering)


VCF = VcfFormat()
