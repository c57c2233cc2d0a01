"""The prompt of ``sql``, with made keys and in a real terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from lake.catalog.limits import Limits
from lake.catalog.session import CatalogConnection
from lake.cli.completion import Completions, Vocabulary, complete, paths_below, read_vocabulary
from lake.cli.prompt import Prompt, PromptCompleter, history_file
from lake.lake import Lake
from lake.results.answers import AnswerFormat
from tests.cli.conftest import LAKE
from tests.lake.samples import NOISE

Type = Callable[[str], str]

VOCABULARY = Vocabulary(
    ["OFFSET", "ORDER", "SELECT"],
    frozenset({"offset", "order", "select"}),
    ["overlaps"],
    {"chunks": ["digest", "ord", "offset"], "files": ["path", "size", "format"]},
    {".mode": ["csv", "table"], ".tables": []},
)


@pytest.fixture
def lk(root: Path, files: Path) -> Iterator[Lake]:
    (files / "noise").write_bytes(NOISE)
    with Lake.open_at(root) as lk:
        lk.put(f"{files}/.", "study/")
        yield lk


@pytest.fixture
def catalog(lk: Lake) -> Iterator[CatalogConnection]:
    with lk.catalog.connect() as catalog:
        yield catalog


@pytest.fixture
def typed(
    lk: Lake,
    catalog: CatalogConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Type:
    """What the prompt says, errors last, to keys; Ctrl-D is added."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def type_keys(keys: str) -> str:
        with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
            keyboard.send_text(keys + "\x04")
            assert Prompt(catalog, Limits(seconds=20), AnswerFormat.CSV, lk.points).run() == 0
        out, err = capfd.readouterr()
        return str(out + err)

    return type_keys


def test_queries_end_with_a_semicolon(typed: Type) -> None:
    said = typed("SELECT count(*) AS n\rFROM files\r;\r")
    assert "\nn\n6\n" in said
    assert " s\n" in said


def test_points_of_runs(typed: Type) -> None:
    assert "no such file or directory in the lake: none.mzML" in typed("FROM peaks('none.mzML');\r")


def test_errors_do_not_end_it(typed: Type) -> None:
    said = typed("SELECT * FROM fils;\rDROP VIEW files;\r.nothing\r.mode xml\rSELECT 7 AS n;\r")
    assert 'Did you mean "files"?' in said
    assert "LINE 1: SELECT * FROM fils" in said
    assert "read-only" in said
    assert "no command .nothing" in said
    assert ".mode takes one of table, csv" in said
    assert "\nn\n7\n" in said


def test_commands(typed: Type, tmp_path: Path) -> None:
    assert ".schema [VIEW]" in typed(".help\r")
    assert "\nfiles\n" in typed(".tables\r")
    assert "path" in typed(".schema files\r")
    assert "no view fils" in typed(".schema fils\r")
    assert '[{"n":1}]' in typed(".mode json\rSELECT 1 AS n;\r")
    assert " s\n" not in typed(".timer off\rSELECT 1 AS n;\r")
    said = typed(f".output {tmp_path}/a.jsonl\rSELECT 8 AS n;\rSELECT 9 AS n;\r")
    assert f"1 rows in {tmp_path}/a.jsonl" in said
    assert "\nn\n9\n" in said
    assert (tmp_path / "a.jsonl").read_text() == '{"n":8}\n'
    assert "nothing is known of .xlsx" in typed(".output a.xlsx\r")
    assert typed(".refresh\r.quit\rSELECT 1;\r").count("\n") == 1


def test_it_sees_what_others_commit(typed: Type, lk: Lake, files: Path) -> None:
    assert "\nn\n6\n" in typed("SELECT count(*) AS n FROM files;\r")
    lk.put(files / "a.txt", "later.txt")
    assert "\nn\n7\n" in typed("SELECT count(*) AS n FROM files;\r")


def test_ctrl_c_cancels_the_line(typed: Type) -> None:
    assert "\nn\n5\n" in typed("SELECT wrong\x03SELECT 5 AS n;\r")


def test_history(typed: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    typed("SELECT 5 AS n;\r")
    assert "SELECT 5 AS n;" in history_file().read_text()
    assert history_file().stat().st_mode & 0o077 == 0
    assert "\nn\n5\n" in typed("\x1b[A\r")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "files" / "a.txt"))
    said = typed("SELECT 6 AS n;\r")
    assert "queries are not remembered" in said
    assert "\nn\n6\n" in said
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert history_file() == tmp_path / ".local/state/regionlake/history"


@pytest.mark.parametrize(
    ("before", "typed", "texts"),
    [
        ("sel", 3, ["select"]),
        ("SEL", 3, ["SELECT"]),
        ("SELECT * FROM ", 0, ["chunks", "files"]),
        ("SELECT * FROM f", 1, ["files"]),
        ("SELECT * FROM files, c", 1, ["chunks"]),
        ("SELECT * FROM files WHERE pa", 2, ["path"]),
        ("SELECT of FROM chunks WHERE of", 2, ['"offset"', "offset"]),
        ("SELECT 1 FROM files AS f WHERE f.", 0, ["path", "size", "format"]),
        ("SELECT 1 FROM files JOIN chunks c ON c.o", 1, ["ord", '"offset"']),
        ("SELECT over", 4, ["overlaps("]),
        (".m", 2, [".mode"]),
        (".mode c", 1, ["csv"]),
        ("SELECT 1 FROM files WHERE path = 'stu", 3, ["study/"]),
        ("SELECT 'it''s', 'stu", 3, ["study/"]),
        ("SELECT 'it''s stu", 9, []),
    ],
)
def test_completion(before: str, typed: int, texts: list[str]) -> None:
    found = complete(before, "", VOCABULARY, lambda text: ["study/"] if "study/".startswith(text) else [])
    assert found == Completions(typed, texts)


def test_columns_of_views_that_come_later() -> None:
    assert complete("SELECT si", " FROM files", VOCABULARY, lambda text: []).texts == ["size"]


def test_completion_of_paths(catalog: CatalogConnection) -> None:
    assert list(paths_below(catalog.raw, "st")) == ["study/"]
    assert list(paths_below(catalog.raw, "study/d/")) == ["study/d/c.txt", "study/d/e/"]
    assert list(paths_below(catalog.raw, "%")) == []


def test_vocabulary_of_a_lake(catalog: CatalogConnection) -> None:
    found = read_vocabulary(catalog.raw, {})
    assert {"files", "objects", "commits", "chunks", "samples", "contigs"} <= set(found.views)
    assert found.views["files"][:2] == ["path", "digest"]
    assert "overlaps" in found.macros
    assert "offset" in found.reserved


def test_completion_in_the_prompt(catalog: CatalogConnection) -> None:
    completer = PromptCompleter(catalog.raw, read_vocabulary(catalog.raw, {}))
    found = completer.get_completions(Document("SELECT 1 FROM files WHERE path = 'study/a"), CompleteEvent())
    assert [(one.text, one.start_position) for one in found] == [("study/a.txt", -7)]


def test_in_a_terminal(lk: Lake, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    worker = subprocess.Popen(
        [LAKE, "-C", str(lk.root), "sql"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    seen = bytearray()

    def wait_for(text: bytes) -> None:
        deadline = time.monotonic() + 20
        while text not in seen:
            ready, _, _ = select.select([leader], [], [], max(deadline - time.monotonic(), 0))
            assert ready, bytes(seen)
            seen.extend(os.read(leader, 65536))
        del seen[: seen.index(text) + len(text)]

    try:
        wait_for(b"lake>")
        os.write(leader, b"SELECT count(*) AS n FROM fil\t")
        wait_for(b"es")
        os.write(leader, b";\r")
        wait_for("│      6 │".encode())
        wait_for(b"(1 row)")
        wait_for(b"lake>")
        os.write(leader, b".mode parquet\rSELECT 1;\r")
        wait_for(b"binary")
        wait_for(b"lake>")
        os.write(leader, b".mode csv\rSELECT i FROM range(1000000000000) t(i) WHERE i < 300000 OR i % 7 = 8;\r")
        wait_for(b"\r\n20001\r\n")
        os.kill(worker.pid, signal.SIGINT)
        wait_for(b"interrupted")
        wait_for(b"lake>")
        os.write(leader, b"SELECT 40 + 2 AS n;\r")
        wait_for(b"\r\n42\r\n")
        wait_for(b"lake>")
        os.write(leader, b"\x04")
        assert worker.wait(timeout=60) == 0
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
        os.close(leader)
