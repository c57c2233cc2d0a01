"""What a read-only catalog takes, what it says of the rest, and the macros of regions."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lake.catalog.statements import check_query
from lake.catalog.views import MACROS
from lake.errors import BadQuery
from lake.lake import Lake
from tests.catalog.conftest import Put

READING = [
    "SELECT 1",
    "FROM files",
    "VALUES (1), (2)",
    "TABLE files",
    "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
    "WITH t AS MATERIALIZED (SELECT 1 AS a) FROM t",
    "DESCRIBE files",
    "SUMMARIZE files",
    "SHOW TABLES",
    "SHOW files",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (FORMAT json) SELECT 1",
    "PIVOT files ON format USING count(*)",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
    "FROM (PIVOT files ON format USING count(*))",
    "SELECT 1;",
    "SELECT 1 -- ; DROP TABLE files",
    "SELECT '(INSERT INTO x' AS a /* (DELETE FROM files) */",
    "SELECT $$ (DELETE FROM files) $$",
    "SELECT $$ it's $$, '(DELETE FROM y)'",
    """SELECT path AS "(UPDATE files SET" FROM files""",
    "SELECT (update) FROM (SELECT 1 AS update)",
    "-- a comment first\nSELECT 1",
]

CHANGING = [
    "INSERT INTO files VALUES (1)",
    "UPDATE files SET path = ''",
    "DELETE FROM files",
    "TRUNCATE tail.files",
    "CREATE TABLE x(a INT)",
    "CREATE OR REPLACE VIEW files AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "DROP VIEW files",
    "ALTER VIEW files RENAME TO x",
    "COMMENT ON VIEW files IS 'x'",
    "VACUUM",
    "WITH t AS (SELECT 1) INSERT INTO tail.files SELECT * FROM t",
    "EXPLAIN ANALYZE DELETE FROM tail.files",
    "EXPLAIN (ANALYZE) INSERT INTO tail.files SELECT 1",
    "explain /* x */ analyze\n  CREATE TABLE x(a INT)",
]

INSIDE = [
    "WITH d AS (DELETE FROM tail.files RETURNING *) FROM d",
    "WITH d AS MATERIALIZED ( /* x */ insert INTO tail.files SELECT 1 RETURNING *) FROM d",
    "WITH d AS (UPDATE tail.files SET path = 'x' RETURNING *) FROM d",
    "WITH a AS (SELECT $$ ' $$), d AS (DELETE FROM tail.files RETURNING *) FROM d",
    "EXPLAIN ANALYZE WITH d AS (DELETE FROM tail.files RETURNING *) FROM d",
]

OTHER = [
    "SET threads = 1",
    "RESET threads",
    "USE memory",
    "BEGIN",
    "CHECKPOINT",
    "ATTACH 'x.db'",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPORT DATABASE 'x'",
]


@pytest.mark.parametrize("query", READING)
def test_questions(lk: Lake, put: Put, query: str) -> None:
    put("a.txt", "a")
    assert lk.sql(query).fetchall()


@pytest.mark.parametrize("query", CHANGING)
def test_changes_are_refused(lk: Lake, query: str) -> None:
    with pytest.raises(BadQuery, match="the catalog is read-only"):
        lk.sql(query)
    assert lk.sql("SELECT count(*) FROM files").fetchall() == [(0,)]


@pytest.mark.parametrize("query", INSIDE)
def test_changes_inside_of_questions_are_refused(lk: Lake, query: str) -> None:
    # DuckDB before 2.0 refuses them itself.
    with pytest.raises(BadQuery, match=r"the catalog is read-only|CTE needs a SELECT"):
        lk.sql(query)


@pytest.mark.parametrize("query", OTHER)
def test_what_is_no_question(lk: Lake, query: str) -> None:
    with pytest.raises(BadQuery, match="is not a query: the catalog answers SELECT"):
        lk.sql(query)


@pytest.mark.parametrize("form", ["", "EXPLAIN ANALYZE "])
def test_files_are_not_written(lk: Lake, tmp_path: Path, form: str) -> None:
    with pytest.raises(BadQuery, match="COPY"):
        lk.sql(f"{form}COPY (SELECT 1) TO '{tmp_path}/out.csv'")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "no query"),
        (" ; ", "no query"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT 1; DROP VIEW files", "2 statements"),
        ("SELEC 1", "syntax error"),
        ("SELECT pth FROM files", "path"),
        ("FROM filess", "files"),
    ],
)
def test_what_is_wrong_is_said(lk: Lake, query: str, message: str) -> None:
    with pytest.raises(BadQuery, match=message):
        lk.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('/*')",
        "FROM read_parquet('https://localhost/x.parquet')",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "COPY tail.files FROM '/etc/passwd'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET threads = 1",
        "SET lock_configuration = false",
        "EXPORT DATABASE '/tmp/x'",
        "FROM secret",
    ],
)
def test_a_sandbox_reaches_nothing_outside(lk: Lake, put: Put, query: str) -> None:
    secret = [1, 2, 3]
    put("a.txt", "a")
    lk.catalog.publish(force=True)
    with lk.catalog.connect(sandbox=True) as connection:
        with pytest.raises(duckdb.Error):
            connection.execute(query).fetchall()
        put("b.txt", "b")
        assert connection.refresh()
        with pytest.raises(duckdb.Error):
            connection.execute(query).fetchall()
        assert connection.sql("SELECT count(*) FROM files").fetchall() == [(2,)]
    assert secret


MACRO_CONNECTION = duckdb.connect()
for macro in MACROS:
    MACRO_CONNECTION.execute(macro)


def overlaps(contig: str | None, start: int | None, stop: int | None, region: str | None) -> bool:
    question = 'SELECT "overlaps"($contig, $start::BIGINT, $stop::BIGINT, $region)'
    values = {"contig": contig, "start": start, "stop": stop, "region": region}
    return bool(MACRO_CONNECTION.execute(question, values).fetchall()[0][0])


def plain(name: str) -> str:
    """A contig as the macros compare it."""
    bare = re.sub("^chr", "", name, flags=re.IGNORECASE)
    return "MT" if bare.upper() in ("M", "MT") else bare


CONTIGS = st.sampled_from(
    ["chr1", "1", "chr2", "Chr2", "MT", "chrM", "M", "X", "HLA-A*01:01", "HLA-A*01", "a.b", "it's"]
)
POSITIONS = st.integers(0, 60)


@given(CONTIGS, POSITIONS, POSITIONS, CONTIGS, st.none() | POSITIONS, st.none() | POSITIONS, st.booleans())
@example("HLA-A*01:01", 0, 5, "HLA-A*01:01", None, None, False)
@example("HLA-A*01", 0, 5, "HLA-A*01", 1, None, False)
def test_overlaps_is_what_samtools_means(
    contig: str, start: int, length: int, asked: str, first: int | None, last: int | None, braces: bool
) -> None:
    stop = start + length + 1
    name = f"{{{asked}}}" if braces or (":" in asked and first is not None) else asked
    region = name
    if first is not None:
        region += f":{first + 1:,}" + (f"-{first + 1 + last}" if last is not None else "")
    low = first if first is not None else 0
    high = first + 1 + last if first is not None and last is not None else 1 << 60
    wanted = plain(contig) == plain(asked) and stop > low and start < high
    if first is None and ":" in asked and not braces:
        # Not told from a range of a contig with a shorter name, as in samtools; the contig's own name always counts.
        wanted = contig == asked or (plain(contig) == "HLA-A*01" and stop > 0)
    assert overlaps(contig, start, stop, region) == wanted


@pytest.mark.parametrize(
    ("contig", "start", "stop", "region", "wanted"),
    [
        ("c", 99, 100, "c:100", True),
        ("c", 98, 99, "c:100", False),
        ("c", 500, 501, "c:100", True),
        ("c", 0, 1, "c", True),
        ("c", 99, 100, "c:100-100", True),
        ("c", 100, 101, "c:100-100", False),
        ("c", 10, 20, "c:1,000-2,000", False),
        ("c", 1500, 1501, "c:1,000-2,000", True),
        ("c", 5, 6, "c:7-", False),
        ("c", 7, 8, "c:7-", True),
        (None, None, None, "c", False),
        ("c", None, None, "c:1-5", False),
        ("c", 0, 5, None, False),
        ("HLA-DRB1*15:01:01:01", 5, 6, "{HLA-DRB1*15:01:01:01}:6-6", True),
        ("HLA-DRB1*15:01:01:01", 5, 6, "{HLA-DRB1*15:01:01:01}:7-8", False),
        ("HLA-DRB1*15:01:01:01", 5, 6, "HLA-DRB1*15:01:01:01", True),
    ],
)
def test_regions(contig: str | None, start: int | None, stop: int | None, region: str | None, wanted: bool) -> None:
    assert overlaps(contig, start, stop, region) is wanted


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0, 1e3))
def test_within_ppm(value: float, target: float, ppm: float) -> None:
    (row,) = MACRO_CONNECTION.execute("SELECT within_ppm(?, ?, ?)", [value, target, ppm]).fetchall()
    assert row[0] == (target - target * ppm / 1e6 <= value <= target + target * ppm / 1e6)
    assert MACRO_CONNECTION.execute("SELECT within_ppm(NULL, 1.0, 1)").fetchall() == [(None,)]


def test_a_query_of_a_text_and_its_statement() -> None:
    with duckdb.connect() as connection:
        assert check_query(connection, "SELECT 1").type.name == "SELECT"
