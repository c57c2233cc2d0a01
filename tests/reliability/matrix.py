"""What is done to a lake when a process is killed, step by step; and the process whose forks do it.

Run as a program it reads a case a line from standard input, as JSON, has a fork of itself do it, and answers with the
fork's exit status. A fork of a process that has imported everything starts a hundred times as fast as Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from lake import crashpoints
from lake.backup.checking import verify_backup
from lake.backup.restoring import restore_lake
from lake.lake import Lake
from lake.progress import Silent
from lake.rebuilding import rebuild_journal
from lake.retention import Policy
from tests.lake.samples import NOISE, branch_files, flip, object_file

__all__ = ["ACTIONS", "STATES", "Action", "Nursery", "steps_of"]

STATES = ("new", "duplicate", "overwrite")
"""What the lake holds already of what the action brings: nothing, the same bytes elsewhere, other bytes there."""

CONTENT = {"x/a.txt": b"a" * 5000, "x/b.txt": b"b" * 5000}
"""What an action puts."""
OLDER = {"x/a.txt": b"older", "x/c.txt": b"c"}
"""What is there before, in the state ``overwrite``."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Action:
    """Something that writes to a lake in steps."""

    steps: Mapping[str, str]
    """Its crash points."""
    act: Callable[[Path, Path, str], object]
    """Does it to the lake at a path; also given a folder for local files, and the step at which it is going to die."""
    prepare: Callable[[Lake, Path], Files | None] = lambda lk, folder: None
    """Makes the lake such that there is something to do, after what the state asks for; files that it adds."""
    changes: Files | None = None
    """Files that it puts; None: what the lake holds stays the same."""
    visible_from: str | None = None
    """The first step at which the changes must be there."""
    unreached: frozenset[tuple[str, str]] = frozenset()
    """Pairs of step and state that it does not come to."""
    shut: frozenset[str] = frozenset()
    """Steps after which the lake opens only when the action has been done again."""
    hurt: bool = False
    """Whether the lake is damaged until it is done."""
    made: Callable[[Path, Files], object] = lambda folder, files: None
    """Looks at what it makes outside of the lake."""


def write_files(folder: Path, files: Files) -> list[Path]:
    """Local files, by the last parts of their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, content in files.items():
        path = folder / Path(name).name
        path.write_bytes(content)
        made.append(path)
    return made


def before(lk: Lake, folder: Path, state: str) -> Files:
    """Bring a fresh lake into a state; what it holds then."""
    held = {"old": b"old"}
    lk.put(write_files(folder, held), "")
    if state == "duplicate":
        copies = {f"copies/{Path(name).name}": content for name, content in CONTENT.items()}
        lk.put(write_files(folder, copies), "copies/")
        held |= copies
    elif state == "overwrite":
        lk.put(write_files(folder, OLDER), "x/")
        held |= OLDER
    return held


def _put(root: Path, folder: Path, step: str) -> None:
    sources = write_files(folder / "sources", CONTENT)
    with Lake.open_at(root) as lk:
        lk.put(sources, "x/", method="move" if step.startswith("source-") else "copy")


def _generation(lk: Lake, _: Path) -> None:
    """A generation, and something since that another one would hold."""
    lk.catalog.publish(force=True)
    lk.set_meta("old", {"seen": 1})


def _publish(root: Path, _: Path, __: str) -> None:
    with Lake.open_at(root) as lk:
        lk.catalog.publish(force=True)


JUNK = b"junk" * 2000


def _junk(lk: Lake, _: Path) -> None:
    """Commits that need not be kept, and one object that only they name."""
    for _number in range(3):
        with lk.open("junk", "wb") as file:
            file.write(JUNK)
        lk.rm("junk")


def _unnamed(lk: Lake, folder: Path) -> None:
    _junk(lk, folder)
    lk.expire(Policy(last=1))


def _trashed(lk: Lake, folder: Path) -> None:
    _unnamed(lk, folder)
    assert lk.gc(grace=0, trash=3600).objects == 1


def _expire(root: Path, _: Path, __: str) -> None:
    with Lake.open_at(root) as lk:
        lk.expire(Policy(last=1))


def _collect(root: Path, _: Path, __: str) -> None:
    with Lake.open_at(root) as lk:
        lk.gc(grace=0, trash=0)


def _untrash(root: Path, _: Path, __: str) -> None:
    with Lake.open_at(root) as lk:
        lk.untrash()


def _damaged(lk: Lake, folder: Path) -> Files:
    """A large file with one wrong byte, and what it should be beside the lake."""
    (folder / "whole").write_bytes(NOISE)
    lk.put(folder / "whole", "whole")
    flip(object_file(lk, "whole"), 1_500_000)
    return {"whole": NOISE}


def _repair(root: Path, folder: Path, _: str) -> None:
    with Lake.open_at(root) as lk:
        lk.fsck(repair=True, sources=[folder / "whole"])


def _rebuild(root: Path, _: Path, __: str) -> None:
    rebuild_journal(root)


def _backed_up(lk: Lake, folder: Path) -> Files:
    """A backup, and since then something new, and something gone."""
    _junk(lk, folder)
    lk.backup(folder / "backup")
    lk.expire(Policy(last=1))
    lk.gc(grace=0, trash=0)
    lk.put(write_files(folder, {"later": JUNK[::-1]}), "")
    return {"later": JUNK[::-1]}


def _backup(root: Path, folder: Path, _: str) -> None:
    with Lake.open_at(root) as lk:
        lk.backup(folder / "backup", prune=True)


def _restore(root: Path, folder: Path, _: str) -> None:
    if not (folder / "backup").exists():
        with Lake.open_at(root) as lk:
            lk.backup(folder / "backup")
    # What is left of one that died is no lake, and is removed by hand.
    shutil.rmtree(folder / "restored", ignore_errors=True)
    restore_lake(folder / "backup", folder / "restored", Silent())


def _restorable(folder: Path, files: Files) -> None:
    """What is restored from the backup holds the files."""
    assert verify_backup(folder / "backup", Silent()).ok
    shutil.rmtree(folder / "restored", ignore_errors=True)
    restore_lake(folder / "backup", folder / "restored", Silent())
    _restored(folder, files)


def _restored(folder: Path, files: Files) -> None:
    with Lake.open_at(folder / "restored") as lk:
        assert branch_files(lk) == files
        assert lk.fsck().ok


ACTIONS = {
    "CRASH_POINTS": Action(
        crashpoints.CRASH_POINTS,
        _put,
        changes=CONTENT,
        visible_from="source-removed",
        # What is known needs no name.
        unreached=frozenset({("staging-written", "duplicate"), ("renamed", "duplicate")}),
    ),
    "COMMIT_STEPS": Action(crashpoints.COMMIT_STEPS, _put, changes=CONTENT, visible_from="committed"),
    "LOG_STEPS": Action(crashpoints.LOG_STEPS, _put, changes=CONTENT, visible_from="unsealed"),
    "PUBLISH_STEPS": Action(crashpoints.PUBLISH_STEPS, _publish, _generation),
    "EXPIRE_STEPS": Action(crashpoints.EXPIRE_STEPS, _expire, _junk),
    "GC_STEPS": Action(crashpoints.GC_STEPS, _collect, _unnamed),
    "UNTRASH_STEPS": Action(
        crashpoints.UNTRASH_STEPS, _untrash, _trashed, changes={f"lost+found/{blake3(JUNK).hexdigest()}": JUNK}
    ),
    "REPAIR_STEPS": Action(crashpoints.REPAIR_STEPS, _repair, _damaged, hurt=True),
    "REBUILD_STEPS": Action(crashpoints.REBUILD_STEPS, _rebuild, shut=frozenset({"journal-aside"})),
    "BACKUP_STEPS": Action(crashpoints.BACKUP_STEPS, _backup, _backed_up, made=_restorable),
    "RESTORE_STEPS": Action(crashpoints.RESTORE_STEPS, _restore, made=_restored),
}
"""By the names of the dictionaries of steps in `lake.crashpoints`."""


def steps_of() -> dict[str, Mapping[str, str]]:
    """Every dictionary of steps that the product has."""
    return {name: value for name, value in vars(crashpoints).items() if name.isupper() and isinstance(value, dict)}


class Nursery:
    """A process whose forks act on lakes and die at it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.matrix"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()

    def run(self, action: str, root: Path, folder: Path, step: str) -> int:
        """Have a fork do an action, and die at a step; its exit status, as `os.waitstatus_to_exitcode` gives it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([action, str(root), str(folder), step]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def _told(text: str) -> Iterator[None]:
    """Say why a fork failed, and end it, so that it never comes back into the loop of its parent."""
    status = 1
    try:
        yield
        status = 0
    except BaseException as error:
        print(f"{text}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _serve() -> None:
    # Whatever an action needs is imported before the first fork.
    import duckdb  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    import lake.catalog.building
    import lake.feed  # noqa: F401

    for line in sys.stdin:
        name, root, folder, step = json.loads(line)
        child = os.fork()
        if not child:
            with _told(line):
                crashpoints.arm(step)
                ACTIONS[name].act(Path(root), Path(folder), step)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
