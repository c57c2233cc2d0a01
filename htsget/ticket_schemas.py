"""What OpenAPI says of tickets. Their handlers read requests themselves, so that nothing can be inferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake.formats.decode_options import FIELDS
from lake.htsget.conditions import WORDS
from lake.htsget.identifiers import READS, SPECTRA, Family
from lake.htsget.selections import INLINE

__all__ = ["answers", "get_operation", "get_spectra", "post_operation", "post_spectra"]

_MEDIA = "application/vnd.ga4gh.htsget.v1.3.1+json"
_TEXT: dict[str, Any] = {"type": "string"}
_PLACE: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
_NAMES: dict[str, Any] = {"type": "array", "items": _TEXT}
_TICKET: dict[str, Any] = {
    "type": "object",
    "required": ["htsget"],
    "properties": {
        "htsget": {
            "type": "object",
            "required": ["format", "urls"],
            "properties": {
                "format": _TEXT,
                "urls": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["url", "class"],
                        "properties": {
                            "url": _TEXT,
                            "headers": {"type": "object", "additionalProperties": _TEXT},
                            "class": {"type": "string", "enum": ["header", "body"]},
                        },
                    },
                },
                "md5": _TEXT,
            },
        }
    },
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["htsget"],
    "properties": {
        "htsget": {
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": _TEXT, "message": _TEXT},
        }
    },
}
_CONDITIONS = {
    "scan": ("1-100,250-", "scan number"),
    "index": ("0-9", "place in the file, from 0"),
    "id": ("scan=5", "native id; several are divided by commas"),
    "rt": ("600-720", "scan start time, in seconds; 10min-12min"),
    "ms_level": ("2", "MS level"),
    "precursor_mz": ("445.12~10ppm", "m/z of the selected ion"),
    "charge": ("2,3", "charge of the precursor"),
    "polarity": ("+", "polarity"),
    "im": ("0.8-1.2", "ion mobility, in the unit of the file"),
    "activation": ("HCD", "way of dissociation"),
    "isolation": ("445.3", "m/z inside of the isolation window"),
    "x": ("1-3", "pixel of an image"),
    "y": ("2", "pixel of an image"),
    "z": ("1", "pixel of an image"),
    "chromatograms": ("no", "their run; this word chooses its chromatograms: all, no, or transitions"),
}
"""An example of each, and what it is."""
_ERRORS = {
    400: "InvalidInput, InvalidRange or UnsupportedFormat",
    401: "InvalidAuthentication",
    403: "PermissionDenied: not these regions, or not the whole",
    404: "NotFound: no such file of this kind, none that you may see, or no such reference",
    413: "PayloadTooLarge",
}


def answers() -> dict[int | str, dict[str, Any]]:
    """What a request for a ticket may be answered with."""
    known: dict[int | str, dict[str, Any]] = {
        200: {"description": "The ticket", "content": {_MEDIA: {"schema": _TICKET}}},
        304: {"description": "If-None-Match names this ticket"},
    }
    for status, text in _ERRORS.items():
        known[status] = {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    return known


def get_operation(family: Family) -> dict[str, Any]:
    """Parameters of a GET."""
    described: dict[str, tuple[dict[str, Any], str]] = {
        "format": ({"type": "string", "enum": list(family.given)}, f"Default: {family.given[0]}; case does not count"),
        "class": ({"type": "string", "enum": ["header"]}, "Nothing but the header; goes with format and inline alone"),
        "referenceName": (_TEXT, "Of the file, or another usual name of the same; * for reads without a place"),
        "start": (_PLACE, "0-based"),
        "end": (_PLACE, "Exclusive"),
        **_parts_of_records(family),
        "exact": ({"type": "boolean"}, "false: neighbours may come along, and fewer blocks are decoded"),
        "inline": ({"type": "string", "enum": list(INLINE)}, "Which made bytes stand in the ticket itself"),
    }
    parameters = [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, (schema, text) in described.items()
    ]
    return {"parameters": [_identifier(), *parameters], "security": [{"HTTPBearer": []}]}


def post_operation(family: Family) -> dict[str, Any]:
    """The body of a POST."""
    region = {
        "type": "object",
        "required": ["referenceName"],
        "properties": {"referenceName": _TEXT, "start": _PLACE, "end": _PLACE},
    }
    properties: Mapping[str, Any] = {
        "format": _TEXT,
        "class": {"type": "string", "enum": ["header"]},
        "fields": _NAMES,
        "tags": _NAMES,
        "notags": _NAMES,
        "regions": {"type": "array", "minItems": 1, "items": region},
        "exact": {"type": "boolean"},
        "inline": {"type": "string", "enum": list(INLINE)},
    }
    return _posted({"type": "object", "properties": properties})


def get_spectra() -> dict[str, Any]:
    """Parameters of a GET of spectra."""
    described = {name: ({**_TEXT, "example": text}, f"Spectra by {what}") for name, (text, what) in _CONDITIONS.items()}
    assert set(described) == set(WORDS)
    settings: dict[str, tuple[dict[str, Any], str]] = {
        "format": ({"type": "string", "enum": list(SPECTRA.given)}, "Default: as the run is; case does not count"),
        "class": ({"type": "string", "enum": ["header"]}, "The run without its spectra; goes without conditions"),
        "inline": ({"type": "string", "enum": list(INLINE)}, "Which bytes stand in the ticket itself"),
    }
    parameters = [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, (schema, text) in {**described, **settings}.items()
    ]
    return {"parameters": [_identifier(), *parameters], "security": [{"HTTPBearer": []}]}


def post_spectra() -> dict[str, Any]:
    """The body of a POST for spectra."""
    value = {"anyOf": [_TEXT, {"type": "number"}]}
    region = {
        "type": "object",
        "minProperties": 1,
        "properties": dict.fromkeys(WORDS, value),
        "additionalProperties": False,
    }
    properties = {
        "format": _TEXT,
        "class": {"type": "string", "enum": ["header"]},
        "inline": {"type": "string", "enum": list(INLINE)},
        "regions": {"type": "array", "minItems": 1, "items": region},
    }
    return _posted({"type": "object", "properties": properties, "additionalProperties": False})


def _posted(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [_identifier()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{"HTTPBearer": []}],
    }


def _identifier() -> dict[str, Any]:
    text = "A path of the lake, with or without its suffix; @ref/path; or b3: and a digest"
    return {"name": "id", "in": "path", "required": True, "schema": _TEXT, "description": text}


def _parts_of_records(family: Family) -> dict[str, tuple[dict[str, Any], str]]:
    if family is not READS:
        return {}
    return {
        "fields": (_TEXT, f"Of {', '.join(FIELDS)}, divided by commas: the others are left empty"),
        "tags": (_TEXT, "SAM tags to keep, divided by commas; empty for none"),
        "notags": (_TEXT, "SAM tags to leave out, divided by commas"),
    }
