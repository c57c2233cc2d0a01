"""Regions of a big mzML: one spectrum, a minute, a precursor; against pyteomics and pymzML.

    python -m tests.benchmarks.spectra_slices --mzml run.mzML       (indexed; 139 MB, 17,000 spectra)

Cold: a lake opened anew, in a process that has everything loaded; the file lies in the page cache. Warm: the lake is
open, every region asked for the first time. The peers open the file for the one spectrum: pyteomics by the file's own
index, pymzML by its search.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import lake
from tests.benchmarks.measuring import Figure, arguments_of, percentile, present, scratch
from tests.formats.spectra.judges import pymzml_by_id, pyteomics_by_id

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--mzml", type=Path, required=True, help="an mzML with an index and scan numbers")
    parser.add_argument("--queries", type=int, default=50, help="regions of each kind")
    parser.add_argument("--seconds", type=float, default=60, help="width of a window of time")
    arguments = parser.parse_args(argv)
    path = arguments.mzml.name
    chance = random.Random(7)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.put(arguments.mzml)
        table = lk.facts(path)["spectra"]
        scans = [scan for scan in table["scan"].to_pylist() if scan is not None]
        ids = table["native_id"].to_pylist()
        times = [time for time in table["rt"].to_pylist() if time is not None]
        ions = [mz for mz in table["precursor_mz"].to_pylist() if mz is not None]
        cold = [_taken(lambda: _cold(lk.root, path, chance.choice(scans))) for _ in range(arguments.turns)]
        peers = (
            [_taken(lambda: pyteomics_by_id(arguments.mzml, chance.choice(ids))) for _ in range(arguments.turns)],
            [_taken(lambda: pymzml_by_id(arguments.mzml, [chance.choice(scans)])) for _ in range(arguments.turns)],
        )

        def window() -> str:
            start = chance.uniform(min(times), max(max(times) - arguments.seconds, min(times)))
            return f"rt={start:.3f}-{start + arguments.seconds:.3f}"

        kinds: dict[str, Callable[[], str]] = {
            "one spectrum": lambda: f"scan={chance.choice(scans)}",
            f"{arguments.seconds:g} s": window,
            f"{arguments.seconds:g} s of MS2": lambda: f"{window()}&ms_level=2",
            "a precursor within 10 ppm": lambda: f"precursor_mz={chance.choice(ions)}~10ppm",
        }
        warm = {
            what: [_taken(partial(_ask, lk, path, asked())) for _ in range(arguments.queries)]
            for what, asked in kinds.items()
        }
    beside = f"pyteomics {percentile(peers[0], 50):.0f} ms, pymzML {percentile(peers[1], 50):.0f} ms"
    figures = [Figure("lake opened, one spectrum, p50", percentile(cold, 50), "ms", at_most=30, note=beside)]
    for what, taken in warm.items():
        figures += [
            Figure(f"slice of {what}, p50", percentile(taken, 50), "ms", at_most=50),
            Figure(f"slice of {what}, p95", percentile(taken, 95), "ms"),
        ]
    return present(figures)


def _ask(lk: lake.Lake, path: str, region: str) -> bytes:
    return lk.slice(path, region).to_bytes()


def _cold(root: Path, path: str, scan: int) -> bytes:
    with lake.open(root) as lk:
        return _ask(lk, path, f"scan={scan}")


def _taken(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
