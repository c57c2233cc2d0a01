"""Tickets for spectra of runs, by GET and POST, in the manner of htsget, and what the service says of itself."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from lake.htsget.access import PrincipalOf
from lake.htsget.caching import ByteCache
from lake.htsget.conditions import WORDS, AskedSpectra, parse_conditions, parse_spectra_body
from lake.htsget.errors import Problem
from lake.htsget.identifiers import SPECTRA, find, parse_identifier
from lake.htsget.ranges import condition_of
from lake.htsget.services import service_info
from lake.htsget.spectrum_tickets import SpectrumDesk
from lake.htsget.state import Server, ServerOf
from lake.htsget.ticket_schemas import answers, get_spectra, post_spectra
from lake.htsget.ticket_text import CONTENT_TYPE, Addresses, Ticket

__all__ = ["router"]

router = APIRouter(tags=["spectra"])

_CACHE_BYTES = 16 << 20
_STEP = 64
"""Seconds for which a finished ticket is given again; its URLs are good for that much longer."""
_LONGEST_KEY = 4096
_REGION_BYTES, _REST_BYTES = 400, 64 << 10
"""Of a body, for one region and for all else."""
_STORED = {"MZML": "mzML", "MZXML": "mzXML", "MGF": "MGF"}
"""Which of several files of one name is meant by a format."""


@router.get("/spectra/service-info", summary="What this server offers of spectra", operation_id="spectra_service_info")
async def get_service_info(request: Request, server: ServerOf) -> Response:
    """Formats of answers, and conditions that spectra can be asked for by."""
    described = {
        "datatype": "spectra",
        "formats": list(SPECTRA.given),
        "conditions": list(WORDS),
        "fieldsParameterEffective": False,
        "tagsParametersEffective": False,
    }
    kind, what = ("spectra", "htsget", "1.3.1"), "Spectra of runs, exactly, as valid files"
    return JSONResponse(service_info(server, request, kind, what, htsget=described))


@router.get(
    "/spectra/{id:path}",
    response_class=Response,
    responses=answers(),
    openapi_extra=get_spectra(),
    summary="A ticket for the spectra of a run that meet all conditions",
    operation_id="get_spectra",
)
async def get_ticket(request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """Conditions are those of regions of spectra; the values of one are divided by commas."""
    question: bytes = request.scope["query_string"]
    return await _serve(server, request, principal, parse_conditions(question), question)


@router.post(
    "/spectra/{id:path}",
    response_class=Response,
    responses=answers(),
    openapi_extra=post_spectra(),
    summary="A ticket for the spectra of a run that lie in any of several regions",
    operation_id="post_spectra",
)
async def post_ticket(request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """A region is an object of conditions, which must all hold. Every spectrum is given once, in file order."""
    if request.scope["query_string"]:
        raise Problem(400, "InvalidInput", "a POST has no parameters in its URL: put them into the body")
    body = await request.body()
    most = server.settings.max_regions
    if len(body) > _REST_BYTES + most * _REGION_BYTES:
        raise Problem(413, "PayloadTooLarge", f"a body of {len(body)} bytes: {most} regions need less")
    asked = await server.run(parse_spectra_body, body, most)
    return await _serve(server, request, principal, asked, b"POST " + body)


async def _serve(
    server: Server, request: Request, principal: PrincipalOf, asked: AskedSpectra, question: bytes
) -> Response:
    """The ticket of a request; ``question`` is all that was said beside the id."""
    named = parse_identifier(request.path_params["id"])
    wanted = _STORED.get(asked.format or "MZML")
    found = await server.run(find, server.lake, principal, named, SPECTRA, wanted)
    seconds = principal.seconds(server.settings.url_seconds)
    step = min(_STEP, max(int(seconds), 1))
    until = int(time.time() + seconds) // step * step + step
    addresses = Addresses(server.base(request), server.signer, seconds, principal.token, principal.expires)
    desk, cache = _desk(request, server)
    key = found, question, addresses.base, until, principal.token, principal.expires
    ticket = cache.get(key)
    if ticket is None:
        ticket = await server.run(desk.make, found, asked, addresses)
        ticket = ticket._replace(identity=f"{ticket.identity}.{until:x}")
        if len(question) <= _LONGEST_KEY:
            cache.put(key, ticket, len(ticket.body) + len(question) + 512)
    etag = f'"{ticket.identity}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if request.method == "GET" and condition_of(request.headers, etag).known:
        return Response(None, 304, headers)
    return Response(ticket.body, 200, headers, CONTENT_TYPE)


def _desk(request: Request, server: Server) -> tuple[SpectrumDesk, ByteCache[Ticket]]:
    """What makes tickets of this server, and those that it has made."""
    state: Any = request.app.state
    if not hasattr(state, "spectra"):
        state.spectra = SpectrumDesk(server.lake, server.settings.inline_bytes), ByteCache(_CACHE_BYTES)
    found: tuple[SpectrumDesk, ByteCache[Ticket]] = state.spectra
    return found
