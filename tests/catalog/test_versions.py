"""Another DuckDB reads what this one publishes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lake.catalog.building import STORAGE
from lake.lake import Lake
from tests.catalog.conftest import Put

OLDEST = "1.4.*"


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the oldest DuckDB that the project promises to work with."""
    folder = tmp_path_factory.mktemp("duckdb")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--retries=1", "--disable-pip-version-check")
    done = subprocess.run([*pip, "--target", folder, f"duckdb=={OLDEST}"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.mark.network
def test_the_oldest_duckdb_reads_a_generation(lk: Lake, put: Put, bams: Path, oldest: Path) -> None:
    lk.put([bams / "a.bam", bams / "a.bam.bai"])
    put("a.txt", "x", k=1)
    made = lk.catalog.publish(force=True)
    assert made is not None
    code = (
        "import duckdb, sys; print(duckdb.__version__);"
        "print(sum(c.execute(f'SELECT count(*) FROM \"{t}\"').fetchone()[0] for path in sys.argv[1:]"
        " for c in [duckdb.connect(path, read_only=True)] for (t,) in c.execute('SHOW TABLES').fetchall()))"
    )
    paths = [str(lk.root / "catalog" / file.name) for file in made.files]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        env={"PYTHONPATH": str(oldest)},
        capture_output=True,
        text=True,
        check=True,
    )
    version, rows = done.stdout.split()
    assert version.startswith("1.4.")
    assert int(rows) == sum(file.weight for file in made.files)


def test_files_have_the_storage_version_of_the_oldest(lk: Lake, put: Put) -> None:
    put("a.txt", "x")
    made = lk.catalog.publish(force=True)
    assert made is not None
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{lk.root / 'catalog' / made.core.name}' AS core (READ_ONLY)")
        (tags,) = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'core'").fetchall()[0]
    assert tags["storage_version"].startswith(STORAGE)
