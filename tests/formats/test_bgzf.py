"""BGZF blocks, and segments from ranges of virtual offsets."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.compression.bgzf import (
    EOF_BLOCK,
    MAX_BLOCK,
    BgzfReader,
    block_size,
    bulk_runs,
    check_chain,
    compress,
    inflate,
    single_runs,
    virtual_offset,
)
from lake.formats.compression.virtual import compile_ranges, merge_ranges
from lake.formats.reader import BytesReader
from lake.segments import Literal, Plan, Span
from tests.formats.bam_maker import EOF, block, blocked, bytes_of

DATA = random.Random(1).randbytes(200_000)


def test_compress_makes_whole_blocks_that_inflate_to_the_data() -> None:
    for data in (b"", b"x", b"a" * 300_000, DATA):
        deflated = compress(data)
        assert gzip.decompress(deflated) == data if data else deflated == b""
        assert check_chain(BytesReader(deflated + EOF_BLOCK)) == []


def test_block_size_finds_bc_anywhere_in_the_extra_field() -> None:
    plain = block(b"hello")
    assert block_size(plain) == len(plain)
    odd = block(b"hello", extra=b"XY\x03\x00abcBC\x01\x00z")
    assert block_size(odd) == len(odd)
    assert BgzfReader(BytesReader(odd + EOF)).block(0).data == b"hello"
    assert check_chain(BytesReader(odd + EOF)) == []


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x1f\x8b",
        gzip.compress(b"plain gzip, which states no size", mtime=0),
        EOF[:17],
        EOF[:16] + b"\x05\x00" + EOF[18:],
    ],
)
def test_what_is_no_block_has_no_size(header: bytes) -> None:
    assert block_size(header) is None


def test_damage_is_an_error_that_names_the_block() -> None:
    good = block(DATA[:5000])
    for bad, message in (
        (good[:-8] + b"\0\0\0\0" + good[-4:], "CRC32"),
        (good[:-4] + struct.pack("<I", 4999), "size"),
        (good[:-4] + struct.pack("<I", 5001), "size"),
        (good[:-4] + struct.pack("<I", MAX_BLOCK + 1), "65,536"),
        (good[:18] + b"\xff" * 20 + good[38:], "inflate"),
    ):
        with pytest.raises(FormatError, match=message) as caught:
            inflate(bad, 77)
        assert "77" in str(caught.value)


def test_a_block_that_inflates_without_end_is_refused() -> None:
    bomb = block(b"\0" * (40 << 20), level=9)
    lying = bomb[:-4] + struct.pack("<I", 65_536)
    with pytest.raises(FormatError, match="size"):
        inflate(lying, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file, None),
        (lambda file: file[:-28], "end marker"),
        (lambda file: file[:-10], "cut off"),
        (lambda file: file[:1000], "cut off"),
        (lambda file: file + b"junk that follows", "no BGZF block"),
        (lambda file: b"\0" + file, "not BGZF"),
        (lambda file: b"", "empty"),
    ],
)
def test_check_chain(change, message: str | None) -> None:  # type: ignore[no-untyped-def]
    problems = check_chain(BytesReader(change(blocked(DATA, [3000]))))
    assert (problems == []) if message is None else (len(problems) == 1 and message in problems[0])


def test_runs_give_all_data_one_block_or_many_at_once() -> None:
    file = blocked(DATA * 20, [5000, 0, 65_280])
    reader = BytesReader(file)
    for runs in (list(single_runs(BgzfReader(reader), 0)), list(bulk_runs(reader, 0))):
        assert b"".join(run.data for run in runs) == DATA * 20
        assert runs[-1].next == len(file)
        for run in runs:
            assert len(run.coffsets) == len(run.bounds)
            assert inflate(_block(file, run.coffsets[-1]), 0) == run.data[run.bounds[-1] :]
    assert len(list(bulk_runs(reader, 0))) > 1


def _block(file: bytes, offset: int) -> bytes:
    size = block_size(file, offset)
    assert size is not None
    return file[offset : offset + size]


def test_the_cache_is_bounded() -> None:
    blocks = BgzfReader(BytesReader(blocked(DATA, [1000])), cache_bytes=10_000)
    for run in single_runs(blocks, 0):
        assert run.data == blocks.block(run.coffsets[0]).data
    assert sum(len(held.data) for held in blocks._cache.values()) <= 10_000


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3000), max_size=20).map(lambda sizes: [*sizes, 700]),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 6_000)), max_size=5),
)
def test_segments_inflate_to_the_bytes_of_the_ranges(sizes: list[int], wanted: list[tuple[int, int]]) -> None:
    data = DATA[:20_000]
    reader = BytesReader(blocked(data, sizes))
    blocks = BgzfReader(reader)
    places, at = [], 0
    for run in single_runs(blocks, 0):
        places.append((at, run.coffsets[0]))
        at += len(run.data)

    def virtual(flat: int) -> int:
        bound, coffset = [place for place in places if place[0] <= flat][-1]
        return virtual_offset(coffset, flat - bound)

    flat = [(start, min(start + length, len(data))) for start, length in wanted if start < len(data)]
    ranges = merge_ranges((virtual(start), virtual(stop)) for start, stop in flat)
    segments = compile_ranges(blocks, ranges)
    covered = sorted({byte for start, stop in flat for byte in range(start, stop)})
    answer = bytes_of(reader, Plan("x", segments, True, ""))
    assert (gzip.decompress(answer) if answer else b"") == bytes(data[byte] for byte in covered)
    assert not any(type(a) is type(b) is Literal for a, b in pairwise(segments))
    for segment in segments:
        piece = segment.data if isinstance(segment, Literal) else b""
        if isinstance(segment, Span):
            piece = reader.read(segment.offset, segment.length)
        assert check_chain(BytesReader(piece + EOF)) == []


def test_interior_blocks_are_not_read() -> None:
    file = bytearray(blocked(DATA, [50_000]))
    first = _block(bytes(file), 0)
    file[len(first) + 30] ^= 0xFF
    reader = BytesReader(bytes(file))
    blocks = BgzfReader(reader)
    segments = compile_ranges(blocks, [(10, (len(file) - len(EOF)) << 16)])
    assert isinstance(segments[1], Span)
    assert segments[1].offset == len(first)


def test_ranges_that_the_file_does_not_have_are_errors() -> None:
    blocks = BgzfReader(BytesReader(blocked(DATA, [50_000])))
    for first, last in ((60_000, 1 << 40), (50_001, 50_002), (0, 7 << 16 | 5)):
        with pytest.raises(FormatError):
            compile_ranges(blocks, [(first, last)])


def test_a_run_does_not_hold_more_than_it_may() -> None:
    zeros = block(bytes(MAX_BLOCK), level=9)
    runs = list(bulk_runs(BytesReader(zeros * 600 + EOF), 0))
    assert len(zeros) < 200
    assert sum(len(run.data) for run in runs) == 600 * MAX_BLOCK
    assert max(len(run.data) for run in runs) <= 8 << 20


def test_members_that_do_not_end_with_their_blocks_are_not_taken_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def framed(body: bytes) -> bytes:
        return EOF[:16] + struct.pack("<H", len(body) + 17) + body

    def stored(data: bytes, around: int) -> bytes:
        return struct.pack("<BHH", 1, len(data) + around, (len(data) + around) ^ 0xFFFF) + data

    hidden = gzip.compress(b"hidden")
    two = framed(block(b"seen")[18:] + hidden)
    # One member over two blocks: its stored data has the end of the first block and the header of the second in it.
    tail = EOF[:16] + struct.pack("<H", 17 + 8 + 8)
    data = b"x" * 30 + bytes(8) + tail + b"y" * 8
    one = framed(stored(b"x" * 30, 34) + bytes(8))
    spanning = one + tail + b"y" * 8 + struct.pack("<II", zlib.crc32(data), len(data))
    assert gzip.decompress(spanning) == data
    for file in (two, spanning):
        assert check_chain(BytesReader(file + EOF)) == []
        with pytest.raises(FormatError, match="size"):
            list(bulk_runs(BytesReader(file + EOF), 0))
    with monkeypatch.context() as patch:
        patch.setattr(
            "lake.formats.compression.bgzf.inflate", lambda *_: pytest.fail("sound blocks were taken one by one")
        )
        assert b"".join(run.data for run in bulk_runs(BytesReader(blocked(DATA, [5000, 0, 65_280])), 0)) == DATA


def test_blocks_with_bytes_behind_their_data_are_read_one_by_one() -> None:
    plain = block(b"hello")
    odd = plain[:16] + struct.pack("<H", len(plain) + 2) + plain[18:-8] + b"???" + plain[-8:]
    assert inflate(odd, 0) == b"hello"
    assert b"".join(run.data for run in bulk_runs(BytesReader(odd + EOF), 0)) == b"hello"
