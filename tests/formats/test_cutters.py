"""Cuts fall where the format draws them, however the bytes are handed over, and never fail."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.formats.compression.bgzf import EOF_BLOCK, check_chain, compress
from lake.formats.cutters import LARGEST_CHUNK, BgzfCutter, ContentCutter, CramCutter, Cutter
from lake.formats.reader import BytesReader

SMALL_TARGET = 40_000
FINE = (1 << 10, 4 << 10, 16 << 10)


def cuts_of(cutter: Cutter, data: bytes, pieces: list[int]) -> list[int]:
    """All cuts below the end; checks what a cutter promises of every answer."""
    cuts: list[int] = []
    at = 0
    for size in [*pieces, len(data)]:
        if at >= len(data):
            break
        piece = memoryview(data)[at : at + size]
        found = cutter.update(piece)
        assert all(cut >= at for cut in found)
        cuts += found
        at += len(piece)
    cuts += cutter.finish(len(data))
    assert cuts == sorted(set(cuts))
    return [cut for cut in cuts if cut < len(data)]


def bgzf_block(content: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    deflated = compressor.compress(content) + compressor.flush()
    header = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\x00BC\x02\x00" + struct.pack("<H", len(deflated) + 25)
    return header + deflated + struct.pack("<II", zlib.crc32(content), len(content))


def block_starts(data: bytes) -> list[int]:
    """Starts of BGZF blocks as gzip members, found without their BSIZE."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        member = zlib.decompressobj(31)
        member.decompress(data[at:])
        at = len(data) - len(member.unused_data)
    return starts


def expected_cuts(starts: list[int], target: int) -> list[int]:
    cuts, last = [], 0
    for start in starts:
        if start - last >= target:
            cuts.append(start)
            last = start
    return cuts


def random_pieces(seed: int, largest: int) -> list[int]:
    chooser = random.Random(seed)
    return [chooser.choice([1, 2, 17, 18, 19, 64, 1000, chooser.randint(1, largest)]) for _ in range(3000)]


NOISE = random.Random(7).randbytes(300_000)
BGZF = b"".join(bgzf_block(NOISE[at : at + 5000]) for at in range(0, 200_000, 5000)) + bgzf_block(b"")


def itf8(value: int) -> bytes:
    assert 0 <= value < 1 << 28
    if value < 1 << 7:
        return bytes([value])
    if value < 1 << 14:
        return struct.pack(">H", value | 0x8000)
    if value < 1 << 21:
        return (value | 0xC00000).to_bytes(3, "big")
    return struct.pack(">I", value | 0xE0000000)


def cram_container(blocks: bytes, *, version: int = 3, landmarks: int = 2, length: int | None = None) -> bytes:
    header = struct.pack("<i", len(blocks) if length is None else length)
    header += b"\xff\xff\xff\xff\x0f" + itf8(70_000) + itf8(300) + itf8(5)  # reference -1, start, span, records
    header += b"\xc0\x01\x02" if version == 3 else itf8(5)  # record counter
    header += b"\xff" + bytes(8) + itf8(1) + itf8(landmarks)  # bases, blocks
    header += b"".join(itf8(1000 * number) for number in range(landmarks))
    return header + (struct.pack("<I", zlib.crc32(header)) if version == 3 else b"") + blocks


def cram_block(content: bytes) -> bytes:
    return b"\0\0" + itf8(0) + itf8(len(content)) + itf8(len(content)) + content


CRAM_DEFINITION = b"CRAM\x03\x00" + bytes(20)
CRAM_CONTAINERS = [cram_container(NOISE[: 500 + 900 * number], landmarks=3 * number) for number in range(20)]
CRAM = CRAM_DEFINITION + b"".join(CRAM_CONTAINERS)
HEADER_21 = cram_container(cram_block(b"@HD\tVN:1.6\n" * 20), version=2)
CRAM_21 = (
    b"CRAM\x02\x01"
    + bytes(20)
    # As htslib writes it: two bytes short.
    + struct.pack("<i", struct.unpack("<i", HEADER_21[:4])[0] - 2)
    + HEADER_21[4:]
    + b"".join(cram_container(NOISE[:6000], version=2) for _ in range(12))
)

CASES: dict[str, tuple[Callable[[], Cutter], bytes]] = {
    "bgzf": (lambda: BgzfCutter(SMALL_TARGET), BGZF),
    "bgzf broken": (lambda: BgzfCutter(SMALL_TARGET), BGZF[:60_000] + b"\0" + BGZF[60_000:]),
    "bgzf of something else": (lambda: BgzfCutter(SMALL_TARGET), NOISE),
    "cram": (lambda: CramCutter(SMALL_TARGET), CRAM),
    "cram 2.1": (lambda: CramCutter(SMALL_TARGET), CRAM_21),
    "cram broken": (lambda: CramCutter(SMALL_TARGET), CRAM[:50_000] + b"\0" + CRAM[50_000:] + NOISE),
    "cram of something else": (lambda: CramCutter(SMALL_TARGET), NOISE),
    "content": (lambda: ContentCutter(*FINE), NOISE),
    "zeros": (lambda: ContentCutter(*FINE), bytes(200_000)),
}


@pytest.mark.parametrize("case", CASES)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1 << 30), largest=st.sampled_from([40, 2000, 100_000]))
def test_cuts_do_not_depend_on_the_pieces(case: str, seed: int, largest: int) -> None:
    make, data = CASES[case]
    whole = cuts_of(make(), data, [])
    assert whole
    assert cuts_of(make(), data, random_pieces(seed, largest)) == whole


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 2000), st.sampled_from(["bgzf", "cram", "cram 2.1"]))
def test_damage_never_fails(noise: bytes, at: int, case: str) -> None:
    make, data = CASES[case]
    damaged = data[:at] + noise + data[at + len(noise) :]
    assert cuts_of(make(), damaged, [at, 7]) == cuts_of(make(), damaged, [])
    for end in (0, 1, at):
        cuts_of(make(), damaged[:end], [10, 10])


class TestBgzf:
    def test_cuts_are_block_starts(self) -> None:
        assert cuts_of(BgzfCutter(SMALL_TARGET), BGZF, []) == expected_cuts(block_starts(BGZF), SMALL_TARGET)

    def test_after_damage_chunks_stay_small(self) -> None:
        data = BGZF + b"\0" + NOISE * 20
        cuts = cuts_of(BgzfCutter(), data, [1 << 20] * 10)
        assert max(b - a for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)) <= len(BGZF) + (1 << 20) + 19

    def test_a_block_that_states_less_than_its_header_is_not_followed(self) -> None:
        data = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\x00BC\x02\x00\x11\x00" * 200_000
        by_content = ContentCutter(64 << 10, 256 << 10, 1 << 20, start=18).update(memoryview(data)[18:])
        assert cuts_of(BgzfCutter(), data, []) == by_content

    def test_every_real_file(self, shared_data: Path) -> None:
        checked = 0
        for path in sorted((shared_data / "genomics").rglob("*")):
            if not path.is_file() or path.parent.name == "edge":
                continue
            data = path.read_bytes()
            if data[:4] != b"\x1f\x8b\x08\x04" or data[12:16] != b"BC\x02\x00":
                continue
            expected = expected_cuts(block_starts(data), SMALL_TARGET)
            assert cuts_of(BgzfCutter(SMALL_TARGET), data, random_pieces(len(data), 50_000)) == expected, path.name
            checked += len(expected)
        assert checked > 500

    def test_every_damaged_file(self, shared_data: Path) -> None:
        for path in sorted((shared_data / "genomics" / "edge").iterdir()):
            data = path.read_bytes()
            for make in (BgzfCutter, CramCutter):
                whole = cuts_of(make(SMALL_TARGET), data, [])
                assert cuts_of(make(SMALL_TARGET), data, random_pieces(1, 5000)) == whole, path.name


class TestCram:
    def starts(self, containers: list[bytes], first: int) -> list[int]:
        starts = [first]
        for container in containers:
            starts.append(starts[-1] + len(container))
        return starts

    def test_cuts_are_container_starts(self) -> None:
        starts = self.starts(CRAM_CONTAINERS, len(CRAM_DEFINITION))[:-1]
        assert cuts_of(CramCutter(1), CRAM, []) == starts[1:]
        assert cuts_of(CramCutter(SMALL_TARGET), CRAM, []) == expected_cuts(starts, SMALL_TARGET)

    def test_the_header_container_of_2_1_may_state_a_length_that_is_short(self) -> None:
        first = 26 + len(HEADER_21)
        size = len(cram_container(NOISE[:6000], version=2))
        assert cuts_of(CramCutter(1), CRAM_21, []) == [first + size * number for number in range(12)]

    def test_a_container_that_states_gigabytes_is_cut_inside(self) -> None:
        data = CRAM_DEFINITION + cram_container(bytes(1000), length=(1 << 31) - 1)
        cutter = CramCutter()
        cuts = cutter.update(memoryview(data))
        assert cuts[:-1] == [LARGEST_CHUNK * number for number in range(1, len(cuts))]
        assert len(cuts) == 32

    @pytest.mark.parametrize("count", [1 << 20, (1 << 28) - 1])
    def test_a_header_that_states_endless_slices_is_not_read(self, count: int) -> None:
        header = struct.pack("<i", 100) + bytes(7) + itf8(count)
        cutter = CramCutter()
        for _ in range(40):
            cutter.update(memoryview((CRAM_DEFINITION + header + bytes(1 << 18))[: 1 << 18]))
        assert len(cutter._head) < 1 << 20

    def test_a_flipped_bit_in_a_header_is_noticed(self) -> None:
        starts = self.starts(CRAM_CONTAINERS, len(CRAM_DEFINITION))
        damaged = bytearray(CRAM)
        damaged[starts[3] + 6] ^= 1
        cuts = cuts_of(CramCutter(1), bytes(damaged), [])
        assert cuts[:3] == starts[1:4]
        assert not set(cuts[3:]) & set(starts[4:])

    def test_every_real_file(self, shared_data: Path) -> None:
        checked = 0
        for path in sorted((shared_data / "genomics").rglob("*.cram")):
            index = path.with_name(path.name + ".crai")
            if not index.exists():
                continue
            raw = index.read_bytes()
            text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
            indexed = {int(line.split(b"\t")[3]) for line in text.splitlines()}
            data = path.read_bytes()
            cuts = cuts_of(CramCutter(1), data, random_pieces(len(data), 50_000))
            assert indexed <= set(cuts), path.name
            if path.parent.name != "edge":
                assert cuts[0] == min(indexed), path.name
                # Whatever else begins a chunk is an end marker; one file has two.
                assert {len(data) - cut for cut in set(cuts) - indexed} <= {38, 76}, path.name
            checked += len(indexed)
        assert checked >= 20


class TestContent:
    def test_sizes(self) -> None:
        smallest, _, largest = FINE
        cuts = cuts_of(ContentCutter(*FINE), NOISE, [])
        lengths = [b - a for a, b in zip([0, *cuts], [*cuts, len(NOISE)], strict=True)]
        assert all(smallest <= length <= largest for length in lengths[:-1])
        assert 0 < lengths[-1] <= largest

    def test_an_insertion_moves_only_the_cuts_around_it(self) -> None:
        changed = NOISE[:100_000] + b"inserted" + NOISE[100_000:]
        before = cuts_of(ContentCutter(*FINE), NOISE, [])
        after = cuts_of(ContentCutter(*FINE), changed, [])
        kept = {cut for cut in before if cut < 100_000} | {cut + 8 for cut in before if cut > 100_000}
        assert len(kept - set(after)) <= 5

    def test_a_start_shifts_the_cuts(self) -> None:
        shifted = ContentCutter(*FINE, start=1000)
        assert shifted.update(memoryview(NOISE)) == [cut + 1000 for cut in cuts_of(ContentCutter(*FINE), NOISE, [])]


@pytest.mark.parametrize("cut", [0, 1, 27, 28, 29, 1000])
def test_a_chain_is_whole_when_it_ends_with_the_file(cut: int) -> None:
    data = b"".join(compress(bytes([n]) * 40_000) for n in range(9)) + EOF_BLOCK
    data = data[: len(data) - cut]
    cutter = BgzfCutter(SMALL_TARGET)
    for start in range(0, len(data), 700):
        cutter.update(memoryview(data)[start : start + 700])
    cutter.finish(len(data))
    problems = check_chain(BytesReader(data))
    assert cutter.whole is (cut in (0, 28))
    assert check_chain(BytesReader(data), whole=cutter.whole) == problems
    assert bool(problems) is (cut != 0)
