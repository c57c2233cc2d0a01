"""A few seconds of the soak: `tests.reliability.soak` tells how to let it run for longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def soak(*arguments: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.soak", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.soak
def test_everybody_at_once() -> None:
    told = soak("--seconds", 5)
    assert told["violations"] == []
    assert told["acknowledged"] > 0


@pytest.mark.soak
def test_commits_under_random_kills() -> None:
    told = soak("--commits", 300, "--seconds", 60)
    assert told["violations"] == []
    assert told["acknowledged"] > 0
    assert told["lost"] == 0
