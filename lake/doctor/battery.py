"""Trying a disk with several processes at once: who wins a name, what a rename shows, whether locks exclude.

Every worker runs the same rounds at the same times, so that they meet. `battery_checks` starts them and compares
what they saw; run as a module, this is one worker.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lake.digest import digest_of
from lake.doctor.disk import nearest_folder
from lake.doctor.report import Check, fail, ok
from lake.stores.durable import System
from lake.stores.filesystem import WAY_OUT

__all__ = ["battery_checks"]

_WORKERS = 4
_ROUND = 0.005
"""Seconds: everybody tries the same name in the same round."""
_SLACK = 60.0


def battery_checks(root: Path, seconds: float = 10.0) -> Iterator[Check]:
    """Run the workers for so long in a scratch folder on the disk, which goes afterwards.

    Raises:
        OSError: the folder cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix=".lake-doctor-", dir=nearest_folder(root)) as name:
        folder = Path(name)
        for lock in ("flock", "fcntl"):
            (folder / lock).write_bytes(b"0")
        (folder / "shown").write_bytes(_shown(0, 0))
        begin = time.monotonic() + 0.5
        command = [sys.executable, "-m", __name__, name, repr(begin), repr(begin + seconds)]
        workers = [
            subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for number in range(_WORKERS)
        ]
        seen, broken = _collect(workers, seconds + _SLACK)
        if broken:
            yield fail(
                "battery", f"{len(broken)} of {_WORKERS} processes failed: {broken[0]}", f"use another disk: {WAY_OUT}"
            )
            return
        yield from _judged(folder, seen)


def _collect(workers: list[subprocess.Popen[bytes]], timeout: float) -> tuple[list[dict[str, Any]], list[str]]:
    seen, broken = [], []
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=timeout)
            if worker.returncode == 0:
                seen.append(json.loads(out))
            else:
                broken.append(err.decode(errors="replace").strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        broken.append(f"no answer within {timeout:.0f} s")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return seen, broken


def _judged(folder: Path, seen: list[dict[str, Any]]) -> Iterator[Check]:
    advice = f"processes would damage each other's work here: {WAY_OUT}"

    def verdict(name: str, wrong: int, tries: int) -> Check:
        if wrong:
            return fail(name, f"wrong in {wrong:,} of {tries:,} tries", advice)
        return ok(name, f"{tries:,} tries")

    for race in ("create", "rename"):
        winners = Counter(name for one in seen for name in one[race])
        wrong = sum(count != 1 for count in winners.values())
        held = {name: one["number"] for one in seen for name in one[race]}
        if race == "rename":
            wrong += sum((folder / name).read_bytes() != str(number).encode() for name, number in held.items())
        yield verdict(f"{race} race", wrong, sum(one["tries"] for one in seen))
    for lock in ("flock", "fcntl"):
        counted = sum(one[lock] for one in seen)
        yield verdict(f"{lock} race", abs(counted - int((folder / lock).read_bytes())), counted)
    yield verdict("rename visibility", sum(one["torn"] for one in seen), sum(one["looks"] for one in seen))


def _shown(number: int, turn: int) -> bytes:
    """Some bytes that prove themselves."""
    body = f"{number} {turn} ".encode() * 500
    return body + digest_of(body).encode()


class _Worker:
    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self._system = System()
        self.seen: dict[str, Any] = {
            "number": number, "tries": 0, "create": [], "rename": [], "flock": 0, "fcntl": 0, "looks": 0, "torn": 0,
        }  # fmt: skip

    def turn(self, turn: int) -> None:
        self.seen["tries"] += 1
        self._create(f"created-{turn}")
        self._rename(f"renamed-{turn}")
        self._count("flock", fcntl.flock)
        self._count("fcntl", fcntl.lockf)
        self._show(turn)

    def _create(self, name: str) -> None:
        try:
            descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        self._system.fsync(descriptor)
        os.close(descriptor)
        self.seen["create"].append(name)

    def _rename(self, name: str) -> None:
        mine = self._folder / f"mine-{self._number}"
        mine.write_bytes(str(self._number).encode())
        try:
            self._system.rename_new(os.fspath(mine), os.fspath(self._folder / name))
        except FileExistsError:
            return
        self.seen["rename"].append(name)

    def _count(self, name: str, lock: Callable[[int, int], None]) -> None:
        descriptor = os.open(self._folder / name, os.O_RDWR)
        try:
            lock(descriptor, fcntl.LOCK_EX)
            before = int(os.pread(descriptor, 20, 0))
            os.pwrite(descriptor, str(before + 1).encode(), 0)
        finally:
            os.close(descriptor)  # which lets the lock go
        self.seen[name] += 1

    def _show(self, turn: int) -> None:
        fresh = self._folder / f"fresh-{self._number}"
        fresh.write_bytes(_shown(self._number, turn))
        os.replace(fresh, self._folder / "shown")
        found = (self._folder / "shown").read_bytes()
        self.seen["looks"] += 1
        self.seen["torn"] += digest_of(found[:-64]).encode() != found[-64:]


def _work(folder: Path, begin: float, end: float, number: int) -> None:
    worker = _Worker(folder, number)
    last = -1
    while (moment := time.monotonic()) < end:
        turn = int((moment - begin) / _ROUND)
        if turn <= last or moment < begin:
            time.sleep(_ROUND / 10)
            continue
        last = turn
        worker.turn(turn)
    print(json.dumps(worker.seen))


if __name__ == "__main__":
    _work(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
