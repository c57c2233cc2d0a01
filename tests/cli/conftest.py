"""The command line, in this process for speed or in one of its own where the process matters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lake.cli import main
from lake.lake import Lake
from tests.lake.samples import make_bam, make_tree

LAKE = os.path.join(sysconfig.get_path("scripts"), "lake")
"""The program as it is installed."""


@dataclass(frozen=True)
class Done:
    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def fails(self, status: int = 1) -> str:
        """The one error line; nothing is on standard output."""
        assert self.status == status, self
        assert self.err.startswith("lake: error: "), self
        assert self.err.count("\n") == 1, self
        assert self.out == b"", self
        return self.err

    def works(self) -> Done:
        assert self.status == 0, self
        assert self.err == "", self
        return self


Run = Callable[..., Done]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty lake."""
    with Lake.init(tmp_path / "lake") as lk:
        return lk.root


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``lake -C root …`` in this process."""

    def run_here(*arguments: object, stdin: bytes = b"") -> Done:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main(["-C", str(root), *map(str, arguments)])
        assert isinstance(out.buffer, io.BytesIO)
        return Done(status, out.buffer.getvalue(), err.getvalue())

    return run_here


@pytest.fixture
def process(root: Path) -> Run:
    """``lake …`` as a process, in the directory of the lake unless ``cwd`` says otherwise."""

    def run_there(*arguments: object, stdin: bytes = b"", cwd: Path = root, **environment: str) -> Done:
        done = subprocess.run(
            [LAKE, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env={**{k: v for k, v in os.environ.items() if k != "LAKE_ROOT"}, **environment},
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    return run_there


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A few small text files."""
    return make_tree(
        tmp_path / "files", {"a.txt": "a", "b.txt": "bb", "table.csv": "x,y\n1,2\n", "d/c.txt": "ccc", "d/e/f.txt": "f"}
    )


@pytest.fixture(scope="session")
def bams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``s1.bam`` with its BAI, ``s2.bam`` with its CSI."""
    folder = tmp_path_factory.mktemp("bams")
    make_bam(folder / "s1.bam", seed=1, index="bai")
    make_bam(folder / "s2.bam", seed=2, index="csi")
    return folder
