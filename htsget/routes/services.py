"""What the server as a whole offers: GA4GH service-info, and a list of its interfaces as a service registry has it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from lake.htsget.services import service_info
from lake.htsget.state import Server, ServerOf

__all__ = ["router"]

router = APIRouter(tags=["services"])

_INTERFACES = (
    (("reads", "htsget", "1.3.1"), "Regions of alignments", "/reads"),
    (("variants", "htsget", "1.3.1"), "Regions of variant files", "/variants"),
    (("spectra", "htsget", "1.3.1"), "Spectra of runs", "/spectra"),
    (("refget", "refget-sequence", "2.0.0"), "Sequences by checksum", "/sequence"),
    (("seqcol", "refget-seqcol", "1.0.0"), "Sequence collections", "/seqcol"),
    (("drs", "drs", "1.5.0"), "Objects by the hash of their content", "/ga4gh/drs/v1"),
)
"""Name, artifact and version; what it is; where it is."""


@router.get("/service-info")
async def root_service_info(request: Request, server: ServerOf) -> dict[str, Any]:
    """The server as a registry of its interfaces."""
    kind = ("lake", "service-registry", "1.0.0")
    return service_info(server, request, kind, "A lake of scientific files", services=_listed(server, request))


@router.get("/services")
async def services(request: Request, server: ServerOf) -> list[dict[str, Any]]:
    """Every interface of GA4GH that the server has, with its URL (service registry 1.0, ``ExternalService``)."""
    return _listed(server, request)


def _listed(server: Server, request: Request) -> list[dict[str, Any]]:
    return [
        service_info(server, request, kind, description, url=server.url(request, path))
        for kind, description, path in _INTERFACES
    ]
