"""Chunk maps: made while bytes pass, encoded, decoded from hostile bytes, searched."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.chunks import CUTTERS, Chunk, ChunkMap, ChunkWatcher, CutterRule, cutter_for, register_cutter
from lake.digest import digest_of
from lake.errors import FormatError
from lake.formats.cutters import BgzfCutter, ContentCutter, CramCutter

MIB = 1 << 20
NOISE = random.Random(3).randbytes(3 * MIB)


class FixedCutter:
    """Tells all cuts at once, as one that reads a table at the start of a file does."""

    def __init__(self, *cuts: int) -> None:
        self._cuts = list(cuts)

    whole = False

    def update(self, piece: memoryview, /) -> list[int]:
        cuts, self._cuts = self._cuts, []
        return cuts

    def finish(self, size: int, /) -> list[int]:
        return []


def watch(watcher: ChunkWatcher, data: bytes, pieces: list[int]) -> ChunkMap | None:
    at = 0
    for size in [*pieces, len(data)]:
        if at < len(data):
            watcher.update(memoryview(data)[at : at + size])
            at += size
    return watcher.finish()


def map_of(data: bytes, *cuts: int) -> ChunkMap:
    edges = [0, *cuts, len(data)]
    runs = [data[a:b] for a, b in pairwise(edges)]
    return ChunkMap(tuple(map(len, runs)), b"".join(bytes.fromhex(digest_of(run)) for run in runs))


class TestWatcher:
    @settings(deadline=None, max_examples=40)
    @given(
        cuts=st.sets(st.integers(1, len(NOISE) - 1), min_size=1, max_size=8),
        pieces=st.lists(st.sampled_from([1, 1000, MIB - 1, MIB, MIB + 1]), max_size=6),
    )
    def test_chunks_are_those_of_the_cuts(self, cuts: set[int], pieces: list[int]) -> None:
        assert watch(ChunkWatcher(FixedCutter(*sorted(cuts))), NOISE, pieces) == map_of(NOISE, *sorted(cuts))

    def test_pieces_may_be_used_again_by_whoever_gave_them(self) -> None:
        watcher = ChunkWatcher(ContentCutter(16 << 10, 64 << 10, 256 << 10))
        buffer = bytearray(MIB)
        for at in range(0, len(NOISE), MIB):
            buffer[:] = NOISE[at : at + MIB]
            watcher.update(memoryview(buffer))
        buffer[:] = bytes(MIB)
        found = watcher.finish()
        assert found == watch(ChunkWatcher(ContentCutter(16 << 10, 64 << 10, 256 << 10)), NOISE, [5000] * 1000)
        assert found is not None
        assert all(digest_of(NOISE[each.offset : each.offset + each.length]) == each.digest for each in found)

    @pytest.mark.parametrize("data", [b"", b"x", NOISE])
    def test_one_chunk_needs_no_map(self, data: bytes) -> None:
        assert watch(ChunkWatcher(None), data, []) is None
        assert watch(ChunkWatcher(FixedCutter()), data, []) is None
        assert watch(ChunkWatcher(FixedCutter(len(data), len(data) + 5)), data, []) is None

    def test_a_cut_at_the_end_makes_no_empty_chunk(self) -> None:
        assert watch(ChunkWatcher(FixedCutter(1000, len(NOISE), 1 << 40)), NOISE, []) == map_of(NOISE, 1000)


class TestMap:
    chunks = map_of(NOISE, 1000, MIB, MIB + 1)

    def test_chunks_tile_the_object(self) -> None:
        listed = list(self.chunks)
        assert len(listed) == len(self.chunks) == 4
        assert listed[1] == Chunk(1, 1000, MIB - 1000, digest_of(NOISE[1000:MIB]))
        assert [self.chunks.span(number) for number in range(4)] == [(each.offset, each.length) for each in listed]
        assert self.chunks.size == len(NOISE)

    @given(st.integers(-10, len(NOISE) + 10), st.integers(-5, len(NOISE) + 10))
    def test_locate(self, offset: int, length: int) -> None:
        expected = [
            each.ord
            for each in self.chunks
            if length > 0 and each.offset < offset + length and offset < each.offset + each.length
        ]
        assert list(self.chunks.locate(offset, length)) == expected

    def test_locate_in_nothing(self) -> None:
        assert len(ChunkMap((0,), bytes(32)).locate(0, 10)) == 0

    def test_verify(self) -> None:
        assert self.chunks.verify(0, NOISE[:1000])
        assert not self.chunks.verify(0, NOISE[:999])
        assert not self.chunks.verify(0, b"x" + NOISE[1:1000])
        assert not self.chunks.verify(1, NOISE[:1000])

    def test_round_trip(self) -> None:
        encoded = self.chunks.encode()
        assert len(encoded) == 5 + 36 * 4
        decoded = ChunkMap.decode(encoded, len(NOISE))
        assert decoded == self.chunks
        assert decoded.root() == self.chunks.root() == digest_of(encoded)

    @pytest.mark.parametrize(
        "damaged",
        [
            b"",
            b"\x01",
            b"\x02" + chunks.encode()[1:],
            chunks.encode()[:-1],
            chunks.encode() + b"\0",
            b"\x01\xff\xff\xff\xff" + chunks.encode()[5:],
            struct.pack("<BI", 1, 0),
            struct.pack("<BIII", 1, 2, 0, len(NOISE)) + bytes(64),
            struct.pack("<BIII", 1, 2, 1, len(NOISE)) + bytes(64),
        ],
    )
    def test_hostile_encodings_are_refused(self, damaged: bytes) -> None:
        with pytest.raises(FormatError):
            ChunkMap.decode(damaged, len(NOISE))

    @given(st.binary(max_size=200), st.integers(0, 1 << 40))
    def test_any_bytes_give_a_map_of_that_size_or_an_error(self, data: bytes, size: int) -> None:
        try:
            decoded = ChunkMap.decode(data, size)
        except FormatError:
            return
        assert decoded.size == size
        assert decoded.encode() == data


class TestTable:
    @pytest.mark.parametrize(
        ("container", "name", "size", "kind"),
        [
            ("bgzf", "BAM", 5 * MIB, BgzfCutter),
            ("bgzf", "VCF", None, BgzfCutter),
            ("bgzf", "something new", 5 * MIB, BgzfCutter),
            (None, "CRAM", 5 * MIB, CramCutter),
            (None, "CSV", 5 * MIB, ContentCutter),
            ("gzip", "CSV", 5 * MIB, ContentCutter),
            (None, "something new", None, ContentCutter),
        ],
    )
    def test_who_gets_what(self, container: str | None, name: str, size: int | None, kind: type) -> None:
        assert type(cutter_for(container, name, size)) is kind

    @pytest.mark.parametrize(
        ("container", "name", "size"),
        [("bgzf", "BAM", MIB), (None, "CRAM", MIB), (None, "CSV", 16 << 10), ("gzip", "CSV", 64 << 10)],
    )
    def test_small_files_are_one_chunk_whatever_they_hold(self, container: str | None, name: str, size: int) -> None:
        assert cutter_for(container, name, size) is None
        assert cutter_for(container, name, size + 1) is not None

    def test_sizes_by_content(self) -> None:
        def longest(cuts: list[int]) -> int:
            return max(b - a for a, b in zip([0, *cuts], cuts, strict=False))

        zeros = memoryview(bytes(4 * MIB))
        for container, name, size, largest in (
            (None, "CSV", 1 << 36, 256 << 10),
            (None, "CSV", 1 << 40, 4 * MIB),
            (None, "unknown", 5 * MIB, 256 << 10),
            (None, "unknown", 1 << 30, MIB),
            (None, "HDF5", 5 * MIB, MIB),
            ("gzip", "CSV", 5 * MIB, MIB),
        ):
            cutter = cutter_for(container, name, size)
            assert cutter is not None
            assert longest(cutter.update(zeros)) == largest

    def test_a_format_registers_its_own(self) -> None:
        register_cutter("mine", FixedCutter, smallest=100)
        try:
            assert CUTTERS["mine"] == CutterRule(100, FixedCutter)
            assert isinstance(cutter_for(None, "mine", 101), FixedCutter)
            assert cutter_for(None, "mine", 100) is None
        finally:
            del CUTTERS["mine"]
