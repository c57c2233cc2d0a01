"""Sequence collections 1.0: what the FASTA files of the lake consist of, and how they compare."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from lake.errors import InvalidInput
from lake.facts import load_facts
from lake.grants import Verb
from lake.htsget.access import Principal, PrincipalOf, object_regions
from lake.htsget.assemblies import Assembly, AssemblyCatalog, collection_of
from lake.htsget.errors import Problem
from lake.htsget.identifiers import parse_identifier
from lake.htsget.routes.refget import SequencesOf
from lake.htsget.seqcol import ATTRIBUTES, SCHEMA, TRANSIENT, Collection, compare
from lake.htsget.sequences import Identifier, SequenceCatalog
from lake.htsget.services import service_info
from lake.htsget.sight import not_found, readable_whole
from lake.htsget.state import Server, ServerOf

__all__ = ["router"]

router = APIRouter(prefix="/seqcol", tags=["seqcol"])

_PART: dict[str, Any] = {**SCHEMA, "required": []}
"""What can be compared with a collection: any of its attributes."""

_MISSING: dict[int | str, dict[str, Any]] = {
    401: {"description": "A token is needed"},
    404: {"description": "No such collection"},
}


async def _catalog(request: Request, server: ServerOf) -> AssemblyCatalog:
    state = request.app.state
    if not hasattr(state, "assemblies"):
        state.assemblies = AssemblyCatalog(server.lake.repo)
    catalog: AssemblyCatalog = state.assemblies
    return catalog


AssembliesOf = Annotated[AssemblyCatalog, Depends(_catalog)]
Level = Annotated[Literal["1", "2"], Query(description="1: digests of attributes; 2: their values")]


@router.get("/service-info")
async def seqcol_service_info(request: Request, server: ServerOf) -> dict[str, Any]:
    """What this service of sequence collections supports, and the schema of its collections."""
    return service_info(
        server,
        request,
        ("seqcol", "refget-seqcol", "1.0.0"),
        "Sequence collections of the FASTA files of a lake",
        seqcol={"schema": SCHEMA},
    )


@router.get("/collection/{digest}", responses=_MISSING)
async def collection(
    digest: str,
    server: ServerOf,
    principal: PrincipalOf,
    catalog: AssembliesOf,
    level: Level = "2",
) -> JSONResponse:
    """A collection by its digest."""
    found = await server.run(_load, server, principal, catalog, "", digest)
    return JSONResponse(found.digests if level == "1" else found.values)


@router.get("/files/{id:path}", responses=_MISSING)
async def collection_of_file(
    id: str, server: ServerOf, principal: PrincipalOf, catalog: SequencesOf, level: Level = "2"
) -> JSONResponse:
    """What a file says of its contigs, as a collection that can be sent to ``/comparison``; not in the specification.

    ``id`` is a path, ``@ref/path`` or ``b3:<digest>`` of a FASTA, an alignment or a variant file. ``sequences`` are
    there where the header states the MD5 of every contig, and the lake has those sequences.
    """
    found = await server.run(_stated_by_file, server, principal, catalog, id)
    return JSONResponse(found.digests if level == "1" else found.values)


@router.get("/list/collection", openapi_extra={"security": [{}]})
async def list_collections(
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    catalog: AssembliesOf,
    page: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Digests of collections, a page at a time, from page 0.

    Further parameters, named as attributes, keep those whose attribute has the digest given (``names=…``).
    """
    wanted = {name: value for name, value in request.query_params.items() if name not in ("page", "page_size")}
    if unknown := wanted.keys() - set(ATTRIBUTES):
        raise Problem(400, "InvalidInput", f"no such attribute: {sorted(unknown)[0][:60]}")
    results = await server.run(_listed, server, principal, catalog, wanted)
    return {
        "results": results[page * page_size : (page + 1) * page_size],
        "pagination": {"page": page, "page_size": page_size, "total": len(results)},
    }


@router.get("/attribute/collection/{name}/{digest}", responses=_MISSING)
async def attribute(
    name: str, digest: str, server: ServerOf, principal: PrincipalOf, catalog: AssembliesOf
) -> JSONResponse:
    """The values of one attribute, by their digest."""
    if name not in ATTRIBUTES or name in TRANSIENT:
        raise Problem(404, "NotFound", "there is no attribute of that name that can be retrieved")
    found = await server.run(_load, server, principal, catalog, name, digest)
    return JSONResponse(found.values[name])


@router.get("/comparison/{a}/{b}", responses=_MISSING)
async def comparison(a: str, b: str, server: ServerOf, principal: PrincipalOf, catalog: AssembliesOf) -> dict[str, Any]:
    """What two collections have in common."""
    left = await server.run(_load, server, principal, catalog, "", a)
    right = await server.run(_load, server, principal, catalog, "", b)
    return await server.run(compare, left, right)


@router.post(
    "/comparison/{a}",
    responses={**_MISSING, 400: {"description": "The body is no collection"}},
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _PART}}}},
)
async def comparison_with(
    a: str, request: Request, server: ServerOf, principal: PrincipalOf, catalog: AssembliesOf
) -> dict[str, Any]:
    """What a collection has in common with one that is sent: names, lengths and sequences, or some of them."""
    left = await server.run(_load, server, principal, catalog, "", a)
    right = await server.run(_stated, await request.body())
    return await server.run(compare, left, right)


def _stated(body: bytes) -> Collection:
    try:
        return Collection.read(json.loads(body))
    except InvalidInput:
        raise
    except (ValueError, RecursionError):
        raise Problem(400, "InvalidInput", "the body is not JSON") from None


def _load(server: Server, principal: Principal, catalog: AssemblyCatalog, attribute: str, digest: str) -> Collection:
    for assembly in catalog.having(attribute, digest):
        if _visible(server, principal, assembly):
            return catalog.load(assembly)
    raise not_found(principal)


def _stated_by_file(server: Server, principal: Principal, catalog: SequenceCatalog, id: str) -> Collection:
    named = parse_identifier(id)
    if named.digest is not None:
        object_regions(principal, server.lake, named.digest)
        reader = server.lake.repo.shelf.reader(named.digest)
    else:
        principal.require(Verb.READ, named.path)
        reader = server.lake.reader(named.path, ref=named.ref)

    def ga4gh(md5: str) -> str | None:
        found = catalog.find(Identifier("md5", md5.lower()))
        return next((each.ga4gh for each in found if readable_whole(principal, server.lake, each.file)), None)

    collection = collection_of(load_facts(server.lake.repo, reader), ga4gh)
    if collection is None:
        raise Problem(404, "NotFound", "the file declares no contigs")
    return collection


def _listed(server: Server, principal: Principal, catalog: AssemblyCatalog, wanted: dict[str, str]) -> list[str]:
    return list(
        dict.fromkeys(
            assembly.digest
            for assembly in catalog.all()
            if wanted.items() <= assembly.digests.items() and _visible(server, principal, assembly)
        )
    )


def _visible(server: Server, principal: Principal, assembly: Assembly) -> bool:
    return readable_whole(principal, server.lake, assembly.file)
