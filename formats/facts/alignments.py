"""Facts of alignments: BAM, SAM (plain or BGZF) and CRAM."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lake.formats.alignments.bam_header import read_header
from lake.formats.compression.bgzf import BgzfReader
from lake.formats.cram.source import CramSource
from lake.formats.facts.headers import sam_facts
from lake.formats.facts.index import located_facts
from lake.formats.facts.sources import IndexFile
from lake.formats.lines.header_fields import misread_line
from lake.formats.lines.header_text import header_lines
from lake.formats.reader import ByteReader

__all__ = ["BAM_FACTS", "CRAM_FACTS", "SAM_FACTS", "AlignmentFacts"]


class AlignmentFacts:
    """Facts of one alignment format; only the header differs."""

    code = "facts/1"
    reads_all = False
    located_kinds = ("contig_stats", "chunks")

    def __init__(self, form: str) -> None:
        self._form = form

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """Contigs, samples, read groups and programs."""
        text, contigs = self.text(reader)
        return sam_facts(text, contigs)

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Counts by contig from a BAI or CSI, intervals of chunks from block table, CRAI, BAI or CSI."""
        return located_facts(reader, at_hand, reads=True)

    def remark(self, reader: ByteReader) -> str | None:
        """What is odd about the header, though it can be read."""
        line = misread_line(self.text(reader)[0])
        return f"the header has a line that other tools may refuse: {line[:80]!r}" if line is not None else None

    def text(self, reader: ByteReader) -> tuple[bytes, Mapping[str, int] | None]:
        """The SAM header, and the binary list of contigs of a BAM."""
        if self._form == "BAM":
            header = read_header(BgzfReader(reader))
            return header.text, header.contigs
        if self._form == "CRAM":
            return CramSource(reader).text, None
        return header_lines(reader, b"@"), None


BAM_FACTS = AlignmentFacts("BAM")
CRAM_FACTS = AlignmentFacts("CRAM")
SAM_FACTS = AlignmentFacts("SAM")
