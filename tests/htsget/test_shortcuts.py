"""What comes most often takes a shorter way, and nothing else does."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lake.htsget.app import create_app
from lake.htsget.shortcuts import Direct, Shortcuts
from lake.lake import Lake


def ask(app: ASGIApp, method: str, path: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


async def _usual(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the usual way")(scope, receive, send)


async def _direct(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.path_params['id']} by {request.scope['route'].path}")


async def _info() -> PlainTextResponse:
    raise AssertionError("nobody comes here")


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/reads/a/b.bam", "a/b.bam by /reads/{id:path}"),
        ("GET", "/reads/a%2Fb", "a/b by /reads/{id:path}"),
        ("GET", "/reads/", " by /reads/{id:path}"),
        ("GET", "/reads/service-info", "the usual way"),
        ("GET", "/reads", "the usual way"),
        ("GET", "/readsx/a", "the usual way"),
        ("GET", "/", "the usual way"),
        ("POST", "/reads/a", "the usual way"),
        ("DELETE", "/reads/a", "the usual way"),
    ],
)
def test_only_a_get_of_a_direct_route_is_taken(method: str, path: str, answer: str) -> None:
    routes = [
        APIRoute("/reads/service-info", _info, response_class=PlainTextResponse),
        Direct("/reads/{id:path}", _direct, response_class=PlainTextResponse, methods=["GET"]),
        Direct("/reads/{id:path}", _direct, response_class=PlainTextResponse, methods=["POST"]),
    ]
    assert ask(Shortcuts(_usual, routes), method, path).text == answer


def test_below_a_prefix_of_another_application_tickets_are_found_as_well(lk: Lake) -> None:
    outer = FastAPI()
    outer.mount("/lake", create_app({"root": lk.root, "open": True}))
    assert ask(outer, "GET", "/lake/reads/service-info").json()["type"]["artifact"] == "htsget"
    assert ask(outer, "GET", "/lake/reads/no/such/file").json()["error"] == "NotFound"
    assert ask(outer, "GET", "/reads/no/such/file").json() == {"detail": "Not Found"}
