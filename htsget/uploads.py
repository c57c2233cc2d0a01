"""Files that come in over HTTP: bodies into staging, and what has come in whole into the lake, as one commit."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request

from lake.digest import Digest
from lake.errors import Collected, Conflict, LakeError, StorageError
from lake.htsget.access import Principal
from lake.htsget.errors import Problem
from lake.htsget.ranges import condition_of
from lake.htsget.representations import object_etag
from lake.htsget.state import Server
from lake.journal.values import ABSENT, Expect, Json, Kind
from lake.lake import Lake
from lake.puts import PutOptions
from lake.sources import Job
from lake.stores.base import Method

__all__ = [
    "Inlet",
    "Receipt",
    "Wanted",
    "allow_uploads",
    "body_length",
    "check_room",
    "check_target",
    "expected_digests",
    "keep_file",
    "named_attributes",
    "operation_of",
    "pour",
    "precondition",
]

_GATHERED = 1 << 20
"""Bytes that are worth a change of threads."""

_DIGEST = re.compile(r"\s*([a-z0-9-]{1,20})\s*=\s*:?([A-Za-z0-9+/]{1,200}={0,2}):?\s*", re.IGNORECASE)
_ALGORITHMS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}
"""Names of RFC 3230 and RFC 9530, and those of hashlib."""

_LONGEST_NUMBER = 18
_LONGEST_KEY = 255

_NEVER = Expect(present=True, commit=-1)
"""No file is of that version."""

_ATTRIBUTE = "meta."
_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?")


class Receipt(NamedTuple):
    """What became of an upload."""

    path: str
    ref: str
    digest: Digest
    size: int
    format: str
    commit: int
    new: bool
    """Whether nothing had that name."""
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        return {**self._asdict(), "warnings": list(self.warnings)}


class Wanted(NamedTuple):
    """Where an upload is to go."""

    path: str
    ref: str
    """A branch."""
    attributes: Mapping[str, Json] = {}
    expect: Expect | None = None
    checksums: bool = False
    """Keep md5 and sha256 too."""
    operation: str | None = None
    """Name of the request, under which it is done once, however often it is sent."""


def allow_uploads(server: Server, allowed: str) -> None:
    """
    Args:
        allowed: what the ``Allow`` header names otherwise.

    Raises:
        Problem: 405; this server takes nothing in.
    """
    if not server.settings.upload or server.lake.repo.readonly:
        raise Problem(405, "MethodNotAllowed", "this server takes no uploads", {"Allow": allowed})


def body_length(headers: Mapping[str, str]) -> int | None:
    """``Content-Length``; None where the end will show."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def check_room(server: Server, size: int | None) -> None:
    """Refuse what can never be kept before it is sent. Raises Problem 413."""
    most = server.settings.max_upload
    if size is not None and most is not None and size > most:
        raise Problem(413, "PayloadTooLarge", f"{size} bytes: this server takes files of up to {most}")


def named_attributes(pairs: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """Attributes of those pairs whose name is ``meta.KEY``.

    What reads as a number, ``true`` or ``false`` is one, as on the command line.
    """
    return {
        name.removeprefix(_ATTRIBUTE): json.loads(text) if _SCALAR.fullmatch(text) else text
        for name, text in pairs
        if name.startswith(_ATTRIBUTE) and name != _ATTRIBUTE
    }


def check_target(lake: Lake, path: str, ref: str, size: int | None = None) -> None:
    """Refuse what cannot become a file, before its bytes are sent.

    Raises:
        Problem: 403, no branch; 409, a directory is there.
        QuotaExceeded: a file of ``size`` bytes has no room.
        LakeError: no such ref.
    """
    tree = lake.tree(ref)
    if tree.view.name is None:
        raise Problem(403, "PermissionDenied", "only branches can be written, no tag and no past commit")
    if tree.is_directory(path):
        raise Problem(409, "Conflict", f"{path or 'the top of the lake'} is a directory")
    if size is not None:
        lake.repo.journal.check_quotas(tree.view, {path: size})


def operation_of(headers: Mapping[str, str], principal: Principal, path: str, ref: str) -> str | None:
    """What an ``Idempotency-Key`` names: one request of one client for one file; None without one.

    Raises:
        Problem: 400; a key of no or too many characters.
    """
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST_KEY:
        raise Problem(400, "InvalidInput", f"Idempotency-Key: 1 to {_LONGEST_KEY} characters, and not {len(key)}")
    told = json.dumps([principal.name, ref, path, key])
    return f"http-{hashlib.sha256(told.encode()).hexdigest()}"


def precondition(
    lake: Lake, path: str, ref: str | None, headers: Mapping[str, str], *, again: bool = False
) -> Expect | None:
    """What ``If-Match`` and ``If-None-Match`` demand of the file that is replaced, for the commit to check.

    Args:
        again: the request may have been done already, which the commit finds out: only that may refuse it.

    Raises:
        Problem: 412; it is not so already.
    """
    if "if-match" not in headers and "if-none-match" not in headers:
        return None
    try:
        return _demanded(lake, path, ref, headers)
    except Problem:
        if again:
            return _NEVER
        raise


def _demanded(lake: Lake, path: str, ref: str | None, headers: Mapping[str, str]) -> Expect:
    entry = lake.tree(ref).find(path)
    if entry is None or entry.kind != Kind.FILE:
        if "if-match" in headers:
            raise _failed_precondition()
        return ABSENT
    etag = f'"{object_etag(entry.hex)}"'
    if any(condition_of(headers, etag)):
        raise _failed_precondition(etag)
    return Expect(present=True, commit=entry.commit)


def _failed_precondition(etag: str | None = None) -> Problem:
    headers = {"ETag": etag} if etag is not None else {}
    return Problem(412, "PreconditionFailed", "the file is not as If-Match or If-None-Match say", headers)


def expected_digests(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Digests of the whole file that the client has sent along, by the names of hashlib.

    Source: ``Content-MD5`` (RFC 1864), ``Digest`` (RFC 3230), ``Repr-Digest`` and ``Content-Digest`` (RFC 9530).

    Raises:
        Problem: 400; one of md5, SHA-1, SHA-256 or SHA-512 that is none. Other algorithms are passed over.
    """
    found: dict[str, bytes] = {}
    items = [item for name in ("repr-digest", "content-digest", "digest") for item in headers.get(name, "").split(",")]
    if "content-md5" in headers:
        items.append(f"md5={headers['content-md5']}")
    for item in items:
        match = _DIGEST.fullmatch(item)
        algorithm = _ALGORITHMS.get((match[1] if match else item.partition("=")[0].strip()).lower())
        if algorithm is None:
            continue
        raw = _decoded(match[2]) if match else b""
        if len(raw) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
            raise Problem(400, "InvalidInput", f"{item.strip()[:60]!r} is no digest: write {algorithm} in base64")
        found[algorithm] = raw
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


class Inlet:
    """A file of staging that grows by what is sent. One thread at a time.

    Raises, as do its methods:
        StorageError: the disk is full or failed.
    """

    def __init__(self, path: Path, algorithms: Sequence[str] = ()) -> None:
        self.path = path
        self._hashers = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        with _disk_errors():
            self._file = open(path, "ab")  # noqa: SIM115
        self.start = self._file.tell()
        """Bytes that were there before."""

    def write(self, piece: bytes) -> None:
        with _disk_errors():
            self._file.write(piece)
        for hasher in self._hashers.values():
            hasher.update(piece)

    def matches(self, expected: Mapping[str, bytes]) -> bool:
        """Whether what was written here has these digests."""
        return all(hmac.compare_digest(self._hashers[name].digest(), digest) for name, digest in expected.items())

    def close(self) -> None:
        """Make what was written last."""
        if self._file.closed:
            return
        with _disk_errors():
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def take_back(self) -> None:
        """Forget what was written here, and close."""
        with contextlib.suppress(LakeError):
            self.close()
        with _disk_errors():
            os.truncate(self.path, self.start)

    def discard(self) -> None:
        """Close, and remove the file if it is still there."""
        with contextlib.suppress(LakeError):
            self.close()
        with _disk_errors():
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot keep what is uploaded: {error.strerror}") from error


async def pour(server: Server, request: Request, inlet: Inlet, most: int | None) -> int:
    """Write a request's body into a file, in bounded memory, at the pace of the disk; returns its length.

    What came before a failure has been written.

    Args:
        server: whose threads write.
        request: whose body has not been read.
        inlet: the file.
        most: bytes that may come; None: any number.

    Raises:
        Problem: 413, more bytes than that; 400, the client went away.
        StorageError: the disk is full or failed.
    """
    held = bytearray()
    length = 0
    try:
        async for piece in request.stream():
            length += len(piece)
            if most is not None and length > most:
                raise Problem(413, "PayloadTooLarge", f"more than the {most} bytes that may come")
            held += piece
            if len(held) >= _GATHERED:
                full, held = bytes(held), bytearray()
                await _written(server, inlet, full)
    except ClientDisconnect:
        raise Problem(400, "InvalidInput", "the body was cut off") from None
    finally:
        if held:
            await _written(server, inlet, bytes(held))
    return length


async def _written(server: Server, inlet: Inlet, data: bytes) -> None:
    writing = asyncio.ensure_future(server.run(inlet.write, data))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])  # what comes next must not overtake it
        raise


def keep_file(lake: Lake, staged: Path, wanted: Wanted, principal: Principal) -> Receipt:
    """Make a file of staging a file of the lake: understood, indexed and committed as by `put`. Blocking.

    Raises:
        Problem: 412, what is replaced is not as ``wanted.expect`` says; 422, other bytes were stored as the operation.
        LakeError: nothing was stored.
    """
    options = PutOptions(
        Method.MOVE, attributes=dict(wanted.attributes), expect=wanted.expect, checksums=wanted.checksums
    )
    new = lake.tree(wanted.ref).find(wanted.path) is None
    who = f" by {principal.name}" if principal.name else ""
    try:
        report = lake.put_jobs(
            [Job(staged, wanted.path, False)],
            options,
            ref=wanted.ref,
            message=f"upload {wanted.path}{who}",
            op_id=wanted.operation,
        )
    except Conflict as error:
        if wanted.expect is None or isinstance(error, Collected):
            raise
        raise _failed_precondition() from None
    (item,) = report.items
    assert item.digest is not None
    assert report.commit is not None
    if report.commit.replayed and lake.tree(str(report.commit.seq)).file(wanted.path).hex != item.digest:
        raise Problem(422, "Conflict", "another file has been sent under this Idempotency-Key: choose another key")
    # Where the file stood in staging is nobody's business.
    warnings = tuple(text.replace(str(staged), wanted.path) for text in item.warnings)
    return Receipt(
        wanted.path,
        wanted.ref,
        item.digest,
        item.size,
        item.format or "binary",
        report.commit.seq,
        new,
        warnings,
    )
