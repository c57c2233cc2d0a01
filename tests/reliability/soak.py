"""Everybody at once, and each killed at random: ``python -m tests.reliability.soak --seconds 600``.

Writers, readers, collectors, checkers and publishers work on one lake, each a process that is killed by SIGKILL, at a
random moment or at a random crash point, and started again. In the end everything acknowledged must be visible, and
everything visible must have been tried. With ``--commits 100000`` processes do nothing but commit, until so many
commits are acknowledged.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from lake import crashpoints
from lake.lake import Lake
from tests.reliability.ledger import Ledger, visible
from tests.reliability.matrix import steps_of
from tests.reliability.workers import ROLES, Worker, committer

__all__ = ["Soak", "main"]

_CREW = {"writer": 3, "reader": 2, "collector": 2, "expirer": 1, "checker": 1, "publisher": 1}
"""Processes of each role."""
_COMMITTERS = 4
_PR_SET_PDEATHSIG = 1
_LEASE_IS_OVER = "7200"
"""Seconds by which the clock is moved for the last look: longer than any lease."""


class Soak:
    """A lake, its crew, and whoever kills them."""

    def __init__(self, folder: Path, crew: Mapping[str, Worker], seed: int) -> None:
        """``crew``: what each worker does, by name."""
        self.root, self.ledgers = folder / "lake", folder / "ledgers"
        self.ledgers.mkdir()
        self.crew = crew
        self.deaths: Counter[str] = Counter()
        """By role."""
        self.violations: list[str] = []
        self._said = folder / "said"
        self._said.mkdir()
        self._chance = random.Random(seed)
        self._running: dict[int, str] = {}
        self._steps = [step for steps in steps_of().values() for step in steps]
        with Lake.init(self.root) as lk:
            # A branch without a commit has nothing to tag.
            lk.mkdir("begun")

    def run(self, seconds: float, pause: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Let them work, kill them, start them again, and kill them all in the end. Stops at a violation.

        ``pause``: most seconds between two deaths by signal.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.violations and not enough():
            for name in self.crew.keys() - set(self._running.values()):
                self._start(name)
            time.sleep(self._chance.uniform(0, pause))
            os.kill(self._chance.choice(list(self._running)), signal.SIGKILL)
            self._reap(os.WNOHANG)
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        self._reap(0)

    def _start(self, name: str) -> None:
        """Fork a worker; one of three dies at a crash point, if it comes there."""
        step = self._chance.choice(self._steps) if self._chance.random() < 0.33 else None
        luck = random.Random(self._chance.random())
        child = os.fork()
        if child:
            self._running[child] = name
            return
        try:
            _die_with_parent()
            crashpoints.arm(step)
            self.crew[name](self.root, self.ledgers, name, luck)
        except BaseException:
            (self._said / str(os.getpid())).write_text(f"{name}: {traceback.format_exc()}")
        finally:
            os._exit(1)

    def _reap(self, options: int) -> None:
        for pid in list(self._running):
            found, status = os.waitpid(pid, options)
            if not found:
                continue
            name = self._running.pop(pid)
            self.deaths[name.rstrip("0123456789")] += 1
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                said = self._said / str(pid)
                self.violations.append(said.read_text() if said.exists() else f"{name} ended with {status}")


def _die_with_parent() -> None:
    """No worker outlives a soak that was killed, where the system can see to that (Linux)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def last_look(root: Path) -> list[str]:
    """What is wrong with a lake that nobody uses any more, once the leases of the dead are over."""
    os.environ["REGIONLAKE_CLOCK"] = _LEASE_IS_OVER
    wrong = []
    with Lake.open_at(root) as lk:
        own = {lk.repo.session()}
        left = [each.name for each in (root / "staging").iterdir() if each.name not in own]
        wrong += [f"left in staging: {left[:5]}"] if left else []
        report = lk.fsck()
        wrong += [f"fsck: {finding}" for finding in report.findings[:5]]
        wrong += [f"foreign: {name}" for name in report.foreign[:5]]
    with closing(sqlite3.connect(root / "journal.db")) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    return wrong if integrity == "ok" else [*wrong, f"journal.db: {integrity}"]


def everybody(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """The soak of the whole lake; what happened."""
    crew = {f"{role}{number}": ROLES[role] for role, count in _CREW.items() for number in range(count)}
    soak = Soak(folder, crew, seed)
    soak.run(seconds, pause=0.8)
    told: Counter[str] = Counter()
    wrong = list(soak.violations)
    with Lake.open_at(soak.root) as lk:
        for path in sorted(soak.ledgers.glob("writer*")):
            with Ledger(path) as ledger:
                unlike = ledger.settle(visible(lk, path.name))
                told["acknowledged"] += ledger.acknowledged
                told["done without an answer"] += ledger.lost_answers
                told["refused"] += ledger.refused
            wrong += [f"{path.name}: {unlike}"] if unlike is not None else []
        for path in soak.ledgers.glob("collector*"):
            for trashed, purged in (map(int, line.split()) for line in path.read_text().splitlines()):
                told["collected"] += trashed
                told["deleted from the trash"] += purged
        # Twice: the first run leaves packs behind that it packed anew, and files that came back before they were named.
        for _ in range(2):
            lk.gc(grace=0, trash=0, empty_trash=True)
        left = lk.fsck().orphans
        wrong += [f"{left} stored files are left that nothing names"] if left else []
        told["commits"] = lk.repo.journal.tip().seq
        told["objects"] = sum(1 for _ in lk.repo.journal.objects())
    return {**told, "deaths": dict(soak.deaths), "violations": [*wrong, *last_look(soak.root)]}


def commits(folder: Path, wanted: int, seconds: float, seed: int) -> dict[str, Any]:
    """The soak of commits alone; what happened."""
    soak = Soak(folder, {f"committer{number}": committer for number in range(_COMMITTERS)}, seed)
    soak.run(seconds, 0.3, lambda: sum(path.read_text().count(" ") for path in soak.ledgers.iterdir()) >= wanted)
    with Lake.open_at(soak.root) as lk:
        found = [(commit.message, commit.seq) for commit in lk.log() if not commit.message.startswith("mkdir")]
    made = dict(found)
    tried, acknowledged = set(), {}
    for path in soak.ledgers.iterdir():
        for number, *seq in (line.split() for line in path.read_text().splitlines()):
            tried.add(f"{path.name} {number}")
            if seq:
                acknowledged[f"{path.name} {number}"] = int(seq[0])
    wrong = list(soak.violations)
    lost = [message for message, seq in acknowledged.items() if made.get(message) != seq]
    wrong += [f"{len(lost)} acknowledged commits are lost: {lost[:5]}"] if lost else []
    wrong += [f"never tried: {sorted(made.keys() - tried)[:5]}"] if made.keys() - tried else []
    wrong += [f"{len(found)} commits for {len(made)} calls"] if len(found) != len(made) else []
    return {
        "acknowledged": len(acknowledged),
        "lost": len(lost),
        "done without an answer": len(made.keys() - acknowledged.keys()),
        "deaths": dict(soak.deaths),
        "violations": [*wrong, *last_look(soak.root)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--commits", type=int, help="nothing but commits, until so many are acknowledged")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", action="store_true", help="leave the lake where it is")
    arguments = parser.parse_args()
    # Whatever a worker needs is imported before the first fork.
    import duckdb  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    begin = time.monotonic()
    if arguments.commits is None:
        result = everybody(folder, arguments.seconds, arguments.seed)
    else:
        result = commits(folder, arguments.commits, arguments.seconds, arguments.seed)
    print(json.dumps({"seed": arguments.seed, "seconds": round(time.monotonic() - begin, 1), **result}, indent=2))
    if result["violations"] or arguments.keep:
        print(f"the lake is in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
