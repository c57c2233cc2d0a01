"""DRS 1.5: objects by digest, and where to fetch their bytes or regions of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from lake.htsget.access import Principal, PrincipalOf
from lake.htsget.blocks import block_url
from lake.htsget.drs import HTSGET, DrsCatalog, DrsFile
from lake.htsget.errors import Problem
from lake.htsget.services import service_info
from lake.htsget.sight import not_found
from lake.htsget.state import Server, ServerOf

__all__ = ["router"]

router = APIRouter(prefix="/ga4gh/drs/v1", tags=["DRS"])

_MOST = 1000
"""Objects of one bulk request."""
_LARGEST_BODY = 1 << 20
"""Bytes of JSON, which is read in one go, while others wait: ids of 1,000 objects, or passports."""

_ERROR: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"msg": {"type": "string"}, "status_code": {"type": "integer"}},
            "required": ["msg", "status_code"],
        }
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Not understood", "content": _ERROR},
    401: {"description": "A token is needed", "content": _ERROR},
    404: {"description": "No such object, or no such way to it", "content": _ERROR},
}
_BULK_ERRORS: dict[int | str, dict[str, Any]] = {
    400: _ERRORS[400],
    413: {"description": "Too many objects", "content": _ERROR},
}
_BODY_ERRORS = {**_ERRORS, 413: {"description": "The body is too long", "content": _ERROR}}


def _body(required: bool, **properties: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI entry of a JSON object that a request carries."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {**properties, "passports": {"description": "Not looked at"}},
    }
    if required:
        schema["required"] = list(properties)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


_STRINGS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_FREE: dict[str, Any] = {"security": [{}]}
"""Answered without a token, too: with what anybody may see."""
_IDS = _FREE | _body(True, bulk_object_ids=_STRINGS)
_ACCESS_IDS = _FREE | _body(
    True,
    bulk_object_access_ids={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"bulk_object_id": {"type": "string"}, "bulk_access_ids": _STRINGS},
            "required": ["bulk_object_id", "bulk_access_ids"],
        },
    },
)


class _Asked(NamedTuple):
    """A request, and who sent it."""

    server: Server
    request: Request
    principal: Principal
    catalog: DrsCatalog


async def _asked(request: Request, server: ServerOf, principal: PrincipalOf) -> _Asked:
    state = request.app.state
    if not hasattr(state, "drs"):
        state.drs = DrsCatalog(server.lake)
    return _Asked(server, request, principal, state.drs)


AskedOf = Annotated[_Asked, Depends(_asked)]
Expand = Annotated[bool, Query(description="For bundles, of which there are none")]


@router.get("/service-info", openapi_extra=_FREE)
async def drs_service_info(asked: AskedOf) -> dict[str, Any]:
    """What this service is, and how much of it the client may see."""
    totals = await asked.server.run(asked.catalog.totals, asked.principal)
    return service_info(
        asked.server,
        asked.request,
        ("drs", "drs", "1.5.0"),
        "Objects of a lake, by the hash of their content",
        maxBulkRequestLength=_MOST,
        drs={"maxBulkRequestLength": _MOST, "objectCount": totals.objects, "totalObjectSize": totals.size},
    )


@router.get("/objects/checksum/{checksum}", responses=_ERRORS)
async def objects_by_checksum(checksum: str, asked: AskedOf) -> dict[str, Any]:
    """Objects whose BLAKE3, SHA-256 or MD5 this is; those that the lake knows: see the checksums of an object."""
    found = await asked.server.run(asked.catalog.with_checksum, asked.principal, checksum)
    if not found:
        raise not_found(asked.principal)
    return {"resolved_drs_object": [await _document(asked, digest, compute=False) for digest in found]}


@router.post("/objects", responses=_BULK_ERRORS, openapi_extra=_IDS)
async def bulk_objects(asked: AskedOf, expand: Expand = False) -> dict[str, Any]:
    """Many objects at once; their checksums are those that the lake knows already."""
    wanted = _ids(await _read_body(asked))
    resolved, failed = await _each(wanted, lambda id: _document(asked, id, compute=False))
    return {**_summary(len(wanted), failed), "resolved_drs_object": resolved}


@router.options("/objects", responses=_BULK_ERRORS, openapi_extra=_IDS)
async def bulk_authorizations(asked: AskedOf) -> JSONResponse:
    """How to say who one is, for many objects."""
    if not await asked.request.body():
        raise Problem(400, "InvalidInput", "bulk_object_ids is missing")
    wanted = _ids(await _read_body(asked))
    resolved, failed = await _each(wanted, lambda id: object_authorizations(id, asked))
    return JSONResponse({**_summary(len(wanted), failed), "resolved_drs_object": resolved})


@router.post("/objects/access", responses=_BULK_ERRORS, openapi_extra=_ACCESS_IDS)
async def bulk_access(asked: AskedOf) -> dict[str, Any]:
    """URLs of many objects at once."""
    wanted = _access_ids(await _read_body(asked))

    async def resolve(pair: tuple[str, str]) -> dict[str, Any]:
        return {"drs_object_id": pair[0], "drs_access_id": pair[1], **await _access(asked, *pair)}

    resolved, failed = await _each(wanted, resolve)
    ids = {status: [id for id, _ in pairs] for status, pairs in failed.items()}
    return {**_summary(len(wanted), ids), "resolved_drs_object_access_urls": resolved}


@router.get("/objects/{object_id}", responses=_ERRORS)
async def get_object(object_id: str, asked: AskedOf, expand: Expand = False) -> dict[str, Any]:
    """What an object is, its checksums, and how to fetch it."""
    return await _document(asked, object_id, compute=True)


@router.post("/objects/{object_id}", responses=_BODY_ERRORS, openapi_extra=_body(False, expand={"type": "boolean"}))
async def post_object(object_id: str, asked: AskedOf) -> dict[str, Any]:
    """As GET: the token of the request counts, passports do not."""
    body = await _read_body(asked)
    if not isinstance(body.get("expand", False), bool):
        raise Problem(400, "InvalidInput", "expand is true or false")
    return await _document(asked, object_id, compute=True)


@router.options("/objects/{object_id}", responses={404: _ERRORS[404]}, openapi_extra=_FREE)
async def object_authorizations(object_id: str, asked: AskedOf) -> dict[str, Any]:
    """How to say who one is. Where a token is needed the answer is the same for every id, whether it exists or not."""
    if _is_free(asked.server):
        await asked.server.run(asked.catalog.file, asked.principal, object_id, compute=False)
    return _authorizations(asked.server, object_id)


@router.get("/objects/{object_id}/access/{access_id}", responses=_ERRORS)
async def get_access(object_id: str, access_id: str, asked: AskedOf) -> dict[str, Any]:
    """A URL for the bytes (``https``: it carries its own permission and expires) or for tickets (``htsget``)."""
    return await _access(asked, object_id, access_id)


@router.post("/objects/{object_id}/access/{access_id}", responses=_BODY_ERRORS, openapi_extra=_body(False))
async def post_access(object_id: str, access_id: str, asked: AskedOf) -> dict[str, Any]:
    """As GET: the token of the request counts, passports do not."""
    await _read_body(asked)
    return await _access(asked, object_id, access_id)


async def _document(asked: _Asked, id: str, *, compute: bool) -> dict[str, Any]:
    file = await asked.server.run(asked.catalog.file, asked.principal, id, compute=compute)
    host = urlsplit(asked.server.base(asked.request)).hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return file.document(f"drs://{host}/{file.digest}", _methods(asked, file))


def _methods(asked: _Asked, file: DrsFile) -> list[dict[str, Any]]:
    """Ways to the bytes; with a plain URL where that needs no token."""
    authorizations = _authorizations(asked.server, file.digest)
    methods: list[dict[str, Any]] = []
    for kind in _kinds(file):
        method: dict[str, Any] = {"type": kind, "access_id": kind, "available": True, "authorizations": authorizations}
        if kind == "htsget" or _is_free(asked.server):
            method["access_url"] = _plain_url(asked, file, kind)
        methods.append(method)
    return methods


def _kinds(file: DrsFile) -> list[str]:
    return ["https", "htsget"] if file.format in HTSGET else ["https"]


def _plain_url(asked: _Asked, file: DrsFile, kind: str) -> dict[str, Any]:
    path = f"/{HTSGET[file.format]}/b3:{file.digest}" if kind == "htsget" else f"/objects/{file.digest}"
    return {"url": asked.server.url(asked.request, path), "headers": []}


async def _access(asked: _Asked, object_id: str, access_id: str) -> dict[str, Any]:
    file = await asked.server.run(asked.catalog.file, asked.principal, object_id, compute=False)
    if access_id not in _kinds(file):
        raise Problem(404, "NotFound", "the object has no access method of that id")
    if access_id == "htsget":
        return _plain_url(asked, file, access_id)
    url = block_url(asked.server, asked.request, asked.principal, file.digest, 0, file.size)
    return {"url": url, "headers": []}


def _is_free(server: Server) -> bool:
    """Whether everything may be read by who does not say who they are."""
    return server.settings.open or server.settings.public


def _authorizations(server: Server, object_id: str) -> dict[str, Any]:
    if _is_free(server):
        return {"drs_object_id": object_id, "supported_types": ["None"]}
    stated: dict[str, Any] = {"drs_object_id": object_id, "supported_types": ["BearerAuth"]}
    if server.settings.oidc is not None:
        stated["bearer_auth_issuers"] = [server.settings.oidc.issuer]
    return stated


async def _read_body(asked: _Asked) -> dict[str, Any]:
    text = await asked.request.body()
    if len(text) > _LARGEST_BODY:
        raise Problem(413, "PayloadTooLarge", f"the body is longer than {_LARGEST_BODY} bytes")
    try:
        body = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Problem(400, "InvalidInput", "the body has to be a JSON object")
    return body


def _ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("bulk_object_ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise Problem(400, "InvalidInput", "bulk_object_ids has to be a list of ids")
    return _limited(ids)


def _access_ids(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Object and access id of each; an object may be asked for several."""
    match body:
        case {"bulk_object_access_ids": [*items]}:
            pass
        case _:
            raise Problem(400, "InvalidInput", "bulk_object_access_ids has to be a list")
    pairs = []
    for item in items:
        match item:
            case {"bulk_object_id": str(id), "bulk_access_ids": [*kinds]} if all(isinstance(k, str) for k in kinds):
                pairs += [(id, kind) for kind in kinds]
            case _:
                raise Problem(400, "InvalidInput", "each item has a bulk_object_id and a list bulk_access_ids")
    return _limited(pairs)


def _limited(wanted: list[Any]) -> list[Any]:
    if len(wanted) > _MOST:
        raise Problem(413, "PayloadTooLarge", f"at most {_MOST} objects in one request")
    return wanted


async def _each(wanted: Iterable[Any], resolve: Callable[[Any], Any]) -> tuple[list[Any], dict[int, list[Any]]]:
    """What could be resolved, in order, and what could not by status."""
    resolved, failed = [], dict[int, list[Any]]()
    for item in wanted:
        try:
            resolved.append(await resolve(item))
        except Problem as problem:
            failed.setdefault(problem.status, []).append(item)
    return resolved, failed


def _summary(requested: int, failed: dict[int, list[str]]) -> dict[str, Any]:
    unresolved = sum(map(len, failed.values()))
    return {
        "summary": {"requested": requested, "resolved": requested - unresolved, "unresolved": unresolved},
        "unresolved_drs_objects": [{"error_code": status, "object_ids": ids} for status, ids in failed.items()],
    }
