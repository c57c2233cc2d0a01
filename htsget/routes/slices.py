"""Parts of answers that are made when they are fetched."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from lake.htsget.computed import Computed, piece_of, segments_of
from lake.htsget.errors import Problem
from lake.htsget.representations import Representation, forever, respond
from lake.htsget.spectrum_parts import segments_of_part, spectrum_part
from lake.htsget.spectrum_tickets import SLICES
from lake.htsget.state import Server, ServerOf
from lake.segments import Literal, Span
from lake.spectrum_exports import EXPORTS

__all__ = ["router"]

router = APIRouter(tags=["data"])

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"description": "Whole BGZF blocks, whole CRAM containers, or text", "content": _BYTES},
    206: {"description": "The ranges asked for, where the size is known", "content": _BYTES},
    304: {"description": "If-None-Match names these bytes"},
    403: {"description": "The signature is not good, or has expired"},
    404: {"description": "The object is gone"},
    412: {"description": "If-Match names other bytes"},
    416: {"description": "No range can be satisfied"},
}
_SPECTRA = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type, _ in EXPORTS.values()}
_OF_SPECTRA: dict[int | str, dict[str, object]] = {
    **_ANSWERS,
    200: {"description": "Spectra in the format of the ticket", "content": _SPECTRA},
    206: {"description": "The ranges asked for, where the size is known", "content": _SPECTRA},
}


@router.get("/slices/{token}", response_class=Response, responses=_ANSWERS, summary="A computed part of an answer")
async def get_slice(token: str, request: Request, server: ServerOf) -> Response:
    """A part of an answer, as tickets name it. The URL itself is the permission; it always gives the same bytes."""
    piece = piece_of(await server.claims(token))
    if piece is None:
        raise Problem(403, "PermissionDenied", "this URL is not one of a slice: ask for a new ticket")
    return _sent(server, request, await server.run(segments_of, server.lake, piece), "application/octet-stream")


@router.get(
    f"/{SLICES}/{{token}}", response_class=Response, responses=_OF_SPECTRA, summary="Spectra, made when fetched"
)
async def get_spectra(token: str, request: Request, server: ServerOf) -> Response:
    """Spectra, as tickets name them. The URL itself is the permission; it always gives the same bytes."""
    part = spectrum_part(await server.claims(token))
    if part is None:
        raise Problem(403, "PermissionDenied", "this URL is not one of spectra: ask for a new ticket")
    made = await server.run(segments_of_part, server.lake, part)
    return _sent(server, request, made, made.media_type)


def _sent(server: Server, request: Request, made: Computed, media_type: str) -> Response:
    headers = {"cache-control": forever(server, server.settings.url_seconds)}
    return respond(server, request, Representation(made.segments, _size(made), f"part-{made.tag}", media_type, headers))


def _size(made: Computed) -> int | None:
    total = 0
    for segment in made.segments:
        match segment:
            case Span(length=length):
                total += length
            case Literal(data):
                total += len(data)
            case _:
                return None
    return total
