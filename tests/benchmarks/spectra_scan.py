"""What it costs to know the spectra of an mzML: our one pass, beside plain iteration by pyteomics and pymzML.

    python -m tests.benchmarks.spectra_scan run.mzML

The file lies in the page cache. Our pass makes the whole table, with and without hashing as at put; the peers give what
all readers give first: id, MS level, retention time.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lake
from lake.formats.spectra.scanner import MzmlScanner
from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, read_through, scratch

__all__ = ["main"]

_PIECE = 1 << 20


def _scan(path: Path, *, hashing: bool) -> int:
    scanner, digest = MzmlScanner(), hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            if hashing:
                digest.update(piece)
            scanner.update(piece)
    return len(scanner.finish().spectra)


def _pyteomics(path: Path) -> int:
    from pyteomics import mzml

    def times(spectrum: dict[str, Any]) -> tuple[Any, ...]:
        return spectrum["id"], spectrum["ms level"], spectrum["scanList"]["scan"][0]["scan start time"]

    with mzml.MzML(str(path)) as spectra:
        return sum(1 for _ in map(times, spectra))


def _pymzml(path: Path) -> int:
    import pymzml

    with pymzml.run.Reader(str(path)) as spectra:
        return sum(1 for _ in ((one.ID, one.ms_level, one.scan_time_in_minutes()) for one in spectra))


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=3)
    parser.add_argument("run", type=Path, help="an mzML whose spectra have an MS level and a time")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    path: Path = given.run
    read_through(path)
    ways = {
        "scan": partial(_scan, path, hashing=False),
        "scan, hashing": partial(_scan, path, hashing=True),
        "pyteomics": partial(_pyteomics, path),
        "pymzML": partial(_pymzml, path),
    }
    counts = {name: way() for name, way in ways.items()}
    if len(set(counts.values())) > 1:
        print(f"not the same spectra: {counts}")
    ours, hashing, pyteomics, pymzml = interleave([Contestant(*way) for way in ways.items()], given.turns)
    size = path.stat().st_size
    return present(
        [
            Figure("scan", size / ours.median / 1e6, "MB/s", note=str(ours)),
            Figure("scan, hashing", size / hashing.median / 1e6, "MB/s", note=str(hashing)),
            Figure("pyteomics / scan", pyteomics.median / ours.median, "x", at_least=10, note=str(pyteomics)),
            Figure("pymzML / scan", pymzml.median / ours.median, "x", at_least=4, note=str(pymzml)),
            Figure("facts of the file", 100 * _facts(path, given.work) / size, "%", at_most=1.5),
        ]
    )


def _facts(path: Path, work: Path | None) -> int:
    """Bytes that a lake of one file has beside those of the file."""
    with scratch(work) as folder, lake.init(folder / "lake") as lk:
        lk.put(path, "run.mzML")
        stored = sum(file.stat().st_size for file in (folder / "lake").rglob("*") if file.is_file())
        return stored - path.stat().st_size


if __name__ == "__main__":
    main()
