"""htsget 1.3.1: tickets for reads and variants, by GET and POST, and what the service says of itself."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from lake.htsget.access import Principal, bearer
from lake.htsget.caching import ByteCache
from lake.htsget.errors import Problem
from lake.htsget.identifiers import READS, VARIATIONS, Family, Found, find, parse_identifier
from lake.htsget.ranges import condition_of
from lake.htsget.selections import Asked, parse_body, parse_parameters
from lake.htsget.services import service_info
from lake.htsget.shortcuts import Direct
from lake.htsget.state import Server, server_of
from lake.htsget.ticket_schemas import answers, get_operation, post_operation
from lake.htsget.ticket_text import CONTENT_TYPE, Addresses
from lake.htsget.tickets import TicketDesk

__all__ = ["router"]

router = APIRouter(tags=["htsget"])

_CACHE_BYTES = 32 << 20
_STEP = 64
"""Seconds for which a finished ticket is given again; its URLs are good for that much longer."""
_LONGEST_KEY = 4096
_REGION_BYTES, _REST_BYTES = 160, 64 << 10
"""Of a body, for one region and for all else. The JSON of much larger ones could not be read without holding up others,
on no thread, since it is read in one go."""
_QUICK_BYTES = 16 << 10
"""Bodies up to this size are read where they arrive."""
_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
_LARGE_AT_ONCE = 2
"""Tickets that may take longer and are made on threads at a time. Of the others, which take a millisecond or less, it
is one: two threads spend half of their time on handing the interpreter's lock to each other."""


class _Counter:
    """Where tickets of one server are asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.desk = TicketDesk(server.lake, server.settings.inline_bytes)
        self._small, self._large = asyncio.Semaphore(1), asyncio.Semaphore(_LARGE_AT_ONCE)
        self.cache: ByteCache[Response] = ByteCache(_CACHE_BYTES)

    async def serve(self, request: Request, family: Family, asked: Asked, question: bytes) -> Response:
        """The ticket of a request; ``question`` is all that was said beside the id."""
        server = self.server
        # A dependency would cost more than all the rest.
        principal = await server.principal(bearer(request))
        request.scope["principal"] = principal.name
        named = parse_identifier(request.path_params["id"])
        if named.digest is None:
            found = find(server.lake, principal, named, family, asked.format)
        else:
            found = await server.run(find, server.lake, principal, named, family)
        return _unless_known(request, await self._ticket(request, principal, found, asked, question))

    async def _ticket(
        self, request: Request, principal: Principal, found: Found, asked: Asked, question: bytes
    ) -> Response:
        """With the ticket, under its ETag. It may be sent any number of times."""
        seconds = principal.seconds(self.server.settings.url_seconds)
        step = min(_STEP, max(int(seconds), 1))
        until = int(time.time() + seconds) // step * step + step
        base = self.server.base(request)
        key = found, question, base, until, principal.token, principal.expires
        known = self.cache.get(key)
        if known is not None:
            return known
        addresses = Addresses(base, self.server.signer, seconds, principal.token, principal.expires)
        if self.desk.quick(found, asked):
            ticket = self.desk.make(found, asked, addresses)
        else:
            small = asked.inline == "auto" and asked.places is not None and len(asked.places) == 1
            async with self._small if small else self._large:
                ticket = await self.server.run(self.desk.make, found, asked, addresses)
        headers = {**_HEADERS, "ETag": f'"{ticket.identity}.{until:x}"'}
        response = Response(ticket.body, 200, headers, CONTENT_TYPE)
        if len(question) <= _LONGEST_KEY:
            self.cache.put(key, response, len(ticket.body) + len(question) + 1024)
        return response


def _unless_known(request: Request, response: Response) -> Response:
    """The response, or 304 where the client has it."""
    if request.method != "GET" or all(name != b"if-none-match" for name, _ in request.scope["headers"]):
        return response
    etag = response.headers["ETag"]
    known = condition_of(request.headers, etag).known
    return Response(None, 304, {**_HEADERS, "ETag": etag}) if known else response


def _counter(request: Request) -> _Counter:
    state = request.app.state
    counter: _Counter | None = getattr(state, "tickets", None)
    if counter is None:
        counter = state.tickets = _Counter(server_of(request))
    return counter


async def _get(request: Request, family: Family) -> Response:
    question: bytes = request.scope["query_string"]
    return await _counter(request).serve(request, family, parse_parameters(question, family), question)


async def _post(request: Request, family: Family) -> Response:
    if request.scope["query_string"]:
        raise Problem(400, "InvalidInput", "a POST has no parameters in its URL: put them into the body")
    body = await request.body()
    server = server_of(request)
    most = server.settings.max_regions
    if len(body) > _REST_BYTES + most * _REGION_BYTES:
        raise Problem(413, "PayloadTooLarge", f"a body of {len(body)} bytes: {most} regions need less")
    if len(body) > _QUICK_BYTES:
        asked = await server.run(parse_body, body, family, most)
    else:
        asked = parse_body(body, family, most)
    return await _counter(request).serve(request, family, asked, b"POST " + body)


def _service_info(request: Request, family: Family) -> Response:
    described = {
        "datatype": family.name,
        "formats": list(family.given),
        "fieldsParameterEffective": family is READS,
        "tagsParametersEffective": family is READS,
    }
    what = f"Regions of {family.name}, exactly, as valid files"
    about = service_info(server_of(request), request, (family.name, "htsget", "1.3.1"), what, htsget=described)
    return JSONResponse(about)


def _add(family: Family) -> None:
    """The routes of one endpoint. ``service-info`` is reserved, hence comes first."""

    async def get_service_info(request: Request) -> Response:
        return _service_info(request, family)

    async def get_ticket(request: Request) -> Response:
        return await _get(request, family)

    async def post_ticket(request: Request) -> Response:
        return await _post(request, family)

    name, path = family.name, f"/{family.name}/{{id:path}}"
    router.add_api_route(
        f"/{name}/service-info",
        get_service_info,
        summary=f"What this server offers of {name}",
        operation_id=f"{name}_service_info",
    )
    shared: dict[str, Any] = {"route_class_override": Direct, "response_class": Response, "responses": answers()}
    router.add_api_route(
        path,
        get_ticket,
        summary=f"A ticket for {name}, of one region or of all",
        operation_id=f"get_{name}",
        openapi_extra=get_operation(family),
        **shared,
    )
    router.add_api_route(
        path,
        post_ticket,
        methods=["POST"],
        summary=f"A ticket for {name} of any number of regions",
        operation_id=f"post_{name}",
        openapi_extra=post_operation(family),
        **shared,
    )


_add(READS)
_add(VARIATIONS)
