"""Files that are put and removed, each in one request."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from lake.htsget.access import PrincipalOf, Verb
from lake.htsget.errors import Problem
from lake.htsget.representations import object_etag
from lake.htsget.routes.files import Ref, file_target, file_url
from lake.htsget.state import Server, ServerOf
from lake.htsget.uploads import (
    Inlet,
    Wanted,
    allow_uploads,
    body_length,
    check_room,
    check_target,
    expected_digests,
    keep_file,
    named_attributes,
    operation_of,
    pour,
    precondition,
)
from lake.journal.values import PRESENT, Json, Remove

__all__ = ["router"]

router = APIRouter(tags=["files"])

_ALLOWED = "GET, HEAD, OPTIONS"


class Stored(BaseModel):
    """What became of an upload."""

    path: str
    ref: str
    digest: str = Field(description="BLAKE3 of the content, hexadecimal")
    size: int
    format: str
    commit: int
    new: bool = Field(description="Whether nothing had that name")
    warnings: list[str]


class Removed(BaseModel):
    path: str
    ref: str
    commit: int | None


_REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"description": "Not a path, not a branch, a digest that does not match, or a body that was cut off"},
    401: {"description": "Needs a token"},
    403: {"description": "Your token does not let you write this"},
    404: {"description": "Nothing that you may see"},
    405: {"description": "This server takes no uploads"},
    412: {"description": "The file is not as If-Match or If-None-Match say"},
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/files/{path:path}",
    response_model=Stored,
    responses={
        **_REFUSALS,
        201: {"model": Stored, "description": "Nothing had that name"},
        408: {"description": "The body stopped coming"},
        413: {"description": "Larger than this server takes"},
        415: {"description": "A Content-Encoding: files are kept as they are"},
        422: {"description": "Another file was sent under this Idempotency-Key"},
    },
    openapi_extra=_BODY,
    summary="Store a file",
)
async def put_file(
    path: str,
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    ref: Ref = None,
    checksums: Annotated[bool, Query(description="Keep md5 and SHA-256 too")] = False,
) -> Response:
    """Store the body as a file: one commit, seen whole or not at all.

    Parameters ``meta.KEY=VALUE`` are attributes. ``If-None-Match: *`` and ``If-Match`` are checked in the commit;
    ``Repr-Digest``, ``Digest`` and ``Content-MD5`` before it. With an ``Idempotency-Key`` the request may be sent again
    when its answer is lost: it is done once.
    """
    allow_uploads(server, _ALLOWED)
    branch, cleaned = file_target(request, server, path, ref)
    principal.require(Verb.WRITE, cleaned)
    if "content-range" in request.headers:
        raise Problem(400, "InvalidInput", "a part cannot be put: send the whole file, or use /uploads")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "InvalidInput", "files are kept as they are: send no Content-Encoding")
    check_room(server, body_length(request.headers))
    digests = expected_digests(request.headers)
    attributes = named_attributes(request.query_params.items())
    operation = operation_of(request.headers, principal, cleaned, branch)
    expect = await server.run(
        partial(precondition, server.lake, cleaned, branch, request.headers, again=operation is not None)
    )
    wanted = Wanted(cleaned, branch, attributes, expect, checksums or bool(digests), operation)
    inlet = await server.run(_staged, server, wanted, tuple(digests), body_length(request.headers))
    try:
        await pour(server, request, inlet, server.settings.max_upload)
        await server.run(inlet.close)
        if not inlet.matches(digests):
            raise Problem(400, "InvalidInput", f"the body does not have the {', '.join(digests)} sent with it")
        receipt = await server.keep(keep_file, server.lake, inlet.path, wanted, principal)
    finally:
        await asyncio.shield(server.run(inlet.discard))
    headers = {"location": file_url(request, server, branch, cleaned), "etag": f'"{object_etag(receipt.digest)}"'}
    return JSONResponse(receipt.as_json(), 201 if receipt.new else 200, headers)


def _staged(server: Server, wanted: Wanted, algorithms: tuple[str, ...], size: int | None) -> Inlet:
    check_target(server.lake, wanted.path, wanted.ref, size)
    return Inlet(server.lake.repo.staging() / f"put-{secrets.token_hex(8)}", algorithms)


@router.delete(
    "/files/{path:path}", response_model=Removed, responses=_REFUSALS, summary="Remove a file; history keeps it"
)
async def delete_file(
    path: str, request: Request, server: ServerOf, principal: PrincipalOf, ref: Ref = None
) -> Response:
    """Remove the entry of a file, as one commit. Past commits go on holding it."""
    allow_uploads(server, _ALLOWED)
    branch, cleaned = file_target(request, server, path, ref)
    principal.require(Verb.WRITE, cleaned)

    def remove() -> dict[str, Json]:
        server.lake.tree(branch).file(cleaned)
        expect = precondition(server.lake, cleaned, branch, request.headers) or PRESENT
        who = f" by {principal.name}" if principal.name else ""
        commit = server.lake.change([Remove(cleaned, expect)], f"rm {cleaned}{who}", ref=branch)
        return {"path": cleaned, "ref": branch, "commit": commit.seq if commit is not None else None}

    return JSONResponse(await server.run(remove))
