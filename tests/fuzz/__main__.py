"""Fuzz for as long as there is time: ``python -m tests.fuzz --seconds 3600 [--target BAM] [--seed 5]``.

Each target runs in a process of its own, as code in C may kill it. A finding is printed, and its input kept in
``--findings``: ``python -m tests.fuzz --target BAM --again FILE`` shows it once more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.fuzz.working import current_input, fuzz, quiet


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="in all, shared by the targets")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="again for several; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "regionlake-fuzz")
    parser.add_argument("--again", type=Path, help="show what one input does")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    if given.again is not None:
        quiet()
        with tempfile.TemporaryDirectory() as folder:
            TARGETS[names[0]].run(given.again.read_bytes(), Path(folder))
        return 0
    given.findings.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        worker = spawn.Process(target=fuzz, args=(name, given.seconds / len(names), given.seed, given.findings))
        worker.start()
        worker.join()
        current = current_input(name, given.findings)
        if worker.exitcode and current.exists():
            killed = shutil.move(current, current.with_suffix(".killed"))
            print(f"FINDING {name}: the process ended with {worker.exitcode}\n    {killed}", flush=True)
    return 1 if any(given.findings.iterdir()) else 0


if __name__ == "__main__":
    sys.exit(main())
