"""One target fuzzed for some time, in a process that may be lost."""

from __future__ import annotations

import faulthandler
import hashlib
import logging
import random
import tempfile
import time
import traceback
from pathlib import Path

from tests.conftest import SHARED_DATA
from tests.fuzz import seeds
from tests.fuzz.bounds import Exceeded, bounded
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS, Target

__all__ = ["current_input", "fuzz", "quiet"]

_WATCHDOG = 60.0
"""Seconds of one case after which C code is stuck for sure."""
_KEPT = 500
"""Mutants that are mutated further."""


def quiet() -> None:
    import pysam

    pysam.set_verbosity(0)
    logging.getLogger("lake").setLevel(logging.CRITICAL)


def _try(target: Target, data: bytes, folder: Path) -> str | None:
    """What is wrong with how a case went, told by where: one place is one finding."""
    try:
        with bounded():
            target.run(data, folder)
    except (Exception, Exceeded) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/fuzz/" not in frame.filename]
        where = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-4:])
        return f"{type(error).__name__}: {str(error)[:150]} ({where})"
    return None


def fuzz(name: str, seconds: float, seed: int, findings: Path) -> None:
    """Work of one process: mutants of sound files, and of mutants."""
    quiet()
    target = TARGETS[name]
    rng = random.Random(f"{name} {seed}")
    mutator = Mutator(rng, target.words)
    corpus = list(target.seeds())
    if target.real is not None and SHARED_DATA.is_dir():
        corpus += seeds.real(target.real, SHARED_DATA)
    sound = len(corpus)
    known: set[str] = set()
    count, end = 0, time.monotonic() + seconds
    current = current_input(name, findings)
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            data = mutator.mutant(rng.choice(corpus))
            current.write_bytes(data)
            faulthandler.dump_traceback_later(_WATCHDOG, exit=True)
            found = _try(target, data, Path(folder))
            faulthandler.cancel_dump_traceback_later()
            count += 1
            if found is not None and (place := found.rpartition("(")[2]) not in known:
                known.add(place)
                kept = findings / f"{name.replace(' ', '_')}.{hashlib.sha1(data).hexdigest()[:8]}"
                kept.write_bytes(data)
                print(f"FINDING {name}: {found}\n    {kept}", flush=True)
            if len(data) < 1 << 16 and len(corpus) < sound + _KEPT and rng.random() < 0.1:
                corpus.append(data)
    current.unlink()
    print(f"{name}: {count} cases, {len(known)} findings", flush=True)


def current_input(name: str, findings: Path) -> Path:
    """Where the case that runs lies, should it be the last."""
    return findings / f"{name.replace(' ', '_')}.current"
