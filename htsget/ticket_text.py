"""The text of a ticket: what stands in it for each part of an answer. Source: htsget 1.3.1, "Response"."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lake.htsget.errors import Problem
from lake.htsget.signing import Signer
from lake.objects import ObjectReader
from lake.segments import Literal, Span

__all__ = ["CONTENT_TYPE", "NOT_WORTH_A_URL", "Addresses", "Link", "Part", "Ticket", "ticket_text"]

CONTENT_TYPE = "application/vnd.ga4gh.htsget.v1.3.1+json; charset=utf-8"

LARGEST_BLOCK = 1_000_000_000
"""Bytes behind one URL (htsget 1.3.1, "Guidelines"): about 1 GB."""
NOT_WORTH_A_URL = 4 << 10
"""Stored bytes that are put into a ticket rather than behind a URL."""
_LONGEST_TOKEN = 8_000
_LONGEST_KEPT = 1 << 16
"""Bytes up to which a header is kept in the form in which it stands in tickets."""


class Addresses(NamedTuple):
    """Where the parts of a ticket are fetched, and for how long."""

    base: str
    """What stands before the path of every URL, percent-encoded."""
    signer: Signer
    seconds: float
    holder: str = ""
    """Id of the token that was shown for the ticket: its URLs are good for no longer."""
    until: float | None = None
    """When who asked is let in no more, seconds since the epoch; None: never."""

    def of(self, route: str, claims: Mapping[str, str | int]) -> str:
        token = self.signer.sign(claims, self.seconds, self.holder, self.until)
        if len(token) > _LONGEST_TOKEN:
            raise Problem(413, "PayloadTooLarge", "too many regions for this kind of answer: ask for fewer at a time")
        return f"{self.base}/{route}/{token}"


class Ticket(NamedTuple):
    """A ticket, ready to be sent."""

    body: bytes
    identity: str
    """Of the answer that it leads to, not of its URLs."""


class Link(NamedTuple):
    """Bytes that are made when they are fetched."""

    route: str
    """First word of the path."""
    claims: Mapping[str, str | int]


Part = Span | Literal | Link


def ticket_text(
    form: str,
    header: Sequence[Part],
    body: Sequence[Part],
    addresses: Addresses,
    reader: ObjectReader,
    md5: str | None = None,
) -> bytes:
    """The JSON, minified: htslib knows a ticket by its first bytes.

    Args:
        form: of the answer.
        header, body: what to fetch, by class; what is wholly inside of the ticket gets its MD5 here.
        addresses: where.
        reader: of the object that spans are of.
        md5: of the whole answer, where it is known.
    """
    urls = [*_urls(header, "header", addresses, reader), *_urls(body, "body", addresses, reader)]
    text = f'{{"htsget":{{"format":"{form}","urls":[{",".join(urls or [_data_url([], "header")])}]'
    if all(isinstance(part, Literal) for part in body) and all(isinstance(part, Literal) for part in header):
        literals = [part.data for part in (*header, *body) if isinstance(part, Literal)]
        md5 = hashlib.md5(b"".join(literals), usedforsecurity=False).hexdigest()
    if md5 is not None:
        text += f',"md5":"{md5}"'
    return f"{text}}}}}".encode()


def _urls(parts: Iterable[Part], kind: str, addresses: Addresses, reader: ObjectReader) -> Iterator[str]:
    inline: list[bytes] = []
    for part in parts:
        if isinstance(part, Literal):
            inline.append(part.data)
            continue
        if any(inline):
            yield _data_url(inline, kind)
        inline = []
        match part:
            case Link(route, claims):
                yield _url(addresses.of(route, claims), kind)
            case Span():
                for offset, length in _split(part, reader):
                    yield _url(addresses.of("blocks", {"d": part.source, "o": offset, "n": length}), kind)
    if any(inline):
        yield _data_url(inline, kind)


def _data_url(pieces: Sequence[bytes], kind: str) -> str:
    data = b"".join(pieces)
    # Headers and end markers come in every ticket of a file.
    usual = kind == "header" or len(data) < NOT_WORTH_A_URL
    return _kept_data_url(data, kind) if usual and len(data) <= _LONGEST_KEPT else _made_data_url(data, kind)


def _made_data_url(data: bytes, kind: str) -> str:
    return f'{{"url":"data:;base64,{base64.b64encode(data).decode()}","class":"{kind}"}}'


_kept_data_url = functools.lru_cache(128)(_made_data_url)


def _url(url: str, kind: str) -> str:
    # htsjdk fails where there are no headers. Nothing in the URL needs an escape: it is percent-encoded.
    return f'{{"url":"{url}","headers":{{}},"class":"{kind}"}}'


def _split(span: Span, reader: ObjectReader) -> Iterator[tuple[int, int]]:
    """Ranges that are not too large, cut where chunks of the object begin, which are whole blocks or containers."""
    offset, stop = span.offset, span.offset + span.length
    while stop - offset > LARGEST_BLOCK:
        number = reader.chunks.locate(offset + LARGEST_BLOCK, 1).start
        cut = reader.chunks.span(number)[0]
        if cut <= offset:
            break
        yield offset, cut - offset
        offset = cut
    yield offset, stop - offset
