"""A process that is killed at any step of anything leaves a lake that is sound, and says what it said before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.errors import LakeError
from lake.lake import Lake
from tests.lake.samples import branch_files, staged
from tests.reliability.matrix import ACTIONS, STATES, Nursery, before, steps_of

CASES = [
    (name, step, state)
    for name, action in ACTIONS.items()
    for step in action.steps
    for state in STATES
    if (step, state) not in action.unreached
]

LEASE_IS_OVER = "7200"
"""Seconds; longer than any lease of a process that died."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


def test_every_step_of_the_product_is_in_the_matrix() -> None:
    known = {name: action.steps for name, action in ACTIONS.items()}
    assert known == steps_of()


@pytest.mark.parametrize(("name", "step", "state"), CASES)
def test_killed_at_a_step(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: str, state: str
) -> None:
    action, root, folder = ACTIONS[name], tmp_path / "lake", tmp_path / "files"
    with Lake.init(root) as lk:
        old = before(lk, folder, state)
        old |= action.prepare(lk, folder) or {}
    new = old | (action.changes or {})

    assert nursery.run(name, root, folder, step) == -signal.SIGKILL

    steps = list(action.steps)
    done = action.visible_from is not None and steps.index(step) >= steps.index(action.visible_from)
    if step in action.shut:
        with pytest.raises(LakeError):
            Lake.open_at(root)
    elif not action.hurt:
        with Lake.open_at(root) as again:
            _is_sound(again, new if done else old)
    action.act(root, folder, step)
    with Lake.open_at(root) as again:
        _is_sound(again, new)
        if state == "overwrite":
            asked = again.sql("SELECT path, size FROM files").fetchall()
            assert dict(asked) == {path: len(content) for path, content in new.items()}
    action.made(folder, new)

    monkeypatch.setenv("REGIONLAKE_CLOCK", LEASE_IS_OVER)
    with Lake.open_at(root) as later:
        later.repo.session()
        assert staged(later) == []
        assert later.fsck().ok


def _is_sound(lk: Lake, files: dict[str, bytes]) -> None:
    report = lk.fsck()
    assert report.ok, report.findings
    assert report.foreign == []
    assert report.generations == []
    assert branch_files(lk) == files
