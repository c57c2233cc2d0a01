"""What the answer to a region is made of: verbatim spans of stored objects, literals and streams.

A format module compiles regions into a `Plan`; whoever can read the objects turns it into a `Slice`.
"""

from __future__ import annotations

import io
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from lake.digest import Digest
from lake.seekable import SeekableFile

__all__ = ["Literal", "Plan", "Segment", "Slice", "Span", "Stream", "merge_segments"]

_PIECE = 1 << 20
"""Bytes handed out at once by `Slice.iter_bytes`."""


class Span(NamedTuple):
    """Verbatim bytes of a stored object."""

    source: Digest
    offset: int
    """First byte, 0-based."""
    length: int
    """Number of bytes."""


class Literal(NamedTuple):
    """Bytes that the plan made: a header, a trimmed edge, an end marker."""

    data: bytes


class Stream(NamedTuple):
    """Bytes that are computed while they are read, in bounded memory; their number may be unknown."""

    pieces: Callable[[], Iterator[bytes]]
    """Starts a new pass over the bytes."""


Segment = Span | Literal | Stream


class Plan(NamedTuple):
    """Regions of one object, compiled: segments that, read in order, are a valid file."""

    media_type: str
    segments: tuple[Segment, ...]
    verbatim: bool
    """True when every record's bytes are those of the object (edges may be compressed anew)."""
    query: str
    """The same text for every way to ask the same of the same object."""


def merge_segments(segments: list[Segment]) -> tuple[Segment, ...]:
    """Join neighbours that can be one: spans that touch in the same object, and literals; drop empty ones."""
    merged: list[Segment] = []
    for segment in segments:
        last = merged[-1] if merged else None
        if isinstance(segment, Span):
            if segment.length == 0:
                continue
            if isinstance(last, Span) and last.source == segment.source and last.offset + last.length == segment.offset:
                merged[-1] = Span(last.source, last.offset, last.length + segment.length)
                continue
        elif isinstance(segment, Literal):
            if not segment.data:
                continue
            if isinstance(last, Literal):
                merged[-1] = Literal(last.data + segment.data)
                continue
        merged.append(segment)
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Slice:
    """The answer to regions of a file: read in order, the segments are a complete, valid file."""

    media_type: str
    segments: tuple[Segment, ...]
    identity: str
    """Same objects, same planner, same query: same identity. Serves as ETag and cache key."""
    verbatim: bool
    """True when every record's bytes are those of the stored file."""
    read: Callable[[Span], bytes]
    """Verified bytes of a span."""

    @property
    def size(self) -> int | None:
        """Bytes of the whole answer; None where a stream makes that unknown."""
        total = 0
        for segment in self.segments:
            match segment:
                case Span(length=length):
                    total += length
                case Literal(data=data):
                    total += len(data)
                case Stream():
                    return None
        return total

    def iter_bytes(self) -> Iterator[bytes]:
        """The answer, piece by piece, in bounded memory."""
        for segment in self.segments:
            match segment:
                case Span(source, offset, length):
                    stop = offset + length
                    while offset < stop:
                        piece = min(_PIECE, stop - offset)
                        yield self.read(Span(source, offset, piece))
                        offset += piece
                case Literal(data):
                    yield data
                case Stream(pieces):
                    yield from pieces()

    def to_bytes(self) -> bytes:
        """The whole answer in memory."""
        return b"".join(self.iter_bytes())

    def open(self) -> BinaryIO:
        """A seekable, read-only binary file. An answer of unknown size is computed first, into a temporary file."""
        if self.size is None:
            spool = tempfile.TemporaryFile()  # noqa: SIM115
            for piece in self.iter_bytes():
                spool.write(piece)
            spool.seek(0)
            return spool
        return io.BufferedReader(_SegmentFile(self), buffer_size=1 << 18)


class _SegmentFile(SeekableFile):
    """Seekable reads over segments of known size."""

    def __init__(self, answer: Slice) -> None:
        self._answer = answer
        self._starts: list[int] = []
        position = 0
        for segment in answer.segments:
            self._starts.append(position)
            position += segment.length if isinstance(segment, Span) else len(segment[0])  # type: ignore[arg-type]
        super().__init__(position)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        index = bisect_right(self._starts, self._position) - 1
        inside = self._position - self._starts[index]
        segment = self._answer.segments[index]
        if isinstance(segment, Span):
            length = min(wanted, segment.length - inside)
            data = self._answer.read(Span(segment.source, segment.offset + inside, length))
        else:
            data = segment.data[inside : inside + wanted]  # type: ignore[union-attr]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
