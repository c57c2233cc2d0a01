"""``sql``: one query and its answer."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from blake3 import blake3
from pyarrow import parquet

from lake.catalog import generations
from lake.errors import BadQuery, Unsupported
from lake.results.answers import AnswerFormat, write_answer
from lake.results.cell_text import json_cells, plain_cells
from lake.results.grid import Grid, cell_width, harmless
from lake.results.query import ask
from tests.cli.conftest import LAKE, Run
from tests.lake.samples import NOISE

ENDLESS = "SELECT count(*) FROM range(1000000000000) t(i) WHERE i % 7 = 3"


@pytest.fixture
def filled(run: Run, files: Path) -> Run:
    (files / "noise").write_bytes(NOISE)
    run("put", f"{files}/.", "", "--meta", "n=1").works()
    return run


def written(query: str, form: AnswerFormat, width: int | None = None) -> str:
    with duckdb.connect() as connection:
        sink = io.BytesIO()
        with closing(ask(connection, query)) as answer:
            write_answer(answer, form, sink, width)
        return sink.getvalue().decode()


def rows(query: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(query, AnswerFormat.JSONL).splitlines()]


def test_the_formats_say_the_same(filled: Run, tmp_path: Path) -> None:
    query = "SELECT path, size, digest, attributes FROM files ORDER BY path"
    table = filled("sql", query).works().lines
    assert table[1].split()[1::2] == ["path", "size", "digest", "attributes"]
    assert table[-1] == "(6 rows)"
    found = filled("sql", query, "--format", "json").works().json
    assert found[0] == {"path": "a.txt", "size": 1, "digest": blake3(b"a").hexdigest(), "attributes": {"n": 1}}
    assert [json.loads(line) for line in filled("sql", query, "--format", "jsonl").works().lines] == found
    [head, *lines] = csv.reader(filled("sql", query, "--format", "csv").works().lines)
    assert head == ["path", "size", "digest", "attributes"]
    assert [[path, int(size)] for path, size, *_ in lines] == [[one["path"], one["size"]] for one in found]
    for suffix in ("arrow", "parquet", "csv", "json", "ndjson", "txt"):
        assert filled("sql", query, "-o", tmp_path / f"answer.{suffix}").works().out == b""
    with pa.ipc.open_stream(tmp_path / "answer.arrow") as reader:
        arrow = reader.read_all()
    assert arrow.column("path").to_pylist() == [one["path"] for one in found]
    assert parquet.read_table(tmp_path / "answer.parquet").equals(arrow)
    assert json.loads((tmp_path / "answer.json").read_text()) == found
    assert (tmp_path / "answer.txt").read_text().splitlines() == table
    assert len(os.listdir(tmp_path)) == 2 + 6  # nothing temporary is left beside the answers


def test_where_the_query_comes_from(filled: Run, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- how many?\nSELECT count(*) AS n\nFROM files;\n")
    for arguments, stdin in (
        (("-f", tmp_path / "q.sql"), b""),
        ((), b"SELECT count(*) AS n FROM files"),
        (("-",), b"SELECT count(*) AS n FROM files"),
        (("-f", "-"), b"\xef\xbb\xbfSELECT count(*) AS n FROM files"),
    ):
        assert filled("sql", *arguments, "--format", "csv", stdin=stdin).works().lines == ["n", "6"]
    assert "cannot read" in filled("sql", "-f", tmp_path / "none.sql").fails()
    assert "not UTF-8 at byte 2" in filled("sql", stdin=b"ab\xff").fails()
    assert "which no query is" in filled("sql", stdin=b" " * (10 << 20) + b"x").fails()
    assert "no query" in filled("sql", "").fails()


def test_parameters(filled: Run) -> None:
    query = "SELECT path FROM files WHERE path LIKE $like AND size = $size"
    done = filled("sql", query, "--param", "like=%.txt", "--param", "size=2", "--format", "csv")
    assert done.works().lines == ["path", "b.txt"]
    assert "--param like=VALUE" in filled("sql", "SELECT $like").fails()
    assert "other" in filled("sql", "SELECT $a", "--param", "a=1", "--param", "other=2").fails()
    assert "KEY=VALUE" in filled("sql", "SELECT $a", "--param", "a").fails()


def test_the_past(filled: Run) -> None:
    filled("tag", "v1").works()
    filled("rm", "a.txt", "b.txt").works()
    count = "SELECT count(*) AS n FROM files"
    assert filled("sql", count, "--format", "csv").works().lines[1] == "4"
    for ref in ("v1", "main~1", "1"):
        assert filled("sql", count, "--at", ref, "--format", "csv").works().lines[1] == "6"
    assert "v9" in filled("sql", count, "--at", "v9").fails()


def damage(root: Path) -> None:
    """Harm the blocks of every segment, as a disk would."""
    for path in (root / "catalog").glob("facts-*.duckdb"):
        path.chmod(0o600)
        with path.open("r+b") as file:
            for offset in range(3 * 4096 + 100, path.stat().st_size, 4096):
                file.seek(offset)
                file.write(b"\xff\x00\xff\x00")


def test_damage_in_a_large_generation_is_met_by_a_query(
    filled: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_HASHED", 0)
    query = "SELECT path, sum(length) AS bytes FROM files JOIN chunks USING (digest) GROUP BY path ORDER BY path"
    whole = filled("sql", query, "--format", "csv").works().lines
    filled("catalog", "publish").works()
    damage(root)
    assert filled("sql", query, "--format", "csv").works().lines == whole
    assert not list((root / "catalog").glob("generation-*.json"))
    filled("catalog", "publish").works()
    damage(root)
    assert "noise" in filled("find", "noise").works().text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_output_that_cannot_be_written(filled: Run, root: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [LAKE, "-C", str(root), "sql", "FROM files", "--format", "csv"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "lake: error: cannot write the answer to standard output: No space left on device\n"


def test_mistakes_show_their_place(filled: Run) -> None:
    done = filled("sql", "SELECT path,\n  siz FROM files")
    first, line, mark = done.err.splitlines()
    assert (done.status, done.out) == (1, b"")
    assert first.startswith('lake: error: Binder Error: Referenced column "siz" not found')
    assert '"size"' in first
    assert line == "LINE 2:   siz FROM files"
    assert mark.index("^") == line.index("siz")
    for query, wanted in (
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM fils", 'Did you mean "files"?'),
        ("SELECT lenght('a')", 'Did you mean "length"?'),
        ("SELECT * FROM connection", "connection does not exist"),
        ("SELECT 'x\x1b[2Jy'::INT", "\\u001b"),
    ):
        done = filled("sql", query)
        assert wanted in done.err
        assert done.err.splitlines()[1].startswith("LINE 1: ")
        assert "\x1b" not in done.err.partition("\n")[2]


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW files",
        "CREATE TABLE t(a INT)",
        "INSERT INTO files VALUES (1)",
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.db'",
        "SET threads = 1",
        "SELECT 1; SELECT 2",
        "BEGIN",
    ],
)
def test_only_one_reading_statement(filled: Run, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    filled("sql", query).fails()
    assert sorted(os.listdir()) == before


def test_an_output_is_whole_or_absent(filled: Run, tmp_path: Path) -> None:
    broken = "SELECT CASE WHEN i > 900000 THEN error('no') ELSE i END AS i FROM range(1000000) t(i)"
    (tmp_path / "old.csv").write_text("old")
    before = sorted(os.listdir(tmp_path))
    for name in ("old.csv", "new.csv", "new.parquet", "new.arrow", "new.json"):
        assert "no" in filled("sql", broken, "-o", tmp_path / name).fails()
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "old.csv").read_text() == "old"
    assert "--format" in filled("sql", "SELECT 1", "-o", tmp_path / "x.xlsx").fails()
    assert "is a directory" in filled("sql", "SELECT 1", "-o", tmp_path, "--format", "csv").fails()
    assert filled("sql", "SELECT 1 AS a", "-o", "/dev/null", "--format", "csv").works().out == b""
    assert not Path("/dev/null").is_file()


def test_limits(filled: Run) -> None:
    assert "--timeout" in filled("sql", ENDLESS, "--timeout", "200ms").fails()
    done = filled("sql", "SELECT i FROM range(1000000000000) t(i)", "--timeout", "0.2", "--format", "csv")
    assert (done.status, "--timeout" in done.err) == (1, True)
    hungry = "SELECT list(i) FROM range(100000000) t(i)"
    assert "--memory-limit" in filled("sql", hungry, "--memory-limit", "50MB").fails()
    filled("sql", "SELECT 1 AS a", "--memory-limit", "1GB", "--threads", "1", "--timeout", "1m").works()


@pytest.mark.parametrize(
    "arguments",
    [("--timeout", "soon"), ("--timeout", "0s"), ("--memory-limit", "2"), ("--threads", "0"), ("--format", "xml")],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("sql", "SELECT 1", *arguments)
    assert caught.value.code == 2


def test_ctrl_c_stops_a_query(filled: Run, root: Path) -> None:
    query = "SELECT i FROM range(1000000000000) t(i) WHERE i < 300000 OR i % 7 = 8"
    command = [LAKE, "-C", str(root), "sql", query, "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "i\n"  # and some thousands follow before it goes on in vain
        worker.send_signal(signal.SIGINT)
        _, err = worker.communicate(timeout=60)
        assert (worker.returncode, err) == (130, "lake: error: interrupted\n")


def test_the_reader_of_a_pipe_may_leave(filled: Run, root: Path) -> None:
    query = "SELECT i FROM range(1000000000000) t(i)"
    command = [LAKE, "-C", str(root), "sql", query, "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        assert worker.stdout.readline() == b"i\n"
        worker.stdout.close()
        assert worker.stderr.read() == b""
        assert worker.wait(timeout=60) in (141, -signal.SIGPIPE)


def test_values_as_json() -> None:
    [row] = rows(
        "SELECT 1 AS a, 2 AS a, NULL AS n, 'nan'::DOUBLE AS nan, '-inf'::FLOAT AS inf, 1.0::DOUBLE AS one,"
        " 0.0000001::DECIMAL(9,7) AS small, 170141183460469231731687303715884105727::HUGEINT AS huge, true AS yes,"
        " TIMESTAMP '2026-11-20 01:02:03.25' AS ts, DATE '2026-11-20' AS day, INTERVAL '1 month -1.5 seconds' AS span,"
        " '\\xAB'::BLOB AS blob, [1, NULL] AS list, {'a': ['x\"\\'], 'b': NULL} AS struct, MAP{1: 'v'} AS map,"
        " '{\"q\":\n[1]}'::JSON AS json, 'a'::ENUM('a', 'b') AS enum, [[1], []]::INT[][2] AS fixed, chr(7) AS bell"
    )
    assert row == {
        "a": 1,
        "a_1": 2,
        "n": None,
        "nan": "NaN",
        "inf": "-Infinity",
        "one": 1.0,
        "small": 1e-7,
        "huge": 2**127 - 1,
        "yes": True,
        "ts": "2026-11-20T01:02:03.250000",
        "day": "2026-11-20",
        "span": "P1MT-1.5S",
        "blob": "ab",
        "list": [1, None],
        "struct": {"a": ['x"\\'], "b": None},
        "map": {"1": "v"},
        "json": {"q": [1]},
        "enum": "a",
        "fixed": [[1], []],
        "bell": "\x07",
    }
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        sink = io.BytesIO()
        with closing(ask(connection, "SELECT TIMESTAMPTZ '2026-11-20 00:00:00+00' AS t")) as answer:
            write_answer(answer, AnswerFormat.JSONL, sink)
    assert json.loads(sink.getvalue()) == {"t": "2026-11-20T05:30:00+05:30"}


def test_json_of_many_rows() -> None:
    found = json.loads(written("SELECT i, 'x' || chr(10) || i AS s FROM range(50001) t(i)", AnswerFormat.JSON))
    assert [row["i"] for row in found] == list(range(50001))
    assert found[-1]["s"] == "x\n50000"
    assert written("SELECT 1 AS a WHERE false", AnswerFormat.JSON) == "[]\n"


def test_parts_of_nested_columns() -> None:
    whole = pa.chunked_array([[None, [{"k": 1}], [], [{"k": None}, {"k": 3}], None]]).chunk(0)
    for start in range(5):
        part = whole.slice(start, 2)
        assert [json.loads(text.as_py()) for text in json_cells(part)] == part.to_pylist()
        assert [text.is_valid for text in plain_cells(part)] == [value.is_valid for value in part]


def test_csv() -> None:
    text = written("SELECT ',' AS \"a,b\", '' AS e, NULL AS n, 'x\"y' AS q, [1, 2] AS l, 3 AS i", AnswerFormat.CSV)
    assert text == '"a,b",e,n,q,l,i\n",","",,"x""y","[1,2]",3\n'


def test_what_has_no_faithful_form() -> None:
    with pytest.raises(BadQuery, match=r"::VARCHAR"):
        written("SELECT '101'::BIT AS b", AnswerFormat.CSV)
    with pytest.raises(Unsupported, match="VARCHAR"):
        written("SELECT INTERVAL 1 DAY AS i", AnswerFormat.PARQUET)


def test_tables_for_terminals() -> None:
    query = (
        "SELECT i, repeat('日', i % 50) AS wide, repeat('ab', 30) AS z, chr(27) || '[2J' AS esc FROM range(1234) t(i)"
    )
    lines = written(query, AnswerFormat.TABLE, 60).splitlines()
    assert {cell_width(line) for line in lines[:-1]} <= set(range(61))
    assert len({cell_width(line) for line in lines[:-1]}) == 1
    assert lines[-1] == "(1,234 rows, 40 shown)"
    assert [line.split()[1] for line in lines[4:-2]] == [*map(str, range(20)), "·", *map(str, range(1214, 1234))]
    assert not [line for line in lines if "\x1b" in line]
    narrow = written(query, AnswerFormat.TABLE, 30).splitlines()
    assert narrow[-1] == "(1,234 rows, 40 shown, 2 of 4 columns hidden)"
    everything = written(query, AnswerFormat.TABLE).splitlines()
    assert len(everything) == 1234 + 6
    assert everything[-1] == "(1,234 rows)"
    assert written("SELECT 1 AS a", AnswerFormat.TABLE, 80).splitlines()[-1] == "(1 row)"


def test_plans_are_drawn_as_they_are() -> None:
    assert "\\n" not in written("EXPLAIN SELECT 1", AnswerFormat.TABLE, 80)


def test_grid() -> None:
    assert harmless("a\tb\u202e\x9b") == "a\\tb\\u202e\\u009b"
    grid = Grid.fit([3, 40, 5], frozenset([0]), 30)
    assert grid.line(["1", "x" * 40, "end"]) == "│   1 │ xxxxxxxxxxx… │ end   │"
    assert grid.columns == 3
