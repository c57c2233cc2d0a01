"""Chunks of mzML: cut behind spectra, by the bytes alone, and the table that comes out of the same pass."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lake.chunks import ChunkMap, ChunkWatcher, cutter_for
from lake.formats.spectra.cutter import MzmlCutter
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.strict import difference
from lake.formats.spectra.table_codec import TABLE_KIND, decode_run
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum

MIB = 1 << 20


def cuts_of(data: bytes, size: int) -> list[int]:
    cutter = MzmlCutter()
    cuts: list[int] = []
    for start in range(0, len(data), size):
        found = cutter.update(memoryview(data)[start : start + size])
        assert all(cut >= start for cut in found)
        cuts += found
    cuts += cutter.finish(len(data))
    assert cuts == sorted(set(cuts))
    return [cut for cut in cuts if cut < len(data)]


def chunk_map(data: bytes) -> ChunkMap:
    watcher = ChunkWatcher(cutter_for(None, "mzML", len(data)))
    watcher.update(memoryview(data))
    made = watcher.finish()
    assert made is not None
    return made


def made(count: int, points: int = 1000) -> bytes:
    return made_mzml([made_spectrum(n, f"scan={n}", n, points=points + n * 7 % 50) for n in range(count)])


def test_cuts_lie_behind_spectra() -> None:
    data = made(150)
    cuts = cuts_of(data, MIB)
    assert len(cuts) > 3
    for cut in cuts:
        assert data[:cut].endswith(b"</spectrum>")
    lengths = [after - before for before, after in pairwise([0, *cuts, len(data)])]
    assert min(lengths[:-1]) >= 64 << 10
    assert max(lengths) <= MIB


@pytest.mark.parametrize("size", [1 << 14, 65_537, 300_000])
def test_cuts_do_not_depend_on_the_pieces(size: int) -> None:
    data = made(150)
    assert cuts_of(data, size) == cuts_of(data, len(data))


def test_an_edit_moves_only_the_cuts_around_it() -> None:
    data = made(300)
    longer = data.replace(b"<cvList", b"<!-- edited -->\n<cvList", 1)
    before, after = ({data_map.digest(n) for n in range(len(data_map))} for data_map in map(chunk_map, (data, longer)))
    assert len(before & after) >= len(before) - 1
    assert len(before) > 10


def test_spectra_longer_than_a_chunk_are_cut_inside() -> None:
    data = made(3, points=100_000)
    lengths = [after - before for before, after in pairwise([0, *cuts_of(data, 1 << 16), len(data)])]
    assert max(lengths) == MIB


def test_a_file_that_cannot_be_followed_is_cut_by_size() -> None:
    data = made(40).replace(b"</spectrum>", b"", 1) + bytes(3 * MIB)
    assert max(after - before for before, after in pairwise([0, *cuts_of(data, MIB), len(data)])) == MIB
    cutter = MzmlCutter()
    cutter.update(memoryview(data))
    cutter.finish(len(data))
    assert cutter.learned is not None
    assert cutter.learned.problem is not None
    assert not cutter.whole


def test_the_pass_gives_the_table(shared_data: Path) -> None:
    data = (shared_data / "massspec" / "mzdata__small.mzML").read_bytes()
    watcher = ChunkWatcher(cutter_for(None, "mzML", len(data)))
    watcher.update(memoryview(data))
    watcher.finish()
    learned = watcher.learned
    assert learned is not None
    assert (learned.kind, learned.problem, watcher.whole) == (TABLE_KIND, None, True)
    scanner = MzmlScanner()
    scanner.update(data)
    assert difference(decode_run(learned.body, len(data)), scanner.finish()) is None
