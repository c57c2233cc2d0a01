"""Objects over HTTP: live servers, and curl where a client's own behaviour counts (RFC 9110)."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from lake.grants import Grant, Verb
from lake.htsget.representations import disposition
from lake.lake import Lake
from tests.htsget.conftest import Client, Live
from tests.lake.samples import NOISE, flip, object_file

SIZE = len(NOISE)


@pytest.fixture
def noise(lk: Lake, tmp_path: Path) -> str:
    """A stored object of several chunks: its digest."""
    (tmp_path / "noise.bin").write_bytes(NOISE)
    lk.put(tmp_path / "noise.bin", "study1/", checksums=True)
    return digest_of(lk, "study1/noise.bin")


def digest_of(lk: Lake, path: str) -> str:
    digest = lk.stat(path).digest
    assert digest is not None
    return digest


def packed(lk: Lake, folder: Path) -> str:
    """The digest of a small object that lies among many others in one file."""
    files = [folder / f"{number}.txt" for number in range(100)]
    for number, file in enumerate(files):
        file.write_text(f"file {number}\n" * 9)
    lk.put(files, "many/")
    assert lk.reader("many/7.txt").record.location.handle.startswith("packs/")
    return digest_of(lk, "many/7.txt")


def curl(*arguments: str) -> bytes:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, check=True, timeout=60).stdout


def test_whole_object(lk: Lake, noise: str, client: Client) -> None:
    answer = client(lk).get(f"/objects/{noise}")
    assert answer.status_code == 200
    assert answer.content == NOISE
    headers = answer.headers
    assert headers["content-length"] == str(SIZE)
    assert headers["etag"] == f'"b3-{noise}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "public, max-age=31536000, immutable, no-transform"
    assert headers["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(NOISE).digest()).decode()}:"
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in headers
    assert "content-disposition" not in headers


def test_digest_may_be_written_with_its_kind(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk)
    for name in (f"b3:{noise}", noise.upper()):
        assert http.get(f"/objects/{name}").content == NOISE


def test_h05_no_content_coding_even_when_asked(lk: Lake, noise: str, client: Client) -> None:
    answer = client(lk).get(f"/objects/{noise}", headers={"accept-encoding": "gzip, br, zstd"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(SIZE)


def test_head_is_the_same_without_bytes(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk)
    whole, head = http.get(f"/objects/{noise}"), http.head(f"/objects/{noise}", headers={"range": "bytes=0-9"})
    assert head.status_code == 200  # ranges belong to GET alone
    assert head.content == b""
    assert head.headers.items() >= {**whole.headers, "date": head.headers["date"]}.items()


def test_a_packed_object(lk: Lake, tmp_path: Path, client: Client) -> None:
    digest = packed(lk, tmp_path)
    http = client(lk)
    assert http.get(f"/objects/{digest}").text == "file 7\n" * 9
    assert http.get(f"/objects/{digest}", headers={"range": "bytes=7-11"}).text == "file "
    assert http.get(f"/objects/{digest}").headers["content-type"] == "text/plain"


def test_an_empty_object(lk: Lake, tmp_path: Path, client: Client) -> None:
    (tmp_path / "empty").write_bytes(b"")
    lk.put(tmp_path / "empty", "empty")
    http = client(lk)
    answer = http.get(f"/objects/{digest_of(lk, 'empty')}")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    answer = http.get(f"/objects/{digest_of(lk, 'empty')}", headers={"range": "bytes=0-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */0")


# -- ranges -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("100-199", 100, 200),
        ("1048570-1048580", 1048570, 1048581),
        (f"{SIZE - 1}-", SIZE - 1, SIZE),
        ("-17", SIZE - 17, SIZE),
        (f"-{SIZE + 5}", 0, SIZE),
        (f"5-{SIZE * 9}", 5, SIZE),
        (f"{SIZE}-,5-6", 5, 7),  # one of two is there: no multipart
    ],
)
def test_single_ranges(lk: Lake, noise: str, client: Client, asked: str, start: int, stop: int) -> None:
    answer = client(lk).get(f"/objects/{noise}", headers={"range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.content == NOISE[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == f'"b3-{noise}"'


def test_several_ranges_are_a_multipart(lk: Lake, noise: str, client: Client) -> None:
    answer = client(lk).get(f"/objects/{noise}", headers={"range": "bytes=500000-500999, 0-9,-3"})
    assert answer.status_code == 206
    assert "content-range" not in answer.headers
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    parts = [(part["content-range"], part.get_payload(decode=True)) for part in message.iter_parts()]
    assert parts == [
        (f"bytes 500000-500999/{SIZE}", NOISE[500_000:501_000]),
        (f"bytes 0-9/{SIZE}", NOISE[:10]),
        (f"bytes {SIZE - 3}-{SIZE - 1}/{SIZE}", NOISE[-3:]),
    ]


def test_curl_asks_for_ranges(lk: Lake, noise: str, live: Live) -> None:
    url = f"{live(lk)}/objects/{noise}"
    assert curl("-r", "10-19", url) == NOISE[10:20]
    assert curl("-r", "-5", url) == NOISE[-5:]
    assert curl("-r", f"{SIZE - 2}-", url) == NOISE[-2:]
    assert curl("-r", "0-1,5-6", url).count(b"Content-Range: bytes ") == 2


def test_unsatisfiable_ranges(lk: Lake, noise: str, client: Client) -> None:
    answer = client(lk).get(f"/objects/{noise}", headers={"range": f"bytes={SIZE}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=x", "bytes=0-,0-", "bytes=" + ",".join(["0-0"] * 101)])
def test_what_cannot_be_a_range_or_is_a_flood_gives_the_whole(lk: Lake, noise: str, client: Client, asked: str) -> None:
    answer = client(lk).get(f"/objects/{noise}", headers={"range": asked})
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


def test_a_cut_download_resumes(lk: Lake, noise: str, live: Live, tmp_path: Path) -> None:
    url = f"{live(lk)}/objects/{noise}"
    part = tmp_path / "part"
    part.write_bytes(NOISE[:1_234_567])
    curl("-C", "-", "-o", str(part), url)
    assert part.read_bytes() == NOISE


def test_if_range_guards_a_resumed_download(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk)
    same = {"range": "bytes=100-", "if-range": f'"b3-{noise}"'}
    other = {"range": "bytes=100-", "if-range": f'"b3-{"0" * 64}"'}
    assert http.get(f"/objects/{noise}", headers=same).status_code == 206
    answer = http.get(f"/objects/{noise}", headers=other)
    assert (answer.status_code, answer.content) == (200, NOISE)


# -- conditions -------------------------------------------------------------------------------------------------------
def test_conditions(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk)
    url, tag = f"/objects/{noise}", f'"b3-{noise}"'
    known = http.get(url, headers={"if-none-match": tag})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == tag
    assert "immutable" in known.headers["cache-control"]
    assert http.head(url, headers={"if-none-match": f"W/{tag}"}).status_code == 304
    assert http.get(url, headers={"if-none-match": tag, "range": "bytes=0-1"}).status_code == 304
    assert http.get(url, headers={"if-none-match": '"x"'}).status_code == 200
    assert http.get(url, headers={"if-match": tag, "range": "bytes=0-1"}).status_code == 206
    assert http.get(url, headers={"if-match": '"x"'}).status_code == 412


def test_save_as(lk: Lake, noise: str, client: Client) -> None:
    answer = client(lk).head(f"/objects/{noise}", params={"filename": 'a/b "c"\r\nX: é.bin'})
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"b _c___X: _.bin\"; filename*=UTF-8''b%20%22c%22__X%3A%20%C3%A9.bin"
    )
    assert disposition("run.bam") == 'attachment; filename="run.bam"'


def test_options(lk: Lake, noise: str, client: Client) -> None:
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "GET"}
    answer = client(lk).options(f"/objects/{noise}", headers={**asked, "access-control-request-headers": "range"})
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["access-control-allow-headers"] == "range"


# -- who may ----------------------------------------------------------------------------------------------------------
def test_unknown_objects(lk: Lake, client: Client) -> None:
    http = client(lk)
    assert http.get(f"/objects/{'0' * 64}").status_code == 404
    for name in ("0" * 63, "..", "b3:", "%00", "g" * 64, "0" * 5000, "..%2f..%2fjournal.db"):
        assert http.get(f"/objects/{name}").status_code in (400, 404), name


def test_grants_by_the_paths_that_name_an_object(lk: Lake, noise: str, client: Client, tmp_path: Path) -> None:
    lk.rm("study1/noise.bin")  # history counts
    http = client(lk, open=False)

    def status(*grants: Grant, digest: str = noise) -> int:
        text = lk.tokens.create(grants).text
        return http.get(f"/objects/{digest}", headers={"authorization": f"Bearer {text}"}).status_code

    assert status(Grant(Verb.READ, "study1/*")) == 200
    assert status(Grant(Verb.READ)) == 200
    assert status(Grant(Verb.READ, "study2/*")) == 404
    assert status(Grant(Verb.READ, "study2/*"), digest="0" * 64) == 404
    assert status(Grant(Verb.WRITE, "study1/*")) == 404
    assert status(Grant(Verb.READ, "study1/*", regions=("chr17",))) == 403
    assert http.get(f"/objects/{noise}").status_code == 401


def test_shared_caches_keep_nothing_that_needs_a_token(lk: Lake, noise: str, client: Client) -> None:
    text = lk.tokens.create([Grant(Verb.READ)]).text
    answer = client(lk, open=False).head(f"/objects/{noise}", headers={"authorization": f"Bearer {text}"})
    assert answer.headers["cache-control"].startswith("private, ")


# -- damage -----------------------------------------------------------------------------------------------------------
def test_damaged_bytes_are_never_sent(lk: Lake, noise: str, client: Client) -> None:
    flip(object_file(lk, "study1/noise.bin"), 2_500_000)
    http = client(lk)
    answer = http.get(f"/objects/{noise}", headers={"range": "bytes=2500000-2500009"})
    assert answer.status_code == 500
    assert str(lk.root) not in answer.text
    assert http.get(f"/objects/{noise}", headers={"range": "bytes=0-99"}).content == NOISE[:100]
    received = bytearray()
    with http.stream("GET", f"/objects/{noise}") as cut, pytest.raises(httpx.RemoteProtocolError):
        receive(cut, received)
    assert NOISE.startswith(received)


def receive(answer: httpx.Response, into: bytearray) -> None:
    for piece in answer.iter_raw():
        into += piece


def test_a_client_that_leaves_is_not_read_for(lk: Lake, noise: str, live: Live) -> None:
    base = live(lk)
    where = urlsplit(base)
    for _ in range(20):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(f"GET /objects/{noise} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert httpx.get(f"{base}/objects/{noise}", trust_env=False).content == NOISE


# -- a proxy that sends files -----------------------------------------------------------------------------------------
def test_a_proxy_is_told_the_file_once_it_is_checked(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk, sendfile="X-Accel-Redirect", sendfile_prefix="/lake-files/")
    url, place = f"/objects/{noise}", f"/lake-files/objects/{noise[:2]}/{noise}"
    first = http.get(url)
    assert (first.content, first.headers.get("x-accel-redirect")) == (NOISE, None)
    second = http.get(url)
    assert (second.content, second.headers["x-accel-redirect"]) == (b"", place)
    assert second.headers["etag"] == f'"b3-{noise}"'
    ranged = http.get(url, headers={"range": "bytes=0-3"})
    assert (ranged.content, ranged.headers.get("x-accel-redirect")) == (NOISE[:4], None)
    assert http.get(url, headers={"if-none-match": f'"b3-{noise}"'}).status_code == 304
    assert http.head(url).headers["content-length"] == str(SIZE)


def test_nothing_is_sent_from_where_it_lies_no_more(lk: Lake, noise: str, client: Client) -> None:
    http = client(lk, sendfile="X-Accel-Redirect", sendfile_prefix="/lake-files/")
    url = f"/objects/{noise}"
    assert http.get(url).content == NOISE
    (lk.root / "objects" / noise[:2] / noise).rename(lk.root / "elsewhere")
    assert "x-accel-redirect" not in http.get(url).headers


def test_packed_objects_are_no_files_to_send(lk: Lake, tmp_path: Path, client: Client) -> None:
    digest = packed(lk, tmp_path)
    http = client(lk, sendfile="X-Accel-Redirect", sendfile_prefix="/lake-files")
    for _ in range(2):
        assert http.get(f"/objects/{digest}").text == "file 7\n" * 9
