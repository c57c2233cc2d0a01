"""Stored objects by their digest, and signed blocks of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lake.digest import parse_digest
from lake.htsget.access import PrincipalOf, object_regions
from lake.htsget.blocks import Block, read_block
from lake.htsget.errors import Problem, missing
from lake.htsget.representations import (
    Representation,
    disposition,
    forever,
    object_etag,
    object_representation,
    respond,
)
from lake.htsget.state import Server, ServerOf
from lake.objects import ObjectReader
from lake.segments import Span

__all__ = ["router"]

router = APIRouter(tags=["data"])

_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"description": "The bytes", "content": _BYTES},
    206: {"description": "The ranges asked for; several as multipart/byteranges", "content": _BYTES},
    304: {"description": "If-None-Match names these bytes"},
    403: {"description": "Some of it may be read, but not the whole; or the signature is not good"},
    404: {"description": "Nothing of that name, or nothing that you may see"},
    412: {"description": "If-Match names other bytes"},
    416: {"description": "No range can be satisfied"},
}
_HEADS = {status: answer for status, answer in _ANSWERS.items() if status not in (206, 416)}

Name = Annotated[str | None, Query(max_length=1000, description="Save as: adds a Content-Disposition header")]


@router.head("/objects/{digest}", response_class=Response, responses=_HEADS, summary="The same without the bytes")
@router.get("/objects/{digest}", response_class=Response, responses=_ANSWERS, summary="The bytes of an object")
async def get_object(
    digest: str, request: Request, server: ServerOf, principal: PrincipalOf, filename: Name = None
) -> Response:
    """The bytes of a stored object by its BLAKE3 digest, 64 hexadecimal digits, ``b3:`` before them or not.

    Allowed for who may read a path that names the object, or did at any time.
    """
    wanted = parse_digest(digest)

    def find() -> ObjectReader:
        if object_regions(principal, server.lake, wanted) is not None:
            raise Problem(403, "PermissionDenied", "you may read some regions of this, not the whole: ask for a ticket")
        return server.lake.repo.shelf.reader(wanted)

    reader = await server.run(find)
    headers = {"cache-control": forever(server)}
    if filename:
        headers["content-disposition"] = disposition(filename)
    return respond(server, request, object_representation(server, reader, headers))


@router.head("/blocks/{token}", response_class=Response, responses=_HEADS, summary="The same without the bytes")
@router.get(
    "/blocks/{token}", response_class=Response, responses=_ANSWERS, summary="The bytes that a signed URL stands for"
)
async def get_block(token: str, request: Request, server: ServerOf) -> Response:
    """Bytes of an object, as tickets name them. The URL itself is the permission; a Range is relative to the block."""
    block = await read_block(server, token)
    reader = await server.run(server.lake.repo.shelf.reader, block.digest)
    if block.offset + block.length > reader.size:
        raise missing()
    headers = {"cache-control": forever(server, server.settings.url_seconds)}
    return respond(server, request, _block_representation(server, block, reader, headers))


def _block_representation(
    server: Server, block: Block, reader: ObjectReader, headers: dict[str, str]
) -> Representation:
    if block.offset == 0 and block.length == reader.size:
        return object_representation(server, reader, headers)
    etag = f"{object_etag(block.digest)}-{block.offset}-{block.length}"
    return Representation((Span(*block),), block.length, etag, "application/octet-stream", headers)
