"""The description of the server for programs: what the framework says, and the errors as they are really answered."""

from __future__ import annotations

import warnings
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from lake.htsget.errors import surface

__all__ = ["described"]

_TEXT = {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "htsget": ("application/json", _object(htsget=_object(error=_TEXT, message=_TEXT))),
    "drs": ("application/json", _object(msg=_TEXT, status_code={"type": "integer"})),
    "proxi": ("application/json", _object(code={"type": "integer"}, message=_TEXT)),
    "problem": (
        "application/problem+json",
        _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT, error=_TEXT),
    ),
}


def described(app: FastAPI, *, authenticated: bool) -> dict[str, Any]:
    """The OpenAPI document. Failed validation is answered with 400 like other bad input, so nothing is told of 422."""
    with warnings.catch_warnings():
        # A route for GET and HEAD has one name for both. HEAD is left out below: it is answered wherever GET is.
        warnings.filterwarnings("ignore", "Duplicate Operation ID")
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["responses"] = {
        name: {"description": "The request failed.", "content": {media: {"schema": schema}}}
        for name, (media, schema) in _ERRORS.items()
    }
    for path, operations in document.get("paths", {}).items():
        if "get" in operations:
            operations.pop("head", None)
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"].setdefault("default", {"$ref": f"#/components/responses/{surface(path)}"})
            if surface(path) != "problem":  # said before anybody has looked at the path
                operation["responses"].setdefault("414", {"$ref": "#/components/responses/problem"})
            if not authenticated and "security" in operation:
                operation["security"].append({})
    return document
