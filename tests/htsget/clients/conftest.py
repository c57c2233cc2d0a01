"""Servers as people start them, on lakes with made and real files, and the programs that read from them.

What a package index has is installed once a session; where the index or the program that asks it is not there, the
tests that need it skip and say why.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pysam
import pytest

from lake.grants import Grant, Verb
from lake.lake import Lake
from tests.cli.conftest import LAKE
from tests.conftest import SHARED_DATA
from tests.htsget.conftest import WAIT
from tests.lake.samples import CONTIGS, make_bam

HERE = Path(__file__).parent
REAL = (
    "bam/na12878_wgs_b37_unplaced.bam",
    "bam/rnaseq_hcc1395_spliced.bam",
    "bam/volvox_bai_csi.bam",
    "cram/na12878_wgs_b37_unplaced_v30_noref.cram",
    "cram/volvox_v31.cram",
    "fasta/volvox.fa.gz",
    "vcf/1kg_5samples_chr22.vcf.gz",
    "vcf/spec43_small.vcf.gz",
    "bcf/phasing_panel_300samples.bcf",
)
"""Below ``genomics/`` of the real files; in the lake they lie below ``real/``, with a plain ``volvox.fa``."""
_INSTALL_SECONDS = 240.0


class Served(NamedTuple):
    """A live server."""

    url: str
    root: Path
    """Of its lake."""
    log: Path
    """What it says on standard error."""
    token: str = ""
    """Where it asks for one."""


class Done(NamedTuple):
    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


def run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 120
) -> Done:
    """What a program does and says; no proxy stands between it and the server."""
    done = subprocess.run(
        command, cwd=cwd, env=client_environment() | dict(env or {}), capture_output=True, timeout=timeout, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def succeed(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 120
) -> bytes:
    """The output of a program that must not fail."""
    done = run(*command, cwd=cwd, env=env, timeout=timeout)
    assert done.status == 0, done.err
    return done.out


def client_environment() -> dict[str, str]:
    """Nothing of the caller's that leads a client elsewhere."""
    lead = ("HTS_", "REF_", "LAKE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(lead)}
    return {**kept, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


@contextlib.contextmanager
def serving(root: Path, log: Path, *arguments: str) -> Iterator[str]:
    """The URL of a server in a process of its own. It must end well, without having failed at anything."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [LAKE, "-C", str(root), "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**client_environment(), "PYTHONUNBUFFERED": "1"},
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            assert url.startswith(("http://127.0.0.1:", "https://127.0.0.1:")), log.read_text()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=2 * WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made files: ``s1.bam`` and its reference ``ref.fa``, ``calls.vcf.gz``, ``table.csv``, ``table.parquet``."""
    folder = tmp_path_factory.mktemp("made")
    make_bam(folder / "s1.bam", reads=3_000, index="bai")
    source = random.Random(7)
    (folder / "ref.fa").write_text(
        "".join(f">{name}\n{''.join(source.choices('ACGT', k=length))}\n" for name, length in CONTIGS.items())
    )
    pysam.faidx(str(folder / "ref.fa"))
    contigs = "".join(f"##contig=<ID={name},length={length}>\n" for name, length in CONTIGS.items())
    lines = "".join(
        f"{name}\t{place}\tv{place}\tA\tC\t50\tPASS\tDP={place % 97}\n"
        for name in ("chr1", "chr2")
        for place in range(100, CONTIGS[name], 37)
    )
    depth = '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    (folder / "calls.vcf").write_text(
        f'##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="All filters passed">\n{contigs}{depth}'
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{lines}"
    )
    pysam.tabix_index(str(folder / "calls.vcf"), preset="vcf", keep_original=True)
    _make_tables(folder)
    return folder


def _make_tables(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    table = pa.table({"n": list(range(20_000)), "name": [f"row {n}" for n in range(20_000)]})
    csv.write_csv(table, folder / "table.csv")
    parquet.write_table(table, folder / "table.parquet", row_group_size=2_000)


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> Path:
    """The folder of the real files of genomics; they are in the lake of `served`, too."""
    # Asked for by name: a test that uses it may still skip in CI, where a program is not to be had.
    found: Path = request.getfixturevalue("shared_data")
    return found / "genomics"


def _put_made(lake: Lake, made: Path) -> None:
    lake.put([str(made / "s1.bam"), str(made / "s1.bam.bai")], "runs/")
    lake.put([str(made / "calls.vcf.gz"), str(made / "calls.vcf.gz.tbi")], "calls/")
    lake.put([str(made / name) for name in ("ref.fa", "ref.fa.fai", "table.csv", "table.parquet")], "more/")


@pytest.fixture(scope="session")
def served(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An open server; tests leave its lake as it is."""
    folder = tmp_path_factory.mktemp("served")
    root, log = folder / "lake", folder / "log"
    with Lake.init(root) as lake:
        _put_made(lake, made)
        if SHARED_DATA.is_dir():
            lake.put([str(SHARED_DATA / "genomics" / name) for name in REAL], "real/")
            plain = folder / "volvox.fa"
            plain.write_bytes(gzip.decompress((SHARED_DATA / "genomics" / "fasta" / "volvox.fa.gz").read_bytes()))
            pysam.faidx(str(plain))
            lake.put([str(plain), f"{plain}.fai"], "real/")
    with serving(root, log) as url:
        yield Served(url, root, log)


@pytest.fixture(scope="session")
def guarded(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks for a token; the one at hand lets read ``runs/`` and ``calls/``, not ``more/``."""
    folder = tmp_path_factory.mktemp("guarded")
    root, log = folder / "lake", folder / "log"
    with Lake.init(root) as lake:
        _put_made(lake, made)
        token = lake.tokens.create([Grant(Verb.READ, "runs/*"), Grant(Verb.READ, "calls/*")]).text
    with serving(root, log) as url:
        yield Served(url, root, log, token)


def query(region: str) -> str:
    """A region in samtools notation as the query of a ticket."""
    name, _, places = region.removeprefix("{").partition("}") if region[:1] == "{" else region.partition(":")
    if not places:
        return f"referenceName={name}"
    start, _, end = places.removeprefix(":").partition("-")
    return f"referenceName={name}&start={int(start) - 1}&end={end}"


def requests(served: Served, since: int, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What the log tells of requests from a size of it on, once it is as ``wanted``; that must be soon.

    A request is logged when its answer has ended, which its client may know before the log does.
    """
    deadline = time.monotonic() + WAIT
    while True:
        text = served.log.read_bytes()[since:]
        lines = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines() if line.startswith(b"{")]
        found = [line for line in lines if "route" in line]
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


# -- programs of package indexes --------------------------------------------------------------------------------------
def need(*programs: str) -> list[str]:
    """Their paths; skips where one is not installed."""
    found = [shutil.which(program) for program in programs]
    missing = [program for program, path in zip(programs, found, strict=True) if path is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return [path for path in found if path is not None]


def install(command: Sequence[str | Path], cwd: Path, index: str) -> None:
    """Run an installer; skips where it cannot reach its index."""
    try:
        done = run(*command, cwd=cwd, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{index} does not answer")
    if done.status != 0:
        said = (done.err or done.text).strip().splitlines()
        pytest.skip(f"nothing to be had of {index}: {said[-1] if said else done.status}")


@pytest.fixture(scope="session")
def python_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a virtual environment with the clients ``htsget`` and ``refget`` of PyPI, and nothing of ours."""
    venv = tmp_path_factory.mktemp("python") / "venv"
    succeed(sys.executable, "-m", "venv", "--without-pip", venv)
    install(
        [sys.executable, "-m", "pip", "--python", venv, "install", "-q", "--retries=1", "htsget", "refget"],
        venv,
        "PyPI",
    )
    return venv / "bin"


@pytest.fixture(scope="session")
def node_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our scripts and the packages of npm that they import."""
    npm = need("npm", "node")[0]
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(HERE / "package.json", folder)
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    install([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"], folder, "npm")
    return folder


@pytest.fixture(scope="session")
def java_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with htsjdk and what it needs, as jars."""
    maven = need("mvn", "java", "javac")[0]
    folder = tmp_path_factory.mktemp("java")
    shutil.copy(HERE / "pom.xml", folder)
    install([maven, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"], folder, "Maven Central")
    return folder / "jars"
