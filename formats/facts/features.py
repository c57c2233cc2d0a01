"""Facts of features: BED, GFF3 and GTF have no header worth a table, but an index tells counts and intervals."""

from __future__ import annotations

import pyarrow as pa

from lake.formats.facts.index import located_facts
from lake.formats.facts.sources import IndexFile
from lake.formats.reader import ByteReader

__all__ = ["FEATURE_FACTS", "FeatureFacts"]


class FeatureFacts:
    """Facts of any file that tabix indexes."""

    code = "facts/1"
    reads_all = False
    located_kinds = ("contig_stats", "chunks")

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        return {}

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Records by contig, intervals of chunks."""
        return located_facts(reader, at_hand, reads=False)


FEATURE_FACTS = FeatureFacts()
