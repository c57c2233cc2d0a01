"""Resumable uploads by tus 1.0, with tuspy as the client and by hand."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tusclient import client as tus

from lake.grants import Grant, Verb
from lake.htsget import resumable
from lake.htsget.errors import Problem
from lake.htsget.resumable import UploadDesk
from lake.htsget.uploads import Wanted
from lake.lake import Lake
from tests.htsget.conftest import WAIT, Client, Live
from tests.htsget.test_uploads import Serving, until
from tests.lake.samples import NOISE, branch_files, staged

VERSION = {"tus-resumable": "1.0.0"}
BODY = {**VERSION, "content-type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def begin(http: httpx.Client, size: int, path: str = "a", **headers: str) -> httpx.Response:
    told = {"upload-length": str(size), "upload-metadata": metadata(filename=path)}
    return http.post("/uploads", headers={**VERSION, **told, **headers})


def send(http: httpx.Client, url: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    return http.patch(url, content=data, headers={**BODY, "upload-offset": str(offset), **headers})


def offset(http: httpx.Client, url: str) -> int:
    return int(http.head(url, headers=VERSION).headers["upload-offset"])


def leases(lk: Lake) -> list[str]:
    return lk.repo.journal.live_leases("upload")


@pytest.mark.parametrize("checked", [False, True])
def test_tuspy(lk: Lake, live: Live, checked: bool) -> None:
    about = {"filename": "runs/noise.bin", "ref": "main", "meta.run": "7"}
    uploader = tus.TusClient(f"{live(lk)}/uploads").uploader(
        file_stream=io.BytesIO(NOISE), chunk_size=1 << 20, metadata=about, upload_checksum=checked
    )
    uploader.upload(stop_at=2 << 20)
    assert branch_files(lk) == {}
    assert uploader.get_offset() == 2 << 20
    again = tus.TusClient("").uploader(file_stream=io.BytesIO(NOISE), url=uploader.url, chunk_size=1 << 20)
    assert again.offset == 2 << 20
    again.upload()
    assert branch_files(lk) == {"runs/noise.bin": NOISE}
    assert lk.meta("runs/noise.bin") == {"run": 7}
    last: Any = again.request
    assert last.response_headers["lake-commit"] == "1"


def test_what_the_server_knows(lk: Lake, client: Client) -> None:
    told = client(lk, max_upload=5000).options("/uploads").headers
    assert told["tus-version"] == "1.0.0"
    assert set(told["tus-extension"].split(",")) >= {"creation", "termination", "expiration", "checksum"}
    assert told["tus-max-size"] == "5000"
    assert told["tus-checksum-algorithm"] == "md5,sha1,sha256"


def test_an_upload_step_by_step(lk: Lake, client: Client) -> None:
    http = client(lk)
    made = begin(http, 6, "in/a")
    assert (made.status_code, made.headers["tus-resumable"]) == (201, "1.0.0")
    assert "upload-expires" in made.headers
    url = made.headers["location"]
    half = send(http, url, 0, b"one")
    assert (half.status_code, half.headers["upload-offset"]) == (204, "3")
    assert "lake-commit" not in half.headers
    seen = http.head(url, headers=VERSION)
    assert (seen.headers["upload-offset"], seen.headers["upload-length"]) == ("3", "6")
    assert seen.headers["upload-metadata"] == metadata(filename="in/a")
    assert seen.headers["cache-control"] == "no-store"
    whole = send(http, url, 3, b"two")
    assert whole.headers["lake-commit"] == "1"
    assert http.get(whole.headers["content-location"]).content == b"onetwo"
    assert offset(http, url) == 6  # a client whose answer was lost asks again
    assert send(http, url, 6, b"").headers["lake-commit"] == "1"
    assert [commit.message for commit in lk.log()] == ["upload in/a"]
    assert http.delete(url, headers=VERSION).status_code == 204
    assert http.head(url, headers=VERSION).status_code == 404
    assert branch_files(lk) == {"in/a": b"onetwo"}
    assert leases(lk) == []
    assert staged(lk) == []


def test_creation_with_upload(lk: Lake, client: Client) -> None:
    http = client(lk)
    headers = {**BODY, "upload-length": "3", "upload-metadata": metadata(path="a", **{"meta.n": "1"})}
    part = http.post("/uploads", content=b"on", headers=headers)
    assert (part.status_code, part.headers["upload-offset"]) == (201, "2")
    whole = http.post("/uploads", content=b"one", headers=headers)
    assert (whole.status_code, whole.headers["lake-commit"]) == (201, "1")
    empty = begin(http, 0, "empty")
    assert empty.headers["lake-commit"] == "2"
    assert branch_files(lk) == {"a": b"one", "empty": b""}


def test_checksums(lk: Lake, client: Client) -> None:
    http = client(lk)
    url = begin(http, 6).headers["location"]
    for algorithm in ("md5", "sha1", "sha256"):
        right = base64.b64encode(hashlib.new(algorithm, b"one").digest()).decode()
        wrong = send(http, url, 0, b"onf", **{"upload-checksum": f"{algorithm} {right}"})
        assert (wrong.status_code, wrong.headers["tus-resumable"]) == (460, "1.0.0")
        assert offset(http, url) == 0
    assert send(http, url, 0, b"one", **{"upload-checksum": f"sha256 {right}"}).status_code == 204
    for bad in ("crc32 AAAA", "sha1", "sha1 !!", "sha1 AAAA"):
        assert send(http, url, 3, b"two", **{"upload-checksum": bad}).status_code == 400
    assert send(http, url, 3, b"two").status_code == 204
    assert branch_files(lk) == {"a": b"onetwo"}


def test_what_is_refused(lk: Lake, client: Client) -> None:
    http = client(lk, max_upload=5000)
    url = begin(http, 6).headers["location"]
    assert http.patch(url, content=b"one", headers=BODY).status_code == 400
    assert send(http, url, 3, b"two").status_code == 409
    assert send(http, url, 0, b"onetwothree").status_code == 413
    assert (
        http.patch(url, content=iter([b"onetwo", b"three"]), headers={**BODY, "upload-offset": "0"}).status_code == 413
    )
    assert offset(http, url) == 0
    plain = {**VERSION, "upload-offset": "0", "content-type": "text/plain"}
    assert http.patch(url, content=b"one", headers=plain).status_code == 415
    other = send(http, url, 0, b"one", **{"tus-resumable": "0.2.2"})
    assert (other.status_code, other.headers["tus-version"]) == (412, "1.0.0")
    assert begin(http, 6, **{"upload-length": "-1"}).status_code == 400
    assert begin(http, 5001).status_code == 413
    for path in ("/", "../a", "a\0b", "@nope/a", "a" * 5000):
        assert begin(http, 6, path).status_code in (400, 404, 409), path
    for about in ("filename", "filename !!x", "filename /w==", "x" * 20_000):
        assert begin(http, 6, **{"upload-metadata": about}).status_code in (400, 409), about[:20]
    for name in ("nope", "0" * 32, "..%2f..%2fjournal.db", "%2e%2e"):
        missing = http.head(f"/uploads/{name}", headers=VERSION)
        assert missing.status_code == 404, name
    assert branch_files(lk) == {}
    assert len(leases(lk)) == 1


def test_method_override(lk: Lake, client: Client) -> None:
    http = client(lk)
    url = begin(http, 3).headers["location"]
    headers = {**BODY, "upload-offset": "0", "x-http-method-override": "PATCH"}
    assert http.post(url, content=b"one", headers=headers).status_code == 204
    assert branch_files(lk) == {"a": b"one"}
    assert http.post(url, headers={**VERSION, "x-http-method-override": "DELETE"}).status_code == 204
    assert http.post(url, headers=VERSION).status_code == 405


def connect(url: str, size: int, at: int = 0) -> socket.socket:
    """A connection with a PATCH of so many bytes under way."""
    address = urlsplit(url)
    client = socket.create_connection((address.hostname or "", address.port or 0), WAIT)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**BODY, "upload-offset": str(at)}.items())
    client.sendall(f"PATCH {address.path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {size}\r\n\r\n".encode())
    return client


def test_one_at_a_time_and_what_was_cut_off_counts(lk: Lake, client: Client) -> None:
    http = client(lk)
    url = begin(http, len(NOISE)).headers["location"]
    with connect(url, len(NOISE)) as busy:
        busy.sendall(NOISE[: 1 << 20])
        until(lambda: offset(http, url))
        assert send(http, url, 0, b"other").status_code == 423
        assert http.delete(url, headers=VERSION).status_code == 423
    until(lambda: send(http, url, 1, b"").status_code == 409)
    had = offset(http, url)
    assert 0 < had <= 1 << 20
    assert send(http, url, had, NOISE[had:]).headers["lake-commit"] == "1"
    assert branch_files(lk) == {"a": NOISE}


def test_a_killed_server_goes_on(lk: Lake) -> None:
    with Serving(lk) as (server, base), httpx.Client(base_url=base, timeout=WAIT, trust_env=False) as http:
        path = urlsplit(begin(http, len(NOISE)).headers["location"]).path
        assert send(http, path, 0, NOISE[:1000]).status_code == 204
        with connect(f"{base}{path}", len(NOISE) - 1000, at=1000) as busy:
            busy.sendall(NOISE[1000 : 2 << 20])
            until(lambda: offset(http, path) > 1000)
            os.kill(server.pid, signal.SIGKILL)
            server.wait(WAIT)
    assert branch_files(lk) == {}
    lk.repo.session()  # what another process reaps at its first write
    with Serving(lk) as (_, base), httpx.Client(base_url=base, timeout=WAIT, trust_env=False) as http:
        had = offset(http, path)
        assert 1000 < had <= 2 << 20
        assert send(http, path, had, NOISE[had:]).status_code == 204
    assert branch_files(lk) == {"a": NOISE}


def held(lk: Lake, size: int = 6) -> Any:
    return UploadDesk(lk).create(Wanted("a", "main"), size, "")


def test_a_body_that_was_killed_before_its_checksum_does_not_count(lk: Lake) -> None:
    first = held(lk)
    inlet = first.inlet()
    inlet.write(b"one")
    inlet.close()
    first.accept()
    checked = first.inlet(("md5",))
    checked.write(b"tw")
    checked.close()
    first.release()
    desk = UploadDesk(lk)
    assert desk.look(first.upload.id).offset == 3
    again = desk.hold(first.upload.id)
    assert again.upload.offset == 3
    assert (lk.root / "staging" / first.upload.id / "data").read_bytes() == b"one"
    again.release()


def test_a_server_that_ended_before_the_commit(lk: Lake, client: Client) -> None:
    done = held(lk, 3)
    inlet = done.inlet()
    inlet.write(b"one")
    inlet.close()
    done.release()
    http = client(lk)
    seen = http.head(f"/uploads/{done.upload.id}", headers=VERSION)
    assert (seen.headers["upload-offset"], seen.headers["lake-commit"]) == ("3", "1")
    assert branch_files(lk) == {"a": b"one"}


def test_expiry(lk: Lake, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = UploadDesk(lk, seconds=-1.0)
    old = desk.create(Wanted("a", "main"), 6, "")
    old.release()
    http = client(lk)
    assert http.head(f"/uploads/{old.upload.id}", headers=VERSION).status_code == 410
    assert http.head(f"/uploads/{old.upload.id}", headers=VERSION).status_code == 404
    older = desk.create(Wanted("b", "main"), 6, "")
    older.release()
    begin(http, 6, "c")
    assert not (lk.root / "staging" / older.upload.id).exists()
    live = UploadDesk(lk).create(Wanted("d", "main"), 6, "")
    inlet = live.inlet()
    monkeypatch.setattr(resumable, "_RENEWED", -1.0)
    lk.repo.journal.release_lease(live.upload.id)
    with pytest.raises(Problem) as gone:
        inlet.write(b"x")
    assert gone.value.status == 410
    inlet.discard()
    live.release()


def test_others_leave_live_uploads_alone(lk: Lake) -> None:
    kept = held(lk)
    kept.release()
    gone = UploadDesk(lk, seconds=-1.0).create(Wanted("b", "main"), 6, "")
    gone.release()
    with Lake.open_at(lk.root) as other:
        other.repo.session()
    assert (lk.root / "staging" / kept.upload.id).exists()
    assert not (lk.root / "staging" / gone.upload.id).exists()
    assert lk.repo.journal.expired_leases("upload") == []


def test_who_may(lk: Lake, client: Client) -> None:
    http = client(lk, open=False)
    ann = {"authorization": f"Bearer {lk.tokens.create([Grant(Verb.WRITE, 'ann/*')]).text}"}
    bob = {"authorization": f"Bearer {lk.tokens.create([Grant(Verb.WRITE, 'bob/*')]).text}"}
    assert begin(http, 3, "ann/a").status_code == 401
    url = begin(http, 3, "ann/a", **ann).headers["location"]
    assert begin(http, 3, "ann/a", **bob).status_code == 404
    assert send(http, url, 0, b"one", **bob).status_code == 404
    assert http.head(url, headers={**VERSION, **bob}).status_code == 404
    assert http.delete(url, headers={**VERSION, **bob}).status_code == 404
    assert send(http, url, 0, b"one", **ann).status_code == 204
    assert branch_files(lk) == {"ann/a": b"one"}


def test_a_file_of_that_name_meanwhile(lk: Lake, client: Client, tmp_path: Path) -> None:
    """What cannot be stored stays, to be tried again."""
    http = client(lk)
    url = begin(http, 3, "a").headers["location"]
    (tmp_path / "b").write_text("b")
    lk.put(tmp_path / "b", "a/b")
    assert send(http, url, 0, b"one").status_code in (400, 409)
    lk.rm("a", recursive=True)
    assert http.head(url, headers=VERSION).headers["upload-offset"] == "3"
    assert branch_files(lk) == {"a": b"one"}
