"""refget 2.0: the sequences of all FASTA files of the lake, by checksum or by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from lake.htsget.access import Principal, PrincipalOf
from lake.htsget.bodies import SegmentResponse
from lake.htsget.errors import Problem
from lake.htsget.media_types import accepted
from lake.htsget.ranges import condition_of
from lake.htsget.representations import forever
from lake.htsget.sequences import Sequence, SequenceCatalog, authority, read_identifier
from lake.htsget.services import service_info
from lake.htsget.sight import not_found, readable_whole
from lake.htsget.state import Server, ServerOf
from lake.htsget.subsequences import Part, Unreadable, Unsatisfiable, by_positions, by_range
from lake.segments import Stream

__all__ = ["SequencesOf", "router"]

router = APIRouter(tags=["refget"])

_TEXT = ("text/vnd.ga4gh.refget.v2.0.0+plain; charset=us-ascii", "text/vnd.ga4gh.refget.v1.0.0+plain; charset=us-ascii")
_JSON = ("application/vnd.ga4gh.refget.v2.0.0+json", "application/vnd.ga4gh.refget.v1.0.0+json")
"""What can be sent, the best first; clients of refget 1 name only theirs."""


def _content(offered: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI entry of a body."""
    return {media_type.partition(";")[0]: {"schema": schema} for media_type in offered}


_BODY = _content(_TEXT, {"type": "string", "pattern": "^[!-~]*$"})
_METADATA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "md5": {"type": "string"},
        "ga4gh": {"type": "string"},
        "trunc512": {"type": "string"},
        "length": {"type": "integer"},
        "aliases": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"alias": {"type": "string"}, "naming_authority": {"type": "string"}},
                "required": ["alias", "naming_authority"],
            },
        },
    },
    "required": ["md5", "ga4gh", "length", "aliases"],
}
_FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"description": "A token is needed"},
    404: {"description": "No such sequence"},
    406: {"description": "The Accept header takes nothing that can be sent"},
    409: {"description": "The name means several sequences"},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bases, upper case, without line ends", "content": _BODY},
    206: {"description": "The bases of the Range", "content": _BODY},
    304: {"description": "The client has it"},
    400: {"description": "Not a position, not a range, or both"},
    412: {"description": "The sequence is not the one of If-Match"},
    416: {"description": "Not inside the sequence"},
    **_FAILURES,
}


async def _catalog(request: Request, server: ServerOf) -> SequenceCatalog:
    state = request.app.state
    if not hasattr(state, "sequences"):
        state.sequences = SequenceCatalog(server.lake.repo)
    catalog: SequenceCatalog = state.sequences
    return catalog


SequencesOf = Annotated[SequenceCatalog, Depends(_catalog)]


@router.get(
    "/sequence/service-info",
    response_class=Response,
    responses={
        200: {"description": "Service info", "content": _content(_JSON, {"type": "object"})},
        406: _FAILURES[406],
    },
)
async def sequence_service_info(request: Request, server: ServerOf) -> JSONResponse:
    """What this refget service supports."""
    content = service_info(
        server,
        request,
        ("refget", "refget-sequence", "2.0.0"),
        "Sequences of the FASTA files of a lake, by checksum",
        refget={
            "circular_supported": True,
            "algorithms": ["md5", "ga4gh", "trunc512"],
            "identifier_types": ["insdc", "refseq"],
            "subsequence_limit": None,
        },
    )
    return JSONResponse(content, media_type=_media_type(request, _JSON))


@router.get(
    "/sequence/{id}/metadata",
    response_class=Response,
    responses={
        200: {
            "description": "What is known of it",
            "content": _content(_JSON, {"type": "object", "properties": {"metadata": _METADATA}}),
        },
        **_FAILURES,
    },
)
async def sequence_metadata(
    id: str, request: Request, server: ServerOf, principal: PrincipalOf, catalog: SequencesOf
) -> JSONResponse:
    """Checksums, length and names of a sequence."""
    media_type = _media_type(request, _JSON)
    found = (await server.run(_find, server, principal, catalog, id))[0]
    twins = await server.run(_twins, server, principal, catalog, found)
    metadata = {
        "md5": found.md5,
        "ga4gh": found.ga4gh,
        "trunc512": found.trunc512,
        "length": found.length,
        "aliases": [
            {"alias": name, "naming_authority": authority(name)} for name in dict.fromkeys(twin.name for twin in twins)
        ],
    }
    return JSONResponse({"metadata": metadata}, media_type=media_type)


@router.head("/sequence/{id}", responses=_ANSWERS, response_class=Response, summary="The same without the bases")
@router.get("/sequence/{id}", responses=_ANSWERS, response_class=Response)
async def sequence(
    id: str,
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    catalog: SequencesOf,
    start: Annotated[str | None, Query(description="First base, 0-based")] = None,
    end: Annotated[str | None, Query(description="End, exclusive; before the start: across the origin")] = None,
) -> Response:
    """The bases of a sequence, or of a part of it: by ``start`` and ``end``, or by a ``Range`` of one range of bytes.

    ``id`` is an MD5, a GA4GH digest (``SQ.…``) or a TRUNC512, with or without its namespace (``md5:``, ``ga4gh:``,
    ``trunc512:``), an accession (``insdc:…``, ``refseq:…``), or a name that means one sequence (``lake:…``).
    """
    media_type = _media_type(request, _TEXT)
    by_query = start is not None or end is not None
    if by_query and "range" in request.headers:
        raise Problem(400, "InvalidInput", "ask by Range, or by start and end, not by both")
    files = await server.run(_find, server, principal, catalog, id)
    found = files[0]
    etag = f'"{found.ga4gh}"'
    ranged = "range" in request.headers and request.headers.get("if-range", etag) == etag
    part = _part(request.headers["range"] if ranged else None, start, end, found.length)
    if part.start > part.stop and not await server.run(_is_circular, server, principal, catalog, found):
        raise _unsatisfiable("start is behind end, and the sequence is not known to be circular", found.length)
    headers = _headers(server, id, etag, part, found.length, by_query=by_query)
    condition = condition_of(request.headers, headers["ETag"])
    if condition.failed:
        raise Problem(412, "PreconditionFailed", "the sequence has another ETag")
    if condition.known:
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control", "Vary")})
    bases = Stream(lambda: _pieces(catalog, files, part))
    headers["Content-Type"] = media_type
    return SegmentResponse(server, [bases], part.size(found.length), 206 if part.partial else 200, headers)


def _media_type(request: Request, offered: tuple[str, ...]) -> str:
    media_type = accepted(request.headers.get("accept"), offered)
    if media_type is None:
        raise Problem(406, "NotAcceptable", f"this can be sent as {offered[0].partition(';')[0]} only")
    return media_type


def _find(server: Server, principal: Principal, catalog: SequenceCatalog, id: str) -> list[Sequence]:
    """The same sequence in every file that has it under that identifier and may be read."""
    identifier = read_identifier(id)
    found = _visible(server, principal, catalog.find(identifier)) if identifier is not None else []
    if not found:
        raise not_found(principal)
    meanings = dict.fromkeys(sequence.ga4gh for sequence in found)
    if len(meanings) > 1:
        shown = ", ".join(list(meanings)[:10])
        raise Problem(409, "Conflict", f"{len(meanings)} sequences have that name: ask for one of {shown}")
    return found


def _twins(server: Server, principal: Principal, catalog: SequenceCatalog, sequence: Sequence) -> list[Sequence]:
    """The same bases wherever they lie, under whatever name."""
    identifier = read_identifier(sequence.ga4gh)
    return _visible(server, principal, catalog.find(identifier)) if identifier is not None else [sequence]


def _visible(server: Server, principal: Principal, sequences: list[Sequence]) -> list[Sequence]:
    """Those of files that may be read as a whole."""
    files = dict.fromkeys(sequence.file for sequence in sequences)
    readable = {file for file in files if readable_whole(principal, server.lake, file)}
    return [sequence for sequence in sequences if sequence.file in readable]


def _is_circular(server: Server, principal: Principal, catalog: SequenceCatalog, sequence: Sequence) -> bool:
    """Whether the attribute ``circular`` of a file says so: ``true``, or names of sequences."""
    tree = server.lake.tree()
    for twin in _twins(server, principal, catalog, sequence):
        for path, _, _ in server.lake.repo.journal.paths_of(twin.file):
            entry = tree.find(path)
            stated = entry.attributes.get("circular") if entry is not None and entry.hex == twin.file else None
            if stated is True or (isinstance(stated, (str, list)) and twin.name in _words(stated)):
                return True
    return False


def _words(stated: str | list[Any]) -> list[Any]:
    return stated.replace(",", " ").split() if isinstance(stated, str) else stated


def _part(header: str | None, start: str | None, end: str | None, length: int) -> Part:
    try:
        return by_range(header, length) if header is not None else by_positions(start, end, length)
    except Unreadable as error:
        raise Problem(400, "InvalidInput", str(error)) from None
    except Unsatisfiable as error:
        raise _unsatisfiable(str(error), length) from None


def _unsatisfiable(message: str, length: int) -> Problem:
    return Problem(416, "InvalidRange", message, {"Content-Range": f"bytes */{length}"})


def _headers(server: Server, id: str, etag: str, part: Part, length: int, *, by_query: bool) -> dict[str, str]:
    identifier = read_identifier(id)
    lasting = identifier is not None and identifier.immutable
    headers = {
        "ETag": f'{etag[:-1]}:{part.start}-{part.stop}"' if by_query else etag,
        "Cache-Control": forever(server) if lasting else "no-cache",
        "Accept-Ranges": "none" if by_query else "bytes",
        "Vary": "Accept",
    }
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{length}"
    return headers


def _pieces(catalog: SequenceCatalog, twins: list[Sequence], part: Part) -> Iterator[bytes]:
    for start, stop in part.intervals(twins[0].length):
        yield from catalog.pieces(twins, start, stop)
