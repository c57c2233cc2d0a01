"""Where to cut a file into chunks, found while its bytes go by.

A cutter is given a file's bytes piece by piece and answers with offsets at which a chunk begins. It decides by the
bytes alone: the same file gives the same cuts however it was handed over. Bytes that a cutter cannot follow are cut
by content instead; a cutter never fails.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, Protocol, runtime_checkable

from lake.formats.cram.structure import DEFINITION_SIZE, Fields, Nonsense, Short, read_container

__all__ = [
    "LARGEST_CHUNK",
    "TARGET",
    "BgzfCutter",
    "ContentCutter",
    "CramCutter",
    "Cutter",
    "Learned",
    "LearningCutter",
]

TARGET = 1 << 20
"""Bytes that a chunk of whole blocks or containers has at least; the last one of a file may be shorter."""

LARGEST_CHUNK = 64 << 20
"""A container that states more bytes than this is cut inside, so that verifying a chunk takes bounded memory."""

_BGZF_HEADER = Struct("<I6xHIH")
"""Magic and flags, (time, extra flags, system), length of the extra field, its first subfield, block size - 1."""
_BGZF_MAGIC = 0x04088B1F
_BGZF_SUBFIELD = 0x00024342
_BGZF_EMPTY = 26
"""Bytes of header and trailer: no block has fewer."""

_CRAM_WINDOW = 64
"""Bytes that hold most container headers."""


class Cutter(Protocol):
    """Finds the cuts of one file."""

    def update(self, piece: memoryview, /) -> list[int]:
        """The next bytes; returns cuts that became known, ascending.

        A cut is an offset from the start of the file at which a chunk begins. It lies in this piece or after it, never
        before its first byte; one that turns out to be at or past the end of the file is ignored.
        """
        ...

    def finish(self, size: int, /) -> list[int]:
        """The file has ended after ``size`` bytes; returns cuts that became known by that (in the last piece)."""
        ...

    @property
    def whole(self) -> bool:
        """After `finish`: the file's own structure was followed from its start to its very end."""
        ...


class Learned(NamedTuple):
    """What the pass that cuts a file gives beside its cuts."""

    kind: str
    """Of the index."""
    body: bytes
    table: bytes
    """That of the format's `table_kind`."""
    problem: str | None
    """What is wrong with the file; then there is no index."""


@runtime_checkable
class LearningCutter(Cutter, Protocol):
    """Finds the cuts of a file, and all that its format wants to know of it."""

    @property
    def learned(self) -> Learned | None:
        """After `finish`."""
        ...


class ContentCutter:
    """Content-defined cuts (FastCDC): an edit moves only the cuts around it."""

    def __init__(self, smallest: int, average: int, largest: int, start: int = 0) -> None:
        """Sizes of a chunk in bytes; ``start`` is the offset of the first byte that will come."""
        from pyfastcdc import FastCDC

        self._algorithm = FastCDC(average, min_size=smallest, max_size=largest)
        self._largest = largest
        self._tail = b""
        self._start = start
        """Offset of the first byte of the tail: the last cut."""

    def update(self, piece: memoryview, /) -> list[int]:
        # What FastCDC finds in less than a whole chunk is the cut that it would find in all of it: it only looks back.
        # It looks at bytes in pairs; the added one completes the last pair, so that no cut is found a byte too late.
        window = b"".join((self._tail, piece, b"\0"))
        size = len(window) - 1
        cuts = []
        cut = 0
        for chunk in self._algorithm.cut_buf(window):
            end = cut + chunk.length
            if end > size or (end == size and chunk.length < self._largest):
                break
            cut = end
            cuts.append(self._start + cut)
        self._tail = window[cut:size]
        self._start += cut
        return cuts

    def finish(self, size: int, /) -> list[int]:
        return []

    @property
    def whole(self) -> bool:
        """Never: content has no structure to follow."""
        return False


class BgzfCutter:
    """Cuts at starts of BGZF blocks: the first one at least `TARGET` bytes after the last cut.

    Source: SAM specification v1, section 4.1 "The BGZF compression format".
    """

    def __init__(self, target: int = TARGET) -> None:
        self._target = target
        self._seen = 0
        self._block = 0
        """Offset of the next block's header."""
        self._goal = target
        self._head = b""
        """The beginning of a header that goes on in the next piece."""
        self._content: ContentCutter | None = None

    def update(self, piece: memoryview, /) -> list[int]:
        if self._content is not None:
            return self._content.update(piece)
        start = self._seen
        self._seen += len(piece)
        cuts: list[int] = []
        if self._head:
            missing = _BGZF_HEADER.size - len(self._head)
            self._head += piece[:missing]
            if len(self._head) < _BGZF_HEADER.size:
                return cuts
            head, self._head = self._head, b""
            if not self._walk(memoryview(head), self._block, cuts):
                return self._give_up(piece, start, missing, cuts)
        at = self._block - start
        if at < len(piece) and not self._walk(piece, start, cuts):
            return self._give_up(piece, start, self._block - start + _BGZF_HEADER.size, cuts)
        if self._block < self._seen:
            self._head = bytes(piece[self._block - start :])
        return cuts

    def finish(self, size: int, /) -> list[int]:
        return [] if self._content is None else self._content.finish(size)

    @property
    def whole(self) -> bool:
        """After `finish`: the chain of blocks leads from the start of the file to its very end."""
        return self._content is None and self._block == self._seen

    def _walk(self, data: memoryview, offset: int, cuts: list[int]) -> bool:
        """Follow the headers that are whole in ``data``, which begins at ``offset``; False at what is none."""
        unpack = _BGZF_HEADER.unpack_from
        at = self._block - offset
        goal = self._goal - offset
        last = len(data) - _BGZF_HEADER.size
        sound = True
        while at <= last:
            magic, _, subfield, below = unpack(data, at)
            if magic != _BGZF_MAGIC or subfield != _BGZF_SUBFIELD or below < _BGZF_EMPTY - 1:
                sound = False
                break
            at += below + 1
            if at >= goal:
                cuts.append(offset + at)
                goal = at + self._target
        self._block = offset + at
        self._goal = offset + goal
        return sound

    def _give_up(self, piece: memoryview, start: int, at: int, cuts: list[int]) -> list[int]:
        """Cut by content from ``at`` in the piece on: the end of the header that could not be followed."""
        self._content = ContentCutter(64 << 10, 256 << 10, 1 << 20, start + at)
        return cuts + self._content.update(piece[at:])


class CramCutter:
    """Cuts at starts of CRAM containers: the first one at least `TARGET` bytes after the last cut.

    A container that is bigger than that stays one chunk, up to `LARGEST_CHUNK`. CRAM 2.x and 3.x.
    """

    def __init__(self, target: int = TARGET) -> None:
        self._target = target
        self._seen = 0
        self._next = 0
        """Offset of the structure that is read next."""
        self._cut = 0
        self._head = b""
        """The beginning of a structure that goes on in the next piece."""
        self._version = 0
        self._blocks = 0
        """Blocks that are still to be stepped over inside the header container of CRAM 2.x."""
        self._end = 0
        """Where that container ends by its own account."""
        self._content: ContentCutter | None = None

    def update(self, piece: memoryview, /) -> list[int]:
        if self._content is not None:
            return self._content.update(piece)
        start = self._seen
        self._seen += len(piece)
        cuts: list[int] = []
        window = _CRAM_WINDOW
        while self._next < self._seen:
            at = self._next + len(self._head) - start
            fields = Fields(self._head + piece[at : at + window])
            try:
                self._read_structure(fields, cuts)
            except Short:
                if at + window >= len(piece):
                    self._head = fields.data
                    break
                window *= 2
            except Nonsense:
                at = self._next + fields.at - start
                self._content = ContentCutter(64 << 10, 256 << 10, 1 << 20, start + at)
                return cuts + self._content.update(piece[at:])
            else:
                self._head = b""
                window = _CRAM_WINDOW
        return cuts

    def finish(self, size: int, /) -> list[int]:
        return [] if self._content is None else self._content.finish(size)

    @property
    def whole(self) -> bool:
        """After `finish`: the chain of containers leads from the start of the file to its very end."""
        return self._content is None and self._next == self._seen

    def _read_structure(self, fields: Fields, cuts: list[int]) -> None:
        """Read what begins at `_next`, and step over it."""
        if self._next == 0:
            if fields.take(4) != b"CRAM" or (version := fields.byte()) not in (2, 3):
                raise Nonsense
            self._version = version
            fields.take(DEFINITION_SIZE - 5)
            self._advance(DEFINITION_SIZE, cuts, boundary=False)
        elif self._blocks:
            fields.take(2)
            fields.itf8()
            length = fields.itf8()
            fields.itf8()
            self._blocks -= 1
            inside = self._blocks > 0
            end = self._next + fields.at + length
            self._advance(end if inside else max(end, self._end), cuts, boundary=not inside)
        else:
            header = read_container(fields, self._version)
            length = header.length
            if self._version == 2 and self._next == DEFINITION_SIZE and header.blocks:
                # Its length is stated two bytes short by htslib and htsjdk alike: only its blocks tell the truth.
                self._blocks = header.blocks
                self._end = self._next + fields.at + length
                self._advance(self._next + fields.at, cuts, boundary=False)
            else:
                self._advance(self._next + fields.at + length, cuts, boundary=True)

    def _advance(self, offset: int, cuts: list[int], *, boundary: bool) -> None:
        """Go on at ``offset``; ``boundary`` says whether a container begins there."""
        self._next = offset
        while offset - self._cut > LARGEST_CHUNK:
            self._cut += LARGEST_CHUNK
            cuts.append(self._cut)
        if boundary and offset - self._cut >= self._target:
            self._cut = offset
            cuts.append(offset)
