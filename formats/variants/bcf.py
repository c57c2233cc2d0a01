"""BCF (BCF2, VCFv4.3, section 6), in BGZF or plain: regions compiled into record-exact slices.

A record covers ``[POS, POS + rlen)``, 0-based, with rlen as stored; that is what ``bcftools view -r`` goes by. Writers
let records straddle BGZF blocks, so an edge is cut in inflated bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.containers import open_container
from lake.formats.compression.feed import Feed
from lake.formats.intervals.assembly import Places
from lake.formats.intervals.batch import Batch
from lake.formats.intervals.blocked_format import BlockedFormat
from lake.formats.intervals.numbered_source import NumberedSource
from lake.formats.intervals.numbering import Numbering
from lake.formats.reader import ByteReader
from lake.formats.variants.vcf_dialect import header_contigs

__all__ = ["BCF", "BcfFormat", "BcfSource"]

I64 = NDArray[np.int64]

_MAGIC = (b"BCF\x02\x01", b"BCF\x02\x02")
_SIZES = struct.Struct("<II")
_SMALLEST_SHARED = 24
_LARGEST = 1 << 28
"""Longest record that is read, in bytes."""
_FIXED = np.dtype([("shared", "<u4"), ("indiv", "<u4"), ("rid", "<i4"), ("pos", "<i4"), ("rlen", "<i4")])
_FIXED_BYTES = 32
_NUMBER = re.compile(rb"^##contig=<(?:[^\r\n]*,)?IDX=(\d{1,9})[,>]", re.MULTILINE)
_CONTIG_LINE = re.compile(rb"^##contig=<[^\r\n]*", re.MULTILINE)


class BcfSource(NumberedSource):
    """Records of one BCF. Safe for use by several threads.

    Raises:
        FormatError: not a BCF, or its header is damaged.
    """

    def __init__(self, reader: ByteReader, numbering: Numbering | None = None) -> None:
        container = open_container(reader)
        super().__init__(container, numbering)
        feed = Feed(container, "BCF header")
        feed.need(9)
        if bytes(feed.data[:5]) not in _MAGIC:
            raise FormatError("not a BCF: the inflated data does not begin with BCF, 2 and 1 or 2")
        length = int.from_bytes(feed.data[5:9], "little")
        feed.need(9 + length)
        text = bytes(feed.data[9 : 9 + length]).rstrip(b"\0")
        self._start = feed.place(9 + length)
        self._declared = header_contigs(text)
        self._names = _names(text, list(self._declared))

    @property
    def start(self) -> int:
        return self._start

    def declared(self) -> Mapping[str, int]:
        return self._declared

    def codec_for(self, numbering: Numbering) -> BcfCodec:
        return BcfCodec(self._names, numbering)


def _names(text: bytes, names: list[str]) -> dict[int, bytes]:
    """Name of each contig by its number in the records: IDX of its header line, else its place among them."""
    lines = _CONTIG_LINE.findall(text)
    numbers = [int(found[1]) for line in lines if (found := _NUMBER.match(line))]
    if numbers and (len(numbers) != len(names) or len(set(numbers)) != len(numbers)):
        raise FormatError("the BCF header is damaged: its contigs have no unique numbers")
    return dict(
        zip(numbers or range(len(names)), (name.encode("utf-8", "surrogateescape") for name in names), strict=True)
    )


class BcfCodec:
    """Records of a BCF; ``names`` are those of the contigs by number."""

    takes_views = False

    def __init__(self, names: Mapping[int, bytes], numbering: Numbering) -> None:
        self._names = names
        self._numbering = numbering

    def decode(self, data: bytes, at: int, places: Places, *, final: bool) -> tuple[Batch | None, int]:
        """
        Raises:
            FormatError: a record names no contig of the header, or lies nowhere.
        """
        offset = np.array(_walk(data, at), np.int64)
        if not len(offset):
            return None, at
        fixed = np.ndarray((len(data) - _FIXED.itemsize + 1,), _FIXED, data, 0, (1,))[offset]
        pos, rlen = fixed["pos"].astype(np.int64), fixed["rlen"].astype(np.int64)
        stop = offset + 8 + fixed["shared"].astype(np.int64) + fixed["indiv"].astype(np.int64)
        if bool((pos < -1).any()):
            block = places.block_of(int(offset[int(np.argmin(pos))]))
            raise FormatError(f"damaged record in the block at {block}: it has a position of {int(pos.min())}")
        for record in np.flatnonzero(rlen < 0).tolist():
            # Written where END comes before POS, which is to be ignored (bcf_record_check in htslib).
            rlen[record] = _reference_length(data, int(offset[record]), int(stop[record]))
        tid = self._numbers(fixed["rid"].astype(np.int64))
        return Batch(data, offset, stop, places.of(offset), places.of(stop), tid, pos, pos + rlen), int(stop[-1])

    def wanted(self, data: bytes, at: int, places: Places) -> int:
        """
        Raises:
            FormatError: the record states a length that cannot be.
        """
        if at + _SIZES.size > len(data):
            return _SIZES.size
        shared, indiv = _SIZES.unpack_from(data, at)
        if shared < _SMALLEST_SHARED or shared + indiv > _LARGEST:
            block = places.block_of(at)
            raise FormatError(f"damaged record in the block at {block}: it states {shared} and {indiv} bytes")
        return _SIZES.size + int(shared) + int(indiv)

    def _numbers(self, rid: I64) -> I64:
        runs = np.flatnonzero(np.r_[True, rid[1:] != rid[:-1]])
        numbers = []
        for number in rid[runs].tolist():
            name = self._names.get(number)
            if name is None:
                raise FormatError(f"a record has the contig number {number}, which the BCF header does not name")
            numbers.append(self._numbering.number(name))
        return np.repeat(np.array(numbers, np.int64), np.diff(np.r_[runs, len(rid)]))


def _walk(data: bytes, at: int) -> list[int]:
    """Offsets of the whole records from ``at`` on, up to the first that is not whole or not possible."""
    offsets: list[int] = []
    unpack, last, stop = _SIZES.unpack_from, len(data) - _FIXED_BYTES, len(data)
    while at <= last:
        shared, indiv = unpack(data, at)
        following = at + 8 + shared + indiv
        if shared < _SMALLEST_SHARED or following > stop:
            break
        offsets.append(at)
        at = following
    return offsets


def _reference_length(data: bytes, at: int, stop: int) -> int:
    """Bases of the reference allele, which follows the identifier; both are typed strings (section 6.3.3)."""
    at += _FIXED_BYTES
    length = 0
    for _ in range(2):
        if at >= stop:
            raise FormatError("damaged record: it ends before its reference allele")
        length, kind = data[at] >> 4, data[at] & 15
        at += 1
        if length == 15:
            width = {1: 1, 2: 2, 3: 4}.get(data[at] & 15 if at < stop else 0, 0)
            length = int.from_bytes(data[at + 1 : at + 1 + width], "little")
            at += 1 + width
        at += length
        if at > stop or (length and kind != 7):
            raise FormatError("damaged record: its identifier or reference allele is no string")
    return length


class BcfFormat(BlockedFormat):
    """What a lake knows of BCF."""

    name = "BCF"
    media_type = "application/vnd.ga4gh.bcf"
    suffixes = (".bcf",)
    planner = "bcf/1"
    table_kind = "bcf-blocks/1"

    def source(self, reader: ByteReader, flavour: str, numbering: Numbering | None = None) -> BcfSource:
        return BcfSource(reader, numbering)


BCF = BcfFormat()
