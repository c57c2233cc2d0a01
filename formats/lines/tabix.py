"""Lines with intervals in columns, in BGZF or plain: BED, GFF3, GTF, and any other file that tabix can index.

Where a TBI or CSI came with the file, its header says which columns count: that is data, which nobody could guess. Else
the usual columns of the format are taken; files of no such format can only be asked with an index. Where records
lie is never taken from such an index: the block table is made from the data.
"""

from __future__ import annotations

from collections.abc import Sequence

from lake.errors import LakeError, Unsupported
from lake.formats.base import IndexKind
from lake.formats.compression.containers import BgzfContainer, open_container
from lake.formats.intervals.blocked_format import BlockedFormat
from lake.formats.intervals.named_table import is_named_table
from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.tabix_columns import BED_COLUMNS, GFF_COLUMNS, TabixColumns, read_tabix_header
from lake.formats.lines.tabix_dialect import TabixDialect
from lake.formats.lines.text_source import TextSource
from lake.formats.reader import ByteReader

__all__ = ["BED", "GFF3", "GTF", "TEXT", "TSV", "TabixFormat"]


class TabixFormat(BlockedFormat):
    """What a lake knows of such a format; ``columns`` are the usual ones, None where there are none."""

    planner = "tabix/1"
    table_kind = "tabix-blocks/1"

    def __init__(self, name: str, media_type: str, suffixes: Sequence[str], columns: TabixColumns | None) -> None:
        self.name = name
        self.media_type = media_type
        self.suffixes = tuple(suffixes)
        self._columns = columns

    @property
    def indexes(self) -> tuple[IndexKind, ...]:
        return (*super().indexes, IndexKind("tbi", (".tbi",)), IndexKind("csi", (".csi",)))

    def source(self, reader: ByteReader, flavour: str, numbering: Numbering | None = None) -> TextSource:
        return TextSource(open_container(reader), TabixDialect(TabixColumns.of_flavour(flavour)), numbering)

    def flavour(self, index: bytes | None) -> str:
        """The columns that an index of tabix names, else the usual ones.

        Raises:
            FormatError: the index is damaged, or for another format.
            Unsupported: there is no index, and the format has no usual columns.
        """
        if index is not None and not is_named_table(index):
            return read_tabix_header(index).columns.flavour
        if self._columns is None:
            raise Unsupported(
                f"regions of {self.name} can be asked where a tabix index says which columns count: "
                "put the .tbi or .csi beside the file"
            )
        return self._columns.flavour

    def check_records(self, reader: ByteReader, *, whole: bool) -> None:
        """Inflate a file in BGZF; its lines are read when it is known which columns count.

        Raises:
            FormatError: a block is damaged.
        """
        container = open_container(reader)
        if whole and isinstance(container, BgzfContainer):
            for _ in container.bulk(0)[0]:
                pass

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why the index cannot belong to the file: damaged, for another format, or of other columns or contigs."""
        if kind == self.table_kind:
            return super().check_index(reader, kind, index)
        try:
            header = read_tabix_header(index)
            numbering = Numbering()
            batch = next(self.source(reader, header.columns.flavour).sample(numbering), None)
        except LakeError as error:
            return str(error)
        if (batch is None) != (not header.names):
            return "the index and the file do not agree on whether there are records"
        if batch is not None and numbering.names[: len(header.names)] != header.names[: len(numbering)]:
            return "the records begin with other contigs than the index: it belongs to another file"
        return None

    def reads_otherwise(self, reader: ByteReader, known: bytes, index: bytes) -> bool:
        """Whether an index of tabix names other columns than a table or another index that the file has already.

        Raises:
            FormatError: one of them is damaged.
        """
        return self._flavour(reader, known) != self.flavour(index)


BED = TabixFormat("BED", "text/x-bed", (".bed.gz", ".bed"), BED_COLUMNS)
GFF3 = TabixFormat("GFF3", "text/x-gff3", (".gff3.gz", ".gff.gz", ".gff3", ".gff"), GFF_COLUMNS)
GTF = TabixFormat("GTF", "text/x-gtf", (".gtf.gz", ".gtf"), GFF_COLUMNS)
TSV = TabixFormat("TSV", "text/tab-separated-values", (".tsv.gz", ".tsv"), None)
TEXT = TabixFormat("text", "text/plain", (".txt.gz", ".txt"), None)
