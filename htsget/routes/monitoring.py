"""Is the server alive, and how does it do."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from lake.htsget.access import PrincipalOf, Verb
from lake.htsget.metrics import CONTENT_TYPE, Metrics
from lake.htsget.state import ServerOf

__all__ = ["router"]

router = APIRouter(tags=["monitoring"])


@router.get("/healthz", summary="Whether the server can read its lake")
async def healthz(server: ServerOf) -> dict[str, str]:
    await server.run(server.lake.repo.journal.resolve, server.settings.ref)
    return {"status": "ok"}


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request, principal: PrincipalOf) -> Response:
    """Needs the grant ``admin``."""
    principal.require(Verb.ADMIN)
    figures: Metrics = request.app.state.metrics
    return Response(figures.text(), media_type=CONTENT_TYPE)
