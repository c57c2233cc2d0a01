"""Text is cut where lines and records begin, by content, however it is handed over."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.formats.cutters import Cutter
from lake.formats.line_cutters import FastqCutter, LineCutter

SIZES = (1 << 10, 4 << 10, 16 << 10)


def _cuts(cutter: Cutter, data: bytes, pieces: list[int]) -> list[int]:
    cuts: list[int] = []
    start = 0
    for size in [*pieces, len(data)]:
        piece = memoryview(data)[start : start + size]
        found = cutter.update(piece)
        assert all(cut >= start for cut in found)
        cuts += found
        start += len(piece)
    cuts += cutter.finish(len(data))
    assert cuts == sorted(set(cuts))
    return [cut for cut in cuts if cut < len(data)]


def _reads(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    sizes = [rng.choice([0, 50, 150, 150, 900]) for _ in range(count)]
    return [
        b"@read%d\n%b\n+\n%b\n" % (n, bytes(rng.choices(b"ACGT", k=size)), bytes(rng.choices(b"@+I>", k=size)))
        for n, size in enumerate(sizes)
    ]


def test_cuts_fall_on_lines_and_on_records() -> None:
    records = _reads(2000)
    data = b"".join(records)
    lines = _cuts(LineCutter(*SIZES), data, [])
    assert len(lines) > 40
    assert all(data[cut - 1] == 10 for cut in lines)
    starts, at = set(), 0
    for record in records:
        starts.add(at)
        at += len(record)
    cuts = _cuts(FastqCutter(*SIZES), data, [])
    assert len(cuts) > 40
    assert set(cuts) <= starts
    assert len(_cuts(FastqCutter(*SIZES), data.replace(b"\n", b"\r\n"), [])) > 40


@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(st.integers(0, 20_000), max_size=40), seed=st.integers(0, 5))
def test_cuts_do_not_depend_on_pieces(pieces: list[int], seed: int) -> None:
    data = b"".join(_reads(300, seed))
    for kind in (LineCutter, FastqCutter):
        assert _cuts(kind(*SIZES), data, pieces) == _cuts(kind(*SIZES), data, [])


def test_an_edit_moves_only_the_cuts_around_it() -> None:
    records = _reads(2000)
    data = b"".join(records)
    changed = b"".join([*records[:900], b"@new\nACGT\n+\nIIII\n", *records[900:]])
    before = _cuts(FastqCutter(*SIZES), data, [])
    after = _cuts(FastqCutter(*SIZES), changed, [])
    tails = {len(data) - cut for cut in before} | set(before)
    new = [cut for cut in after if cut not in tails and len(changed) - cut not in tails]
    assert len(new) <= 3


@pytest.mark.parametrize("kind", [LineCutter, FastqCutter])
def test_text_without_lines_or_records_is_cut_all_the_same(kind: type[LineCutter]) -> None:
    for data in (random.Random(2).randbytes(5 << 20).replace(b"\n", b" "), b"@\n" * (1 << 20)):
        cuts = _cuts(kind(*SIZES), data, [])
        assert cuts
        assert (
            max(stop - start for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True))
            <= (1 << 20) + SIZES[2]
        )
        assert _cuts(kind(*SIZES), data, [100_000] * 30) == cuts
