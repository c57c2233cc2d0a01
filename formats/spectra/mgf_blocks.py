"""MGF read: blocks of ``BEGIN IONS`` to ``END IONS``, what stands at the top of each, and its peaks.

Source: Matrix Science, "Data file format" of Mascot (help/data_file_format.html). Parameters ahead of the first block
hold for all blocks that do not state them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lake.errors import FormatError
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import Values
from lake.formats.spectra.records import Precursor, Record, TableBuilder, decode_text
from lake.formats.spectra.table import RunFacts, RunTable

__all__ = ["Block", "decode_peaks", "read_blocks", "scan_mgf"]

_BEGIN, _END = b"BEGIN IONS", b"END IONS"
_PIECE = 2 << 20
_LONGEST = 64 << 20
"""Bytes of a block, or of what stands ahead of the first one; no spectrum has as many."""

_PEAK = re.compile(rb"\n[ \t]*[-+.\d]")
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_CHARGE = re.compile(rb"(\d{1,3})([-+]?)|([-+])(\d{1,3})")
_SCAN = re.compile(rb"\d{1,15}")
_TITLE_SCAN = re.compile(rb"\bscan=(\d{1,15})\b|\.(\d{1,15})\.\2\.\d*(?=\s|$)")
"""The native id that ProteoWizard writes into titles, or ``name.first.last.charge`` of .dta files."""
_BETWEEN, _IN_NUMBERS = b" \t\r,", b"0123456789.eE+-"
"""What lines hold that are a peak and nothing else."""
_POLARITIES = {b"+": 1, b"-": -1, b"positive": 1, b"negative": -1}


class Block(NamedTuple):
    """The bytes of a spectrum."""

    offset: int
    text: bytes
    """From ``BEGIN IONS`` to the end of the line ``END IONS``, empty lines behind it included."""


def read_blocks(reader: ByteReader) -> Iterator[Block]:
    """Blocks in the order of the file; the first one is what stands ahead of all others.

    Raises:
        FormatError: a block that does not end, or begins inside of another.
    """
    base, text, at, read = 0, b"", 0, 0
    header = False
    while read < reader.size:
        piece = reader.read(read, _PIECE)
        if not piece:
            raise FormatError(f"the file ends at {read}, before its {reader.size} bytes")
        read += len(piece)
        base, text, at = base + at, text[at:] + piece, 0
        if len(text) > _LONGEST:
            raise FormatError(f"what begins at byte {base} has no line END IONS within {_LONGEST >> 20} MiB")
        while True:
            begin = _keyword(text, _BEGIN, at)
            if begin < 0:
                break
            if not header:
                yield Block(0, text[:begin])
                header, at = True, begin
            stop = _block_end(text, begin, base, last=read >= reader.size)
            if stop < 0:
                break
            yield Block(base + begin, text[begin:stop])
            at = stop
    if not header:
        yield Block(0, text)
    elif (begin := _keyword(text, _BEGIN, at)) >= 0:
        raise FormatError(f"the block at byte {base + begin} has no line END IONS: the file may be cut off")
    elif _keyword(text, _END, at) >= 0:
        raise FormatError(f"behind byte {base + at} a block ends that has not begun")


def _keyword(text: bytes, word: bytes, start: int, stop: int | None = None) -> int:
    """First byte of the next line that begins with a keyword; -1 where there is none."""
    at = start
    while (at := text.find(word, at, stop)) >= 0:
        line = text.rfind(b"\n", start, at) + 1 or start
        if not text[line:at].strip(b" \t\xef\xbb\xbf"):
            return line
        at += len(word)
    return -1


def _block_end(text: bytes, begin: int, base: int, *, last: bool) -> int:
    """End of the block that begins there; -1 where more has to be read."""
    inside = text.find(b"\n", begin) + 1 or len(text)
    end = _keyword(text, _END, inside)
    if _keyword(text, _BEGIN, inside, end if end >= 0 else None) >= 0:
        raise FormatError(f"the block at byte {base + begin} has no line END IONS before the next one begins")
    stop = text.find(b"\n", end) + 1 if end >= 0 else 0
    if not stop:
        return len(text) if end >= 0 and last else -1
    while text[stop : stop + 1] in (b"\n", b"\r") or (text[stop : stop + 1] and text[stop] in b" \t"):
        stop += 1
    return stop if stop < len(text) or last else -1


def scan_mgf(reader: ByteReader) -> RunTable:
    """The spectra of an MGF: ids are titles, or ``index=N`` (from 0, MS:1000774) where there is none.

    The level is 2 where no ``MSLEVEL`` says another: Mascot's format is for spectra of fragments. Totals and base
    peaks are not known without a look at every peak.

    Raises:
        FormatError: see `read_blocks`; or a parameter is no number.
    """
    builder = TableBuilder()
    blocks = read_blocks(reader)
    defaults = _parameters(next(blocks, Block(0, b"")).text)
    for number, block in enumerate(blocks):
        try:
            builder.add(*_record(number, block, defaults))
        except FormatError as error:
            raise FormatError(f"the block at byte {block.offset}: {error}") from None
    return builder.finish(RunFacts(native_id_format="MS:1000774"))


def _parameters(text: bytes) -> dict[bytes, bytes]:
    """By name in upper case; of those that are given twice the last counts."""
    stated = {}
    for line in text.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and (value := value.strip()):
            stated[name.strip().upper()] = value
    return stated


def _split(text: bytes) -> tuple[bytes, bytes]:
    """The parameters and the peaks of a block."""
    found = _PEAK.search(text)
    close = text.rfind(_END)
    stop = text.rfind(b"\n", 0, close) + 1
    start = min(found.start() + 1, stop) if found is not None else stop
    return text[:start], text[start:stop]


def _record(number: int, block: Block, defaults: Mapping[bytes, bytes]) -> tuple[Record, list[Precursor]]:
    head, peaks = _split(block.text)
    stated = {**defaults, **_parameters(head)}
    title = stated.get(b"TITLE")
    charges = _charges(stated.get(b"CHARGE", b""))
    level = stated.get(b"MSLEVEL", b"2")
    record = Record(
        offset=block.offset,
        length=len(block.text),
        header_length=len(head),
        native_id=decode_text(title) if title else f"index={number}",
        scan=_scan_number(stated),
        ms_level=int(level) if level.isdigit() and len(level) < 3 else 2,
        rt=_first_number(stated.get(b"RTINSECONDS"), "RTINSECONDS"),
        polarity=_polarity(charges, stated),
        centroided=1,
        n_points=_count(peaks),
    )
    return record, _precursors(stated, charges)


def _scan_number(stated: Mapping[bytes, bytes]) -> int:
    """The first number of ``SCANS``, or that of the title."""
    found = _SCAN.match(stated.get(b"SCANS", b""))
    if found is not None:
        return int(found[0])
    named = _TITLE_SCAN.search(stated.get(b"TITLE", b""))
    return int(named[1] or named[2]) if named is not None else -1


def _first_number(text: bytes | None, name: str) -> float:
    if text is None:
        return math.nan
    found = _NUMBER.match(text)
    if found is None:
        raise FormatError(f"{name} is {decode_text(text[:40])!r}, which is no number")
    return float(found[0])


def _charges(text: bytes) -> list[int]:
    """``2+``, ``2+ and 3+``, ``3-``, ``2,3``: signed, in order."""
    found = [
        -int(digits or later) if b"-" in (sign, before) else int(digits or later)
        for digits, sign, before, later in _CHARGE.findall(text)
    ]
    return [charge for charge in found if charge]


def _polarity(charges: list[int], stated: Mapping[bytes, bytes]) -> int:
    if charges:
        return 1 if charges[0] > 0 else -1
    return _POLARITIES.get(stated.get(b"IONMODE", b"").lower(), 0)


def _precursors(stated: Mapping[bytes, bytes], charges: list[int]) -> list[Precursor]:
    """One for each charge that is possible."""
    pepmass = stated.get(b"PEPMASS")
    if pepmass is None:
        return [Precursor(precursor_charge=abs(charge)) for charge in charges]
    mz, *rest = pepmass.replace(b",", b" ").split()[:3] or [b""]
    mass = _first_number(mz, "PEPMASS")
    intensity = _first_number(rest[0], "the intensity of PEPMASS") if rest else math.nan
    if len(rest) > 1 and not charges:
        charges = _charges(rest[1])
    return [Precursor(mass, abs(charge), intensity) for charge in charges or [0]]


def _count(peaks: bytes) -> int:
    """Peaks of a block."""
    packed = peaks.translate(None, _BETWEEN)
    rest = packed.translate(None, _IN_NUMBERS)
    if rest.strip(b"\n") or b"\n\n" in packed:
        return sum(1 for _ in _peak_lines(peaks))
    return len(rest)


def _peak_lines(peaks: bytes) -> Iterator[bytes]:
    return (line for line in peaks.split(b"\n") if (stripped := line.strip()) and stripped[0] in b"+-.0123456789")


def decode_peaks(text: bytes, count: int) -> tuple[Values, Values]:
    """m/z and intensities of a block, float64; charges of fragments are passed over.

    Raises:
        FormatError: a line that is no peak, or not so many of them.
    """
    _, peaks = _split(text)
    fields = peaks.split()
    try:
        if len(fields) == 2 * count:
            values = np.array(list(map(float, fields)), np.float64).reshape(-1, 2)
        else:
            rows = [line.replace(b",", b" ").split() for line in _peak_lines(peaks)]
            values = np.array([(float(row[0]), float(row[1])) for row in rows], np.float64).reshape(-1, 2)
    except (ValueError, IndexError):
        raise FormatError("a line of it is not an m/z and an intensity") from None
    if len(values) != count:
        raise FormatError(f"{len(values):,} peaks, not {count:,}")
    return values[:, 0].copy(), values[:, 1].copy()
