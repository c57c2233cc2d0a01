"""Files of spectra are cut behind spectra, however they are handed over."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.formats.cutters import Cutter
from lake.formats.spectra.end_cutters import BlockCutter, ElementCutter

SIZES = (1 << 10, 4 << 10, 16 << 10)
BLOCK, SCAN = b"BEGIN IONS\n%b\nEND IONS\n", b"<scan>%b</scan>\n"
KINDS: list[tuple[bytes, bytes, Callable[[], Cutter]]] = [
    (BLOCK, b"BEGIN IONS\n", lambda: BlockCutter(*SIZES)),
    (SCAN, b"\n<scan>", lambda: ElementCutter(b"</scan>", *SIZES)),
]


def cuts(cutter: Cutter, data: bytes, pieces: list[int]) -> list[int]:
    found: list[int] = []
    start = 0
    for size in [*pieces, len(data)]:
        piece = memoryview(data)[start : start + size]
        known = cutter.update(piece)
        assert all(cut >= start for cut in known)
        found += known
        start += len(piece)
    found += cutter.finish(len(data))
    assert found == sorted(set(found))
    return [cut for cut in found if cut < len(data)]


@pytest.mark.parametrize(("form", "start", "make"), KINDS)
@given(pieces=st.lists(st.integers(1, 9_000), max_size=12), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_chunks_end_where_spectra_do(
    form: bytes, start: bytes, make: Callable[[], Cutter], pieces: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    data = b"".join(form % rng.randbytes(rng.choice([10, 300, 900])).hex().encode() for _ in range(80))
    whole = cuts(make(), data, [])
    assert len(whole) > 3
    assert all(data.startswith(start, cut) or not data[cut:].strip() for cut in whole)
    assert cuts(make(), data, pieces) == whole
