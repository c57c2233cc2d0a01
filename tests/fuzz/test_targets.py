"""Every parser answers some hundred mutants with a result or one of the errors of `lake.errors`, soon and in bounds."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest

from tests.fuzz.bounds import bounded
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS
from tests.fuzz.texts import TEXTS

_FILES = 6
_TEXTS = 40


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    before, level = pysam.set_verbosity(0), logging.getLogger("lake").level
    logging.getLogger("lake").setLevel(logging.CRITICAL)
    yield
    pysam.set_verbosity(before)
    logging.getLogger("lake").setLevel(level)


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_answered(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    mutator = Mutator(rng := random.Random(f"{name} 7"), target.words)
    seeds = target.seeds()
    for sound in seeds:
        target.run(sound, tmp_path)
    for _ in range(_TEXTS if name in TEXTS else _FILES):
        data = mutator.mutant(rng.choice(seeds))
        with bounded(20.0):
            target.run(data, tmp_path)
