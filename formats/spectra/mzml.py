"""mzML, plain or compressed: one pass makes the table of spectra, and that answers all queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lake.errors import FormatError, Unsupported
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import INTENSITY, MZ
from lake.formats.spectra.content import content_reader
from lake.formats.spectra.query import SpectrumQuery, parse_query
from lake.formats.spectra.run_format import RunFile, RunFormat, Stored
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.slicing import MZML_MEDIA_TYPE, plan_slice
from lake.formats.spectra.source import EncodedSource
from lake.formats.spectra.strict import difference, scan_strictly
from lake.formats.spectra.table import RunTable
from lake.segments import Plan

__all__ = ["MZML", "MzmlFile", "MzmlFormat", "scan_mzml"]

_PIECE = 1 << 20
_DECODED_WHOLE = 8 << 20
"""Files up to this size have all their points decoded by `MzmlFormat.check`."""


def scan_mzml(content: ByteReader) -> RunTable:
    """The table of an mzML that is not compressed.

    Raises:
        FormatError: cut off, or damaged; says where.
    """
    scanner = MzmlScanner()
    for piece in _pieces(content):
        scanner.update(piece)
    return scanner.finish()


def _pieces(content: ByteReader) -> Iterator[bytes]:
    offset = 0
    while piece := content.read(offset, _PIECE):
        yield piece
        offset += len(piece)


def _plan(stored: Stored, query: SpectrumQuery) -> Plan:
    return plan_slice(stored.reader, stored.content, stored.run, query)


@dataclass(frozen=True, slots=True)
class MzmlFile(RunFile):
    """One mzML opened for queries."""

    def plan_plain(self, regions: Sequence[str]) -> Plan:
        """See `lake.formats.base.PlainFile`."""
        stored = self.stored
        return plan_slice(stored.reader, stored.content, stored.run, parse_query(regions), plain=True)


class MzmlFormat(RunFormat):
    """What a lake knows of mzML 1.0 and 1.1, with or without an index."""

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Files of up to 8 MiB are read to the end, and their points decoded."""
        if not 0 < reader.size <= _DECODED_WHOLE:
            return []
        try:
            content = content_reader(reader)
            run = scan_mzml(content)
            for _ in EncodedSource(content, run).points(np.arange(len(run.spectra)), (MZ, INTENSITY)):
                pass
        except FormatError as error:
            return [str(error)]
        except Unsupported:
            # A compression that is not known here is no damage.
            return []
        return []

    def check_strictly(self, reader: ByteReader) -> list[str]:
        """The whole file by an XML parser: it must be well-formed, and say what the quick scan has found."""
        try:
            content = content_reader(reader)
            differs = difference(scan_mzml(content), scan_strictly(_pieces(content)))
        except FormatError as error:
            return [str(error)]
        return [] if differs is None else [f"an XML parser reads the file otherwise ({differs})"]

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> MzmlFile:
        """Open for queries; see `RunFormat.open`."""
        opened = super().open(reader, kind=kind, index=index, table=table)
        return MzmlFile(opened.stored, opened.source, opened.media_type, opened.slice)


MZML = MzmlFormat(
    name="mzML",
    media_type=MZML_MEDIA_TYPE,
    suffixes=(".mzML.idx.gz", ".mzML.bz2", ".mzML.gz", ".mzML"),
    planner="mzml/1",
    scan=scan_mzml,
    slice=_plan,
    points=EncodedSource,
)
