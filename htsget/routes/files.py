"""Files by their path: listings, descriptions, bytes and slices."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from lake.errors import InvalidInput, InvalidPath
from lake.formats.region import select
from lake.htsget.access import Principal, PrincipalOf, Verb
from lake.htsget.errors import Problem, missing
from lake.htsget.listing import entry_json, is_visible, list_page
from lake.htsget.media_types import accepted
from lake.htsget.region_limits import check_limits
from lake.htsget.representations import (
    Representation,
    disposition,
    object_representation,
    respond,
    slice_representation,
)
from lake.htsget.state import Server, ServerOf
from lake.journal.values import Json, Kind
from lake.paths import split_ref
from lake.reading import Stat

__all__ = ["FileEntry", "Listing", "Ref", "file_target", "file_url", "router"]

router = APIRouter(tags=["files"])

_JSON = "application/json"


class FileEntry(BaseModel):
    """A file or a directory."""

    path: str
    type: str = Field(description="`file` or `directory`")
    size: int | None = Field(None, description="Bytes")
    format: str | None = None
    digest: str | None = Field(None, description="BLAKE3 of the content, hexadecimal")
    modified: str | None = Field(None, description="ISO 8601, UTC")
    commit: int | None = Field(None, description="The commit that made this version")
    attributes: dict[str, object] = {}
    media_type: str | None = None
    problems: list[str] | None = Field(None, description="What the checks at ingest found")
    checksums: dict[str, str] | None = Field(None, description="`md5` and `sha256`, where kept")
    artifacts: list[str] | None = Field(None, description="Indexes and tables at hand")


class Listing(BaseModel):
    """A page of entries, sorted by path."""

    ref: str
    prefix: str
    entries: list[FileEntry]
    next: str | None = Field(None, description="Send it as `after` for the page behind this one")


Ref = Annotated[str | None, Query(max_length=300, description="Branch, tag, commit or time; else the server's branch")]
After = Annotated[str, Query(max_length=5000, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Most entries of a page")]

_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: dict[int | str, dict[str, object]] = {
    # A stored file may be JSON of any form, too.
    200: {"description": "The file, a slice of it, its description, or a listing", "content": {_JSON: {}, **_BYTES}},
    206: {"description": "The ranges asked for", "content": _BYTES},
    304: {"description": "The file is still what If-None-Match names"},
    400: {"description": "Not a path, a ref or a region"},
    401: {"description": "Needs a token"},
    403: {"description": "Some regions of it may be read, but not this"},
    404: {"description": "Nothing of that name, or nothing that you may see"},
    412: {"description": "The file is not what If-Match names"},
    416: {"description": "No range can be satisfied"},
}


def file_target(request: Request, server: Server, path: str, ref: str | None) -> tuple[str, str]:
    """Ref and clean path that a URL names.

    Raises:
        InvalidPath, InvalidInput: neither, or two refs.
    """
    raw: bytes | None = request.scope.get("raw_path")
    if raw is not None:
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise InvalidPath("the path of the URL is not UTF-8") from None
    named, cleaned = split_ref(path)
    if named is not None and ref is not None and named != ref:
        raise InvalidInput(f"two refs: @{named} in the path, and ref={ref}")
    return named or ref or server.settings.ref, cleaned


def file_url(request: Request, server: Server, ref: str, path: str) -> str:
    """The absolute URL of a file."""
    return server.url(request, f"/files/{path}" if ref == server.settings.ref else f"/files/@{ref}/{path}")


@router.get("/files", response_model=Listing, responses={400: _ANSWERS[400], 401: _ANSWERS[401]}, summary="List files")
async def list_files(
    server: ServerOf,
    principal: PrincipalOf,
    prefix: Annotated[
        str, Query(max_length=4096, description="Text that paths begin with: `runs/` is a directory")
    ] = "",
    recursive: Annotated[bool, Query(description="All that lies below, instead of directories")] = False,
    ref: Ref = None,
    limit: Limit = 1000,
    after: After = "",
) -> Response:
    """A page of the files and directories that you may see, sorted by path."""
    return await _listing(server, principal, prefix, ref or server.settings.ref, recursive, limit, after)


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


async def _listing(
    server: Server, principal: Principal, prefix: str, ref: str, recursive: bool, limit: int, after: str
) -> Response:
    def look() -> str:
        # Whether something may be seen is asked first: a ref of that name is nobody else's business.
        if not principal.sees_below(""):
            principal.require(Verb.READ)
        page = list_page(server.lake.tree(ref), principal, prefix, recursive=recursive, after=after, limit=limit)
        # An entry at a time: one call for them all would keep every other thread waiting.
        entries = ",".join(_json(entry_json(entry)) for entry in page.entries)
        return f'{{"ref":{_json(ref)},"prefix":{_json(prefix)},"entries":[{entries}],"next":{_json(page.after)}}}'

    return Response(await server.run(look), headers={"cache-control": "no-cache"}, media_type=_JSON)


@router.api_route(
    "/files/{path:path}",
    methods=["GET", "HEAD"],
    response_class=Response,
    responses=_ANSWERS,
    summary="A file, a slice of it, its description, or a directory",
)
async def get_file(
    path: str,
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    region: Annotated[
        list[str] | None, Query(description="`chr1:1-1000` (1-based, closed); several are one file")
    ] = None,
    ref: Ref = None,
    meta: Annotated[bool, Query(description="The description instead of the bytes")] = False,
    filename: Annotated[str | None, Query(max_length=1000, description="Save as")] = None,
    recursive: bool = False,
    limit: Limit = 1000,
    after: After = "",
) -> Response:
    """The bytes of a file, with ranges and conditions; ``region`` makes them a small valid file of these regions.

    With ``meta=1``, or where ``Accept`` takes JSON but not the file's own type, its description as JSON. Of a directory
    the listing.
    """
    at, cleaned = file_target(request, server, path, ref)
    found = await server.run(_describe, server, principal, at, cleaned)
    if found is None:
        prefix = f"{cleaned}/" if cleaned else ""
        return await _listing(server, principal, prefix, at, recursive, limit, after)
    headers = {"cache-control": _cache_control(server), "vary": "Accept"}
    if found.modified is not None:
        headers["last-modified"] = format_datetime(found.modified.replace(microsecond=0), usegmt=True)
    if filename:
        headers["content-disposition"] = disposition(filename)
    if meta or _prefers_json(request, found):
        return JSONResponse(_stat_json(found), headers=headers)
    if region:
        what = await server.run(_slice, server, principal, at, found, region, headers)
    else:
        principal.require(Verb.READ, cleaned, whole=True)
        assert found.digest is not None
        reader = await server.run(server.lake.repo.shelf.reader, found.digest)
        what = object_representation(server, reader, headers)
    return respond(server, request, what)


def _describe(server: Server, principal: Principal, ref: str, path: str) -> Stat | None:
    """What is known of a file; None for a directory."""
    if path and not principal.sees_below(path):
        principal.require(Verb.READ, path)
    tree = server.lake.tree(ref)
    entry = tree.find(path) if path else None
    if entry is not None and entry.kind == Kind.FILE:
        principal.require(Verb.READ, path)
        return server.lake.stat(path, ref=ref)
    if path and not (tree.is_directory(path) and is_visible(tree, principal, path)):
        principal.require(Verb.READ, path)
        raise missing()
    return None


def _slice(
    server: Server,
    principal: Principal,
    ref: str,
    found: Stat,
    regions: list[str],
    headers: dict[str, str],
) -> Representation:
    if len(regions) > server.settings.max_regions:
        raise Problem(400, "InvalidInput", f"{len(regions)} regions: at most {server.settings.max_regions} at once")
    limits = principal.regions(found.path)
    if limits is not None:
        assert found.digest is not None
        desk = server.lake.desk
        file, _ = desk.file(found.digest, found.path)
        wanted = select(desk.named(found.digest, file, regions), None, file.contigs)
        check_limits(desk, found.digest, file, limits, wanted)
    return slice_representation(server.lake.slice(found.path, regions, ref=ref), headers)


def _cache_control(server: Server) -> str:
    # Paths change: whoever keeps a copy has to ask whether it still is the file.
    who = "public" if server.settings.open or server.settings.public else "private"
    return f"{who}, no-cache, no-transform"


def _prefers_json(request: Request, found: Stat) -> bool:
    accept = request.headers.get("accept")
    own = found.media_type or "application/octet-stream"
    return accept is not None and own != _JSON and accepted(accept, [own, _JSON]) == _JSON


def _stat_json(found: Stat) -> dict[str, Json]:
    return {
        "path": found.path,
        "type": found.kind,
        "size": found.size,
        "format": found.format,
        "digest": found.digest,
        "modified": found.modified.isoformat() if found.modified is not None else None,
        "commit": found.commit or None,
        "attributes": found.attributes,
        "media_type": found.media_type,
        "problems": list(found.problems),
        "checksums": dict(found.checksums),
        "artifacts": list(found.artifacts),
    }
