"""What a writer has tried and what it was told, in a file outside of the lake; and what the lake must hold then.

Each writer changes only what lies below its own name, and refs of its own, so that its ledger alone says what is
there: everything acknowledged, nothing that was not tried, of the last call all or nothing.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

from lake.lake import Lake

__all__ = ["Call", "Ledger", "Refs", "content", "digest", "plan", "visible"]

Call = list[Any]
"""Verb, ref and arguments; goes through JSON."""

Refs = dict[str, dict[str, str]]
"""What lies below a writer's name: by ref and path the digest."""

_CONTENTS = 200
"""Different contents: few, so that writers meet each other's, and what is on its way to the trash."""
_SIZES = (0, 10, 3000, 40_000, 300_000)
_MOST_REFS = 5


def content(number: int) -> bytes:
    return random.Random(number).randbytes(_SIZES[number % len(_SIZES)])


def digest(number: int) -> str:
    return blake3(content(number)).hexdigest()


def plan(name: str, refs: Refs, chance: random.Random) -> Call:
    """A call that the lake must accept."""
    branches = [ref for ref in refs if not ref.endswith(".tag")]
    branch = chance.choice(branches)
    paths = sorted(refs[branch])
    pick = chance.random()
    fresh = f"{name}.{chance.randrange(10**9)}"
    if pick < 0.12 and len(refs) < _MOST_REFS:
        return ["branch", fresh, branch]
    if pick < 0.18 and len(refs) < _MOST_REFS:
        return ["tag", f"{fresh}.tag", branch]
    if pick < 0.28 and len(refs) > 1:
        return ["drop", chance.choice([ref for ref in refs if ref != "main"])]
    if pick < 0.45 and paths:
        return ["rm", branch, chance.sample(paths, min(len(paths), chance.choice([1, 1, 5])))]
    if pick < 0.55 and paths:
        path = chance.choice(paths)
        return [
            "mv",
            branch,
            path,
            f"{name}/{chance.choice([n for n in range(9) if f'{name}/{n}.moved' != path])}.moved",
        ]
    if pick < 0.65:
        files = {f"{name}/{chance.randrange(100)}.many": chance.randrange(_CONTENTS) for _ in range(30)}
        return ["put", branch, files]
    return ["put", branch, {f"{name}/{chance.randrange(30)}.one": chance.randrange(_CONTENTS)}]


def applied(refs: Refs, call: Call) -> Refs:
    """What must be there after the call."""
    verb, ref, *rest = call
    match verb:
        case "branch" | "tag":
            return refs | {ref: dict(refs[rest[0]])}
        case "drop":
            return {other: files for other, files in refs.items() if other != ref}
        case "rm":
            return refs | {ref: {path: held for path, held in refs[ref].items() if path not in rest[0]}}
        case "mv":
            files = dict(refs[ref])
            moved = files.pop(rest[0])
            return refs | {ref: files | {rest[1]: moved}}
        case _:
            return refs | {ref: refs[ref] | {path: digest(number) for path, number in rest[0].items()}}


def visible(lk: Lake, name: str) -> Refs:
    """What lies below a writer's name."""
    journal = lk.repo.journal
    named = [*(branch.name for branch in journal.branches()), *(tag.name for tag in journal.tags())]
    own = [ref for ref in named if ref.startswith(f"{name}.")]
    found: Refs = {}
    for ref in ["main", *own]:
        entries = lk.ls(name, ref=ref, recursive=True) if lk.exists(name, ref=ref) else []
        found[ref] = {entry.path: str(entry.hex) for entry in entries if entry.digest is not None}
    return found


class Ledger:
    """Lines that a process adds whole or not at all, however it dies."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.refs: Refs = {"main": {}}
        """What was acknowledged."""
        self.open: Call | None = None
        """The call that nobody has answered yet."""
        self.acknowledged = self.lost_answers = self.refused = 0
        for line in path.read_text().splitlines():
            self._read(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _read(self, line: Any) -> None:
        if isinstance(line, list):
            self.open = line
            return
        assert self.open is not None
        if line in ("done", "was done"):
            self.refs = applied(self.refs, self.open)
        self.acknowledged += line == "done"
        self.lost_answers += line == "was done"
        self.refused += line == "refused"
        self.open = None

    def add(self, line: Call | str) -> None:
        """A call about to be made, or what became of it: ``done``, ``refused``, ``was done``, ``was not done``."""
        os.write(self._fd, (json.dumps(line) + "\n").encode())
        self._read(line)

    def settle(self, found: Refs) -> str | None:
        """Compare with what is visible, and find out what became of a call without answer; what is wrong, if so."""
        if found == self.refs:
            if self.open is not None:
                self.add("was not done")
            return None
        if self.open is not None and found == applied(self.refs, self.open):
            self.add("was done")
            return None
        wrong = [
            f"{ref}: {path} is {found.get(ref, {}).get(path)}, acknowledged was {self.refs.get(ref, {}).get(path)}"
            for ref in sorted(found.keys() | self.refs.keys())
            for path in sorted(found.get(ref, {}).keys() | self.refs.get(ref, {}).keys())
            if found.get(ref, {}).get(path) != self.refs.get(ref, {}).get(path)
        ]
        return f"open: {self.open}; refs {sorted(found)} and {sorted(self.refs)}; " + "; ".join(wrong[:5])
