"""Facts of variants: VCF (plain, gzip or BGZF) and BCF."""

from __future__ import annotations

import struct

import pyarrow as pa

from lake.errors import FormatError
from lake.formats.compression.inflated import open_content
from lake.formats.facts.headers import variant_facts
from lake.formats.facts.index import located_facts
from lake.formats.facts.sources import IndexFile
from lake.formats.lines.header_text import header_lines
from lake.formats.reader import ByteReader

__all__ = ["BCF_FACTS", "VCF_FACTS", "VariantFacts"]

_MAX_HEADER = 1 << 28


class VariantFacts:
    """Facts of one variant format; only where the header stands differs."""

    code = "facts/1"
    reads_all = False
    located_kinds = ("contig_stats", "chunks")

    def __init__(self, form: str) -> None:
        self._form = form

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """Contigs, samples, programs and definitions."""
        return variant_facts(_bcf_text(reader) if self._form == "BCF" else header_lines(reader, b"#"))

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Records by contig from a CSI or TBI, intervals of chunks from the table or the index."""
        return located_facts(reader, at_hand, reads=False)


def _bcf_text(reader: ByteReader) -> bytes:
    """The text of a BCF header (VCF specification, section 6.2)."""
    data = bytearray()
    wanted = 9
    for piece in open_content(reader).after(0):
        data += piece.data
        if wanted == 9 and len(data) >= 9:
            (size,) = struct.unpack_from("<I", data, 5)
            if data[:3] != b"BCF" or data[3] != 2 or size > _MAX_HEADER:
                raise FormatError("not a BCF 2, or its header is damaged")
            wanted = 9 + size
        if len(data) >= wanted > 9:
            return bytes(data[9:wanted])
    raise FormatError("the file ends inside its BCF header: it is truncated or damaged")


BCF_FACTS = VariantFacts("BCF")
VCF_FACTS = VariantFacts("VCF")
