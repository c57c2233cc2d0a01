"""Tickets of spectra: of mzML runs of the stored bytes and what stands between them, of all else one made part."""

from __future__ import annotations

from collections.abc import Sequence

from lake.errors import InvalidRegion, Unsupported
from lake.htsget.conditions import AskedSpectra
from lake.htsget.errors import Problem
from lake.htsget.identifiers import Found
from lake.htsget.spectrum_parts import SpectrumPart, plan_part, spectrum_claims, usual_format
from lake.htsget.ticket_text import NOT_WORTH_A_URL, Addresses, Link, Part, Ticket, ticket_text
from lake.lake import Lake
from lake.segments import Literal, Segment, Span, Stream

__all__ = ["SLICES", "SpectrumDesk"]

SLICES = "spectra-slices"
"""First word of the paths of made parts."""
_MOST_INLINE = 4 << 20
"""Bytes in a ticket where the client wants all of them there: "a few megabytes"."""
_MOST_SPANS = 64
"""Stored runs of bytes with a URL each; what lies scattered over more of them is fetched as one made part."""


class SpectrumDesk:
    """Makes the tickets of one lake. Safe for threads."""

    def __init__(self, lake: Lake, inline_bytes: int) -> None:
        self._lake = lake
        self._inline_bytes = inline_bytes

    def make(self, found: Found, asked: AskedSpectra, addresses: Addresses) -> Ticket:
        """The ticket of what is asked. Blocking.

        Raises:
            Problem: 403 for who may read regions of a genome alone; 400 for a format in which the run is not given;
                404 for an unknown native id; 413 for more regions than a URL can name.
            LakeError: the file is damaged where one had to look.
        """
        if found.limits is not None:
            raise Problem(403, "PermissionDenied", "your token lets you read some regions of this, not its spectra")
        form = asked.format or usual_format(found.format)
        part = SpectrumPart(found.digest, form, asked.regions, asked.header)
        try:
            made = plan_part(self._lake, part, asked.query)
        except Unsupported as error:
            raise Problem(400, "UnsupportedFormat", " ".join(str(error).split())) from error
        except InvalidRegion as error:
            raise Problem(404, "NotFound", " ".join(str(error).split())) from error
        header, body = list(made.header), list(made.body)
        if any(isinstance(segment, Stream) for segment in (*header, *body)):
            link = [Link(SLICES, spectrum_claims(part))]
            sides: tuple[Sequence[Part], Sequence[Part]] = (link, []) if asked.header else ([], link)
        else:
            most = {"all": _MOST_INLINE, "auto": self._inline_bytes}.get(asked.inline, 0)
            both = bool(header and body)
            sides = (
                self._settled(header, part._replace(side="header" if both else ""), most),
                self._settled(body, part._replace(side="body" if both else ""), most),
            )
        body_text = ticket_text(form, *sides, addresses, self._lake.repo.shelf.reader(found.digest))
        return Ticket(body_text, made.identity)

    def _settled(self, segments: Sequence[Segment], part: SpectrumPart, most: int) -> list[Part]:
        """One side of a ticket: inside of it, as runs of stored bytes, or behind one URL that makes it again."""
        spans = [segment for segment in segments if isinstance(segment, Span)]
        literals = [segment for segment in segments if isinstance(segment, Literal)]
        made = sum(len(literal.data) for literal in literals)
        if made + sum(span.length for span in spans) <= most:
            return [Literal(b"".join(map(self._bytes, segments)))] if segments else []
        if len(spans) > _MOST_SPANS or made > max(most, NOT_WORTH_A_URL):
            return [Link(SLICES, spectrum_claims(part))]
        return [
            segment if isinstance(segment, Span) and segment.length > NOT_WORTH_A_URL else Literal(self._bytes(segment))
            for segment in segments
        ]

    def _bytes(self, segment: Segment) -> bytes:
        if isinstance(segment, Span):
            return self._lake.repo.shelf.reader(segment.source).read(segment.offset, segment.length)
        assert isinstance(segment, Literal)
        return segment.data
