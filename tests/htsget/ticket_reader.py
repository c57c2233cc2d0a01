"""A client of tickets that trusts nothing: every rule that some client relies on is checked on the way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from typing import Any, NamedTuple

import httpx

from tests.formats.bam_maker import EOF

__all__ = ["Answer", "ask", "error_of", "fetch", "post", "samtools_text"]

_BGZF = b"\x1f\x8b\x08\x04"


class Answer(NamedTuple):
    """What a ticket led to."""

    ticket: dict[str, Any]
    parts: list[bytes]
    classes: list[str]

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    @property
    def header(self) -> bytes:
        return b"".join(part for part, kind in zip(self.parts, self.classes, strict=True) if kind == "header")

    @property
    def remote(self) -> list[str]:
        return [each["url"] for each in self.ticket["urls"] if not each["url"].startswith("data:")]


def ask(client: httpx.Client, path: str, **parameters: str | int) -> Answer:
    """The answer to a GET. ``start`` and ``end`` are 0-based, half-open."""
    return fetch(client, client.get(path, params={name.rstrip("_"): value for name, value in parameters.items()}))


def post(client: httpx.Client, path: str, **body: object) -> Answer:
    """The answer to a POST."""
    content = json.dumps({name.rstrip("_"): value for name, value in body.items()})
    return fetch(client, client.post(path, content=content))


def fetch(client: httpx.Client, response: httpx.Response) -> Answer:
    """All parts of a ticket, each checked."""
    assert response.status_code == 200, response.text
    assert response.content.startswith(b'{"htsget":{')
    document = response.json()
    assert list(document) == ["htsget"]
    ticket = document["htsget"]
    assert set(ticket) <= {"format", "urls", "md5"}
    parts, classes = [], []
    for each in ticket["urls"]:
        url = each["url"]
        classes.append(each["class"])
        if url.startswith("data:"):
            assert url.startswith("data:;base64,")
            assert set(each) == {"url", "class"}
            parts.append(base64.b64decode(url.partition(",")[2], validate=True))
        else:
            assert url.startswith("http://127.0.0.1:")
            assert url.isascii()
            assert each["headers"] == {}
            # Whoever follows a ticket does not send the token that it was asked with.
            got = httpx.get(url, headers=each["headers"], trust_env=False)
            assert got.status_code == 200, got.text
            assert "content-encoding" not in got.headers
            parts.append(got.content)
    assert classes == sorted(classes, reverse=True), "the header comes first"
    answer = Answer(ticket, parts, classes)
    if ticket["format"] in ("BAM", "BCF", "VCF"):
        for part in parts:
            _check_blocks(part)
        assert answer.data.endswith(EOF)
    if "md5" in ticket:
        assert ticket["md5"] == hashlib.md5(answer.data).hexdigest()
    return answer


def _check_blocks(part: bytes) -> None:
    """A part is a whole number of BGZF blocks, at least one, that can be inflated for itself."""
    at = 0
    while at < len(part):
        assert part[at : at + 4] == _BGZF
        at += int.from_bytes(part[at + 16 : at + 18], "little") + 1
    assert at == len(part) > 0
    gzip.decompress(part)


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and kind of an error in the form of htsget."""
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["htsget"]
    assert isinstance(document["htsget"]["message"], str)
    return response.status_code, document["htsget"]["error"]


def samtools_text(data: bytes, tool: str = "samtools", *options: str) -> str:
    """What samtools or bcftools prints of bytes, without header; they must have nothing to complain about."""
    done = subprocess.run([tool, "view", *options, "-"], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")
