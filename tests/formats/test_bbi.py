"""Regions of BigWig and BigBed are what pyBigWig answers."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion, LakeError
from lake.formats.base import RegionFormat
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.region import Region
from lake.formats.signals.bbi import BIGBED_MAGIC, BIGWIG_MAGIC
from lake.formats.signals.bbi_format import BbiFormat, BbiRegions
from lake.formats.signals.bigbed import BIGBED
from lake.formats.signals.bigwig import BIGWIG
from lake.segments import Span, Stream
from tests.formats.bam_maker import bytes_of

pyBigWig = pytest.importorskip("pyBigWig")
FORMATS: tuple[RegionFormat, ...] = (BIGWIG, BIGBED)
CHROMOSOMES = [("chr1", 40_000_000), ("chr10", 3_000_000), ("chr2", 5_000_000)]


def _opened(form: BbiFormat, reader: ByteReader) -> BbiRegions:
    return form.open(reader, kind=None, index=None, table=None)


def _rows(reader: ByteReader, file: BbiRegions, *regions: str) -> list[tuple[str, ...]]:
    return [tuple(line.split("\t", 3)) for line in bytes_of(reader, file.plan(regions)).decode().splitlines()]


def _made_bigwig(path: Path, count: int, seed: int = 1) -> Path:
    rng = random.Random(seed)
    steps = list(accumulate(rng.randrange(1, 20) for _ in range(2 * count)))
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(CHROMOSOMES, maxZooms=seed % 3)
        values = [rng.choice([0.1, 1e-5, 3.0, float("inf"), rng.random(), -1e9]) for _ in range(count)]
        file.addEntries(["chr1"] * count, steps[::2], ends=steps[1::2], values=values)
        file.addEntries("chr10", [n * 7 for n in range(count)], values=[float(n) for n in range(count)], span=5)
        file.addEntries("chr2", 100, values=[n % 13 / 3 for n in range(count)], span=2, step=10)
    return path


def test_values_are_those_of_pybigwig(tmp_path: Path) -> None:
    rng = random.Random(3)
    for count in (20, 30_000):
        path = _made_bigwig(tmp_path / f"{count}.bw", count)
        with PathReader(path) as reader, pyBigWig.open(str(path)) as judge:
            assert BIGWIG.check(reader) == []
            index = tmp_path / "index"
            kind = BIGWIG.build_index(path, index, 1)
            for file in (
                _opened(BIGWIG, reader),
                BIGWIG.open(reader, kind=kind, index=index.read_bytes(), table=None),
            ):
                assert file.contigs == judge.chroms()
                for _ in range(150):
                    name, length = rng.choice(CHROMOSOMES)
                    start = rng.randrange(count * 12)
                    stop = min(start + rng.choice([1, 10, 1000, 10**7]), length)
                    found = _rows(reader, file, f"{name}:{start + 1}-{stop}")
                    wanted = judge.intervals(name, start, stop) or ()
                    assert [(int(a), int(b), float(np.float32(v))) for _, a, b, v in found] == list(wanted)


def test_every_item_once_in_file_order_for_several_regions_and_targets(tmp_path: Path) -> None:
    path = _made_bigwig(tmp_path / "a.bw", 20_000)
    with PathReader(path) as reader, pyBigWig.open(str(path)) as judge:
        file = _opened(BIGWIG, reader)
        found = _rows(reader, file, "chr2:101-300", "chr1:5001-9000", "chr1:7001-7100", "chr2:150-160")
        wanted = [("chr1", a, b) for a, b, _ in judge.intervals("chr1", 5000, 9000)]
        wanted += [("chr2", a, b) for a, b, _ in judge.intervals("chr2", 100, 300)]
        assert [(name, int(a), int(b)) for name, a, b, _ in found] == wanted
        targets = [Region("chr1", 5000, 5010), Region("chr2", 0, 100)]
        narrowed = bytes_of(reader, file.plan(["chr1:5006-6000"], targets))
        assert narrowed == bytes_of(reader, file.plan(["chr1:5006-5010"]))
        assert bytes_of(reader, file.plan([], targets)) == bytes_of(reader, file.plan(["chr1:5001-5010"]))
        assert file.plan(["chr1:39,000,000"]).segments == file.plan([], []).segments == ()
        everything = file.plan(["chr1", "chr10", "chr2"])
        assert any(isinstance(segment, Stream) for segment in everything.segments)
        assert len(bytes_of(reader, everything).splitlines()) == 60_000
        whole = file.plan([])
        assert whole.segments == file.plan(["."]).segments == (Span(reader.source, 0, reader.size),)
        assert whole.verbatim
        for wrong in ("*", "chr3", "chr1:9-5"):
            with pytest.raises(InvalidRegion):
                file.plan([wrong])


def _made_bbi(
    magic: int,
    blocks: list[bytes],
    extents: Sequence[tuple[int, ...]],
    count: int,
    *,
    order: str,
    packed: bool,
    fanout: int,
    first: int = 1,
) -> bytes:
    """A file with two chromosomes ``a`` and ``b``, numbered from ``first`` on; ``fanout`` items a node."""
    tree = struct.pack(order + "IIIIQQ", 0x78CA8C91, 2, 4, 8, 2, 0) + struct.pack(order + "BBH", 0, 0, 2)
    tree += struct.pack(order + "4sQ4sQ", b"a", 124, b"b", 140)
    for number, (name, length) in enumerate([(b"a", 10_000), (b"b", 20_000)], first):
        tree += struct.pack(order + "BBH4sII", 1, 0, 1, name, number, length)
    stored = [zlib.compress(block) if packed else block for block in blocks]
    data_at = 64 + len(tree)
    index_at = data_at + 8 + sum(map(len, stored))
    head = struct.pack(
        order + "IHHQQQHHQQIQ", magic, 4, 0, 64, data_at, index_at, 3, 3, 0, 0, 1 << 16 if packed else 0, 0
    )
    offsets = list(accumulate(map(len, stored), initial=data_at + 8))
    level = [
        (*extent, struct.pack(order + "IIIIQQ", *extent, offset, len(block)))
        for extent, offset, block in zip(extents, offsets, stored, strict=False)
    ]
    nodes, leaf, at = b"", 1, index_at + 48
    parts: list[tuple[list[Any], int]] = []
    while True:
        groups = [level[n : n + fanout] for n in range(0, len(level), fanout)] or [[]]
        parts.append((groups, leaf))
        if len(groups) == 1:
            break
        level = [(*min(g)[:2], *max(i[2:4] for i in g), g) for g in groups]
        leaf = 0
    places: dict[int, int] = {}
    # The root comes first: sizes of nodes are known before their children's places are.
    for groups, is_leaf in reversed(parts):
        for group in groups:
            places[id(group)] = at
            at += 4 + len(group) * (32 if is_leaf else 24)
    for groups, is_leaf in reversed(parts):
        for group in groups:
            nodes += struct.pack(order + "BBH", is_leaf, 0, len(group))
            for item in group:
                nodes += item[4] if is_leaf else struct.pack(order + "IIIIQ", *item[:4], places[id(item[4])])
    index = struct.pack(order + "IIQIIIIQII", 0x2468ACE0, 256, len(blocks), first, 0, first + 1, 20_000, index_at, 1, 0)
    return head + tree + struct.pack(order + "Q", count) + b"".join(stored) + index + nodes


Item = tuple[int, int, int, bytes]


def _made_bigbed(items: list[Item], per_block: int, *, order: str, packed: bool, fanout: int, first: int = 1) -> bytes:
    blocks, extents = [], []
    for at in range(0, len(items), per_block):
        group = items[at : at + per_block]
        blocks.append(b"".join(struct.pack(order + "III", *item[:3]) + item[3] + b"\0" for item in group))
        extents.append((*group[0][:2], *max((item[0], item[2]) for item in group)))
    return _made_bbi(BIGBED_MAGIC, blocks, extents, len(items), order=order, packed=packed, fanout=fanout, first=first)


_items = st.lists(
    st.builds(
        lambda chromosome, start, length, rest: (chromosome, start, start + length, rest),
        st.integers(1, 2),
        st.integers(0, 300),
        st.sampled_from([0, 1, 5, 200, 4000]),
        st.sampled_from([b"", b"name", b"x\t0\t+"]),
    ),
    max_size=40,
).map(sorted)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=_items,
    per_block=st.integers(1, 6),
    order=st.sampled_from(["<", "<", ">"]),
    packed=st.booleans(),
    fanout=st.integers(2, 5),
    data=st.data(),
)
def test_made_bigbeds_agree_with_a_full_scan(
    tmp_path: Path, items: list[Item], per_block: int, order: str, packed: bool, fanout: int, data: st.DataObject
) -> None:
    path = tmp_path / "made.bb"
    path.write_bytes(_made_bigbed(items, per_block, order=order, packed=packed, fanout=fanout))
    with PathReader(path) as reader:
        assert BIGBED.check(reader) == []
        file = _opened(BIGBED, reader)
        for _ in range(4):
            regions = []
            for _ in range(data.draw(st.integers(1, 3))):
                number, start = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 320))
                regions.append((number, start, start + data.draw(st.sampled_from([1, 7, 100]))))
            wanted = [
                (" ab"[number], str(first), str(last), *([rest.decode()] if rest else []))
                for number, first, last, rest in items
                if any(number == region[0] and first < region[2] and last > region[1] for region in regions)
            ]
            texts = [f"{' ab'[number]}:{start + 1}-{stop}" for number, start, stop in regions]
            found = _rows(reader, file, *texts)
            # An empty item between two regions that touch is inside of what they make together.
            between = {str(stop) for _, _, stop in regions} & {str(start) for _, start, _ in regions}
            assert [row for row in found if row[1:3] not in {(at, at) for at in between}] == wanted


def test_features_are_those_of_pybigwig(tmp_path: Path) -> None:
    rng = random.Random(8)
    items = sorted(
        (number, start, start + rng.choice([1, 5, 200, 9000]), b"f%d\t%d\t+" % (start, number))
        for number, start in ((rng.randint(0, 1), rng.randrange(9000)) for _ in range(2000))
    )
    path = tmp_path / "made.bb"
    # pyBigWig crashes where chromosomes are not numbered from 0 on.
    path.write_bytes(_made_bigbed(items, 60, order="<", packed=True, fanout=8, first=0))
    real = Path(pyBigWig.__file__).parent / "pyBigWigTest" / "test.bigBed"
    for made in (path, *([real] if real.exists() else [])):
        with PathReader(made) as reader, pyBigWig.open(str(made)) as judge:
            file = _opened(BIGBED, reader)
            assert BIGBED.check(reader) == []
            assert file.contigs == judge.chroms()
            for name, length in file.contigs.items():
                for _ in range(40):
                    start = rng.randrange(length)
                    stop = min(start + rng.choice([1, 100, 10**6, 10**8]), length)
                    found = _rows(reader, file, f"{name}:{start + 1}-{stop}")
                    wanted = judge.entries(name, start, stop) or ()
                    assert [(int(a), int(b), rest) for _, a, b, rest in found] == list(wanted)


def _no_wrong_answer(form: BbiFormat, sound: bytes, regions: list[str], rounds: int) -> int:
    """Damage a file at random: the check finds it, the query fails, or the answer is right."""
    rng = random.Random(6)
    reader = BytesReader(sound)
    wanted = {region: bytes_of(reader, _opened(form, reader).plan([region])) for region in regions}
    assert all(wanted.values())
    refused = 0
    for step in range(rounds):
        data = bytearray(sound)
        at = rng.randrange(len(data))
        match step % 4:
            case 0:
                del data[at:]
            case 1:
                data[at : at + 8] = rng.choice([b"\0" * 8, b"\xff" * 8])
            case _:
                data[at] ^= 1 << rng.randrange(8)
        damaged = BytesReader(bytes(data))
        if form.check(damaged):
            refused += 1
            continue
        for region, answer in wanted.items():
            try:
                assert bytes_of(damaged, _opened(form, damaged).plan([region])) == answer
            except LakeError:
                refused += 1
    return refused


def test_damage_is_found_or_harmless(tmp_path: Path) -> None:
    bigwig = _made_bigwig(tmp_path / "a.bw", 20).read_bytes()
    assert _no_wrong_answer(BIGWIG, bigwig, ["chr1", "chr10:1-50", "chr2:150-160"], 600) > 200
    items = [(1 + n // 60, 7 * n, 7 * n + 9, b"n%d" % n) for n in range(120)]
    bigbed = _made_bigbed(items, 5, order="<", packed=True, fanout=4)
    assert _no_wrong_answer(BIGBED, bigbed, ["a", "b:500-600"], 600) > 200


def test_chromosomes_of_a_tree_with_several_levels(tmp_path: Path) -> None:
    chromosomes = [(f"contig_{n:05d}", 1000 + n) for n in range(3000)]
    path = tmp_path / "many.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(chromosomes)
        for name, length in chromosomes[::7]:
            file.addEntries([name], [length - 10], ends=[length], values=[1.5])
    with PathReader(path) as reader:
        opened = _opened(BIGWIG, reader)
        assert list(opened.contigs.items()) == chromosomes
        assert _rows(reader, opened, "contig_00700", "contig_00007", "contig_00008") == [
            ("contig_00007", "997", "1007", "1.5"),
            ("contig_00700", "1690", "1700", "1.5"),
        ]


def test_trees_that_run_in_circles_end() -> None:
    made = _made_bigbed([(1, n, n + 1, b"") for n in range(9)], 1, order="<", packed=True, fanout=3)
    (root,) = struct.unpack_from("<Q", made, 24)
    looped = bytearray(made)
    struct.pack_into("<Q", looped, root + 48 + 4 + 16, root + 48)
    for count in (1, 3):
        struct.pack_into("<H", looped, root + 48 + 2, count)
        with pytest.raises(FormatError):
            _opened(BIGBED, BytesReader(bytes(looped)))


def test_chromosomes_that_run_in_circles_or_come_twice_are_refused() -> None:
    made = _made_bigbed([(1, 1, 2, b"")], 1, order="<", packed=True, fanout=3)
    for at, layout, value, message in (
        (96 + 4 + 4, "<Q", 140, "circles"),
        (96 + 4 + 4, "<Q", 96, "circles"),
        (144 + 4, "<I", 1, "two chromosomes have the number 1"),
        (144, "<I", 97, "does not have the 2"),
        (64 + 16, "<Q", 1, "does not have the 1"),
        (64 + 16, "<Q", 1 << 40, "states 1099511627776 of them"),
        (64, "<I", 0, "its header is not one"),
    ):
        wrong = bytearray(made)
        struct.pack_into(layout, wrong, at, value)
        with pytest.raises(FormatError, match=message):
            _opened(BIGBED, BytesReader(bytes(wrong)))


def test_features_with_line_ends_inside_are_refused() -> None:
    made = _made_bigbed([(1, 1, 2, b"a\nb")], 1, order="<", packed=True, fanout=3)
    assert "line end" in BIGBED.check(BytesReader(made))[0]


def test_blocks_that_hold_more_than_they_may_are_refused() -> None:
    made = bytearray(_made_bigbed([(1, 1, 2, b"x" * 100_000)], 1, order="<", packed=True, fanout=3))
    (problem,) = BIGBED.check(BytesReader(bytes(made)))
    assert "does not end where it should" in problem


def test_other_files_are_refused() -> None:
    for data in (b"", b"x" * 30, b"x" * 100, struct.pack("<I", BIGWIG_MAGIC) + bytes(60)):
        for form in (BIGWIG, BIGBED):
            assert len(form.check(BytesReader(data))) == 1
            with pytest.raises(FormatError):
                _opened(form, BytesReader(data))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_formats_keep_their_contract(tmp_path: Path, form: RegionFormat) -> None:
    path = _made_bigwig(tmp_path / "a", 50)
    if form.name == "BigBed":
        path.write_bytes(_made_bigbed([(1, 5, 9, b"x")], 1, order="<", packed=True, fanout=3))
    index = tmp_path / "index"
    kind = form.build_index(path, index, 1)
    assert kind == form.indexes[0].kind
    with PathReader(path) as reader:
        assert form.indexable(reader) is None
        assert form.check_index(reader, kind, index.read_bytes()) is not None
        with pytest.raises(FormatError, match="block index is damaged"):
            form.open(reader, kind=kind, index=index.read_bytes()[:-1], table=None)
    path.write_bytes(path.read_bytes()[:-40] if form is BIGBED else path.read_bytes()[:700])
    with pytest.raises(FormatError, match="cannot be indexed"):
        form.build_index(path, tmp_path / "other", 1)
    assert not (tmp_path / "other").exists()
