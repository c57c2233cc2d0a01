"""gc against writers: each side is stopped at every step while the other goes on; and all of it at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

import lake
from lake.digest import digest_of
from lake.errors import Collected
from lake.fs import LakeFileSystem
from lake.lake import Lake
from lake.retention import Policy
from tests.lake.test_gc import assert_sound, content, let_go, orphan, read, write

_MODULES = (
    "lake.gc",
    "lake.trash",
    "lake.stores.trash",
    "lake.stores.localbatch",
    "lake.stores.publishing",
)
WRITER_STEPS = ("staged", "probed", "published")
GC_PAUSES = ("marked", "claimed", "moved", "recorded", "purge-rows")
_LATE = 0.4
"""Seconds after which somebody who has not come to a step is taken to wait for the other."""
_BLOCKED = 0.02
"""Seconds after which somebody who does not go on is taken to wait for the other."""


class Actor:
    """A thread that is stopped when it comes to a step, until it is told to go on."""

    def __init__(self, act: Callable[[], object], step: str | None) -> None:
        self._act = act
        self._step = step
        self._reached = threading.Event()
        self._go = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        _ACTORS[self._thread] = self

    def reach(self) -> Actor:
        """Start, and wait until it is at its step, at its end, or waits for somebody."""
        self._thread.start()
        self._reached.wait(_LATE if self._step else _BLOCKED)
        return self

    def go_on(self) -> None:
        self._go.set()
        self._thread.join(_BLOCKED)

    def finish(self) -> None:
        self._go.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        del _ACTORS[self._thread]

    def passes(self, step: str) -> None:
        if step == self._step:
            self._step = None
            self._reached.set()
            self._go.wait(20)

    def _run(self) -> None:
        try:
            self._act()
        except BaseException as error:
            self.error = error
        finally:
            self._reached.set()


_ACTORS: dict[threading.Thread, Actor] = {}


@pytest.fixture
def lk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    def passes(step: str) -> None:
        actor = _ACTORS.get(threading.current_thread())
        if actor is not None:
            actor.passes(step)

    for module in _MODULES:
        monkeypatch.setattr(import_module(module), "crash_point", passes)
    with lake.init(tmp_path / "lake") as made:
        write(made, "kept", b"kept")
        yield made


def prepare(lk: Lake, scene: str, data: bytes, folder: Path) -> tuple[Callable[[], object], dict[str, bytes]]:
    """Make the lake as the scene wants it; returns what the writer does, and what has to be readable then."""
    match scene:
        case "loose":
            write(lk, "old", data)
            let_go(lk, "old")
        case "orphan":
            orphan(lk, data)
        case "trash":
            write(lk, "old", data)
            let_go(lk, "old")
            lk.gc()
        case "history":
            write(lk, "old", data)
            version = lk.log()[0].seq
            lk.rm("old")
            return lambda: lk.cp(f"@{version}/old", "new"), {"new": data}
        case "pack":
            folder.mkdir()
            made = {f"{number}": data[:50] + bytes([number]) * 50 for number in range(64)}
            for name, body in made.items():
                (folder / name).write_bytes(body)
            return lambda: lk.put(folder, "new"), {f"new/{name}": body for name, body in made.items()}
    return lambda: write(lk, "new", data), {"new": data}


def settle(
    lk: Lake, act: Callable[[], object], wanted: dict[str, bytes], error: BaseException | None, forever: bool
) -> None:
    """The writer has succeeded, or says that it was too late, which cannot be where nothing is deleted."""
    if error is not None:
        assert isinstance(error, Collected), error
        assert forever, error
        act()
    for path, data in wanted.items():
        assert read(lk, path) == data


@pytest.mark.parametrize("scene", ["new", "loose", "orphan", "trash", "pack", "history"])
def test_g1_each_side_stopped_at_every_step(lk: Lake, scene: str, tmp_path: Path) -> None:
    """G1, G2: a writer stores what gc is about to take, or takes; the writer is ahead, or gc is."""
    for number, writer_step in enumerate(WRITER_STEPS):
        for other, gc_step in enumerate(GC_PAUSES):
            trash = 0.0 if gc_step.startswith("purge") else 3600.0
            for first in ("writer", "gc"):
                name = f"{number}{other}{first}"
                data = content(100 * number + 2 * other + (first == "gc"))
                act, wanted = prepare(lk, scene, data, tmp_path / name)
                writer = Actor(act, writer_step)
                collector = Actor(partial(lk.gc, grace=0, trash=trash), gc_step)
                one, two = (writer, collector) if first == "writer" else (collector, writer)
                one.reach()
                two.reach()
                one.go_on()
                two.go_on()
                writer.finish()
                collector.finish()
                assert collector.error is None
                settle(lk, act, wanted, writer.error, trash == 0)
                lk.rm(["new", *(["old"] if lk.exists("old") else [])], recursive=True)
    assert_sound(lk)
    lk.expire(Policy(last=1))
    lk.gc(grace=0, trash=0, empty_trash=True)
    assert lk.gc(grace=0, trash=0).waiting == 0
    assert read(lk, "kept") == b"kept"
    assert_sound(lk)


def test_bytes_that_are_gone_for_good_are_said_to_be(lk: Lake) -> None:
    """A put that waits for its commit for longer than the trash keeps what it stored."""
    writer = Actor(lambda: write(lk, "new", content(1)), "published").reach()
    lk.gc(grace=0, trash=0)
    writer.finish()
    assert isinstance(writer.error, Collected)
    assert "put it again" in str(writer.error)
    assert not lk.exists("new")
    write(lk, "new", content(1))
    assert_sound(lk)


def test_it_is_no_conflict_with_what_others_have_written(lk: Lake) -> None:
    """Somebody who makes a new file is told to put again, not that the file is there."""
    fs = LakeFileSystem(root=lk.root)

    def make() -> None:
        with fs.open("made", "xb") as file:
            file.write(content(1))

    writer = Actor(make, "published").reach()
    lk.gc(grace=0, trash=0)
    writer.finish()
    assert isinstance(writer.error, Collected)
    make()
    assert read(lk, "made") == content(1)


def test_a_copy_of_what_was_deleted_meanwhile(lk: Lake) -> None:
    write(lk, "old", content(1))

    def copy() -> None:
        with lk.commit("copy"):
            lk.cp("old", "new")
            other = Actor(partial(_delete, lk, "old"), None).reach()
            other.finish()
            assert other.error is None

    with pytest.raises(Collected, match="put it again"):
        copy()
    assert not lk.exists("new")
    assert_sound(lk)


def _delete(lk: Lake, path: str) -> None:
    lk.rm(path)
    lk.expire(Policy(last=1))
    lk.gc(trash=0)


def test_a_long_transaction_keeps_what_it_stored(lk: Lake) -> None:
    with lk.commit("long"):
        write(lk, "a", content(1))
        assert lk.gc(grace=0).orphans == 1
        write(lk, "b", content(2))
    assert (read(lk, "a"), read(lk, "b")) == (content(1), content(2))
    assert_sound(lk)


_WORKER = """
import random, sys, time
import lake
from lake.errors import Collected, LakeError, LakeLocked, NotFound
from lake.retention import Policy

root, role, seed, until = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
chance = random.Random(seed)
acknowledged = {}
with lake.open(root) as lk:
    print("ready", flush=True)
    sys.stdin.readline()
    while time.monotonic() < until:
        if role == "gc":
            try:
                lk.expire(Policy(last=3))
                lk.gc(grace=0, trash=0)
            except LakeLocked:
                pass
            continue
        path = f"w{seed}/{chance.randrange(8)}"
        if role == "read":
            path = f"w{chance.randrange(3)}/{chance.randrange(8)}"
            try:
                with lk.open(path, verify=True) as file:
                    data = file.read()
                assert len(data) == 2000 and len(set(data)) == 1, path
            except NotFound:
                pass
            continue
        shared = chance.randrange(12)
        try:
            if path in acknowledged and chance.random() < 0.3:
                lk.rm(path)
                del acknowledged[path]
            else:
                with lk.open(path, "wb") as file:
                    file.write(bytes([shared]) * 2000)
                acknowledged[path] = shared
        except Collected:
            pass
for path, value in acknowledged.items():
    print(path, value)
"""


def test_writers_readers_and_gc_at_once(tmp_path: Path) -> None:
    """Three writers share few contents, while history expires and gc deletes at once."""
    root = tmp_path / "lake"
    lake.init(root).close()
    until = time.monotonic() + 4
    roles = [("write", 0), ("write", 1), ("write", 2), ("gc", 3), ("read", 4)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(root), role, str(seed), str(until)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role, seed in roles
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        told = [worker.communicate("go\n")[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0] * len(workers)
    with lake.open(root) as lk:
        acknowledged = dict(line.split() for text in told for line in text.splitlines())
        assert acknowledged
        for path, value in acknowledged.items():
            assert read(lk, path) == bytes([int(value)]) * 2000
        assert_sound(lk)
        lk.expire(Policy(last=1))
        lk.gc(grace=0, trash=0, empty_trash=True)
        assert {file.name for file in (root / "objects").rglob("*") if file.is_file()} == {
            digest_of(bytes([int(value)]) * 2000) for value in acknowledged.values()
        }
        assert_sound(lk)
