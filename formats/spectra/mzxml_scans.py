"""mzXML read: scans one after the other, also those that lie inside of others; and the points of one.

Every tag is read by expat. Source: mzXML 1.1 to 3.2 (sashimi.sourceforge.net, schema_revision).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from xml.parsers import expat

import numpy as np

from lake.errors import FormatError, Unsupported
from lake.formats.reader import ByteReader
from lake.formats.spectra.activations import ACTIVATIONS
from lake.formats.spectra.arrays import Values, decode_base64, inflate
from lake.formats.spectra.records import Precursor, Record, TableBuilder
from lake.formats.spectra.start_tags import attributes, start_tag
from lake.formats.spectra.table import Layout, ListSpan, RunFacts, RunTable

__all__ = ["decode_scan", "scan_mzxml"]

_PIECE = 1 << 20
_LONGEST_TAG = 16 << 20
_LONGEST_TEXT = 64
"""Characters of a number between tags."""

_DURATION = re.compile(
    r"P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9}(?:\.\d*)?)M)?(?:(\d{1,12}(?:\.\d*)?(?:[eE][-+]?\d{1,3})?)S)?)?"
)
_POLARITIES = {"+": 1, "-": -1}
_FLAGS = {"1": 1, "0": 0, "true": 1, "false": 0}
_TEXTS = frozenset(("precursorMz", "offset"))
"""Elements of which the text counts."""


def scan_mzxml(reader: ByteReader) -> RunTable:
    """The scans of an mzXML, in the order in which they begin; ids are ``scan=N`` (MS:1000776).

    The span of a scan ends ahead of its end tag, or ahead of the first scan inside of it: what is its own.

    Raises:
        FormatError: not well-formed, cut off, not mzXML, or with a value that is no number.
    """
    scanner = _Scanner()
    offset = 0
    while offset < reader.size:
        piece = reader.read(offset, _PIECE)
        if not piece:
            raise FormatError(f"the file ends at {offset}, before its {reader.size} bytes")
        scanner.feed(piece)
        offset += len(piece)
    return scanner.finish()


class _Scanner:
    """One pass over the tags of a file."""

    def __init__(self) -> None:
        self._builder = TableBuilder()
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        self._parser.XmlDeclHandler = self._declaration
        self._fed = 0
        self._encoding = "utf-8"
        self._open: list[_Scan] = []
        self._text: list[str] = []
        self._root = self._run = self._close = -1
        self._count = -1
        self._centroided = -1
        self._instrument: str | None = None
        self._software: str | None = None
        self._numbers: dict[int, int] = {}
        """Offset of each scan by its number."""
        self._entry: str | None = None
        """The number that an entry of the file's own index is for."""
        self._own: list[tuple[str, str]] = []

    def feed(self, piece: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as error:
            at = self._parser.ErrorByteIndex
            raise FormatError(f"not well-formed at byte {at}: {expat.ErrorString(error.code)}") from None
        except FormatError:
            raise
        except (LookupError, ValueError) as error:
            # What Python says of an encoding that it does not know, or that has several bytes a character.
            raise FormatError(f"in an encoding that cannot be read ({error}): mzXML is UTF-8 or ISO-8859-1") from None
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_TAG:
            raise FormatError(f"a tag at byte {self._parser.CurrentByteIndex} does not end within 16 MiB")

    def finish(self) -> RunTable:
        self.feed(b"", last=True)
        if self._run < 0:
            raise FormatError("no msRun: not mzXML")
        table = self._builder.finish(
            RunFacts(instrument=self._instrument, software=self._software, native_id_format="MS:1000776")
        )
        layout = Layout(
            encoding=self._encoding,
            root=self._root,
            mzml=-1,
            stop=-1,
            run_close=self._close,
            indexed=bool(self._own),
            own_index_ok=self._index_holds() if self._own else None,
            version="",
            spectra=ListSpan(self._run, -1, self._close, -1, self._count),
            chromatograms=None,
            mode="strict",
        )
        return RunTable(table.run, table.spectra, table.chromatograms, layout)

    def _index_holds(self) -> bool:
        try:
            return {int(number): int(offset) for number, offset in self._own} == self._numbers
        except ValueError:
            return False

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = (encoding or self._encoding).lower()

    def _start(self, name: str, values: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        if self._root < 0:
            self._root = at
        if name == "scan":
            if self._open:
                self._keep(at)
            self._open.append(_Scan(at, values, self._centroided))
        elif self._open:
            if self._open[-1].kept:
                raise FormatError(f"<{name}> at byte {at} stands behind a scan inside of its scan")
            self._open[-1].element(name, values, at)
        elif name == "msRun":
            if self._run >= 0:
                raise FormatError("the file holds several runs (msRun): split it into one file a run")
            self._run = at
            self._count = _integer(values.get("scanCount"), "scanCount", -1)
        else:
            self._describe(name, values)
        if name in _TEXTS:
            self._text.clear()
            self._parser.CharacterDataHandler = self._characters

    def _describe(self, name: str, values: Mapping[str, str]) -> None:
        """What stands ahead of the scans, or behind them."""
        if name == "dataProcessing":
            self._centroided = _FLAGS.get(values.get("centroided", ""), self._centroided)
        elif name == "msModel":
            self._instrument = self._instrument or values.get("value")
        elif name == "software":
            self._software = " ".join(filter(None, (values.get("name"), values.get("version"))))
        elif name == "offset":
            self._entry = values.get("id")

    def _characters(self, text: str) -> None:
        if sum(map(len, self._text)) < _LONGEST_TEXT:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name in _TEXTS:
            self._parser.CharacterDataHandler = None
            text = "".join(self._text).strip()
            if self._open:
                self._open[-1].mass(text)
            elif self._entry is not None:
                self._own.append((self._entry, text))
        elif name == "scan":
            self._keep(self._parser.CurrentByteIndex)
            self._open.pop()
        elif name == "msRun":
            self._close = self._parser.CurrentByteIndex

    def _keep(self, stop: int) -> None:
        scan = self._open[-1]
        if not scan.kept:
            scan.kept = True
            record, precursors = scan.finish(stop)
            self._builder.add(record, precursors)
            self._numbers[record.scan] = record.offset


def _refuse_doctype(*_: object) -> None:
    raise FormatError("the file has a document type declaration: not mzXML")


class _Scan:
    """One scan while it is read."""

    __slots__ = ("_centroided", "_header", "_offset", "_precursors", "_values", "kept")

    def __init__(self, offset: int, values: dict[str, str], centroided: int) -> None:
        self._offset = offset
        self._values = values
        self._centroided = centroided
        self._header = -1
        self._precursors: list[tuple[dict[str, str], str]] = []
        self.kept = False

    def element(self, name: str, values: dict[str, str], at: int) -> None:
        if name == "peaks" and self._header < 0:
            self._header = at - self._offset
        elif name == "precursorMz":
            self._precursors.append((values, ""))

    def mass(self, text: str) -> None:
        if self._precursors:
            self._precursors[-1] = self._precursors[-1][0], text

    def finish(self, stop: int) -> tuple[Record, list[Precursor]]:
        values = self._values
        number = _integer(values.get("num"), "num", -1)
        what = f"scan {number} at byte {self._offset}"
        if number < 0:
            raise FormatError(f"the scan at byte {self._offset} has no number")
        if self._header < 0:
            raise FormatError(f"{what} has no peaks element")
        try:
            record = Record(
                offset=self._offset,
                length=stop - self._offset,
                header_length=self._header,
                native_id=f"scan={number}",
                scan=number,
                ms_level=_integer(values.get("msLevel"), "msLevel", 0, 99),
                rt=_seconds(values.get("retentionTime")),
                polarity=_POLARITIES.get(values.get("polarity", ""), 0),
                centroided=_FLAGS.get(values.get("centroided", ""), self._centroided),
                n_points=_integer(values.get("peaksCount"), "peaksCount", -1),
                tic=_real(values, "totIonCurrent"),
                base_peak_mz=_real(values, "basePeakMz"),
                base_peak_intensity=_real(values, "basePeakIntensity"),
                low_mz=_real(values, "lowMz"),
                high_mz=_real(values, "highMz"),
                filter_string=values.get("filterLine"),
            )
            energy = _real(values, "collisionEnergy")
            return record, [_precursor(own, text, energy) for own, text in self._precursors]
        except FormatError as error:
            raise FormatError(f"{what}: {error}") from None


def _precursor(values: Mapping[str, str], text: str, energy: float) -> Precursor:
    mz = _real({"precursorMz": text}, "precursorMz")
    width = _real(values, "windowWideness")
    methods = ACTIVATIONS.get(values.get("activationMethod", "").upper())
    isolated = not math.isnan(width)
    return Precursor(
        mz,
        abs(_integer(values.get("precursorCharge"), "precursorCharge", 0, 999)),
        _real(values, "precursorIntensity"),
        mz if isolated else math.nan,
        mz - width / 2,
        mz + width / 2,
        methods[0] if methods else None,
        energy,
    )


def _integer(text: str | None, name: str, absent: int, most: int = (1 << 62)) -> int:
    if not text:
        return absent
    try:
        value = int(text) if len(text) < 24 else most + 1
    except ValueError:
        raise FormatError(f"{name} is {text[:40]!r}, which is no whole number") from None
    if abs(value) > most:
        raise FormatError(f"{name} is {text[:40]}: too large")
    return value


def _real(values: Mapping[str, str], name: str) -> float:
    text = values.get(name)
    try:
        return float(text) if text else math.nan
    except ValueError:
        raise FormatError(f"{name} is {text[:40]!r}, which is no number") from None  # type: ignore[index]


def _seconds(text: str | None) -> float:
    """An ``xs:duration`` without years and months; products are decimal, so that 0.1 minutes are 6 s."""
    if not text:
        return math.nan
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise FormatError(f"retentionTime is {text[:40]!r}: wanted a duration such as PT12.5S")
    scaled = zip(found.groups(), (86_400, 3_600, 60, 1), strict=True)
    return float(sum(Decimal(number) * scale for number, scale in scaled if number))


_PEAKS = re.compile(rb"<peaks[\s>]")
_PRECISIONS: dict[bytes, np.dtype[Any]] = {b"32": np.dtype(">f4"), b"64": np.dtype(">f8"), b"": np.dtype(">f4")}
_PAIRS = (b"m/z-int", b"")
_SEPARATE = (b"m/z", b"intensity")


def decode_scan(text: bytes, count: int) -> tuple[Values, Values]:
    """m/z and intensities of the own part of a scan, of the width that the file has.

    ``contentType`` is ``m/z-int`` (pairs; ``pairOrder`` up to version 2), or there are two elements ``m/z`` and
    ``intensity``. Byte order is always that of the network.

    Raises:
        FormatError: damaged, or of another number of points.
        Unsupported: values of another kind.
    """
    found: dict[bytes, Values] = {}
    for match in _PEAKS.finditer(text):
        content, values = _decode_element(text[match.start() :], count)
        found[content] = values
    pairs = next((found[name] for name in _PAIRS if name in found), None)
    if pairs is not None:
        return pairs[:, 0].copy(), pairs[:, 1].copy()
    if all(name in found for name in _SEPARATE):
        mz, intensity = (found[name] for name in _SEPARATE)
        return mz, intensity
    kinds = ", ".join(name.decode("ascii", "replace") for name in found)
    raise Unsupported(f"its peaks are {kinds}: neither m/z-int, nor m/z and intensity")


def _decode_element(text: bytes, count: int) -> tuple[bytes, Values]:
    """What an element holds, and its values: pairs have the shape (points, 2), others (points,)."""
    tag = start_tag(text)
    values = {name: tag[start:stop] for name, start, stop in attributes(tag)}
    content = values.get(b"contentType", values.get(b"pairOrder", b""))
    dtype = _PRECISIONS.get(values.get(b"precision", b""))
    if dtype is None:
        raise Unsupported(f"its peaks have a precision of {values[b'precision'][:20].decode('ascii', 'replace')} bits")
    if content not in (*_PAIRS, *_SEPARATE):
        return content, np.empty(0)
    width = 2 if content in _PAIRS else 1
    if count < 0:
        raise FormatError("nothing says how many points it has")
    if count == 0:
        # Some writers put a pair of zeros where there is nothing.
        return content, np.empty((0, 2) if width == 2 else 0, dtype.newbyteorder("="))
    data = decode_base64(text[len(tag) : text.find(b"<", len(tag))])
    wanted = count * width * dtype.itemsize
    compression = values.get(b"compressionType", b"none")
    if compression == b"zlib":
        data = inflate(data, wanted)
    elif compression != b"none":
        raise Unsupported(f"its peaks are compressed by {compression[:20].decode('ascii', 'replace')}")
    if len(data) != wanted:
        raise FormatError(f"its peaks have {len(data):,} bytes, not those of {count:,} points")
    numbers = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    return content, numbers.reshape(-1, 2) if width == 2 else numbers
