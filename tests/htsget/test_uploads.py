"""Files put and removed over HTTP."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lake.errors import Collected, LakeError, StorageError
from lake.grants import Grant, Verb
from lake.htsget.errors import Problem
from lake.htsget.uploads import Inlet, expected_digests, named_attributes
from lake.lake import Lake
from tests.htsget.conftest import WAIT, Client, Live
from tests.lake.samples import NOISE, branch_files, make_bam, staged


def until(condition: object) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + WAIT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def b64(algorithm: str, data: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def test_put_and_replace(lk: Lake, client: Client) -> None:
    http = client(lk)
    first = http.put("/files/in/a b.txt?meta.run=7&meta.kind=blank&meta.ok=true", content=b"one")
    assert first.status_code == 201
    receipt = first.json()
    assert (receipt["path"], receipt["size"], receipt["commit"], receipt["new"]) == ("in/a b.txt", 3, 1, True)
    assert first.headers["etag"] == f'"b3-{receipt["digest"]}"'
    assert http.get(first.headers["location"]).content == b"one"
    assert lk.meta("in/a b.txt") == {"run": 7, "kind": "blank", "ok": True}
    second = http.put("/files/in/a b.txt", content=b"two")
    assert (second.status_code, second.json()["new"], second.json()["commit"]) == (200, False, 2)
    assert branch_files(lk) == {"in/a b.txt": b"two"}
    assert staged(lk) == []


def test_a_request_whose_answer_was_lost(lk: Lake, client: Client) -> None:
    http = client(lk)
    new = {"if-none-match": "*", "idempotency-key": "k1"}
    first = http.put("/files/a.txt", content=b"one", headers=new)
    again = http.put("/files/a.txt", content=b"one", headers=new)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["commit"] == first.json()["commit"] == 1
    replaced = {"if-match": first.headers["etag"], "idempotency-key": "k2"}
    for _ in range(2):
        assert http.put("/files/a.txt", content=b"two", headers=replaced).json()["commit"] == 2
    # What came after it stays.
    http.put("/files/a.txt", content=b"three")
    assert http.put("/files/a.txt", content=b"two", headers=replaced).json()["commit"] == 2
    assert branch_files(lk) == {"a.txt": b"three"}
    assert http.put("/files/a.txt", content=b"other", headers=replaced).status_code == 422
    assert http.put("/files/a.txt", content=b"x", headers={**replaced, "idempotency-key": "k3"}).status_code == 412
    assert http.put("/files/b.txt", content=b"x", headers=new).json()["commit"] == 4
    assert http.put("/files/b.txt", content=b"x", headers={"idempotency-key": "k" * 256}).status_code == 400
    assert staged(lk) == []


def test_what_gc_took_meanwhile_is_asked_for_again(lk: Lake, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise Collected.of(["0" * 64])

    http = client(lk)
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "put_jobs", late)
        told = http.put("/files/a.txt", content=b"one", headers={"if-none-match": "*"})
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert http.put("/files/a.txt", content=b"one", headers={"if-none-match": "*"}).status_code == 201


def test_a_full_disk(lk: Lake, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Inlet, piece: bytes) -> None:
        raise StorageError("cannot keep it") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    http = client(lk)
    monkeypatch.setattr(Inlet, "write", full)
    answer = http.put("/files/a", content=b"one")
    assert (answer.status_code, answer.json()["error"]) == (507, "InsufficientStorage")
    monkeypatch.undo()
    assert http.put("/files/a", content=b"one").status_code == 201


def test_large_streams_and_empty_files(lk: Lake, client: Client) -> None:
    http = client(lk, max_body=1000)
    pieces = (NOISE[at : at + 70_001] for at in range(0, len(NOISE), 70_001))
    assert http.put("/files/noise", content=pieces).status_code == 201
    assert http.put("/files/empty", content=b"").status_code == 201
    assert branch_files(lk) == {"noise": NOISE, "empty": b""}


def test_a_bam_is_indexed(lk: Lake, client: Client, tmp_path: Path) -> None:
    http = client(lk)
    answer = http.put("/files/s1.bam", content=make_bam(tmp_path / "s1.bam").read_bytes())
    assert answer.json()["format"] == "BAM"
    assert http.get("/files/s1.bam?region=chr1:1-1000").status_code == 200


def test_preconditions(lk: Lake, client: Client) -> None:
    http = client(lk)
    new = {"if-none-match": "*"}
    first = http.put("/files/a", content=b"one", headers=new)
    assert first.status_code == 201
    assert http.put("/files/a", content=b"two", headers=new).status_code == 412
    tag = first.headers["etag"]
    assert http.put("/files/a", content=b"two", headers={"if-match": '"b3-other"'}).status_code == 412
    assert http.put("/files/none", content=b"two", headers={"if-match": "*"}).status_code == 412
    assert http.put("/files/a", content=b"two", headers={"if-match": f'"x", {tag}'}).status_code == 200
    assert http.delete("/files/a", headers={"if-match": tag}).status_code == 412
    assert branch_files(lk) == {"a": b"two"}
    assert staged(lk) == []


def test_a_precondition_holds_in_the_commit(lk: Lake, live: Live) -> None:
    """Somebody else commits while the body is under way."""
    address = urlsplit(live(lk))
    with socket.create_connection((address.hostname or "", address.port or 0), WAIT) as client:
        client.sendall(
            b"PUT /files/a HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\nContent-Length: 3\r\n\r\none"[:-2]
        )
        until(lambda: staged(lk))
        with lk.open("a", "wb") as file:
            file.write(b"other")
        client.sendall(b"ne")
        assert client.recv(100).startswith(b"HTTP/1.1 412")
    assert branch_files(lk) == {"a": b"other"}


def test_digests(lk: Lake, client: Client) -> None:
    http = client(lk)
    good = [
        {"content-md5": b64("md5", b"one")},
        {"digest": f"SHA-256={b64('sha256', b'one')},unixsum=30637"},
        {"repr-digest": f"sha-256=:{b64('sha256', b'one')}:, sha-512=:{b64('sha512', b'one')}:"},
    ]
    for number, headers in enumerate(good):
        assert http.put(f"/files/{number}", content=b"one", headers=headers).status_code == 201
        assert http.put("/files/bad", content=b"onf", headers=headers).status_code == 400
    assert http.get("/files/0?meta=1").json()["checksums"]["md5"] == hashlib.md5(b"one").hexdigest()
    assert sorted(branch_files(lk)) == ["0", "1", "2"]
    assert staged(lk) == []
    for wrong in ({"content-md5": "x"}, {"digest": "md5=AAAA"}, {"repr-digest": "sha-256=AA:"}):
        with pytest.raises(Problem):
            expected_digests(wrong)
    assert expected_digests({"digest": "crc32c=AAAA"}) == {}


def test_attributes_read_as_on_the_command_line() -> None:
    found = named_attributes([("meta.a", "1.50"), ("meta.b", "007"), ("meta.c", "-3"), ("meta.", "x"), ("d", "1")])
    assert found == {"a": 1.5, "b": "007", "c": -3}


def test_remove(lk: Lake, client: Client) -> None:
    http = client(lk)
    http.put("/files/d/a", content=b"one")
    assert http.delete("/files/d").status_code in (400, 409)
    assert http.delete("/files/d/a").json() == {"path": "d/a", "ref": "main", "commit": 2}
    assert http.get("/files/d/a").status_code == http.delete("/files/d/a").status_code == 404
    assert http.get("/files/@1/d/a").content == b"one"


def test_branches(lk: Lake, client: Client) -> None:
    http = client(lk)
    http.put("/files/a", content=b"one")
    lk.branch("dev")
    lk.tag("v1")
    stored = http.put("/files/@dev/b", content=b"two")
    assert stored.status_code == 201
    assert http.get(stored.headers["location"]).content == b"two"
    assert branch_files(lk) == {"a": b"one"}
    for ref, status in (("v1", 403), ("1", 403), ("nope", 404)):
        assert http.put(f"/files/a?ref={ref}", content=b"x").status_code == status
    assert http.put("/files/@dev/b?ref=main", content=b"x").status_code == 400


def test_what_is_refused(lk: Lake, client: Client) -> None:
    http = client(lk, max_upload=1000)
    http.put("/files/d/a", content=b"one")
    refused = [
        ("/files/d", {}, 409),
        ("/files/", {}, 409),
        ("/files/a/%2e%2e/b", {}, 400),
        ("/files/%00", {}, 400),
        ("/files/%ff", {}, 400),
        ("/files/d/a/b", {}, 400),
        ("/files/x", {"content-range": "bytes 0-1/5"}, 400),
        ("/files/x", {"content-encoding": "gzip"}, 415),
    ]
    for path, headers, status in refused:
        assert http.put(path, content=b"two", headers=headers).status_code == status, path
    assert http.put("/files/x", content=b"x" * 1001).status_code == 413
    assert http.put("/files/x", content=iter([b"x" * 600] * 2)).status_code == 413
    assert branch_files(lk) == {"d/a": b"one"}
    assert staged(lk) == []


def test_who_may_write(lk: Lake, client: Client) -> None:
    http = client(lk, open=False)
    grants = [Grant(Verb.READ, "shown/*"), Grant(Verb.WRITE, "inbox/*")]
    assert http.put("/files/inbox/a", content=b"x").status_code == 401
    issued = lk.tokens.create(grants, name="ann")
    http.headers["authorization"] = f"Bearer {issued.text}"
    assert http.put("/files/inbox/a", content=b"x").status_code == 201
    assert lk.log()[0].message == f"upload inbox/a by token:{issued.token.id}"
    assert http.put("/files/shown/a", content=b"x").status_code == 403
    assert http.put("/files/hidden/a", content=b"x").status_code == http.delete("/files/hidden/a").status_code == 404


@pytest.mark.parametrize("settings", [{"upload": False}, {"public": True}])
def test_a_server_that_takes_nothing(lk: Lake, client: Client, settings: dict[str, bool]) -> None:
    http = client(lk, **settings)
    for answer in (http.put("/files/a", content=b"x"), http.delete("/files/a")):
        assert answer.status_code == 405
        assert "PUT" not in answer.headers["allow"]
    assert http.post("/uploads", headers={"tus-resumable": "1.0.0", "upload-length": "1"}).status_code == 405


@pytest.mark.parametrize("head", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_a_cut_connection_leaves_nothing(lk: Lake, live: Live, head: str) -> None:
    address = urlsplit(live(lk))
    with socket.create_connection((address.hostname or "", address.port or 0), WAIT) as client:
        client.sendall(f"PUT /files/a HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
        body = NOISE[: 2 << 20]
        client.sendall(f"{len(body):x}\r\n".encode() + body if "chunked" in head else body)
        until(lambda: staged(lk))
    until(lambda: not staged(lk))
    assert branch_files(lk) == {}


SERVER = "import sys; from lake.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def process(lk: Lake) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``lake serve`` as a process of its own, and its URL."""
    with Serving(lk) as running:
        yield running


class Serving:
    """A server that a test may kill."""

    def __init__(self, lk: Lake) -> None:
        self._command = [sys.executable, "-c", SERVER, "-C", str(lk.root), "serve", "--port", "0"]

    def __enter__(self) -> tuple[subprocess.Popen[str], str]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        return self._process, self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(WAIT)
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_killed_server_has_stored_nothing(lk: Lake, process: tuple[subprocess.Popen[str], str]) -> None:
    server, url = process
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), WAIT) as client:
        client.sendall(b"PUT /files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" + NOISE)
        until(lambda: staged(lk))
        os.kill(server.pid, signal.SIGKILL)
        server.wait(WAIT)
    assert branch_files(lk) == {}
    assert lk.log() == []
    with pytest.raises(LakeError):
        lk.stat("a")
