"""Bytes that are answered with whole or in part: the rules of RFC 9110 for whatever consists of segments."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from lake.digest import Digest
from lake.formats.sniffing import media_type
from lake.htsget.bodies import SegmentResponse
from lake.htsget.errors import Problem
from lake.htsget.ranges import ByteRange, condition_of, wanted_ranges
from lake.htsget.state import Server
from lake.objects import ObjectReader
from lake.segments import Literal, Segment, Slice, Span, Stream

__all__ = [
    "Representation",
    "cut_segments",
    "disposition",
    "forever",
    "object_etag",
    "object_representation",
    "respond",
    "slice_representation",
    "stream_slice",
]

_YEAR = 31_536_000


@dataclass(frozen=True)
class Representation:
    """What a URL stands for. The same ``etag`` means the same bytes, for ever."""

    segments: tuple[Segment, ...]
    size: int | None
    """Bytes of all segments; None where a stream makes that unknown: then there are no ranges."""
    etag: str
    """Opaque; without quotes."""
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """``Cache-Control`` and whatever else describes the whole; lower-case names."""
    handle: str | None = None
    """The file in the lake that is exactly these bytes, known to be right: a proxy in front may send it."""


def object_etag(digest: Digest) -> str:
    """The entity tag of an object, without quotes: the same under each of its URLs."""
    return f"b3-{digest}"


def object_representation(
    server: Server, reader: ObjectReader, headers: Mapping[str, str] | None = None
) -> Representation:
    """A whole object."""
    record = reader.record
    described = dict(headers or {})
    sha256 = record.checksums.get("sha256")
    if sha256 is not None:  # RFC 9530
        described["repr-digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
    return Representation(
        (Span(record.digest, 0, reader.size),),
        reader.size,
        object_etag(record.digest),
        media_type(record.format),
        described,
        _sendable(server, reader),
    )


def _sendable(server: Server, reader: ObjectReader) -> str | None:
    """The file that a proxy may send: only bytes that have been checked may go past us."""
    place, store = reader.record.location, server.lake.repo.store
    # gc, or a put of the same bytes, may have moved them since.
    known = reader.verified and store.local_path(place) is not None and store.present(place) == reader.size
    return place.handle if known else None


def slice_representation(answer: Slice, headers: Mapping[str, str] | None = None) -> Representation:
    """A slice under its identity."""
    return Representation(answer.segments, answer.size, f"slice-{answer.identity}", answer.media_type, headers or {})


def forever(server: Server, seconds: float = _YEAR) -> str:
    """``Cache-Control`` of a URL whose bytes never change, good for ``seconds``."""
    # Whoever asks had to show a token, or a signature made for them: a shared cache would give it to others.
    who = "public" if server.settings.open or server.settings.public else "private"
    # Proxies must not compress: offsets and digests are those of the bytes as they are.
    return f"{who}, max-age={int(seconds)}, immutable, no-transform"


def disposition(name: str) -> str:
    """``Content-Disposition`` for a file to be saved under a name (RFC 6266, RFC 8187); folders are dropped."""
    plain = re.sub(r"[\x00-\x1f\x7f]", "_", name.replace("\\", "/").rsplit("/", 1)[-1])
    ascii_only = re.sub(r'[^\x20-\x7e]|["%]', "_", plain)
    extended = f"; filename*=UTF-8''{quote(plain, safe='', errors='replace')}" if ascii_only != plain else ""
    return f'attachment; filename="{ascii_only}"{extended}'


def stream_slice(server: Server, request: Request, answer: Slice, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a GET or HEAD of a slice; with ranges where its size is known. ``headers`` as in `Representation`.

    Raises:
        Problem: as `respond`.
    """
    return respond(server, request, slice_representation(answer, headers))


def respond(server: Server, request: Request, what: Representation) -> Response:
    """The answer to a GET or HEAD: whole, one range, several ranges, or word that the client has it already.

    Raises:
        Problem: 412, ``If-Match`` names another version; 416, no range can be satisfied.
    """
    etag = f'"{what.etag}"'
    headers = {
        **what.headers,
        "etag": etag,
        "accept-ranges": "none" if what.size is None else "bytes",
        # Stored files are anybody's: a browser must not run one in the name of this server.
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
    }
    condition = condition_of(request.headers, etag)
    if condition.failed:
        raise Problem(412, "PreconditionFailed", "this is not the version that If-Match names", {"ETag": etag})
    if condition.known:
        return Response(status_code=304, headers=headers)
    headers["content-type"] = what.media_type
    if server.settings.sendfile and what.handle and request.method == "GET" and "range" not in request.headers:
        headers[server.settings.sendfile] = f"{server.settings.sendfile_prefix.rstrip('/')}/{what.handle}"
        return Response(headers=headers)
    if what.size is None or request.method != "GET":
        return SegmentResponse(server, what.segments, what.size, 200, headers, decoded=what.size is None)
    ranges = wanted_ranges(request.headers, etag, what.size)
    if ranges is None:
        return SegmentResponse(server, what.segments, what.size, 200, headers)
    if not ranges:
        end = {"Content-Range": f"bytes */{what.size}", "ETag": etag}
        raise Problem(416, "InvalidRange", f"no such range: there are {what.size} bytes", end)
    if len(ranges) > 1:
        return _several(server, what, ranges, headers)
    headers["content-range"] = _content_range(ranges[0], what.size)
    return SegmentResponse(server, cut_segments(what.segments, *ranges), ranges[0].length, 206, headers)


def _content_range(part: ByteRange, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def _several(
    server: Server, what: Representation, ranges: Sequence[ByteRange], headers: dict[str, str]
) -> SegmentResponse:
    """``multipart/byteranges`` (RFC 9110, section 14.6)."""
    assert what.size is not None
    boundary = secrets.token_hex(16)
    segments: list[Segment] = []
    for part in ranges:
        lead = (
            f"\r\n--{boundary}\r\nContent-Type: {what.media_type}\r\n"
            f"Content-Range: {_content_range(part, what.size)}\r\n\r\n"
        )
        segments += [Literal(lead.encode()), *cut_segments(what.segments, part)]
    segments.append(Literal(f"\r\n--{boundary}--\r\n".encode()))
    headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
    return SegmentResponse(server, segments, sum(map(_length, segments)), 206, headers)


def cut_segments(segments: Sequence[Segment], part: ByteRange) -> tuple[Segment, ...]:
    """The part of segments of known length that makes up ``part`` of all their bytes."""
    lengths = [_length(segment) for segment in segments]
    chosen: list[Segment] = []
    for segment, length, begin in zip(segments, lengths, accumulate(lengths, initial=0), strict=False):
        low, high = max(part.start - begin, 0), min(part.stop - begin, length)
        if low >= high:
            continue
        match segment:
            case Span(source, offset, _):
                chosen.append(Span(source, offset + low, high - low))
            case Literal(data):
                chosen.append(Literal(data[low:high]))
    return tuple(chosen)


def _length(segment: Segment) -> int:
    match segment:
        case Span(length=length):
            return length
        case Literal(data):
            return len(data)
        case Stream():
            raise ValueError("the length of a stream is not known")
