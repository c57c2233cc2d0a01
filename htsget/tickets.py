"""Tickets: what a client has to fetch, in order, to have the file that it asked for.

A part is a run of bytes of the stored object (``/blocks``), bytes inside the ticket (``data:``), or something that is
made when it is fetched (``/slices``). Each is of whole BGZF blocks or CRAM containers, the header first, the end
marker last. Source: htsget 1.3.1, "Response".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from lake.digest import Digest
from lake.errors import InvalidRegion
from lake.formats.base import RegionFormat
from lake.formats.decode_options import DecodeOptions
from lake.formats.outline import Gap, Outline, PartedFile
from lake.formats.region import UNBOUNDED, UNPLACED, Interval, Region, Selection, merge_regions, parse_region
from lake.htsget.computed import Piece, claims_of, end_marker, header_bytes, open_parted
from lake.htsget.errors import Problem
from lake.htsget.identifiers import Found
from lake.htsget.region_limits import check_limits
from lake.htsget.selections import EVERYTHING, Asked, Place
from lake.htsget.ticket_text import NOT_WORTH_A_URL, Addresses, Link, Part, Ticket, ticket_text
from lake.lake import Lake
from lake.objects import ObjectReader
from lake.regions import identity
from lake.segments import Literal, Segment, Span, Stream

__all__ = ["TicketDesk"]

_MOST_INLINE = 4 << 20
"""Bytes in a ticket where the client wants all of them there: "a few megabytes"."""
_EFFORT, _EFFORT_OF_ALL = 24, 2_000
"""Blocks that are inflated while a ticket is made, also where all is wanted inside of it; what takes more is left to
the fetching of the parts."""
_MOST_NAMED = 256
"""Intervals that one URL names."""
_FRAMES = 64
"""Files of which is kept what their tickets share; as many as are kept open."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Frame(NamedTuple):
    """What all tickets of one file share."""

    file: PartedFile
    form: RegionFormat
    numbers: dict[str, int]
    """Contigs by name."""
    header: tuple[Segment, ...]
    """Runs of stored bytes, and small ones and made ones as literals."""
    marker: bytes
    given: str
    """The format as which the stored bytes can be given; empty for none: a SAM is text, however it is stored."""

    def options(self, asked: Asked) -> DecodeOptions | None:
        """How records have to be changed; None: not at all."""
        if asked.format == self.given and asked.options is EVERYTHING:
            return None
        return replace(asked.options, format=asked.format)


class TicketDesk:
    """Makes the tickets of one lake. Safe for threads."""

    def __init__(self, lake: Lake, inline_bytes: int) -> None:
        self._lake = lake
        self._inline_bytes = inline_bytes
        self._frames: dict[Digest, _Frame] = {}
        self._heads: dict[tuple[Digest, str], bytes] = {}
        self._lock = threading.Lock()

    def quick(self, found: Found, asked: Asked) -> bool:
        """Whether `make` takes no look into the file, so that it takes a fraction of a millisecond."""
        if asked.inline != "none" or asked.header or not asked.exact or found.limits is not None:
            return False
        frame = self._frames.get(found.digest)
        if frame is None or frame.file is not self._lake.desk.opened(found.digest):
            return False
        if asked.places is None or len(asked.places) > 1 or asked.places[0].contig not in frame.numbers:
            return False
        return frame.options(asked) is None

    def make(self, found: Found, asked: Asked, addresses: Addresses) -> Ticket:
        """The ticket of what is asked. Blocking.

        Raises:
            Problem: 404 for an unknown reference; 403 for regions that may not be read; 413 for too many of them.
            LakeError: the file is damaged where one had to look.
        """
        frame = self._frame(found.digest)
        selection = self._selection(found, frame, asked)
        options = frame.options(asked)
        exact = asked.exact or found.limits is not None
        if options is not None:
            parts = self._converted(found, frame, asked, selection, options)
        else:
            header: Sequence[Segment | Piece] = frame.header
            if _made_bytes(frame.header) > self._most(asked.inline):
                header = [Piece(found.digest, Selection(()), header=True)]
            records = [] if asked.header else self._records(found, frame, asked.inline, selection, exact=exact)
            parts = _Parts(header, records, frame.marker)
        what = f"{asked.header}\0{exact}\0{options.canonical if options is not None else ''}"
        query = f"{frame.file.query(selection)}\0{what}"
        md5 = self._stored_md5(frame, found.digest) if selection.everything and options is None else None
        body = _written(asked.format, parts, md5, addresses, self._reader(found.digest))
        return Ticket(body, identity(frame.form, found.digest, query))

    def _most(self, inline: str) -> int:
        """Made bytes that may stand in a ticket."""
        return {"all": _MOST_INLINE, "auto": self._inline_bytes}.get(inline, NOT_WORTH_A_URL)

    def _stored_md5(self, frame: _Frame, digest: Digest) -> str | None:
        """That of the whole file, where it is kept and the parts are the file's own bytes."""
        whole = [*frame.file.header, *frame.file.body(Selection((), everything=True))]
        if all(isinstance(segment, Span) for segment in whole):
            return self._reader(digest).record.checksums.get("md5")
        return None

    def _reader(self, digest: Digest) -> ObjectReader:
        return self._lake.repo.shelf.reader(digest)

    def _frame(self, digest: Digest) -> _Frame:
        known = self._frames.get(digest)
        if known is not None and known.file is self._lake.desk.opened(digest):
            return known
        file, form = open_parted(self._lake, digest)
        contigs = file.contigs
        frame = _Frame(
            file,
            form,
            {name: tid for tid, name in enumerate(contigs)},
            tuple(self._settled(file.header)),
            b"".join(self._bytes([file.marker])),
            _given(form.name, plain=self._reader(digest).read(0, 2) != b"\x1f\x8b"),
        )
        self._keep(self._frames, digest, frame)
        return frame

    def _keep(self, kept: dict[Key, Value], key: Key, value: Value) -> None:
        """Remember one more, and forget the one that came first."""
        with self._lock:
            kept[key] = value
            if len(kept) > _FRAMES:
                del kept[next(iter(kept))]

    def _settled(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """The same, with stored bytes that are not worth a URL as literals."""
        for segment in segments:
            if isinstance(segment, Span) and segment.length <= NOT_WORTH_A_URL:
                yield Literal(self._reader(segment.source).read(segment.offset, segment.length))
            else:
                yield segment

    def _bytes(self, segments: Iterable[Segment]) -> Iterator[bytes]:
        for segment in segments:
            match segment:
                case Literal(data):
                    yield data
                case Span(source, offset, length):
                    yield self._reader(source).read(offset, length)
                case Stream(pieces):
                    yield from pieces()

    # -- what is selected -----------------------------------------------------------------------------------------
    def _selection(self, found: Found, frame: _Frame, asked: Asked) -> Selection:
        if asked.header:
            return Selection(())
        if asked.places is None:
            selection = Selection((), everything=True)
        else:
            named = [self._named(found, frame, place) for place in asked.places]
            selection = _merged(named, frame)
        if found.limits is not None:
            check_limits(self._lake.desk, found.digest, frame.file, found.limits, selection)
        return selection

    def _named(self, found: Found, frame: _Frame, place: Place) -> Place:
        """The place by the file's own name of its contig."""
        if place.contig in frame.numbers or place.contig == UNPLACED:
            return place
        try:
            (resolved,) = self._lake.desk.named(found.digest, frame.file, [str(Region(place.contig))])
            contig = parse_region(resolved, frame.file.contigs).contig
        except InvalidRegion as error:
            raise Problem(404, "NotFound", " ".join(str(error).split())) from error
        if contig not in frame.numbers:
            raise Problem(404, "NotFound", f"no reference {place.contig[:80]!r} in {found.path}")
        return place._replace(contig=contig)

    # -- what it is made of -----------------------------------------------------------------------------------------
    def _records(
        self, found: Found, frame: _Frame, inline: str, selection: Selection, *, exact: bool
    ) -> list[Segment | Piece]:
        file = frame.file
        if selection.everything:
            return [*self._settled(file.body(selection))]
        if not exact:
            segments = file.cover(selection)
            if _made_bytes(segments) <= self._inline_bytes:
                return [*self._settled(segments)]
            return [Piece(found.digest, selection, exact=False)]
        if inline != "none" and file.effort(selection) <= (_EFFORT_OF_ALL if inline == "all" else _EFFORT):
            segments = file.body(selection)
            if _made_bytes(segments) <= self._most(inline):
                return self._small(segments, self._most(inline))
        outline = file.outline(selection)
        return [Piece(found.digest, selection)] if outline is None else [*self._filled(found.digest, file, outline)]

    def _filled(self, digest: Digest, file: PartedFile, outline: Outline) -> Iterator[Segment | Piece]:
        """The parts of an outline; gaps get URLs, but for those with more intervals than a URL can name."""
        made = 0
        for part in outline:
            if not isinstance(part, Gap):
                yield part
            elif len(part.selection.intervals) <= _MOST_NAMED:
                yield Piece(digest, part.selection, first=part.first, stop=part.stop)
            else:
                # So many lie in a few blocks, which makes the part small.
                segments = file.body(part.selection, part.first, part.stop)
                made += _made_bytes(segments)
                if made > _MOST_INLINE:
                    raise Problem(413, "PayloadTooLarge", "too many small regions: ask for fewer at a time")
                yield from segments

    def _small(self, segments: tuple[Segment, ...], most: int) -> list[Segment | Piece]:
        """A small answer as a whole inside of the ticket."""
        stored = sum(segment.length for segment in segments if isinstance(segment, Span))
        if stored + _made_bytes(segments) <= most:
            return [Literal(b"".join(self._bytes(segments)))]
        return [*self._settled(segments)]

    def _converted(
        self, found: Found, frame: _Frame, asked: Asked, selection: Selection, options: DecodeOptions
    ) -> _Parts:
        nothing = Selection(())
        header: list[Segment | Piece] = [Piece(found.digest, nothing, header=True, options=options)]
        head = self._header_of(found.digest, options)
        if asked.inline != "none" and len(head) <= self._most(asked.inline):
            header = [Literal(head)]
        body: list[Segment | Piece] = []
        if selection.everything or selection.intervals or selection.unplaced:
            body = [
                Piece(found.digest, part.selection, first=part.first, stop=part.stop, options=options)
                for part in frame.file.windows(selection)
            ]
        return _Parts(header, body, end_marker(asked.format, head))

    def _header_of(self, digest: Digest, options: DecodeOptions) -> bytes:
        """That of a converted file; small ones are kept."""
        key = digest, options.canonical
        head = self._heads.get(key)
        if head is None:
            head = header_bytes(self._lake, digest, options)
            if len(head) <= self._inline_bytes:
                self._keep(self._heads, key, head)
        return head


class _Parts(NamedTuple):
    header: Sequence[Segment | Piece]
    body: Sequence[Segment | Piece]
    marker: bytes


def _given(stored: str, *, plain: bool) -> str:
    if stored == "SAM" and not plain:
        return ""
    return "VCFTEXT" if stored == "VCF" and plain else stored


def _merged(places: Sequence[Place], frame: _Frame) -> Selection:
    if len(places) == 1 and places[0].contig != UNPLACED:
        contig, start, stop = places[0]
        if stop is not None and start >= stop:
            return Selection(())
        return Selection((Interval(frame.numbers[contig], start, UNBOUNDED if stop is None else stop),))
    return merge_regions([Region(*place) for place in places], frame.file.contigs)


def _made_bytes(segments: Iterable[Segment]) -> int:
    """Bytes of the literals; without bound where something must be computed."""
    total = 0
    for segment in segments:
        if isinstance(segment, Stream):
            return 1 << 62
        if isinstance(segment, Literal):
            total += len(segment.data)
    return total


def _written(form: str, parts: _Parts, md5: str | None, addresses: Addresses, reader: ObjectReader) -> bytes:
    header, body = _linked(parts.header), _linked(parts.body)
    # The marker of a file without records says nothing of records.
    (body or header).append(Literal(parts.marker))
    return ticket_text(form, header, body, addresses, reader, md5)


def _linked(parts: Iterable[Segment | Piece]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        # Streams are behind pieces by now.
        assert not isinstance(part, Stream)
        found.append(Link("slices", claims_of(part)) if isinstance(part, Piece) else part)
    return found
