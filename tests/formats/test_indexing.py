"""Indexes that we make, against those of htslib: the same in all but the order of their bins."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path
from typing import NamedTuple

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.alignments.bam import BAM
from lake.formats.alignments.bam_indexing import scheme_of
from lake.formats.alignments.bam_source import BamSource
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from tests.formats.bam_maker import EOF, PADDING, Read, block, blocked, made_bam, spans_of

CONTIGS = [("a", 3_000_000), ("empty", 5000), ("b", 200_000), ("c", 100_000)]
LONG = [*CONTIGS[:3], ("c", 1_200_000_000)]


class Index(NamedTuple):
    """An index taken apart without the code under test."""

    depth: int
    contigs: list[tuple[dict[int, tuple[tuple[int, ...], tuple[int, ...]]], tuple[int, ...]]]
    """For each contig the offset and the chunks of each bin, the one with the counts too, and the linear index."""
    tail: bytes


def _taken_apart(path: Path) -> Index:
    data = path.read_bytes()
    csi = data[:2] == b"\x1f\x8b"
    data = gzip.decompress(data) if csi else data
    at, depth = 4, 5
    if csi:
        _, depth, extra = struct.unpack_from("<iii", data, 4)
        at = 16 + extra
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    contigs = []
    for _ in range(count):
        (number,) = struct.unpack_from("<i", data, at)
        at += 4
        bins = {}
        for _ in range(number):
            key, *offset, chunks = struct.unpack_from("<IQi" if csi else "<Ii", data, at)
            at += 16 if csi else 8
            bins[key] = tuple(offset), struct.unpack_from(f"<{2 * chunks}Q", data, at)
            at += 16 * chunks
        linear: tuple[int, ...] = ()
        if not csi:
            (windows,) = struct.unpack_from("<i", data, at)
            linear = struct.unpack_from(f"<{windows}Q", data, at + 4)
            at += 4 + 8 * windows
        contigs.append((bins, linear))
    return Index(depth, contigs, data[at:])


def _both(path: Path, folder: Path) -> tuple[Path, Path]:
    """Our index of a file and that of htslib."""
    ours, theirs = folder / "ours", folder / "theirs"
    kind = BAM.build_index(path, ours, 2)
    pysam.index("-c" if kind == "csi" else "-b", "-o", str(theirs), str(path))
    return ours, theirs


def test_indexes_of_real_files_are_those_of_htslib(shared_data: Path, tmp_path: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "genomics").glob("*/*.bam")):
        with PathReader(path) as reader:
            if BAM.check(reader) or BAM.indexable(reader) or path.name == "malformed_sq_line_csi.bam":
                continue
            ours, theirs = _both(path, tmp_path)
            assert _taken_apart(ours) == _taken_apart(theirs), path.name
            kind = "csi" if ours.read_bytes()[:2] == b"\x1f\x8b" else "bai"
            assert BAM.check_index(reader, kind, ours.read_bytes()) is None
            seen += 1
    assert seen > 20


def test_samtools_answers_the_same_with_our_index(shared_data: Path, tmp_path: Path) -> None:
    rng = random.Random(4)
    for name in ("rnaseq_hcc1395_spliced", "rnaseq_barley_768mb_contig_csi", "sim_wgs_8contigs_unplaced"):
        path = shared_data / "genomics" / "bam" / f"{name}.bam"
        places = [span for span in spans_of(path) if span[0] >= 0]
        regions = [(tid, start, start + length) for tid, start, _ in rng.sample(places, 20) for length in (1, 30_000)]
        answers = []
        for index in _both(path, tmp_path):
            with pysam.AlignmentFile(str(path), index_filename=str(index)) as file:
                counts = [(row.mapped, row.unmapped) for row in file.get_index_statistics()]
                found = [
                    [(read.query_name, read.flag) for read in file.fetch(file.references[tid], start, stop)]
                    for tid, start, stop in regions
                ]
                answers.append((counts, file.nocoordinate, found))
        assert answers[0] == answers[1]
        assert all(found)


_reads = st.lists(
    st.builds(
        lambda tid, pos, cigar, flag, tags: Read(tid, pos, cigar, flag, tags=tags),
        st.sampled_from([0, 2, 3]),
        st.one_of(st.integers(-1, 300), st.integers(0, 99_000), st.sampled_from([16_383, 16_384, 65_535, 65_536])),
        st.sampled_from(["", "10M", "1M", "10S", "3M200N4M", "2M50000N8M", "1M1000000N1M", "5M2D5M"]),
        st.sampled_from([0, 4, 16]),
        st.sampled_from([b"", PADDING]),
    ),
    max_size=60,
).map(sorted)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=_reads,
    unplaced=st.integers(0, 4),
    sizes=st.lists(st.integers(1, 1200), max_size=30),
    long=st.booleans(),
)
def test_indexes_of_made_files_are_those_of_htslib(
    tmp_path: Path, reads: list[Read], unplaced: int, sizes: list[int], long: bool
) -> None:
    reads = [read._replace(pos=read.pos + 1_100_000_000) if long and read.tid == 3 else read for read in reads]
    made = made_bam(LONG if long else CONTIGS, [*reads, *[Read(-1, -1, flag=4)] * unplaced])
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made.inflated, [*sizes, 300]))
    ours, theirs = (_taken_apart(index) for index in _both(path, tmp_path))
    assert ours == theirs
    assert ours.depth == (6 if long else 5)
    assert int.from_bytes(ours.tail, "little") == unplaced


def test_small_bins_move_into_their_parents_and_large_ones_stay(tmp_path: Path) -> None:
    rng, cigars = random.Random(3), ["50M", "50M", "20M40000N20M", "20M400000N20M"]
    places = [rng.randrange(reach) for reach in (2_000_000, 50_000) for _ in range(6000)]
    reads = [
        Read(0, pos, rng.choice(cigars), tags=b"XXZ" + rng.randbytes(90).hex().encode() + b"\0")
        for pos in sorted(places)
    ]
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made_bam(CONTIGS, reads).inflated, [20_000]))
    ours, theirs = (_taken_apart(index) for index in _both(path, tmp_path))
    assert ours == theirs
    bins = ours.contigs[0][0]
    assert len([number for number in bins if number >= 4681]) > 1
    assert len([number for number in bins if number < 4681]) > 1
    assert max(len(chunks) for _, chunks in bins.values()) > 4


def test_records_and_runs_of_any_length(tmp_path: Path) -> None:
    reads = [Read(0, 10 * n, f"{1 + n % 5000}M") for n in range(6000)] + [Read(2, 7, "150000M"), Read(2, 9, "3M")]
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made_bam(CONTIGS, reads).inflated, [65_280]))
    with PathReader(path) as reader:
        assert len(list(BamSource(reader).walk_all())) > 1
    ours, theirs = _both(path, tmp_path)
    assert _taken_apart(ours) == _taken_apart(theirs)


def test_reads_without_a_contig_may_have_any_position(tmp_path: Path) -> None:
    made = made_bam(CONTIGS, [Read(0, 5, "10M"), Read(-1, 9, flag=4), Read(-1, 3, flag=4), Read(-1, -1, flag=4)])
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made.inflated, [70]))
    ours, theirs = (_taken_apart(index) for index in _both(path, tmp_path))
    assert ours == theirs


def test_the_table_comes_out_of_the_same_pass(tmp_path: Path) -> None:
    made = made_bam(CONTIGS, [Read(0, pos, "10M") for pos in range(500)])
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made.inflated, [700]))
    assert BAM.build_index(path, tmp_path / "index", 2, tmp_path / "table") == "bai"
    assert (tmp_path / "table").read_bytes() == BAM.build_table(BytesReader(path.read_bytes()), None)


@pytest.mark.parametrize(
    ("contigs", "reads", "message"),
    [
        ([("a", 1 << 29)], [Read(0, (1 << 29) - 5, "10M")], r"ends at base 536,870,917.*BAI"),
        ([("a", (1 << 31) - 1)], [Read(0, 1, "200000000N" * 30)], r"ends at base 6,000,000,001.*CSI"),
        ([(f"c{n}", 1 << 29) for n in range(1100)], [Read(n, 1, "250000000N" * 2) for n in range(1100)], "256 MiB"),
        ([("a", 1000), ("b", 1000)], [Read(1, 5, "10M"), Read(0, 5, "10M")], "not sorted"),
        ([("a", 1000)], [Read(0, 5, "10M"), Read(-1, -1, flag=4), Read(0, 9, "10M")], "not sorted"),
    ],
)
def test_what_cannot_be_indexed_leaves_nothing(
    tmp_path: Path, contigs: list[tuple[str, int]], reads: list[Read], message: str
) -> None:
    path = tmp_path / "made.bam"
    path.write_bytes(blocked(made_bam(contigs, reads).inflated, [5000]))
    with pytest.raises(FormatError, match=message) as caught:
        BAM.build_index(path, tmp_path / "index", 2, tmp_path / "table")
    assert str(caught.value).startswith("cannot be indexed: ")
    assert [item.name for item in tmp_path.iterdir()] == ["made.bam"]


def test_a_file_that_is_damaged_late_gets_no_index(tmp_path: Path) -> None:
    data = blocked(made_bam(CONTIGS, [Read(0, pos, "10M") for pos in range(3000)]).inflated, [5000])
    last = data.rindex(b"\x1f\x8b\x08\x04", 0, len(data) - len(EOF))
    path = tmp_path / "made.bam"
    path.write_bytes(data[: last + 60] + bytes([data[last + 60] ^ 1]) + data[last + 61 :])
    with pytest.raises(FormatError, match=f"block at {last}"):
        BAM.build_index(path, tmp_path / "index", 2)
    assert not (tmp_path / "index").exists()


def test_the_scheme_is_the_one_that_samtools_takes() -> None:
    assert scheme_of(0) == scheme_of(1 << 29) == ("bai", 14, 5)
    assert scheme_of((1 << 29) + 1) == scheme_of((1 << 31) - 1) == ("csi", 14, 6)


def test_lanes_take_bounded_memory_where_short_blocks_stand_beside_a_long_one() -> None:
    made = made_bam(CONTIGS, [Read(0, 5, bases=0, name="")] * 1800)
    short = blocked(made.inflated[len(made.header) :], [36])
    data = blocked(made.header, [65_280], eof=False) + block(b"".join(made.records[:1700])) + short
    assert sum(len(batch.pos) for batch in BamSource(BytesReader(data)).walk_all()) == 3500
