"""SQL over a lake of a million files and twenty million spectra: fresh sessions, look-ups, searches, publishing.

    python -m tests.benchmarks.catalog

The lake is synthetic: entries and facts are real rows of journal and catalog, their objects have no bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3

import lake
from lake.artifacts import FACTS_PREFIX, pack_artifact
from lake.digest import Digest
from lake.facts import pack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.journal.values import Artifact, ObjectRecord, Put
from lake.stores.base import Location
from tests.benchmarks.measuring import Figure, Series, arguments_of, lake_command, present, run, scratch

__all__ = ["main"]

_COMMIT = 10_000
"""Files a commit."""
_DIFFERENT = 20
"""Different tables of spectra: making them costs more than asking them."""

_PRECURSORS = """
SELECT path, ord, precursor_mz, rt FROM spectra
WHERE within_ppm(precursor_mz, 445.12, 10) AND rt BETWEEN 600 AND 1200"""
_GROUPS = "SELECT ms_level, count(*), avg(tic), max(rt) FROM spectra GROUP BY ms_level ORDER BY ms_level"

_FRESH = """
import sys, time
import lake
lk = lake.open(sys.argv[1])
import duckdb, pyarrow
start = time.perf_counter()
with lk.catalog.connect() as connection:
    connection.execute(sys.argv[2]).fetchall()
    print(time.perf_counter() - start)
"""


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--spectra", type=int, default=20_000_000)
    parser.add_argument("--tail", type=int, default=10_000, help="files that come after the first generation")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.repo.committed = None  # published when the benchmark says so
        _fill(lk, 0, arguments.files)
        _add_spectra(lk, arguments.spectra)
        figures = [_first(lk)]
        figures += _questions(lk, arguments.turns, arguments.files)
        _fill(lk, arguments.files, arguments.tail)
        figures += _with_tail(lk, folder, arguments.turns)
        figures += _publishing(lk)
    return present(figures)


def _object(number: int) -> ObjectRecord:
    digest = Digest(blake3(number.to_bytes(8, "little")).hexdigest())
    return ObjectRecord(digest, 1000, "mzML", Location(f"objects/{digest}", 0, 1000))


def _fill(lk: lake.Lake, first: int, count: int) -> None:
    for start in range(first, first + count, _COMMIT):
        numbers = range(start, min(start + _COMMIT, first + count))
        objects = [_object(number) for number in numbers]
        puts = [
            Put(f"study{number // 5000:04}/run{number:07}.mzML", found.digest, {"batch": number % 97})
            for number, found in zip(numbers, objects, strict=True)
        ]
        lk.repo.commit("main", puts, objects=objects, message="put")


def _add_spectra(lk: lake.Lake, count: int) -> None:
    files = max(count // 10_000, 1)
    each = count // files
    packed = [
        pack_artifact(lk.repo, Digest("0" * 64), f"{FACTS_PREFIX}spectra", "facts/1", pack_facts(_spectra(each, seed)))
        for seed in range(min(_DIFFERENT, files))
    ]
    made: list[Artifact] = []
    records: dict[Digest, ObjectRecord] = {}
    for number in range(files):
        artifact, held = packed[number % len(packed)]
        made.append(replace(artifact, object=_object(number).digest))
        records |= {record.digest: record for record in held}
    lk.repo.journal.add_artifacts(made, list(records.values()))


def _spectra(count: int, seed: int) -> pa.Table:
    chance = np.random.default_rng(seed)
    level = np.where(np.arange(count) % 5 == 0, 1, 2)
    precursor = chance.uniform(300, 1500, count)
    absent = level == 1
    columns = {
        "ord": np.arange(count, dtype=np.int32),
        "scan": np.arange(1, count + 1),
        "ms_level": level.astype(np.int16),
        "rt": np.sort(chance.uniform(0, 5400, count)),
        "n_points": chance.integers(10, 2000, count),
        "tic": chance.lognormal(14, 2, count),
        "base_peak_mz": chance.uniform(200, 1800, count),
        "precursor_mz": pa.array(precursor, mask=absent),
        "precursor_charge": pa.array(chance.integers(1, 5, count).astype(np.int16), mask=absent),
        "offset": np.arange(count) * 8192,
        "length": np.full(count, 8192),
    }
    schema = FACT_KINDS["spectra"].schema
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _first(lk: lake.Lake) -> Figure:
    used = run(lake_command(lk.root, "catalog", "publish"))
    return Figure("first generation", used.seconds, "s", note=f"peak {used.peak >> 20} MiB, {_size(lk) / 1e6:,.0f} MB")


def _size(lk: lake.Lake) -> int:
    return sum(path.stat().st_size for path in (lk.root / "catalog").iterdir())


def _fresh(lk: lake.Lake, query: str) -> float:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(lk.root), query], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


def _times(call: Callable[[], object], turns: int) -> Series:
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return Series(taken)


def _questions(lk: lake.Lake, turns: int, files: int) -> list[Figure]:
    number = files // 3
    path = f"study{number // 5000:04}/run{number:07}.mzML"
    fresh = Series(_fresh(lk, "SELECT count(*) FROM files") for _ in range(turns))
    asked: dict[str, tuple[Callable[[], object], float]] = {
        "point look-up by path": (lambda: lk.sql("SELECT * FROM files WHERE path = ?", [path]).fetchall(), 0.01),
        "precursor window over all runs": (lambda: lk.sql(_PRECURSORS).fetchall(), 0.2),
        "group-by over all spectra": (lambda: lk.sql(_GROUPS).fetchall(), 0.3),
    }
    figures = [Figure("fresh session + count(files)", fresh.median, "s", at_most=0.1, note=str(fresh))]
    for what, (call, bound) in asked.items():
        call()
        taken = _times(call, turns)
        figures.append(Figure(what, taken.median, "s", at_most=bound, note=str(taken)))
    used = run([sys.executable, "-c", _FRESH, str(lk.root), _GROUPS])
    figures.append(Figure("peak memory of a fresh group-by", used.peak / 1e9, "GB", at_most=2.0))
    return figures


def _with_tail(lk: lake.Lake, folder: Path, turns: int) -> list[Figure]:
    command = lake_command(lk.root, "sql", "SELECT count(*) FROM files")
    cold = Series(run(command).seconds for _ in range(turns))
    small = folder / "one.txt"
    small.write_bytes(b"one more")
    lk.sql("SELECT count(*) FROM files").fetchall()
    lk.put(small, "one.txt")
    start = time.perf_counter()
    (found,) = lk.sql("SELECT count(*) FROM files WHERE path = 'one.txt'").fetchall()
    seen = time.perf_counter() - start
    assert found == (1,)
    return [
        Figure("cold process, count, with a tail", cold.median, "s", at_most=0.5, note=str(cold)),
        Figure("one more put visible after", seen, "s", at_most=0.2),
    ]


def _publishing(lk: lake.Lake) -> list[Figure]:
    before = {path.name for path in (lk.root / "catalog").iterdir()}
    used = run(lake_command(lk.root, "catalog", "publish"))
    written = sum(path.stat().st_size for path in (lk.root / "catalog").iterdir() if path.name not in before)
    return [
        Figure("publishing after the tail", used.seconds, "s", at_most=2.0),
        Figure("written by it", written / 1e6, "MB", at_most=150),
        Figure("its peak memory", used.peak / 1e9, "GB", at_most=2.0),
    ]


if __name__ == "__main__":
    main()
