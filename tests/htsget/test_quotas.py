"""Quotas over HTTP: 507, before a byte is sent where its size is known."""

from __future__ import annotations

from collections.abc import Iterator

from lake.lake import Lake
from tests.htsget.conftest import Client
from tests.lake.samples import staged

TUS = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "path cy9iLnR4dA=="}  # s/b.txt


def test_a_put_beyond_the_bound(lk: Lake, client: Client) -> None:
    lk.set_quota("s", hard=5)
    http = client(lk)
    assert http.put("/files/s/a.txt", content=b"12345").status_code == 201
    refused = http.put("/files/s/b.txt", content=b"6")
    assert refused.status_code == 507
    assert "s on main would hold 6 B" in refused.text
    assert http.put("/files/s/a.txt", content=b"123").status_code == 200

    def unsized() -> Iterator[bytes]:
        yield b"456"

    assert http.put("/files/s/b.txt", content=unsized()).status_code == 507
    assert not lk.exists("s/b.txt")
    assert staged(lk) == []


def test_an_upload_in_parts(lk: Lake, client: Client) -> None:
    lk.set_quota("s", hard=5)
    http = client(lk)
    assert http.post("/uploads", headers={**TUS, "Upload-Length": "6"}).status_code == 507
    begun = http.post("/uploads", headers={**TUS, "Upload-Length": "4"})
    assert begun.status_code == 201
    assert http.put("/files/s/a.txt", content=b"12").status_code == 201
    part = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert http.patch(begun.headers["location"], content=b"3456", headers=part).status_code == 507
    assert not lk.exists("s/b.txt")
