"""What a client is told when a request fails. Never a path of this machine, never more than who asks may know."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response

from lake.errors import (
    AlreadyExists,
    BadQuery,
    Collected,
    Conflict,
    FormatError,
    InvalidInput,
    InvalidPath,
    InvalidRef,
    InvalidRegion,
    IsDirectory,
    LakeError,
    LakeLocked,
    NotDirectory,
    NotFound,
    QuotaExceeded,
    ReadOnly,
    SourceChanged,
    StorageError,
    Unsupported,
)

__all__ = ["Problem", "missing", "problem_of", "rendered", "surface"]


class Problem(HTTPException):
    """A failed request. An `HTTPException`, which the framework hands on from wherever it is raised.

    Args:
        status: of HTTP.
        kind: as htsget names errors: ``InvalidAuthentication`` 401, ``PermissionDenied`` 403, ``NotFound`` 404,
            ``PayloadTooLarge`` 413, ``UnsupportedFormat``, ``InvalidInput`` and ``InvalidRange`` 400 (htsget 1.3,
            "Errors"); another word where none fits.
        message: one line for the client.
        headers: to send along.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.status = status
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.status} {self.kind}: {self.message}"


def missing() -> Problem:
    """The one answer for what does not exist and for what the client may not see: nothing tells them apart."""
    return Problem(404, "NotFound", "there is nothing of that name, or you may not see it")


_KINDS: tuple[tuple[type[LakeError], int, str], ...] = (
    (InvalidRegion, 400, "InvalidInput"),
    (InvalidPath, 400, "InvalidInput"),
    (InvalidRef, 400, "InvalidInput"),
    (InvalidInput, 400, "InvalidInput"),
    (BadQuery, 400, "InvalidInput"),
    (Unsupported, 400, "UnsupportedFormat"),
    (FormatError, 400, "UnsupportedFormat"),
    (IsDirectory, 400, "InvalidInput"),
    (NotDirectory, 400, "InvalidInput"),
    (AlreadyExists, 409, "AlreadyExists"),
    (Conflict, 409, "Conflict"),
)


def problem_of(error: LakeError, root: Path | None = None) -> Problem:
    """The answer to a request that the lake could not fulfil.

    Its message is that of the lake where the client can do something about it, with ``root`` taken out of it.
    """
    match error:
        case NotFound():
            return missing()  # the lake's own message names what comes close
        case ReadOnly():
            return Problem(403, "PermissionDenied", "this cannot be written here")
        case LakeLocked():
            return Problem(503, "Unavailable", "the lake is busy: try again", {"Retry-After": "5"})
        case Collected():
            # Who has lost this race wins the next one.
            return Problem(
                503, "Unavailable", "it was collected while it was stored: send it again", {"Retry-After": "1"}
            )
        case SourceChanged():
            return Problem(400, "InvalidInput", "the data ended or changed while it was read")
        case QuotaExceeded():
            return Problem(507, "InsufficientStorage", " ".join(str(error).split()))
        case StorageError() if _is_full(error):
            return Problem(507, "InsufficientStorage", "the server has no room for this")
    for kind, status, name in _KINDS:
        if isinstance(error, kind):
            message = " ".join(str(error).split())
            return Problem(status, name, message.replace(str(root), "the lake") if root is not None else message)
    return Problem(500, "InternalError", "the server could not read or keep what this needs")


def _is_full(error: BaseException | None) -> bool:
    """Whether what a failure comes from is a disk, or a quota, that is used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__
    return False


_HTSGET = ("/reads", "/variants", "/spectra")
_DRS = "/ga4gh/drs/"
_PROXI = "/proxi/"


def surface(path: str) -> str:
    """The interface that a path of the server belongs to, by how it tells errors.

    One of ``htsget``, ``drs``, ``proxi`` and ``problem``.
    """
    if any(path == prefix or path.startswith(f"{prefix}/") for prefix in _HTSGET):
        return "htsget"
    if path.startswith(_PROXI):
        return "proxi"
    return "drs" if path.startswith(_DRS) else "problem"


def rendered(problem: Problem, path: str) -> Response:
    """The response, in the form of the interface that a path of the server belongs to.

    htsget: ``{"htsget": {"error", "message"}}`` (htsget 1.3, "Errors"); DRS: ``{"msg", "status_code"}`` (DRS 1.5,
    ``Error``); PROXI: ``{"code", "message"}`` (HUPO-PSI/proxi-schemas, ``Error``); the others
    ``application/problem+json`` (RFC 9457).
    """
    body: dict[str, object]
    media = "application/json"
    kind = surface(path)
    if kind == "htsget":
        body = {"htsget": {"error": problem.kind, "message": problem.message}}
    elif kind == "drs":
        body = {"msg": problem.message, "status_code": problem.status}
    elif kind == "proxi":
        body = {"code": problem.status, "message": problem.message}
    else:
        media = "application/problem+json"
        body = {
            "type": "about:blank",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.message,
            "error": problem.kind,
        }
    return Response(json.dumps(body, separators=(",", ":")), problem.status, dict(problem.headers or {}), media)
