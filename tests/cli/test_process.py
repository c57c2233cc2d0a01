"""What only a process shows: exit statuses, streams, silence in a pipe, broken pipes, limits."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lake.cli import main
from lake.lake import Lake
from tests.cli.conftest import LAKE, Run
from tests.lake.samples import NOISE, staged

COMMANDS = (
    *("init", "put", "get", "ls", "stat", "path", "cat", "mv", "cp", "rm", "slice", "log", "branch", "tag", "diff"),
    *("restore", "meta", "sql", "find", "catalog", "fsck", "demo"),
)


def test_a_whole_story(process: Run, tmp_path: Path, bams: Path, files: Path) -> None:
    place = tmp_path / "mylake"
    assert process("init", "mylake", cwd=tmp_path).works().text == f"made a lake at {place}\n"
    process("put", *bams.glob("*.bam"), files / "table.csv", "study1/", "--meta", "project=demo", cwd=place).works()
    assert process("ls", "study1", cwd=place).works().lines == ["study1/s1.bam", "study1/s2.bam", "study1/table.csv"]
    process("slice", "study1/s1.bam", "chr1:1,000-20,000", "-o", tmp_path / "small.bam", cwd=place).works()
    process("branch", "exp1", cwd=place).works()
    process("rm", "study1/s1.bam", cwd=place).works()
    process("restore", "study1/s1.bam", "--from", "main~1", cwd=place).works()
    assert len(process("log", cwd=place).works().lines) == 3
    assert "sound" in process("fsck", cwd=place).works().text


def test_which_lake(process: Run, root: Path, tmp_path: Path) -> None:
    assert "no lake" in process("ls", cwd=tmp_path).fails()
    process("ls", cwd=root / "objects").works()
    process("ls", cwd=tmp_path, LAKE_ROOT=str(root)).works()
    process("-C", root, "ls", cwd=tmp_path, LAKE_ROOT="/nowhere").works()
    assert "not a lake" in process("-C", tmp_path, "ls").fails()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("put",),
        ("put", "--wrong", "x"),
        ("restore", "x"),
        ("log", "-n", "x"),
        ("get", "x", "--link", "?"),
    ],
)
def test_wrong_usage(process: Run, arguments: tuple[str, ...]) -> None:
    done = process(*arguments)
    assert done.status == 2
    assert done.out == b""
    assert "usage: lake" in done.err


def test_help_and_version(process: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert process("--version").works().text.startswith("regionlake ")
    text = process("--help").works().text
    for command in COMMANDS:
        assert f"    {command} " in text
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith("usage: lake")


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lake.cli import main\ntry: main(['put', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'pysam', 'duckdb', 'tqdm', 'sqlite3'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "numpy" not in done.stderr
    assert "pysam" not in done.stderr


def test_the_reader_of_a_pipe_may_leave(process: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(NOISE)
    process("put", tmp_path / "big", "big").works()
    worker = subprocess.Popen(
        [LAKE, "-C", str(root), "cat", "big"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stderr is not None
    assert worker.stdout.read(10) == NOISE[:10]
    worker.stdout.close()
    assert worker.stderr.read() == b""
    assert worker.wait(timeout=60) in (141, -signal.SIGPIPE)
    worker.stderr.close()


def test_output_that_cannot_be_written(process: Run, root: Path, files: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    process("put", files / "table.csv", "table.csv").works()
    for arguments in (("cat", "table.csv"), ("ls", "--json")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [LAKE, "-C", str(root), *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 1
        assert done.stderr.startswith("lake: error: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("number", "arguments", "status"),
    [(0, ("put", "-", "x"), 1), (1, ("ls",), 1), (2, ("ls", "nothing"), 1), (2, ("ls",), 0)],
)
def test_a_stream_that_is_closed(root: Path, number: int, arguments: tuple[str, ...], status: int) -> None:
    def close() -> None:
        os.close(number)

    command = [LAKE, "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=close)
    assert done.returncode == status
    assert done.stdout == ""
    assert re.fullmatch(r"lake: error: standard (in|out)put is closed.*\n" if number < 2 else "", done.stderr)


def test_a_disk_that_is_full(root: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(NOISE)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(
        [LAKE, "-C", str(root), "put", str(tmp_path / "big"), "x"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("lake: error: cannot write")
    assert done.stderr.count("\n") == 1
    with Lake.open_at(root) as lk:
        assert staged(lk) == []
        assert lk.ls() == []
        assert lk.put(tmp_path / "big", "x").stored


def test_interrupted(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR)
    worker = subprocess.Popen(
        [LAKE, "-C", str(root), "put", "-", "x"],
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(reader, b"first")
    deadline = time.monotonic() + 60
    while not list((root / "staging").glob("*/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=60)
    os.close(reader)
    assert (worker.returncode, out, err) == (130, "", "lake: error: interrupted\n")
    with Lake.open_at(root) as lk:
        assert staged(lk) == []
        assert lk.ls() == []


def test_the_demonstration(process: Run, tmp_path: Path) -> None:
    done = process("demo", tmp_path / "demo", cwd=tmp_path)
    assert done.status == 0, done
    assert "lake slice study1/s1.bam" in done.text
    assert "What to try next" in done.text
    with Lake.open_at(tmp_path / "demo/lake") as lk:
        assert lk.exists("study1/s1.bam")
        assert lk.fsck().ok
    process("demo", tmp_path / "demo", cwd=tmp_path).fails()


def test_the_demonstration_with_own_files(process: Run, tmp_path: Path, bams: Path, files: Path) -> None:
    done = process("demo", tmp_path / "demo", "--data", bams / "s1.bam", files / "a.txt", cwd=tmp_path)
    assert done.status == 0, done
    assert "lake slice study1/s1.bam" in done.text
