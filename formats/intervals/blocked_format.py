"""What formats of records share that bring no usable index along: an index of our own, built from the data.

The index is a block table with the contigs' names. It serves both as the file's index and as its table: whoever has
one needs no other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from lake.errors import FormatError, LakeError
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import ENCODER
from lake.formats.compression.containers import check_blocks, open_container
from lake.formats.intervals.batch import begins_sorted
from lake.formats.intervals.blocks import tabulate
from lake.formats.intervals.locators import TableLocator
from lake.formats.intervals.named_table import NamedTable, decode_named_table, encode_named_table, is_named_table
from lake.formats.intervals.numbered_source import NumberedSource
from lake.formats.intervals.numbering import Numbering
from lake.formats.intervals.record_counts import Counter
from lake.formats.intervals.record_file import RecordFile
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader

__all__ = ["BlockedFormat"]

_CHECKED_WHOLE = 8 << 20
"""Bytes of files that are read to the end by `BlockedFormat.check`, which takes a tenth of a second or so."""
_GZIP = b"\x1f\x8b"


class BlockedFormat(ABC):
    """What a lake knows of such a format: all of `lake.formats.base.RegionFormat`."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    planner: str
    encoder = ENCODER
    table_kind: str

    @property
    def indexes(self) -> tuple[IndexKind, ...]:
        """Our own, which never lies beside a file. Companions like ``.tbi`` stay what they are, files."""
        return (IndexKind(self.table_kind, ()),)

    @abstractmethod
    def source(self, reader: ByteReader, flavour: str, numbering: Numbering | None = None) -> NumberedSource:
        """The records of a file.

        Raises:
            FormatError: the header is damaged.
        """

    def flavour(self, index: bytes | None) -> str:
        """How the records are read where that is not said by the format alone; ``index`` may say it.

        Raises:
            FormatError: the index is damaged.
            Unsupported: nobody can say.
        """
        return ""

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Block chain, end marker and header; files of up to 8 MiB are read whole.

        Other compressions than BGZF are not looked into.
        """
        try:
            container = open_container(reader)
            problems = container.problems(whole=whole)
        except FormatError:
            return []
        try:
            self.check_records(reader, whole=not problems and reader.size <= _CHECKED_WHOLE)
        except LakeError as error:
            problems.append(str(error))
        return problems

    def check_records(self, reader: ByteReader, *, whole: bool) -> None:
        """Read the header, and where ``whole`` says so all records.

        Raises:
            FormatError: something is damaged.
        """
        source = self.source(reader, self.flavour(None))
        if whole:
            for _ in source.first_pass(Numbering()):
                pass

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """
        Raises:
            FormatError: a BGZF block of the chunk does not inflate to what it states. Plain text has nothing to prove.
        """
        if chunk[:2] == _GZIP:
            check_blocks(chunk, offset)

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why the index cannot belong to the file (one sentence), or None when it can be adopted."""
        if kind != self.table_kind:
            return f"the regions of a {self.name} are found by an index of its own"
        try:
            decode_named_table(index, reader.size)
        except FormatError as error:
            return str(error)
        return None

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: damaged, not in blocks, or records out of order among the first ones."""
        try:
            if not begins_sorted(self.source(reader, self.flavour(None)).sample(Numbering())):
                return "the records are not sorted by coordinate"
        except LakeError as error:
            return str(error)
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write our own index of the file at ``path`` to ``out``.

        Raises:
            FormatError: the file cannot be indexed; nothing is left at ``out``.
        """
        try:
            with PathReader(path) as reader:
                out.write_bytes(self.build_table(reader, None))
        except FormatError as error:
            raise FormatError(f"cannot be indexed: {error}") from error
        return self.table_kind

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """The block table with the contigs' names, from one pass over all records.

        Raises:
            FormatError: the file is damaged, or not sorted by contig and position.
        """
        flavour = self._flavour(reader, index)
        source = self.source(reader, flavour)
        numbering = Numbering()
        counter = Counter()
        table = tabulate(counter.watch(source.first_pass(numbering)), reader.size)
        counts = counter.counts(len(numbering), reads=source.unplaced)
        return encode_named_table(NamedTable(numbering.names, flavour, table, counts))

    def _flavour(self, reader: ByteReader, index: bytes | None) -> str:
        if index is not None and is_named_table(index):
            return decode_named_table(index, reader.size).flavour
        return self.flavour(index)

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> RecordFile:
        """Open for queries: by the table, else by scans.

        Raises:
            FormatError: header, index or table are damaged.
            Unsupported: nobody can say how the records are read.
        """
        own = table if table is not None else index if is_named_table(index) else None
        if own is None:
            return RecordFile(self.source(reader, self.flavour(index)), None, self.media_type)
        named = decode_named_table(own, reader.size)
        source = self.source(reader, named.flavour, Numbering(named.names, fixed=True))
        return RecordFile(source, TableLocator(source, named.table), self.media_type)
