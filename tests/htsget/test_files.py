"""Files over HTTP as programs read them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.csv
import pytest

from lake.grants import Grant, Verb, region_grant
from lake.htsget.access import Principal
from lake.htsget.listing import list_page
from lake.lake import Lake
from tests.htsget.conftest import Client, Live
from tests.lake.samples import make_bam, make_tree, sam_text

TABLE = "name,value\n" + "".join(f"n{number},{number}\n" for number in range(1000))


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    source = make_tree(
        tmp_path / "in", {"runs/x.csv": TABLE, "runs/deep/y.txt": "y", "runs-old.txt": "old", "z/é #%41.txt": "odd"}
    )
    lk.put([source / "runs", source / "runs-old.txt", source / "z"])
    make_bam(tmp_path / "s1.bam", index="bai")
    lk.put(tmp_path / "s1.bam", "bams/s1.bam")
    return lk


def token(lk: Lake, *grants: Grant) -> dict[str, str]:
    return {"authorization": f"Bearer {lk.tokens.create(list(grants)).text}"}


def paths(pages: Sequence[dict[str, str]]) -> list[str]:
    return [entry["path"] for entry in pages]


def test_pandas_and_pyarrow_read_a_file(filled: Lake, live: Live) -> None:
    url = f"{live(filled)}/files/runs/x.csv"
    assert pd.read_csv(url).value.sum() == sum(range(1000))
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    with fsspec.open(url, "rb") as file:
        assert pyarrow.csv.read_csv(file).num_rows == 1000


def test_bytes_ranges_and_revalidation(filled: Lake, client: Client) -> None:
    http = client(filled)
    whole = http.get("/files/runs/x.csv")
    assert whole.text == TABLE
    digest = filled.stat("runs/x.csv").digest
    assert whole.headers["etag"] == f'"b3-{digest}"'
    assert "immutable" not in whole.headers["cache-control"]
    assert "no-cache" in whole.headers["cache-control"]
    assert whole.headers["last-modified"].endswith("GMT")
    assert whole.headers["content-type"].startswith("text/")
    again = http.get("/files/runs/x.csv", headers={"if-none-match": whole.headers["etag"]})
    assert again.status_code == 304
    part = http.get("/files/runs/x.csv", headers={"range": "bytes=5-9"})
    assert (part.status_code, part.text) == (206, TABLE[5:10])
    head = http.head("/files/runs/x.csv")
    assert (head.headers["content-length"], head.content) == (str(len(TABLE)), b"")
    filled.repo.close()
    make_tree(filled.root.parent, {"new.csv": "a\n"})
    filled.put(filled.root.parent / "new.csv", "runs/x.csv")
    assert http.get("/files/runs/x.csv", headers={"if-none-match": whole.headers["etag"]}).text == "a\n"
    assert http.get("/files/runs/x.csv?ref=1").text == TABLE
    assert http.get("/files/@1/runs/x.csv").text == TABLE


def test_a_description(filled: Lake, client: Client) -> None:
    http = client(filled)
    described = http.get("/files/bams/s1.bam?meta=1").json()
    assert (described["path"], described["format"], described["type"]) == ("bams/s1.bam", "BAM", "file")
    assert described["artifacts"]
    by_accept = http.get("/files/bams/s1.bam", headers={"accept": "application/json"})
    assert by_accept.json() == described
    for accept in ("*/*", "application/json, text/plain, */*", "application/octet-stream"):
        assert http.get("/files/bams/s1.bam", headers={"accept": accept}).content[:2] == b"\x1f\x8b"
    name = http.get("/files/bams/s1.bam?filename=a%22b.bam").headers["content-disposition"]
    assert name.startswith("attachment")


def test_regions_are_a_small_file(filled: Lake, client: Client, tmp_path: Path) -> None:
    http = client(filled)
    answer = http.get("/files/bams/s1.bam", params={"region": ["chr1:1,000-5000", "chr2:1-900"]})
    (tmp_path / "slice.bam").write_bytes(answer.content)
    assert sam_text(tmp_path / "slice.bam") == sam_text(tmp_path / "s1.bam", "chr1:1000-5000", "chr2:1-900")
    assert answer.headers["etag"].startswith('"slice-')
    known = http.get("/files/bams/s1.bam?region=chr2:1-900&region=chr1:1000-5000", headers={"if-none-match": "*"})
    assert known.status_code == 304
    assert http.get("/files/bams/s1.bam?region=chr9:1-2").status_code == 400
    assert http.get("/files/runs/x.csv?region=chr1").status_code == 400


def test_listing(filled: Lake, client: Client) -> None:
    http = client(filled)
    top = http.get("/files").json()
    assert paths(top["entries"]) == ["bams", "runs-old.txt", "runs", "z"]
    assert (top["ref"], top["next"]) == ("main", None)
    assert paths(http.get("/files?prefix=runs/").json()["entries"]) == ["runs/deep", "runs/x.csv"]
    assert paths(http.get("/files?prefix=runs").json()["entries"]) == ["runs-old.txt", "runs"]
    assert paths(http.get("/files/runs").json()["entries"]) == ["runs/deep", "runs/x.csv"]
    everything = paths(http.get("/files?recursive=1").json()["entries"])
    assert everything == ["bams/s1.bam", "runs-old.txt", "runs/deep/y.txt", "runs/x.csv", "z/é #%41.txt"]
    assert paths(http.get("/files?recursive=1&prefix=runs/d").json()["entries"]) == ["runs/deep/y.txt"]
    assert http.get("/files/nothing").status_code == 404


@pytest.mark.parametrize("recursive", [False, True])
def test_pages_are_the_whole(filled: Lake, recursive: bool) -> None:
    principal = Principal("", (Grant(Verb.READ),))
    filled.mkdir("runs/empty")
    whole = list_page(filled.tree(), principal, recursive=recursive).entries
    for limit in range(1, 7):
        found, after = [], ""
        while True:
            page = list_page(filled.tree(), principal, recursive=recursive, after=after, limit=limit)
            found += page.entries
            if page.after is None:
                break
            assert len(page.entries) == limit
            after = page.after
        assert found == whole


def test_nothing_shows_what_may_not_be_seen(filled: Lake, client: Client) -> None:
    http = client(filled, open=False)
    http.headers.update(token(filled, Grant(Verb.READ, "runs/deep/*")))
    assert paths(http.get("/files").json()["entries"]) == ["runs"]
    assert paths(http.get("/files?recursive=1").json()["entries"]) == ["runs/deep/y.txt"]
    assert http.get("/files/runs/deep/y.txt").text == "y"
    hidden, absent = http.get("/files/runs/x.csv"), http.get("/files/runs/none.csv")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["detail"] == absent.json()["detail"]
    assert http.get("/files/z").content == http.get("/files/q").content
    http.headers.pop("authorization")
    for path in ("/files", "/files/", "/files/runs/x.csv", "/files/none"):
        assert http.get(path).status_code == 401


def test_limits_to_regions(filled: Lake, client: Client) -> None:
    http = client(filled, open=False)
    http.headers.update(token(filled, Grant(Verb.READ), region_grant("bams/s1.bam=chr1:1-10000")))
    assert http.get("/files/bams/s1.bam?meta=1").status_code == 200
    assert http.get("/files/bams/s1.bam").status_code == 403
    assert http.get("/files/bams/s1.bam?region=chr1:5-10000").status_code == 200
    for region in ("chr1:5-10001", "chr2:1-10", "chr1", "*", "."):
        assert http.get("/files/bams/s1.bam", params={"region": [region, "chr1:5-6"]}).status_code == 403, region


def test_limits_to_regions_that_the_file_does_not_have(filled: Lake, client: Client) -> None:
    http = client(filled, open=False)
    http.headers.update(token(filled, Grant(Verb.READ), region_grant("bams/*=chrNone:1-5")))
    for url in ("/files/bams/s1.bam?region=chr1:1-10", "/reads/bams/s1.bam?referenceName=chr1&start=0&end=9"):
        assert http.get(url).status_code == 403, url


def test_odd_and_hostile_paths(filled: Lake, client: Client) -> None:
    http = client(filled)
    assert http.get("/files/z/%C3%A9%20%23%2541.txt").text == "odd"
    hostile = ("%2e%2e/%2e%2e/etc/passwd", "a/..%2fb", "a%00b", "%ff", "@", "@nope/x", "a" * 6000, "%2e%2e%5c")
    for path in hostile:
        answer = http.get(f"/files/{path}")
        assert answer.status_code in (400, 404), path
        assert str(filled.root) not in answer.text
    for query in ("limit=0", "limit=x", "limit=99999", "ref=a%20b", "ref=..", "prefix=../x"):
        assert http.get(f"/files?{query}").status_code in (400, 404), query


def test_too_many_regions(filled: Lake, client: Client) -> None:
    http = client(filled, max_regions=10)
    assert http.get("/files/bams/s1.bam", params={"region": ["chr1:1-9"] * 10}).status_code == 200
    assert http.get("/files/bams/s1.bam", params={"region": ["chr1:1-9"] * 11}).status_code == 400


def test_no_content_encoding(filled: Lake, client: Client) -> None:
    text = io.BytesIO()
    with gzip.GzipFile(fileobj=text, mode="wb") as file:
        file.write(TABLE.encode())
    (filled.root.parent / "x.csv.gz").write_bytes(text.getvalue())
    filled.put(filled.root.parent / "x.csv.gz", "x.csv.gz")
    http = client(filled)
    answer = http.get("/files/x.csv.gz", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.content == text.getvalue()


def test_the_description_of_these_interfaces(filled: Lake, client: Client) -> None:
    described = client(filled).get("/openapi.json").json()["paths"]
    wanted = {
        "/files": {"get"},
        "/files/{path}": {"get", "put", "delete"},
        "/uploads": {"options", "post"},
        "/uploads/{upload}": {"head", "patch", "delete", "post"},
        "/watch": {"get"},
    }
    for path, methods in wanted.items():
        assert methods <= described[path].keys(), path
    assert "application/octet-stream" in described["/files/{path}"]["put"]["requestBody"]["content"]
