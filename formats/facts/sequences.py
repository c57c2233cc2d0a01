"""Facts of FASTA: names, lengths and digests of its sequences, from one pass over its content."""

from __future__ import annotations

import pyarrow as pa

from lake.formats.facts.kinds import fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.reader import ByteReader
from lake.formats.sequences.refget import sequences

__all__ = ["FASTA_FACTS", "FastaFacts"]


class FastaFacts:
    """Facts of FASTA, plain or compressed."""

    code = "facts/1"
    reads_all = True
    located_kinds: tuple[str, ...] = ()

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """The sequences."""
        return fact_table("sequences", sequences(reader))

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Nothing: the chunks of a FASTA are not cut at positions."""
        return {}


FASTA_FACTS = FastaFacts()
