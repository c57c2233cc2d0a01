"""A CRAM as a source of containers: its definition, its SAM header, and the chain of its containers."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple, TypeVar

from lake.errors import FormatError
from lake.formats.cram.structure import (
    DEFINITION_SIZE,
    EOF_MARKERS,
    FILE_HEADER,
    GZIP,
    RAW,
    SLICE_HEADER,
    BlockHeader,
    ContainerHeader,
    Fields,
    Nonsense,
    Short,
    SliceHeader,
    header_container,
    is_end_marker,
    read_block,
    read_container,
    read_slice,
    reference_required,
)
from lake.formats.reader import ByteReader

__all__ = ["Block", "Container", "CramSource", "Located", "prove_block", "walk_blocks", "walk_containers"]

_VERSIONS = ((2, 1), (3, 0), (3, 1))
_WINDOW = 1 << 10
_LARGEST_STRUCTURE = 1 << 26
_MAX_HEADER = 1 << 28
"""Bytes of the largest SAM header that is read."""
_PIECE = 4 << 20
_BZIP2, _LZMA = 2, 3

T = TypeVar("T")


class Block(NamedTuple):
    """A block and where it lies in the file."""

    offset: int
    content: int
    """Where its stored bytes begin."""
    end: int
    """Behind its checksum, where it has one."""
    header: BlockHeader


class Container(NamedTuple):
    """A container and where it lies in the file."""

    offset: int
    body: int
    """Where its blocks begin."""
    end: int
    header: ContainerHeader


class Located(NamedTuple):
    """A slice of a container."""

    landmark: int
    size: int
    """Bytes from its header block to the next slice."""
    header: SliceHeader
    external: bool
    """Whether it was encoded against a reference that does not lie in the file."""


def _parse(reader: ByteReader, offset: int, what: str, parse: Callable[[Fields], T], window: int) -> tuple[T, int]:
    """What begins at an offset, and where it ends."""
    while True:
        fields = Fields(reader.read(offset, window))
        try:
            return parse(fields), offset + fields.at
        except Short:
            if len(fields.data) < window:
                raise FormatError(f"the file is cut off inside the CRAM {what} at {offset}") from None
            if window > _LARGEST_STRUCTURE:
                raise FormatError(f"no CRAM {what} at {offset}: the file is damaged") from None
            window *= 8
        except Nonsense:
            raise FormatError(f"no sound CRAM {what} at {offset}: the file is damaged") from None


def _block(reader: ByteReader, major: int, offset: int, limit: int) -> Block:
    header, content = _parse(reader, offset, "block", read_block, 32)
    end = content + header.size + (4 if major == 3 else 0)
    if end > limit:
        raise FormatError(f"the CRAM block at {offset} runs beyond its container: the file is damaged")
    return Block(offset, content, end, header)


def _container(reader: ByteReader, major: int, offset: int) -> Container:
    header, body = _parse(reader, offset, "container", lambda fields: read_container(fields, major), _WINDOW)
    end = body + header.length
    if end > reader.size:
        raise FormatError(f"the file is cut off inside the CRAM container at {offset}")
    if any(landmark >= header.length for landmark in header.landmarks):
        raise FormatError(f"the CRAM container at {offset} has slices beyond its end: the file is damaged")
    return Container(offset, body, end, header)


def walk_containers(reader: ByteReader, major: int, offset: int, end: int) -> Iterator[Container]:
    """The chain of containers that fills ``[offset, end)``.

    Raises:
        FormatError: it does not.
    """
    while offset < end:
        container = _container(reader, major, offset)
        if container.end > end:
            raise FormatError(f"the CRAM container at {offset} runs beyond {end}: the file is damaged")
        yield container
        offset = container.end


def walk_blocks(reader: ByteReader, major: int, container: Container, limit: int | None = None) -> Iterator[Block]:
    """The blocks of a container, by their headers alone; they fill it, or stay below ``limit`` where one is given.

    Raises:
        FormatError: they do not.
    """
    at = container.body
    for _ in range(container.header.blocks):
        block = _block(reader, major, at, container.end if limit is None else limit)
        yield block
        at = block.end
    if at != container.end and limit is None:
        raise FormatError(f"the blocks of the CRAM container at {container.offset} do not fill it: damaged")


def prove_block(reader: ByteReader, major: int, block: Block) -> None:
    """Prove that a block is what was written.

    CRAM 2.1 has no checksums; its codecs are gzip and bzip2, which have their own, so that to decompress proves it.

    Raises:
        FormatError: damaged.
    """
    if major == 2:
        if block.header.method != RAW:
            _content(reader, block, block.header.raw_size)
        return
    crc, at, last = 0, block.offset, block.end - 4
    while at < last:
        piece = reader.read(at, min(_PIECE, last - at))
        if not piece:
            break
        crc = zlib.crc32(piece, crc)
        at += len(piece)
    if reader.read(last, 4) != crc.to_bytes(4, "little"):
        raise FormatError(f"the CRAM block at {block.offset} does not have its checksum: the file is damaged")


def _content(reader: ByteReader, block: Block, most: int = _MAX_HEADER) -> bytes:
    """The decompressed bytes of a block, of the methods that need no codec of the genomic kind."""
    header = block.header
    stored = reader.read(block.content, header.size)
    if header.raw_size > most:
        raise FormatError(f"the CRAM block at {block.offset} states {header.raw_size} bytes: too large, or damaged")
    try:
        match header.method:
            case 0:
                content = stored
            case 1:
                content = zlib.decompressobj(31).decompress(stored, header.raw_size + 1)
            case 2:
                content = bz2.BZ2Decompressor().decompress(stored, header.raw_size + 1)
            case 3:
                content = lzma.LZMADecompressor().decompress(stored, header.raw_size + 1)
            case _:
                raise FormatError(f"the CRAM block at {block.offset} is compressed with a codec unfit for headers")
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise FormatError(f"the CRAM block at {block.offset} does not decompress: the file is damaged") from error
    if len(content) != header.raw_size:
        raise FormatError(f"the CRAM block at {block.offset} does not hold {header.raw_size} bytes: damaged")
    return content


class CramSource:
    """Containers of one CRAM. Safe for use by several threads.

    Raises:
        FormatError: not a CRAM of a version that is known, or its header is damaged.
    """

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader
        definition = reader.read(0, DEFINITION_SIZE)
        if len(definition) < DEFINITION_SIZE or definition[:4] != b"CRAM":
            raise FormatError("not a CRAM: the file does not begin with CRAM and a version")
        self.major, self.minor = definition[4], definition[5]
        if (self.major, self.minor) not in _VERSIONS:
            raise FormatError(f"CRAM {self.major}.{self.minor} is not known: convert the file to CRAM 3 with samtools")
        self.text, self.body = self._header()
        self.contigs, self.md5 = _contigs(self.text)
        self.names = list(self.contigs)

    def _header(self) -> tuple[bytes, int]:
        """The SAM header, and the offset of the first container behind it."""
        container = _container(self.reader, self.major, DEFINITION_SIZE)
        # CRAM 2.1 states the length of this container two bytes short, by htslib and htsjdk alike: there its blocks
        # tell where it ends.
        limit = self.reader.size if self.major == 2 else container.end
        if not container.header.blocks:
            raise FormatError("the CRAM header container is empty: the file is damaged")
        blocks = list(walk_blocks(self.reader, self.major, container, limit))
        for block in blocks:
            prove_block(self.reader, self.major, block)
        if blocks[0].header.content_type != FILE_HEADER:
            raise FormatError("the first CRAM container does not hold the SAM header: the file is damaged")
        content = _content(self.reader, blocks[0])
        size = int.from_bytes(content[:4], "little", signed=True)
        if len(content) < 4 or not 0 <= size <= len(content) - 4:
            raise FormatError("the length of the SAM header is damaged")
        return content[4 : 4 + size], max(blocks[-1].end, container.end)

    @cached_property
    def end(self) -> int:
        """Where the end marker begins.

        Raises:
            FormatError: the file lacks it, so that nobody can say what followed.
        """
        size = len(EOF_MARKERS[self.major])
        at = self.reader.size - size
        if at < self.body or not is_end_marker(self.reader.read(at, size), self.major):
            raise FormatError("the CRAM end marker is missing: the file may be truncated, and the answer incomplete")
        return at

    @property
    def sorted_by_place(self) -> bool:
        """Whether the header says that the records are sorted by coordinate."""
        return re.match(rb"@HD\t(?:[^\n]*?\t)?SO:coordinate[\t\r\n]", self.text + b"\n") is not None

    @property
    def marker(self) -> bytes:
        """The end marker."""
        return EOF_MARKERS[self.major]

    @cached_property
    def preamble(self) -> bytes:
        """A CRAM's beginning whose header has what decoding needs, and nothing that htslib could follow to a file.

        References are named by neither path nor checksum; read groups keep their order, to which records refer.
        """
        lines = [line for line in self.text.split(b"\n") if line.startswith(b"@HD")][:1]
        lines += [b"@SQ\tSN:%b\tLN:%d" % (_encoded(name), length) for name, length in self.contigs.items()]
        lines += [b"@RG\tID:%b" % found for found in re.findall(rb"(?m)^@RG\t(?:[^\n]*?\t)?ID:([^\t\r\n]+)", self.text)]
        return header_container(b"".join(line.rstrip(b"\r") + b"\n" for line in lines), self.major, self.minor)

    def containers(self) -> Iterator[Container]:
        """All containers behind the header, in file order, by their headers alone; some may be empty.

        Raises:
            FormatError: their chain is broken, or does not reach the end marker.
        """
        return walk_containers(self.reader, self.major, self.body, self.end)

    def container(self, offset: int) -> Container:
        """
        Raises:
            FormatError: no container is there.
        """
        return _container(self.reader, self.major, offset)

    def blocks(self, container: Container) -> Iterator[Block]:
        """The blocks of a container.

        Raises:
            FormatError: they do not fill it.
        """
        return walk_blocks(self.reader, self.major, container)

    def slices(self, container: Container) -> list[Located]:
        """What the slices of a container say of themselves.

        Raises:
            FormatError: damaged.
        """
        if not container.header.landmarks:
            if container.header.records:
                raise FormatError(f"the CRAM container at {container.offset} has records and no slices: damaged")
            return []
        block = _block(self.reader, self.major, container.body, container.end)
        required = True
        if block.header.method in (RAW, GZIP, _BZIP2, _LZMA):
            required = reference_required(_content(self.reader, block))
        landmarks = container.header.landmarks
        found = []
        for landmark, following in zip(landmarks, [*landmarks[1:], container.header.length], strict=True):
            if following <= landmark:
                raise FormatError(f"the slices of the CRAM container at {container.offset} are out of order: damaged")
            header = self._slice(container, landmark)
            external = required and not header.embedded and header.reference != -1
            found.append(Located(landmark, following - landmark, header, external))
        if sum(located.header.records for located in found) != container.header.records:
            raise FormatError(f"the CRAM container at {container.offset} does not state the records of its slices")
        return found

    def _slice(self, container: Container, landmark: int) -> SliceHeader:
        at = container.body + landmark
        block = _block(self.reader, self.major, at, container.end)
        if block.header.content_type != SLICE_HEADER:
            raise FormatError(f"no CRAM slice at {at}, where its container has one: the file is damaged")
        if self.major == 3:
            prove_block(self.reader, self.major, block)
        try:
            header = read_slice(Fields(_content(self.reader, block)), self.major)
        except (Short, Nonsense):
            raise FormatError(f"the CRAM slice header at {at} is damaged") from None
        if header.reference >= len(self.names):
            raise FormatError(f"the CRAM slice at {at} lies on contig {header.reference}, which the header lacks")
        return header


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _contigs(text: bytes) -> tuple[dict[str, int], dict[str, str]]:
    """Lengths and MD5 of the contigs by name, in the order of the @SQ lines."""
    lengths: dict[str, int] = {}
    checksums: dict[str, str] = {}
    for number, line in enumerate(text.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.startswith("@SQ\t"):
            continue
        values = {field[:2]: field[3:] for field in line.rstrip("\r").split("\t")[1:] if field[2:3] == ":"}
        name, length = values.get("SN", ""), values.get("LN", "")
        if not name or name in lengths or not re.fullmatch("[0-9]{1,18}", length):
            raise FormatError(f"line {number} of the SAM header names no contig, or one without length, or one twice")
        lengths[name] = int(length)
        if re.fullmatch("[0-9a-fA-F]{32}", values.get("M5", "")):
            checksums[name] = values["M5"].lower()
    return lengths, checksums
