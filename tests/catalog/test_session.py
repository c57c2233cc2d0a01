"""Connections that are held: relations, threads, forks, and what DuckDB itself allows."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lake.artifacts import FACTS_PREFIX
from lake.catalog.limits import Limits
from lake.errors import BadQuery, NotFound
from lake.facts import pack_facts
from lake.feed import LakeFeed
from lake.formats.facts.kinds import fact_table
from lake.journal.values import Artifact
from lake.lake import Lake
from tests.catalog.conftest import Put
from tests.catalog.truth import check

COUNT = "SELECT count(*) FROM files"
_TOP = Path(__file__).parents[2]


def test_a_held_connection_sees_more_only_when_refreshed(lk: Lake, put: Put) -> None:
    put("a.txt", "a")
    with lk.catalog.connect() as connection:
        assert not connection.refresh()
        put("b.txt", "b")
        assert connection.sql(COUNT).fetchall() == [(1,)]
        assert connection.execute("SELECT path FROM files").fetchall() == [("a.txt",)]
        lk.catalog.refresh()
        assert connection.sql(COUNT).fetchall() == [(2,)]
        assert connection.reach.seq == 2
    connection.close()
    with pytest.raises(duckdb.ConnectionException):
        connection.sql(COUNT)


@pytest.mark.parametrize("publish", [False, True])
def test_relations_outlive_what_happens_meanwhile(lk: Lake, put: Put, publish: bool) -> None:
    for number in range(3):
        put(f"{number}.txt", "x")
    lk.catalog.publish(force=True)
    relation = lk.sql("SELECT path FROM files ORDER BY path")
    derived = lk.sql("SELECT path FROM files").filter("path = '1.txt'")
    asked: Any = lk.sql("SELECT path FROM files ORDER BY path")
    # DuckDB before 2.0 has another name for it.
    begun = (asked.to_arrow_reader if hasattr(asked, "to_arrow_reader") else asked.fetch_record_batch)(1)
    assert begun.read_next_batch()["path"].to_pylist()[0] == "0.txt"
    for number in range(4):
        put(f"later{number}.txt", "x")
        if publish:
            lk.catalog.publish(force=True)
        assert lk.sql(COUNT).fetchall() == [(4 + number,)]
    assert not any("later" in path for batch in begun for path in batch["path"].to_pylist())
    assert ("2.txt",) in relation.fetchall()
    assert derived.fetchall() == [("1.txt",)]
    assert relation.project("length(path)").fetchall()


def test_arrow_is_named_in_queries(lk: Lake, put: Put) -> None:
    put("a.txt", "a")
    table = pa.table({"path": ["a.txt", "b.txt"], "age": [1, 2]})
    question = "SELECT path, age FROM files JOIN mine USING (path) WHERE age = ?"
    assert lk.sql(question, [1], mine=table).fetchall() == [("a.txt", 1)]
    with pytest.raises(BadQuery, match="mine"):
        lk.sql(question, [1])
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    assert lk.sql("SELECT sum(age) FROM mine WHERE path = $p", {"p": "b.txt"}, mine=reader).fetchall() == [(2,)]


def test_threads_ask_while_others_commit_and_publish(lk: Lake, put: Put) -> None:
    """Every answer is that of some moment: the two files of a commit come together."""
    put("start", "x")
    failures: list[object] = []
    done = threading.Event()

    def ask() -> None:
        seen = 0
        while not done.is_set():
            ((pairs, odd),) = lk.sql(
                "SELECT count(*) FILTER (path LIKE 'l/%'), count(*) FILTER (path LIKE 'r/%') FROM files"
            ).fetchall()
            if pairs != odd or pairs < seen:
                failures.append((pairs, odd, seen))
            seen = pairs

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):
            with lk.commit():
                put(f"l/{number}", "x")
                put(f"r/{number}", "x")
            if number % 4 == 3:
                lk.catalog.publish(force=True)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    check(lk)


_FORKING = """
import os, sys
import lake
from tests.catalog.truth import check
COUNT = "SELECT count(*) FROM files"
lk = lake.open(sys.argv[1])
with lk.catalog.connect() as held:
    relation = lk.sql("SELECT path FROM files")
    relation.fetchall()
    child = os.fork()
    if not child:
        try:
            with lk.open("b.txt", "w") as file:
                file.write("b")
            assert lk.sql(COUNT).fetchall() == [(2,)]
            lk.catalog.refresh()
            with lk.catalog.connect() as own:
                check(lk, own)
            lk.catalog.publish(force=True)
            lk.close()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert ("a.txt",) in relation.fetchall()
    assert lk.sql(COUNT).fetchall() == [(2,)]
    assert held.sql(COUNT).fetchall() == [(1,)]
"""


def test_a_forked_child_may_ask_too(lk: Lake, put: Put) -> None:
    put("a.txt", "a")
    lk.catalog.publish(force=True)
    # In a process with one session and no other threads: DuckDB takes no responsibility for forks beside its threads.
    done = subprocess.run(
        [sys.executable, "-c", _FORKING, str(lk.root)], capture_output=True, text=True, timeout=120, cwd=_TOP
    )
    assert done.returncode == 0, done.stderr


def test_limits(lk: Lake) -> None:
    with lk.catalog.connect(limits=Limits(memory="200MB", threads=1)) as connection:
        assert connection.sql("SELECT current_setting('threads')").fetchall() == [(1,)]
        assert "190" in connection.sql("SELECT current_setting('memory_limit')").fetchall()[0][0]


def test_a_ref_that_is_not_there(lk: Lake, put: Put) -> None:
    with pytest.raises(NotFound):
        lk.catalog.connect(at="nothing")
    put("a.txt", "a")
    lk.repo.journal.create_tag("v1", "main")
    with lk.catalog.connect(at="v1") as connection:
        put("b.txt", "b")
        connection.refresh()
        assert connection.sql(COUNT).fetchall() == [(1,)]


def test_comments_say_what_columns_are(lk: Lake) -> None:
    missing = lk.sql(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
        " AND database_name = 'memory' AND schema_name = 'main'"
    ).fetchall()
    assert missing == []


def test_a_pickled_lake_asks(lk: Lake, put: Put) -> None:
    put("a.txt", "a")
    lk.sql(COUNT)
    with pickle.loads(pickle.dumps(lk)) as other:
        assert other.sql(COUNT).fetchall() == [(1,)]


def test_facts_that_are_replaced_while_they_are_read_are_not_missed(
    lk: Lake, bams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.put(bams / "a.bam")
    digest = lk.reader("a.bam").source
    tip = LakeFeed.tip

    def tip_then_replaced(feed: LakeFeed) -> object:
        found = tip(feed)
        body = pack_facts(fact_table("samples", [("late",)])["samples"])
        lk.repo.journal.add_artifacts([Artifact(digest, f"{FACTS_PREFIX}samples", "1", body)])
        return found

    body = pack_facts(fact_table("samples", [("early",)])["samples"])
    lk.repo.journal.add_artifacts([Artifact(digest, f"{FACTS_PREFIX}samples", "1", body)])
    monkeypatch.setattr(LakeFeed, "tip", tip_then_replaced)
    with lk.catalog.connect() as connection:
        assert connection.sql("SELECT sample FROM samples").fetchall() == [("late",)]
    lk.catalog.publish(force=True)
    monkeypatch.undo()
    assert lk.sql("SELECT sample FROM samples").fetchall() == [("late",)]
    lk.catalog.publish(force=True)
    assert lk.sql("SELECT sample FROM samples").fetchall() == [("late",)]
    check(lk)
