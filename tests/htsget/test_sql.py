"""Queries over HTTP: every form of an answer, limits, and what strangers must not learn or do."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lake.lake import Lake
from tests.htsget.conftest import Client
from tests.lake.samples import make_bam, make_tree


@pytest.fixture
def asked(lk: Lake, tmp_path: Path, client: Client) -> httpx.Client:
    lk.put(make_tree(tmp_path / "t", {"a.txt": "a", "it's.csv": "x\n1\n"}), "t")
    lk.put(make_bam(tmp_path / "s.bam", index="bai"), "runs/s.bam")
    return client(lk, sql=True, sql_seconds=5.0)


def _json(answer: httpx.Response) -> object:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.text)


def test_it_is_off_by_default(lk: Lake, client: Client) -> None:
    http = client(lk)
    assert http.get("/sql", params={"query": "SELECT 1"}).status_code == 404
    assert http.post("/sql", json={"query": "SELECT 1"}).status_code == 404


def test_rows_as_json_by_get_and_post(asked: httpx.Client) -> None:
    query = "SELECT path, size FROM files WHERE path LIKE 't/%' ORDER BY path"
    wanted = [{"path": "t/a.txt", "size": 1}, {"path": "t/it's.csv", "size": 4}]
    assert _json(asked.get("/sql", params={"query": query})) == wanted
    assert _json(asked.post("/sql", json={"query": query})) == wanted
    body = {"query": "SELECT path FROM files WHERE path = $path", "params": {"path": "t/it's.csv"}}
    assert _json(asked.post("/sql", json=body)) == [{"path": "t/it's.csv"}]


def test_other_forms(asked: httpx.Client) -> None:
    query = {"query": "SELECT contig, records FROM contig_stats WHERE contig IS NOT NULL ORDER BY contig"}
    rows = _json(asked.get("/sql", params=query))
    assert isinstance(rows, list)
    assert len(rows) == 3
    lines = asked.get("/sql", params=query, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == rows
    arrow = asked.get("/sql", params={**query, "format": "arrow"})
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(arrow.content).read_all().to_pylist() == rows
    assert (
        pq.read_table(io.BytesIO(asked.get("/sql", params={**query, "format": "parquet"}).content)).to_pylist() == rows
    )
    text = asked.get("/sql", params=query, headers={"Accept": "text/csv"})
    assert pyarrow.csv.read_csv(io.BytesIO(text.content)).to_pylist() == rows
    assert asked.get("/sql", params={**query, "format": "xml"}).status_code == 400
    assert asked.get("/sql", params=query, headers={"Accept": "image/png"}).status_code == 406


def test_each_answer_sees_what_was_committed(asked: httpx.Client, lk: Lake, tmp_path: Path) -> None:
    query = {"query": "SELECT count(*) AS n FROM files"}
    assert _json(asked.get("/sql", params=query)) == [{"n": 3}]
    lk.rm("t/a.txt")
    assert _json(asked.get("/sql", params=query)) == [{"n": 2}]


def test_bad_queries(asked: httpx.Client) -> None:
    for query, told in {
        "SELEC 1": "syntax error",
        "SELECT nope FROM files": "nope",
        "SELECT * FROM fils": "files",
        "DELETE FROM files": "read-only",
        "SELECT 1; SELECT 2": "one query",
        "": "no query",
        "SELECT $x": "params",
    }.items():
        answer = asked.get("/sql", params={"query": query})
        assert answer.status_code == 400, query
        assert told in answer.json()["detail"], answer.text
    assert asked.get("/sql").status_code in (400, 422)
    assert asked.post("/sql", content=b"nonsense").status_code in (400, 415, 422)
    assert asked.post("/sql", json={"query": "x" * 200_000}).status_code in (400, 413, 422)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_databases",
        'SELECT * FROM "duckdb_settings"()',
        "FROM pragma_database_list",
        "SELECT current_setting('temp_directory')",
        "FROM query('FROM duckdb_data' || 'bases()')",
        "FROM query_table('duckdb_settings')",
        "FROM glob('/*')",
        """SELECT 1 AS "'", path FROM duckdb_databases() WHERE '' = ''""",
        """SELECT 1 AS "'", value FROM duckdb_settings/* */() WHERE value <> ''""",
        "SELECT $$'$$ AS a, path FROM duckdb_databases() WHERE path <> $$'$$",
        """SELECT 1 AS "'", current_setting/* /* */ */('temp_directory') || ''""",
        "SELECT current_setting\u200b('temp_directory')",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM read_text('/etc/hostname')",
        "COPY files TO '/tmp/out.csv'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
        "CALL duckdb_settings()",
        "FROM read_parquet('https://127.0.0.1:1/x.parquet')",
    ],
)
def test_nothing_of_the_host(asked: httpx.Client, lk: Lake, query: str) -> None:
    lk.catalog.publish(force=True)
    answer = asked.get("/sql", params={"query": query})
    assert answer.status_code == 400, answer.text
    assert str(lk.root) not in answer.text
    assert "root:" not in answer.text


def test_errors_name_no_place_on_disk(asked: httpx.Client, lk: Lake) -> None:
    lk.catalog.publish(force=True)
    for query in (
        "SELECT * FROM core.files",
        "EXPLAIN SELECT * FROM files",
        "SHOW ALL TABLES",
        "FROM information_schema.tables",
    ):
        assert str(lk.root) not in asked.get("/sql", params={"query": query}).text


def test_limits(lk: Lake, client: Client) -> None:
    http = client(lk, sql=True, sql_seconds=0.3, sql_bytes=10_000, sql_memory="64MB")
    slow = http.get(
        "/sql", params={"query": "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range + b.range = 1"}
    )
    assert slow.status_code == 400
    assert "stopped after" in slow.json()["detail"]
    large = http.get("/sql", params={"query": "SELECT repeat('x', 100) FROM range(1000)"})
    assert large.status_code == 413
    assert http.get("/sql", params={"query": "SELECT 1 AS one"}).json() == [{"one": 1}]


def test_queries_hold_up_nothing_else(lk: Lake, tmp_path: Path, client: Client) -> None:
    lk.put(make_tree(tmp_path / "t", {"a.txt": "a"}), "t")
    http = client(lk, sql=True, sql_seconds=3.0, sql_queries=1, threads=2)
    slow = {"query": "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range + b.range = 1"}
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(http.get, "/sql", params=slow) for _ in range(6)]
        assert http.get("/files/t/a.txt").text == "a"
        assert not any(each.done() for each in asked)
        assert {each.result().status_code for each in asked} == {400, 503}


def test_many_at_once(asked: httpx.Client) -> None:
    def ask(number: int) -> object:
        return asked.get("/sql", params={"query": f"SELECT {number} + count(*) AS n FROM files"}).json()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [[{"n": number + 3}] for number in range(40)]


def test_who_may(lk: Lake, tmp_path: Path, client: Client) -> None:
    from lake.grants import Grant, Verb

    lk.put(make_tree(tmp_path / "t", {"a.txt": "a"}), "t")
    reader = lk.tokens.create([Grant(Verb.READ)], name="reader").text
    asker = lk.tokens.create([Grant(Verb.READ), Grant(Verb.SQL)], name="asker").text
    http = client(lk, sql=True, open=False)
    query = {"query": "SELECT count(*) AS n FROM files"}
    assert http.get("/sql", params=query).status_code == 401
    assert http.get("/sql", params=query, headers={"Authorization": f"Bearer {reader}"}).status_code == 403
    assert _json(http.get("/sql", params=query, headers={"Authorization": f"Bearer {asker}"})) == [{"n": 1}]
