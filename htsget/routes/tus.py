"""Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload).

Extensions: creation, creation-with-upload, termination, expiration and checksum.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from lake.errors import LakeError
from lake.htsget.access import Principal, PrincipalOf, Verb
from lake.htsget.errors import Problem, problem_of
from lake.htsget.resumable import HeldUpload, Upload, UploadDesk
from lake.htsget.routes.files import file_target, file_url
from lake.htsget.state import Server, ServerOf, server_of
from lake.htsget.uploads import Wanted, allow_uploads, body_length, check_room, check_target, named_attributes, pour

__all__ = ["router"]

_VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
_ALGORITHMS = ("md5", "sha1", "sha256")
_BODY_TYPE = "application/offset+octet-stream"
_MISMATCH = 460
"""``Checksum Mismatch``: a status of tus's own."""
_LONGEST_METADATA = 16_384

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _TusRoute(APIRoute):
    """Every answer but that to OPTIONS states the version, errors too; requests of another version are refused."""

    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()

        async def versioned(request: Request) -> Response:
            try:
                if request.method == "OPTIONS":
                    return await handler(request)
                if request.headers.get("tus-resumable") != _VERSION:
                    raise Problem(412, "PreconditionFailed", f"Tus-Resumable: {_VERSION}", {"Tus-Version": _VERSION})
                response = await handler(request)
            except LakeError as error:
                raise _versioned(problem_of(error, server_of(request).lake.root)) from error
            except Problem as problem:
                raise _versioned(problem) from problem
            response.headers["Tus-Resumable"] = _VERSION
            return response

        return versioned


def _versioned(problem: Problem) -> Problem:
    headers = {**(problem.headers or {}), "Tus-Resumable": _VERSION}
    return Problem(problem.status, problem.kind, problem.message, headers)


router = APIRouter(tags=["resumable uploads"], route_class=_TusRoute)


class _Checksum(NamedTuple):
    algorithm: str
    digest: bytes


_ANSWERS: dict[int | str, dict[str, object]] = {
    400: {"description": "A header is missing or cannot be read"},
    401: {"description": "Needs a token"},
    403: {"description": "Your token does not let you write this"},
    404: {"description": "No such upload"},
    405: {"description": "This server takes no uploads"},
    409: {"description": "Upload-Offset is not where the upload stands"},
    410: {"description": "The upload was not used for too long"},
    412: {"description": "Another version of tus"},
    413: {"description": "Larger than this server takes"},
    415: {"description": f"The body is not {_BODY_TYPE}"},
    423: {"description": "Another request is at this upload"},
    _MISMATCH: {"description": "The body does not have its Upload-Checksum; nothing of it is kept"},
}


def _parameters(*names: str) -> dict[str, Any]:
    """Headers of a request, for the OpenAPI document."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}
            for name, required in ((name.rstrip("?"), not name.endswith("?")) for name in ("Tus-Resumable", *names))
        ]
    }


@router.options("/uploads", status_code=204, response_class=Response, summary="What of tus is known here")
async def options(server: ServerOf) -> Response:
    """The versions and extensions of tus, and the largest file that there is room for."""
    free = await server.run(shutil.disk_usage, server.lake.root)
    most = min(free.free, server.settings.max_upload or free.free)
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": _VERSION,
            "Tus-Version": _VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Max-Size": str(most),
            "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
        },
    )


@router.post(
    "/uploads",
    status_code=201,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_parameters("Upload-Length", "Upload-Metadata", "Upload-Checksum?"),
    summary="Begin a resumable upload",
)
async def create(request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """``Upload-Metadata`` names the path (``path`` or ``filename``), the branch (``ref``) and attributes
    (``meta.KEY``). A body of type ``application/offset+octet-stream`` is the beginning of the file.
    """
    allow_uploads(server, "OPTIONS")
    size = _number(request, "upload-length")
    header = request.headers.get("upload-metadata", "")
    metadata = _metadata(header)
    name = metadata.get("path") or metadata.get("filename") or ""
    branch, path = file_target(request, server, name, metadata.get("ref") or None)
    principal.require(Verb.WRITE, path)
    check_room(server, size)
    with_body = request.headers.get("content-type") == _BODY_TYPE
    checksum = _checksum(request) if with_body else None
    attributes = named_attributes(metadata.items())

    def begin() -> HeldUpload:
        check_target(server.lake, path, branch, size)
        return UploadDesk(server.lake).create(Wanted(path, branch, attributes), size, header)

    held = await server.run(begin)
    try:
        if with_body and not await _take(server, request, held, checksum):
            await server.run(held.remove)
            return Response("Checksum Mismatch", _MISMATCH, media_type="text/plain")
        await _finish(server, held, principal)
    finally:
        await asyncio.shield(server.run(held.release))
    location = server.url(request, f"/uploads/{held.upload.id}")
    return Response(status_code=201, headers={"Location": location, **_progress(server, request, held.upload)})


@router.head(
    "/uploads/{upload}",
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_parameters(),
    summary="How far an upload is",
)
async def look(upload: str, request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """``Upload-Offset`` is what has come; where that is all, the file is in the lake when this answers."""
    allow_uploads(server, "OPTIONS")
    desk = UploadDesk(server.lake)
    found = await server.run(_seen, desk, principal, upload)
    if found.offset == found.size and found.receipt is None:
        # The server ended between the last byte and the commit.
        held = await server.run(desk.hold, upload)
        try:
            await _finish(server, held, principal)
            found = held.upload
        finally:
            await asyncio.shield(server.run(held.release))
    headers = {"Cache-Control": "no-store", "Upload-Length": str(found.size)}
    if found.metadata:
        headers["Upload-Metadata"] = found.metadata
    return Response(headers={**headers, **_progress(server, request, found)})


@router.patch(
    "/uploads/{upload}",
    status_code=204,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra={
        **_parameters("Upload-Offset", "Upload-Checksum?"),
        "requestBody": {"content": {_BODY_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
    },
    summary="Go on with an upload",
)
async def append(upload: str, request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """Add bytes. With the last one the file is stored and committed; ``Lake-Commit`` and ``Lake-Digest`` say so."""
    allow_uploads(server, "OPTIONS")
    if request.headers.get("content-type") != _BODY_TYPE:
        raise Problem(415, "InvalidInput", f"send Content-Type: {_BODY_TYPE}")
    offset = _number(request, "upload-offset")
    checksum = _checksum(request)
    desk = UploadDesk(server.lake)
    await server.run(_seen, desk, principal, upload)
    held = await server.run(desk.hold, upload)
    try:
        if offset != held.upload.offset:
            raise Problem(409, "Conflict", f"this upload stands at {held.upload.offset}, not at {offset}")
        if held.upload.receipt is None:
            if not await _take(server, request, held, checksum):
                return Response("Checksum Mismatch", _MISMATCH, media_type="text/plain")
            await _finish(server, held, principal)
    finally:
        await asyncio.shield(server.run(held.release))
    return Response(status_code=204, headers=_progress(server, request, held.upload))


@router.delete(
    "/uploads/{upload}",
    status_code=204,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_parameters(),
    summary="Give an upload up",
)
async def terminate(upload: str, server: ServerOf, principal: PrincipalOf) -> Response:
    """Forget an upload. A file that it has become already stays in the lake."""
    allow_uploads(server, "OPTIONS")
    desk = UploadDesk(server.lake)
    await server.run(_seen, desk, principal, upload)
    held = await server.run(desk.hold, upload)
    try:
        await server.run(held.remove)
    finally:
        await asyncio.shield(server.run(held.release))
    return Response(status_code=204)


@router.post(
    "/uploads/{upload}",
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_parameters("X-HTTP-Method-Override"),
    summary="PATCH or DELETE for clients that cannot send them",
)
async def override(upload: str, request: Request, server: ServerOf, principal: PrincipalOf) -> Response:
    """``X-HTTP-Method-Override`` says what is meant (tus 1.0, core protocol)."""
    match request.headers.get("x-http-method-override", "").upper():
        case "PATCH":
            return await append(upload, request, server, principal)
        case "DELETE":
            return await terminate(upload, server, principal)
        case "HEAD":
            return await look(upload, request, server, principal)
    raise Problem(405, "MethodNotAllowed", "send PATCH, HEAD or DELETE", {"Allow": "HEAD, PATCH, DELETE, OPTIONS"})


def _seen(desk: UploadDesk, principal: Principal, upload: str) -> Upload:
    found = desk.look(upload)
    principal.require(Verb.WRITE, found.path)
    return desk.kept(found)


async def _take(server: Server, request: Request, held: HeldUpload, checksum: _Checksum | None) -> bool:
    """Add a body; False, and nothing is added, where it does not have its checksum.

    A body that is cut off counts as far as it came, unless it was to be checked.
    """
    room = held.upload.size - held.upload.offset
    length = body_length(request.headers)
    if length is not None and length > room:
        raise Problem(413, "PayloadTooLarge", f"{length} bytes: only {room} are missing")
    inlet = await server.run(held.inlet, (checksum.algorithm,) if checksum else ())
    keep = False
    try:
        try:
            await pour(server, request, inlet, room)
            keep = checksum is None or inlet.matches({checksum.algorithm: checksum.digest})
        except Problem as problem:
            keep = checksum is None and problem.status != 413
            raise
        return keep
    finally:
        await asyncio.shield(server.run(inlet.close if keep else inlet.take_back))
        await asyncio.shield(server.run(held.accept))


async def _finish(server: Server, held: HeldUpload, principal: Principal) -> None:
    if held.upload.offset == held.upload.size:
        await server.keep(held.publish, principal)


def _progress(server: Server, request: Request, upload: Upload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset), "Upload-Expires": formatdate(upload.expires, usegmt=True)}
    if upload.receipt is not None:
        headers["Lake-Commit"] = str(upload.receipt.commit)
        headers["Lake-Digest"] = upload.receipt.digest
        headers["Content-Location"] = file_url(request, server, upload.ref, upload.path)
    return headers


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem(400, "InvalidInput", f"{name.title()} has to be a number")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """``Upload-Metadata``: pairs of a key and a value in base64, divided by commas (tus 1.0, "Creation")."""
    found: dict[str, str] = {}
    if len(header) > _LONGEST_METADATA:
        raise Problem(400, "InvalidInput", "Upload-Metadata is too long")
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise Problem(400, "InvalidInput", f"Upload-Metadata: {key[:60]!r} is not UTF-8 in base64") from None
    return found


def _checksum(request: Request) -> _Checksum | None:
    header = request.headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, text = header.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise Problem(400, "InvalidInput", f"Upload-Checksum knows {', '.join(_ALGORITHMS)}")
    try:
        digest = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise Problem(400, "InvalidInput", f"Upload-Checksum: no {algorithm} in base64")
    return _Checksum(algorithm, digest)
