"""The processes of the soak: each does one thing over and over until it is killed.

A worker that sees what must not be raises `Violation`; any other error is one, too.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from lake.errors import Conflict, LakeLocked, NotFound
from lake.journal.values import Annotate
from lake.lake import Lake
from lake.retention import Policy
from tests.reliability.ledger import Call, Ledger, content, plan, visible

__all__ = ["ROLES", "Violation", "Worker", "committer"]

Worker = Callable[[Path, Path, str, random.Random], None]
"""Given the lake, the folder of ledgers, the worker's name, and its luck."""

_LOOK_EVERY = 15
"""Calls after which a writer looks whether everything is there."""


class Violation(Exception):
    """Something that must never be."""


def writer(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Puts, replaces, removes and moves files, makes and drops branches and tags."""
    with Ledger(ledgers / name) as ledger, Lake.open_at(root) as lk, _folder(ledgers) as folder:
        number = 0
        while True:
            if number % _LOOK_EVERY == 0:
                wrong = ledger.settle(visible(lk, name))
                if wrong is not None:
                    raise Violation(f"{name}: {wrong}")
            call = plan(name, ledger.refs, chance)
            ledger.add(call)
            try:
                _make(lk, folder, call)
            except Conflict:
                # A collector that leaves no grace and empties the trash at once may be faster, and says so.
                ledger.add("refused")
            else:
                ledger.add("done")
            number += 1


@contextmanager
def _folder(ledgers: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=ledgers.parent, prefix="sources-") as name:
        yield Path(name)


def _make(lk: Lake, folder: Path, call: Call) -> None:
    verb, ref, *rest = call
    match verb:
        case "branch":
            lk.branch(ref, rest[0])
        case "tag":
            lk.tag(ref, rest[0])
        case "drop" if ref.endswith(".tag"):
            lk.delete_tag(ref)
        case "drop":
            lk.delete_branch(ref)
        case "rm":
            lk.rm([f"@{ref}/{path}" for path in rest[0]])
        case "mv":
            lk.mv(f"@{ref}/{rest[0]}", f"@{ref}/{rest[1]}")
        case _ if len(rest[0]) == 1:
            ((path, number),) = rest[0].items()
            with lk.open(f"@{ref}/{path}", "wb") as file:
                file.write(content(number))
        case _:
            sources = []
            for path, number in rest[0].items():
                sources.append(folder / Path(path).name)
                sources[-1].write_bytes(content(number))
            lk.put(sources, f"@{ref}/{Path(path).parent}/")


def reader(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Reads files of any ref; what the head names must be there, with the bytes that it promises."""
    with Lake.open_at(root, readonly=chance.random() < 0.3) as lk:
        while True:
            journal = lk.repo.journal
            refs = [*(branch.name for branch in journal.branches()), *(tag.name for tag in journal.tags())]
            ref = chance.choice(refs)
            try:
                files = [entry for entry in lk.ls("", ref=ref, recursive=True) if entry.digest is not None]
            except NotFound:
                continue  # the ref was dropped
            for entry in chance.sample(files, min(10, len(files))):
                try:
                    with lk.open(entry.path, "rb", ref=ref, verify=True) as file:
                        read = blake3(file.read()).hexdigest()
                    now = lk.stat(entry.path, ref=ref).digest
                except NotFound as error:
                    _must_be_gone(lk, ref, entry.path, str(entry.hex), error)
                    break
                if read != entry.hex == now:
                    raise Violation(f"{ref}:{entry.path} has {read}, not {entry.hex}")


def _must_be_gone(lk: Lake, ref: str, path: str, digest: str, error: NotFound) -> None:
    try:
        still = lk.stat(path, ref=ref).digest == digest
    except NotFound:
        return
    if still:
        raise Violation(f"{ref}:{path} is there and cannot be read: {error}") from error


def checker(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Checks every byte; nothing is ever wrong."""
    with Lake.open_at(root) as lk:
        while True:
            report = lk.fsck()
            if not report.ok or report.foreign:
                raise Violation(f"fsck: {report.findings[:3]} {report.foreign[:3]}")


def collector(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Collects without any grace, brings back what is in the trash, deletes it at once: with another of its kind."""
    with Lake.open_at(root) as lk, open(ledgers / name, "a", buffering=1) as ledger:
        while True:
            with contextlib.suppress(LakeLocked):
                report = lk.gc(grace=chance.choice([0, 0, 1]), trash=chance.choice([0, 0, 2, 3600]))
                ledger.write(f"{report.objects + report.orphans} {report.purged}\n")
            if chance.random() < 0.1:
                with contextlib.suppress(Conflict):
                    lk.untrash()
            if chance.random() < 0.1 and lk.exists("lost+found"):
                with contextlib.suppress(NotFound):
                    lk.rm("lost+found", recursive=True)


def expirer(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Lets go of history, so that there is something to collect."""
    with Lake.open_at(root) as lk:
        while True:
            lk.expire(Policy(last=chance.choice([20, 30, 50])))
            time.sleep(chance.uniform(0, 0.5))


def publisher(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Publishes the catalog, and asks it: at any commit it must say what the journal says."""
    with Lake.open_at(root) as lk:
        while True:
            try:
                lk.catalog.publish(force=True)
                seq = str(lk.repo.journal.tip().seq)
                with lk.catalog.connect(at=seq) as asked:
                    found = dict(asked.sql("SELECT path, digest FROM files").fetchall())
                wanted = {e.path: str(e.hex) for e in lk.ls("", ref=seq, recursive=True) if e.digest is not None}
                lk.repo.journal.resolve(seq)
            except (Conflict, NotFound):
                continue  # expired meanwhile
            if found != wanted:
                raise Violation(f"the catalog differs at {seq}: {dict(found.items() ^ wanted.items())}")


def committer(root: Path, ledgers: Path, name: str, chance: random.Random) -> None:
    """Commits without end; its ledger has a line before each commit and one after: number, and sequence number.

    The first commit after a restart is the last one before it, again, under the same id of operation.
    """
    path = ledgers / name
    told = path.read_text().split("\n") if path.exists() else []
    number = max((int(line.split()[0]) for line in told if line), default=0)
    with Lake.open_at(root) as lk, open(path, "a", buffering=1) as ledger:
        if not lk.exists(name):
            lk.mkdir(name)
        while True:
            number = max(number, 1)
            ledger.write(f"{number}\n")
            change = Annotate(name, {"number": number})
            made = lk.repo.commit("main", [change], message=f"{name} {number}", op_id=f"{name}-{number}")
            ledger.write(f"{number} {made.seq}\n")
            number += 1


ROLES: dict[str, Worker] = {
    "writer": writer,
    "reader": reader,
    "checker": checker,
    "collector": collector,
    "expirer": expirer,
    "publisher": publisher,
}
