"""The order in which the kernel is called: bytes, names, folders, the journal, its log, and only then the answer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from lake.lake import Lake
from lake.retention import Policy

CALLS = "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"


def trace(folder: Path, script: str, *arguments: object) -> list[str]:
    """Calls of the kernel that succeeded, in order, each descriptor with its path; skips where none can be seen."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = folder / "trace"
    command = ["strace", "-f", "-y", "-s", "64", "-e", CALLS, "-o", log, sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run([*map(str, command), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if "ptrace" in done.stderr and not done.stdout:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    return [line for line in lines if not re.search(r"= -1 |resumed>|\?$", line)]


def in_order(lines: Sequence[str], *patterns: str) -> None:
    """Each pattern is found in the calls behind the one that the pattern before it found."""
    start = 0
    for pattern in patterns:
        found = [number for number in range(start, len(lines)) if re.search(pattern, lines[number])]
        assert found, f"no {pattern} after {patterns[: patterns.index(pattern)]} in\n" + "\n".join(lines)
        start = found[0] + 1


def synced(path: str) -> str:
    return rf"f(data)?sync\(\d+<{path}>"


ANSWER = r'write\(1<.*"answer'


def test_a_put_is_durable_before_the_answer(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    with Lake.init(tmp_path / "lake") as lk:
        lk.mkdir("x")
    lines = trace(
        tmp_path,
        """
        import sys, lake
        lk = lake.open(sys.argv[1])
        lk.put(sys.argv[2], "x/")
        print("answer", flush=True)
        lk.close()
        """,
        lk.root,
        tmp_path / "source",
    )
    root = re.escape(str(lk.root))
    in_order(
        lines,
        synced(rf"{root}/staging/.*"),
        rf"renameat2\(.*{root}/staging/.*{root}/objects/.*RENAME_NOREPLACE",
        synced(rf"{root}/objects/\w\w"),
        synced(rf"{root}/objects"),
        rf"write.*\(\d+<{root}/journal.db-wal>",
        synced(rf"{root}/journal.db-wal"),
        rf"write.*\(\d+<{root}/log/\d+\.log>",
        synced(rf"{root}/log/\d+\.log"),
        ANSWER,
    )


def test_the_journal_lets_go_before_files_do(tmp_path: Path) -> None:
    """gc: claimed in the journal, moved, folders synced, noted; out of the trash: forgotten first, then deleted."""
    with Lake.init(tmp_path / "lake") as lk:
        with lk.open("junk", "wb") as file:
            file.write(b"junk" * 5000)
        digest = lk.stat("junk").digest
        lk.rm("junk")
        lk.expire(Policy(last=1))
    lines = trace(
        tmp_path,
        """
        import sys, lake
        lk = lake.open(sys.argv[1])
        lk.gc(grace=0, trash=0)
        print("answer", flush=True)
        lk.close()
        """,
        lk.root,
    )
    root = re.escape(str(lk.root))
    wal = synced(rf"{root}/journal.db-wal")
    in_order(
        lines,
        wal,
        rf'rename\w*\(.*{root}/objects/\w\w/{digest}".*{root}/trash/objects/\w\w/{digest}"',
        synced(rf"{root}/trash/objects/\w\w"),
        synced(rf"{root}/objects/\w\w"),
        wal,
        wal,
        rf'unlink\w*\(.*{root}/trash/objects/\w\w/{digest}"',
        ANSWER,
    )


def test_a_backup_has_its_files_before_its_journal(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk, lk.open("data", "wb") as file:
        file.write(b"data" * 5000)
    lines = trace(
        tmp_path,
        """
        import sys, lake
        lk = lake.open(sys.argv[1])
        lk.backup(sys.argv[2])
        print("answer", flush=True)
        lk.close()
        """,
        lk.root,
        tmp_path / "backup",
    )
    backup = re.escape(str(tmp_path / "backup"))
    in_order(
        lines,
        synced(rf"{backup}/staging/.*"),
        rf"rename\w*\(.*{backup}/staging/.*{backup}/objects/",
        synced(rf"{backup}/objects/\w\w"),
        rf'rename\w*\(.*{backup}/journal\.db"',
        synced(backup),
        ANSWER,
    )


def test_a_generation_is_durable_before_its_manifest(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        lk.mkdir("x")
    lines = trace(
        tmp_path,
        """
        import sys, lake
        lk = lake.open(sys.argv[1])
        lk.catalog.publish(force=True)
        print("answer", flush=True)
        lk.close()
        """,
        lk.root,
    )
    catalog = re.escape(str(lk.root / "catalog"))
    in_order(
        lines,
        synced(rf"{catalog}/building-\w+/core\.duckdb"),
        rf'rename\w*\(.*core\.duckdb".*{catalog}/core-\w+\.duckdb',
        synced(catalog),
        synced(rf"{catalog}/building-\w+\.json"),
        r'rename\w*\(.*building-\w+\.json".*generation-\d+\.json',
        synced(catalog),
        ANSWER,
    )
