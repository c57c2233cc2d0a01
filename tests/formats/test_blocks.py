"""Records as arrays, and the block table made of them."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.alignments.bam import BAM
from lake.formats.alignments.bam_source import BamSource
from lake.formats.compression.bgzf import compress
from lake.formats.intervals.blocks import decode_table, encode_table, tabulate
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from tests.formats.bam_maker import EOF, PADDING, Read, block, blocked, made_bam, spans_of

CONTIGS = [("a", 100_000), ("b", 100_000), ("c", 100_000)]


def _spans(source: BamSource) -> list[tuple[int, int, int]]:
    return [
        place
        for batch in source.walk_all()
        for place in zip(batch.tid.tolist(), batch.pos.tolist(), batch.end.tolist(), strict=True)
    ]


def test_positions_and_ends_are_those_of_htslib(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "genomics").glob("*/*.bam")):
        with PathReader(path) as reader:
            if BAM.check(reader) or path.name == "sim_wgs_8contigs_unplaced.bam":
                continue
            source = BamSource(reader)
            spans = _spans(source)
            assert spans == spans_of(path), path.name
            seen += len(spans)
            one_by_one = [place for batch in source.walk(source.start) for place in batch.first.tolist()]
            assert one_by_one == [place for batch in source.walk_all() for place in batch.first.tolist()]
    assert seen > 100_000


def test_records_that_straddle_every_block_and_run(shared_data: Path) -> None:
    aligned = (shared_data / "genomics" / "bam" / "sim_wgs_8contigs_unplaced.bam").read_bytes()
    straddling = compress(gzip.decompress(aligned)) + EOF
    sources = [BamSource(BytesReader(data)) for data in (aligned, straddling)]
    assert len(list(sources[1].walk_all())) > 1
    spans = [_spans(source) for source in sources]
    assert len(spans[0]) == 110_800
    assert spans[0] == spans[1]


def test_ends_of_odd_records(tmp_path: Path) -> None:
    def array(kind: bytes, *numbers: int) -> bytes:
        return b"CGB" + kind + struct.pack(f"<i{len(numbers)}I", len(numbers), *numbers)

    reads = [
        Read(0, 0, "", flag=4),
        Read(0, 1, "10M", flag=4),
        Read(0, 2, "10S"),
        Read(0, 3, "5S5I"),
        Read(0, 4, "2M3D4N1=2X3H4P"),
        Read(0, 5, "10S500N", tags=b"NMi\1\0\0\0" + array(b"I", 10 << 4, 700 << 4 | 3)),
        Read(0, 6, "10S500N", tags=b"XZZtext\0"),
        Read(0, 7, "9S1I500N", tags=array(b"I", 10 << 4, 700 << 4 | 3)),
        Read(0, 8, "10S500N", tags=b"XBBS\2\0\0\0\1\0\2\0" + array(b"I", 10 << 4, 800 << 4 | 3)),
        Read(0, 9, "10S500N", tags=array(b"I", 10 << 4)),
        Read(-1, -1, "", flag=4),
    ]
    path = tmp_path / "odd.bam"
    path.write_bytes(blocked(made_bam(CONTIGS, reads).inflated, [97]))
    with PathReader(path) as reader:
        spans = _spans(BamSource(reader))
    assert spans == spans_of(path)
    assert [end for _, _, end in spans[:6]] == [1, 2, 3, 4, 16, 715]
    assert spans[8] == (0, 8, 818)


_reads = st.lists(
    st.builds(
        lambda tid, pos, cigar, tags: Read(tid, pos, cigar, tags=tags),
        st.integers(0, 2),
        st.integers(0, 300),
        st.sampled_from(["", "10M", "3M200N4M", "1M"]),
        st.sampled_from([b"", PADDING]),
    ),
    max_size=60,
).map(sorted)


@settings(deadline=None, max_examples=60)
@given(_reads, st.lists(st.integers(0, 900), max_size=30))
def test_rows_are_the_runs_of_a_contig_in_a_block(reads: list[Read], sizes: list[int]) -> None:
    made = made_bam(CONTIGS, reads)
    reader = BytesReader(blocked(made.inflated, [*sizes, 400]))
    source = BamSource(reader)
    table = tabulate(source.walk_all(), reader.size)
    records = [
        record
        for batch in source.walk(source.start)
        for record in zip(*(getattr(batch, name).tolist() for name in ("first", "tid", "pos", "end")), strict=True)
    ]
    rows: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    for record in records:
        rows.setdefault((record[0] >> 16, record[1]), []).append(record)
    assert table.first.tolist() == [row[0][0] for row in rows.values()]
    assert table.pos.tolist() == [row[0][2] for row in rows.values()]
    assert table.end.tolist() == [max(record[3] for record in row) for row in rows.values()]
    again = decode_table(encode_table(table), reader.size)
    assert all(np.array_equal(getattr(table, name), getattr(again, name)) for name in ("first", "tid", "pos", "end"))
    for tid, start in ((0, 0), (1, 150), (2, 290), (2, 1 << 40)):
        row = table.row_at(tid, start)
        reaching = [
            number
            for number, row_records in enumerate(rows.values())
            if number < row and any(record[1] == tid and record[3] > start for record in row_records)
        ]
        assert table.rows_reaching(tid, start, row) == reaching


def test_a_table_of_no_records() -> None:
    reader = BytesReader(blocked(made_bam(CONTIGS, []).inflated, [50]))
    table = decode_table(BAM.build_table(reader, None), reader.size)
    assert len(table.first) == 0
    assert table.row_at(0, 5) == 0
    assert table.rows_reaching(0, 5, 0) == []


def test_unsorted_records_make_no_table() -> None:
    for reads in ([Read(0, 5), Read(0, 4)], [Read(1, 5), Read(0, 9)], [Read(-1, -1, flag=4), Read(0, 9)]):
        with pytest.raises(FormatError, match="not sorted"):
            BAM.build_table(BytesReader(blocked(made_bam(CONTIGS, reads).inflated, [40])), None)


def test_a_damaged_table_is_refused() -> None:
    reads = [Read(0, pos, "10M") for pos in range(200)]
    reader = BytesReader(blocked(made_bam(CONTIGS, reads).inflated, [500]))
    table = BAM.build_table(reader, None)
    for length in range(len(table)):
        with pytest.raises(FormatError, match="block table"):
            decode_table(table[:length], reader.size)
    for at in range(0, len(table), 3):
        flipped = bytearray(table)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(FormatError, match="damaged"):
            decode_table(bytes(flipped), reader.size)
    with pytest.raises(FormatError, match="belongs to a file"):
        decode_table(table, reader.size + 1)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 31), (0, -1), (0, 1 << 30), (4, 3), (4, -2), (8, -2), (20, -1), (20, 1 << 30), (24, 3), (24, -2)],
)
def test_fields_that_cannot_be_are_errors(offset: int, value: int) -> None:
    made = made_bam(CONTIGS, [Read(0, pos, "10M") for pos in range(9)])
    record = bytearray(made.records[4])
    record[offset : offset + 4] = struct.pack("<i", value)
    made.records[4] = bytes(record)
    for sizes in ([60], [60_000], [len(made.header), len(made.records[0])]):
        with pytest.raises(FormatError, match=r"damaged|truncated"):
            BAM.build_table(BytesReader(blocked(made.inflated, sizes)), None)


def test_a_record_that_is_cut_off_is_an_error() -> None:
    made = made_bam(CONTIGS, [Read(0, 5, "10M")] * 3)
    for cut in (1, 3, 5, 40, len(made.records[0]) - 1):
        reader = BytesReader(blocked(made.inflated[:-cut], [64]))
        with pytest.raises(FormatError, match="inside a record"):
            BAM.build_table(reader, None)


def test_blocks_that_look_like_records_do_not_mislead() -> None:
    made = made_bam(CONTIGS, [Read(0, pos, "10M", tags=PADDING) for pos in range(300)])
    rng = random.Random(5)
    for sizes in ([len(made.header), 600], [rng.randrange(1, 800) for _ in range(900)], [65_280]):
        source = BamSource(BytesReader(blocked(made.inflated, sizes)))
        assert [pos for _, pos, _ in _spans(source)] == list(range(300))


def test_pysam_reads_what_the_maker_makes(tmp_path: Path) -> None:
    path = tmp_path / "made.bam"
    made = made_bam(CONTIGS, [Read(0, 3, "10M"), Read(2, 4, "4M6N6M")])
    path.write_bytes(block(made.header) + block(b"") + block(b"".join(made.records)) + EOF)
    with pysam.AlignmentFile(str(path)) as file:
        assert [(read.reference_name, read.cigarstring) for read in file] == [("a", "10M"), ("c", "4M6N6M")]
