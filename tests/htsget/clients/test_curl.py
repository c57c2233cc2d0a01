"""curl on ``/files`` and ``/objects``: ranges, going on where a download stopped, conditions, uploads."""

from __future__ import annotations

import email.parser
import hashlib
from pathlib import Path

import pytest

from lake.digest import digest_of
from lake.lake import Lake
from tests.htsget.clients.conftest import Served, need, run, serving, succeed

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def curl() -> list[str]:
    return [*need("curl"), "--silent", "--show-error", "--fail", "--max-time", "30"]


@pytest.fixture(scope="module")
def data(made: Path) -> bytes:
    return (made / "s1.bam").read_bytes()


@pytest.fixture(scope="module", params=["files", "objects"])
def url(request: pytest.FixtureRequest, served: Served, data: bytes) -> str:
    """Where the bytes of s1.bam are."""
    return f"{served.url}/files/runs/s1.bam" if request.param == "files" else f"{served.url}/objects/{digest_of(data)}"


def head_of(said: bytes) -> dict[str, str]:
    """Header fields, lower case, and ``status``."""
    first, _, rest = said.decode().partition("\r\n")
    fields = email.parser.HeaderParser().parsestr(rest)
    return {"status": first.split()[1], **{name.lower(): value for name, value in fields.items()}}


def test_the_whole(curl: list[str], url: str, data: bytes) -> None:
    assert succeed(*curl, url) == data
    assert succeed(*curl, "--compressed", url) == data


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("0-99", slice(0, 100)),
        ("1000-1999", slice(1000, 2000)),
        ("-28", slice(-28, None)),
        ("5000-", slice(5000, None)),
    ],
)
def test_a_range(curl: list[str], url: str, data: bytes, wanted: str, part: slice) -> None:
    assert succeed(*curl, "-r", wanted, url) == data[part]


def test_several_ranges(curl: list[str], url: str, data: bytes, tmp_path: Path) -> None:
    body = succeed(*curl, "-D", tmp_path / "head", "-r", "0-9,100-109,-5", url)
    head = head_of((tmp_path / "head").read_bytes())
    assert head["status"] == "206"
    message = email.message_from_bytes(f"Content-Type: {head['content-type']}\r\n\r\n".encode() + body)
    parts = [
        (str(part["content-range"]), part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]
    size = len(data)
    assert parts == [
        (f"bytes 0-9/{size}", data[:10]),
        (f"bytes 100-109/{size}", data[100:110]),
        (f"bytes {size - 5}-{size - 1}/{size}", data[-5:]),
    ]


def test_going_on(curl: list[str], url: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(data[:12_345])
    succeed(*curl, "-C", "-", "-o", tmp_path / "part", url)
    assert (tmp_path / "part").read_bytes() == data


def test_a_range_that_is_not_there(curl: list[str], url: str, data: bytes) -> None:
    done = run(*curl, "-r", f"{len(data)}-", url)
    assert done.status != 0
    assert "416" in done.err


def test_the_head(curl: list[str], url: str, data: bytes) -> None:
    head = head_of(succeed(*curl, "--head", url))
    assert (head["status"], head["content-length"]) == ("200", str(len(data)))
    assert head["etag"] == f'"b3-{digest_of(data)}"'
    assert head["accept-ranges"] == "bytes"


def test_a_copy_that_is_fresh(curl: list[str], url: str, data: bytes, tmp_path: Path) -> None:
    etag, copy = tmp_path / "etag", tmp_path / "copy"
    succeed(*curl, "--etag-save", etag, "-o", copy, url)
    copy.unlink()
    assert succeed(*curl, "--etag-compare", etag, "-w", "%{http_code}", "-o", copy, url) == b"304"
    assert not copy.exists() or not copy.read_bytes()
    assert succeed(*curl, "-H", f"If-Range: {etag.read_text().strip()}", "-r", "0-9", url) == data[:10]
    assert succeed(*curl, "-H", 'If-Range: "another"', "-r", "0-9", url) == data


def test_a_slice(curl: list[str], served: Served, made: Path, tmp_path: Path) -> None:
    url = f"{served.url}/files/runs/s1.bam"
    succeed(*curl, "-G", "--data-urlencode", "region=chr1:10,001-20,000", "-o", tmp_path / "part.bam", url)
    ours = succeed("samtools", "view", tmp_path / "part.bam")
    assert ours == succeed("samtools", "view", made / "s1.bam", "chr1:10001-20000")


def test_an_upload(curl: list[str], data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s1.bam").write_bytes(data)
    Lake.init(tmp_path / "lake").close()
    with serving(tmp_path / "lake", tmp_path / "log") as base:
        succeed(*curl, "-T", tmp_path / "s1.bam", f"{base}/files/new/")
        succeed(*curl, "-T", "-", f"{base}/files/new/s2.bam", "-H", "Expect: 100-continue")
        got = succeed(*curl, f"{base}/files/new/s1.bam")
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_a_token(curl: list[str], guarded: Served, data: bytes) -> None:
    url = f"{guarded.url}/files/runs/s1.bam"
    assert "401" in run(*curl, url).err
    assert succeed(*curl, "-H", f"Authorization: Bearer {guarded.token}", url) == data
    assert "404" in run(*curl, "-H", f"Authorization: Bearer {guarded.token}", f"{guarded.url}/files/more/ref.fa").err
