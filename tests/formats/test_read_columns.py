"""Reads as Arrow are what pysam says, and depths what samtools depth prints."""

from __future__ import annotations

import contextlib
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidInput
from lake.formats.alignments.bam_stream import open_bam_stream
from lake.formats.alignments.coverage import depths
from lake.formats.alignments.read_columns import READ_COLUMNS, read_batch, read_schema
from lake.formats.alignments.read_fields import ReadFields
from tests.formats.bam_maker import EOF, Read, blocked, made_bam

BAMS = [
    "longcigar_65536ops.bam",
    "ont_5hmc_basemods.bam",
    "ubam_illumina_queryname.bam",
    "rnaseq_heart_slc25a3.bam",
    "na12878_chr20_21_unplaced.bam",
    "hla_contig_name_with_colons.bam",
    "na19240_sv.bam",
]


def pieces(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def rows_of(data: bytes, tags: tuple[str, ...] = (), size: int = 50_000) -> list[dict[str, object]]:
    stream = open_bam_stream(pieces(data, size))
    schema = read_schema(None, tags)
    return [
        row
        for batch in stream.batches
        for row in read_batch(batch, np.ones(len(batch.first), bool), stream.contigs, schema).to_pylist()
    ]


def by_pysam(path: Path) -> list[dict[str, object]]:
    with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
        return [
            {
                "name": read.query_name,
                "flag": read.flag,
                "contig": read.reference_name,
                "start": read.reference_start if read.reference_start >= 0 else None,
                "stop": None if read.is_unmapped or read.reference_start < 0 else read.reference_end,
                "mapping_quality": read.mapping_quality,
                "cigar": read.cigarstring,
                "mate_contig": read.next_reference_name,
                "mate_start": read.next_reference_start if read.next_reference_start >= 0 else None,
                "template_length": read.template_length,
                "sequence": read.query_sequence,
                "qualities": None
                if read.query_qualities is None
                else pysam.qualities_to_qualitystring(read.query_qualities),
            }
            for read in file.fetch(until_eof=True)
        ]


@pytest.mark.parametrize("name", BAMS)
def test_columns_are_those_of_pysam(shared_data: Path, name: str) -> None:
    path = shared_data / "genomics/bam" / name
    rows = rows_of(path.read_bytes())
    assert list(rows[0]) == list(READ_COLUMNS)
    assert rows == by_pysam(path)


def test_tags_are_those_of_samtools(shared_data: Path) -> None:
    path = shared_data / "genomics/bam/ont_5hmc_basemods.bam"
    rows = rows_of(path.read_bytes(), ("NM", "MM", "ML", "de", "tp", "zz"))
    text = subprocess.run(["samtools", "view", path], check=True, capture_output=True, text=True).stdout
    for row, line in zip(rows, text.splitlines(), strict=True):
        tags = {field[:2]: field[5:] for field in line.split("\t")[11:]}
        assert row["NM"] == (int(tags["NM"]) if "NM" in tags else None)
        for tag in ("MM", "ML", "tp", "zz"):
            assert row[tag] == tags.get(tag)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.sampled_from(["10M", "5S5M", "3M100N3M", "4M2I4M2D1M", "2H8=1X", "6M5P4M", "", "20M"]),
            st.sampled_from([0, 4, 16, 256, 512, 1024, 99]),
        ),
        max_size=40,
    ),
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
    st.integers(1, 999),
    st.integers(1, 2000),
)
def test_made_files_against_pysam_and_a_count_by_hand(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[int, str, int]],
    sizes: list[int],
    cut: int,
    tile: int,
) -> None:
    reads = [Read(0, pos, cigar, flag, name=f"r{n}") for n, (pos, cigar, flag) in enumerate(sorted(places))]
    data = blocked(made_bam([("a", 4000)], reads).inflated, sizes)
    path = tmp_path_factory.getbasetemp() / "made.bam"
    path.write_bytes(data)
    wanted = by_pysam(path)
    assert rows_of(data, size=cut) == wanted
    counted = [0] * 4000
    with pysam.AlignmentFile(str(path), "rb") as file:
        for read in file.fetch(until_eof=True):
            if not read.flag & 0x704:
                for start, stop in read.get_blocks():
                    for at in range(start, min(stop, 4000)):
                        counted[at] += 1
    found = [depth for _, tiled in depths(open_bam_stream(pieces(data, cut)).batches, 0, 4000, tile) for depth in tiled]
    assert found == counted
    part = [depth for _, tiled in depths(open_bam_stream(pieces(data, cut)).batches, 50, 777, tile) for depth in tiled]
    assert part == counted[50:777]


def test_depth_of_files_out_of_order() -> None:
    data = blocked(made_bam([("a", 4000)], [Read(0, 50, "5M"), Read(0, 5, "5M")]).inflated, [9000])
    with pytest.raises(FormatError, match="sorted"):
        list(depths(open_bam_stream(iter([data])).batches, 0, 100, 10))


def test_a_stream_that_breaks_off_is_an_error() -> None:
    data = blocked(made_bam([("a", 4000)], [Read(0, n, "5M") for n in range(200)]).inflated, [500])
    for broken in (data[: -len(EOF)], data[:-40], data[: len(data) // 2], data[:10], b"", b"x" * 200_000):
        with pytest.raises(FormatError):
            for _ in open_bam_stream(pieces(broken, 100)).batches:
                pass


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_of_records_is_an_error_or_another_value(at: int, byte: int) -> None:
    made = made_bam([("a", 4000)], [Read(0, n, "5M1D5M", tags=b"NMC\1XXZhello\0XBBC\2\0\0\0ab") for n in range(20)])
    body = bytearray(b"".join(made.records))
    body[at % len(body)] = byte
    data = blocked(made.header + bytes(body), [5000])
    with contextlib.suppress(FormatError):
        assert len(rows_of(data, ("NM", "XX", "XB"))) <= 20


def test_filters_and_unknown_columns() -> None:
    data = blocked(
        made_bam([("a", 4000)], [Read(0, n, "5M", flag) for n, flag in enumerate((0, 16, 1024))]).inflated, [500]
    )
    (batch,) = open_bam_stream(iter([data])).batches
    assert ReadFields(batch).wanted(include=16).tolist() == [False, True, False]
    assert ReadFields(batch).wanted(exclude=1040).tolist() == [True, False, False]
    assert ReadFields(batch).wanted(min_quality=31).tolist() == [False, False, False]
    with pytest.raises(InvalidInput, match="no column"):
        read_schema(["nothing"])
    with pytest.raises(InvalidInput, match="not a tag"):
        read_schema(None, ["NMX"])


def test_arrays_in_tags_are_text_as_in_sam() -> None:
    tags = b"XBBs" + struct.pack("<Ihh", 2, -3, 4) + b"XFf" + struct.pack("<f", 0.5) + b"XAAq"
    data = blocked(made_bam([("a", 4000)], [Read(0, 1, "5M", tags=tags)]).inflated, [500])
    (row,) = rows_of(data, ("XB", "XF", "XA"))
    assert (row["XB"], row["XF"], row["XA"]) == ("s,-3,4", "0.5", "q")
