"""Commits as they happen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from lake.htsget.access import Principal, PrincipalOf, Verb, bearer
from lake.htsget.errors import Problem
from lake.htsget.state import Server, ServerOf
from lake.htsget.watching import Feed, commit_json, newest

__all__ = ["router"]

router = APIRouter(tags=["files"])

_HEARTBEAT_SECONDS = 15.0
"""Proxies close what is silent for a minute."""
_RETRY_MILLISECONDS = 2000
_AT_ONCE = 64
"""Commits that are looked at on a thread before others get their turn."""


@router.get(
    "/watch",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events of the type `commit`; `id` is the commit's number, `data` a JSON object",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        400: {"description": "Last-Event-ID or since is no number"},
        401: {"description": "Needs a token"},
    },
    summary="Commits as they happen",
)
async def watch(
    request: Request,
    server: ServerOf,
    principal: PrincipalOf,
    since: Annotated[int | None, Query(ge=0, lt=1 << 63, description="Commits after this one; else new ones")] = None,
    prefix: Annotated[str, Query(max_length=4096, description="Text that paths begin with")] = "",
    branch: Annotated[str | None, Query(max_length=300, description="A branch; else all of them")] = None,
) -> StreamingResponse:
    """Server-sent events (WHATWG HTML, "Server-sent events") of the commits that touch what you may read.

    Who connects again with ``Last-Event-ID`` misses none. ``data`` holds ``seq``, ``id``, ``branch``, ``created``,
    ``author``, ``message``, ``changes`` (``path``, ``change``, ``size``, ``format``, ``digest``) and ``omitted``, the
    number of further changes of a very large commit. Author and message are null where you may not see all of it.
    """
    if not principal.sees_below(""):
        principal.require(Verb.READ)
    after = _last_event(request)
    if after is None:
        after = since if since is not None else await server.run(newest, server.lake.repo.journal)
    headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    events = _events(server, _feed(request, server), bearer(request), after, prefix, branch)
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


def _last_event(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem(400, "InvalidInput", "Last-Event-ID has to be the number of a commit")
    return int(text)


def _feed(request: Request, server: Server) -> Feed:
    """The one feed of this application."""
    state = request.app.state
    if not hasattr(state, "feed"):
        state.feed = Feed(server.lake.repo.journal, server.run, server.stopping)
    feed: Feed = state.feed
    return feed


async def _events(
    server: Server, feed: Feed, token: str | None, after: int, prefix: str, branch: str | None
) -> AsyncIterator[str]:
    yield f"retry: {_RETRY_MILLISECONDS}\nid: {after}\n\n"

    def look(principal: Principal, stop: int) -> list[tuple[int, str | None]]:
        """Events up to a commit, and None for those that are not told."""
        found: list[tuple[int, str | None]] = []
        for seq in range(after + 1, stop + 1):
            happening = feed.happening(seq)
            told = commit_json(happening, principal, prefix, branch) if happening is not None else None
            found.append((seq, json.dumps(told, separators=(",", ":")) if told is not None else None))
        return found

    with feed.watch():
        while not feed.ended:
            head = await feed.newer(after, _HEARTBEAT_SECONDS)
            # Who was let in once may have lost their leave since.
            try:
                principal = await server.principal(token)
            except Problem:
                return
            if not principal.sees_below("") or not principal.seconds(1.0):
                return
            if head <= after:
                # An event without data is none, but its id is remembered by the client.
                yield f": alive\nid: {after}\n\n"
                continue
            for seq, data in await server.run(look, principal, min(head, after + _AT_ONCE)):
                after = seq
                if data is not None:
                    yield f"id: {seq}\nevent: commit\ndata: {data}\n\n"
