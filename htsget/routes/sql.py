"""Queries over HTTP: one reading statement in, a table out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from lake.grants import Verb
from lake.htsget.access import Principal, PrincipalOf
from lake.htsget.bodies import SegmentResponse
from lake.htsget.errors import Problem, missing
from lake.htsget.media_types import accepted
from lake.htsget.queries import MEDIA_TYPES, QueryDesk
from lake.htsget.state import Server, ServerOf
from lake.results.answers import AnswerFormat
from lake.segments import Stream

__all__ = ["Question", "router"]

router = APIRouter(tags=["sql"])

_LONGEST = 100_000
_PIECE = 1 << 18


class Question(BaseModel):
    """One query, and what to answer with."""

    query: str = Field(max_length=_LONGEST, description="One reading statement of DuckDB's SQL")
    params: dict[str, str | int | float | bool | None] = Field({}, description="Values of `$name` in the query")
    format: str | None = Field(None, description="`json`, `jsonl`, `csv`, `arrow` or `parquet`; else as Accept says")


_ROWS = {"type": "array", "items": {"type": "object"}}
_CONTENT: dict[str, Any] = {
    name: {"schema": _ROWS if name == "application/json" else {"type": "string"}} for name in MEDIA_TYPES
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The rows", "content": _CONTENT},
    400: {"description": "Not a query that reads, or an error that DuckDB reports, with the place"},
    401: {"description": "Needs a token"},
    403: {"description": "Your token does not let you send queries"},
    404: {"description": "This server answers no queries"},
    406: {"description": "No such form of an answer"},
    413: {"description": "The query or its answer is too large"},
    503: {"description": "Too many queries are under way"},
}


@router.get("/sql", response_class=Response, responses=_ANSWERS, summary="Ask the catalog", operation_id="get_sql")
async def get_sql(
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    query: Annotated[str, Query(max_length=_LONGEST, description="One reading statement of DuckDB's SQL")],
    format: Annotated[str | None, Query(description="`json`, `jsonl`, `csv`, `arrow` or `parquet`")] = None,
) -> Response:
    """The answer of one query over the views of the catalog (docs/catalog.md), at the server's branch."""
    return await _answer(request, server, principal, Question(query=query, params={}, format=format))


@router.post("/sql", response_class=Response, responses=_ANSWERS, summary="Ask the catalog", operation_id="post_sql")
async def post_sql(request: Request, server: ServerOf, principal: PrincipalOf, question: Question) -> Response:
    """As GET, for long queries and for values."""
    return await _answer(request, server, principal, question)


async def _answer(request: Request, server: Server, principal: Principal, question: Question) -> Response:
    if not server.settings.sql:
        raise missing()
    principal.require(Verb.SQL)
    media_type, form = _form(request, question.format)
    file = await _desk(request, server).answer(question.query, question.params, form)
    size = file.seek(0, os.SEEK_END)
    headers = {"content-type": media_type, "cache-control": "private, no-store", "vary": "Accept, Authorization"}
    return SegmentResponse(server, (Stream(lambda: _pieces(file)),), size, 200, headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _form(request: Request, named: str | None) -> tuple[str, AnswerFormat]:
    if named is not None:
        for media_type, form in MEDIA_TYPES.items():
            if form.value == named.lower():
                return media_type, form
        raise Problem(400, "InvalidInput", f"no such format: {json.dumps(named[:40])}")
    found = accepted(request.headers.get("accept"), list(MEDIA_TYPES))
    if found is None:
        raise Problem(406, "NotAcceptable", f"answers are {', '.join(MEDIA_TYPES)}")
    return found, MEDIA_TYPES[found]


def _desk(request: Request, server: Server) -> QueryDesk:
    state = request.app.state
    desk: QueryDesk | None = getattr(state, "queries", None)
    if desk is None:
        desk = state.queries = QueryDesk(server.lake, server.settings)
    return desk
