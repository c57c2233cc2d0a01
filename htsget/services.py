"""What the interfaces of a server say of themselves: GA4GH service-info 1.0."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from fastapi import Request

from lake.htsget.state import Server

__all__ = ["service_info"]


def service_info(
    server: Server, request: Request, kind: tuple[str, str, str], description: str, **more: object
) -> dict[str, object]:
    """The document of one interface.

    Args:
        server: whose.
        request: tells under which URL the server is reached.
        kind: a short name, the artifact of GA4GH, and the version of its specification.
        description: a sentence.
        more: what the specification of the interface adds.
    """
    name, artifact, specification = kind
    config = server.lake.repo.config
    home: Mapping[str, str] = {"name": "regionlake", "url": f"{server.base(request)}/"}
    return {
        "id": f"{name}.{config.id}",
        "name": f"regionlake {name}",
        "type": {"group": "org.ga4gh", "artifact": artifact, "version": specification},
        "description": description,
        "organization": home,
        "createdAt": config.created.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": version("regionlake"),
        **more,
    }
