"""Slices of SAM, plain and in BGZF, hold what samtools selects from the same records as BAM."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.alignments.sam import SAM
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from tests.formats.bam_maker import blocked, selected, spans_of
from tests.formats.text_files import content, expected_regions, records, ways

HEADER = b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:100000\n@SQ\tSN:b\tLN:90000\n@CO\t@SQ\tSN:no\n@SQ\tSN:c\tLN:5\n"
FAR = 1 << 40


def test_expected_regions(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in expected_regions(folder, (".sam.gz",)).items():
        with PathReader(folder / name) as reader:
            assert SAM.check(reader) == []
            for way, file in ways(SAM, reader).items():
                for region, value in regions.items():
                    lines = records(content(reader, file, [region]), b"@")
                    count, *digest = value.split()
                    assert len(lines) == int(count), (name, way, region)
                    if digest:
                        assert hashlib.md5(b"".join(line + b"\n" for line in lines)).hexdigest() == digest[0]
                    compared += 1
    assert compared


def test_positions_beyond_bam(shared_data: Path) -> None:
    path = shared_data / "genomics" / "sam" / "longref_over_2pow31.sam"
    lines = records(path.read_bytes(), b"@")
    with PathReader(path) as reader:
        assert SAM.check(reader) == []
        file = ways(SAM, reader)["table"]
        contig = next(iter(file.contigs))
        positions = [int(line.split(b"\t", 4)[3]) for line in lines]
        assert max(positions) > 1 << 31
        at = max(positions)
        found = records(content(reader, file, [f"{contig}:{at}-{at}"]), b"@")
        assert lines[positions.index(at)] in found
        assert records(content(reader, file, [contig]), b"@") == lines


def test_sam_of_real_bams_gives_the_slices_of_the_bam(shared_data: Path, tmp_path: Path) -> None:
    for name in ("na12878_chr20_21_unplaced", "rnaseq_heart_slc25a3", "longcigar_65536ops"):
        path = shared_data / "genomics" / "bam" / f"{name}.bam"
        text = subprocess.run(["samtools", "view", "-h", str(path)], check=True, capture_output=True).stdout
        spans = spans_of(path)
        lines = records(text, b"@")
        rng = random.Random(4)
        for data in (text, blocked(text, [40_000])):
            reader = BytesReader(data)
            file = ways(SAM, reader)["table"]
            contigs = list(SAM.source(reader, "").declared())
            for _ in range(12):
                tid, pos, end = rng.choice(spans)
                if tid < 0:
                    region, wanted = "*", (-1, 0, 0)
                else:
                    start = max(rng.choice([pos, end]) + rng.randrange(-9, 9), 0)
                    region, wanted = f"{contigs[tid]}:{start + 1}-{start + 300}", (tid, start, start + 300)
                chosen = [lines[index] for index in selected(spans, [wanted])]
                assert records(content(reader, file, [region]), b"@") == chosen, (name, region)


_reads = st.lists(
    st.tuples(
        st.sampled_from(["b", "a"]),
        st.one_of(st.integers(1, 300), st.integers(16_300, 16_500)),
        st.sampled_from(["*", "10M", "3M2000N4M", "5S1M4S", "2M3D1I2=4X", "4H6I4S"]),
        st.sampled_from([0, 4, 16, 20]),
    ),
    max_size=40,
).map(lambda reads: sorted(reads, key=lambda read: ("ba".index(read[0]), read[1])))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=_reads, unplaced=st.integers(0, 3), sizes=st.lists(st.integers(0, 400), max_size=9), data=st.data())
def test_made_files_against_a_full_scan(
    tmp_path: Path, reads: list[tuple[str, int, str, int]], unplaced: int, sizes: list[int], data: st.DataObject
) -> None:
    lines = [
        f"r{n}\t{flag}\t{c}\t{p}\t9\t{cigar}\t*\t0\t0\t*\t*".encode() for n, (c, p, cigar, flag) in enumerate(reads)
    ]
    lines += [b"u\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\t*"] * unplaced
    text = HEADER + b"".join(line + b"\n" for line in lines)
    path = tmp_path / "made.sam"
    path.write_bytes(text)
    bam = tmp_path / "made.bam"
    subprocess.run(["samtools", "view", "-b", "-o", str(bam), str(path)], check=True, capture_output=True)
    spans = spans_of(bam)
    for file_bytes in (text, blocked(text, [*sizes, 150])):
        reader = BytesReader(file_bytes)
        assert SAM.check(reader) == []
        opened = ways(SAM, reader)
        names = ["a", "b", "c"]
        for _ in range(3):
            tid = data.draw(st.integers(0, 2))
            edges = sorted({0, *(max(edge, 0) for t, *two in spans if t == tid for edge in two)})
            start = max(data.draw(st.sampled_from(edges)) + data.draw(st.integers(-1, 1)), 0)
            stop = start + data.draw(st.sampled_from([1, 40, FAR]))
            wanted = [(tid, start, stop), *([(-1, 0, 0)] if (star := data.draw(st.booleans())) else [])]
            regions = [f"{names[tid]}:{start + 1}-{stop}", *(["*"] if star else [])]
            chosen = [lines[index] for index in selected(spans, wanted)]
            for way, file in opened.items():
                found = content(reader, file, regions)
                assert found == HEADER + b"".join(line + b"\n" for line in chosen), (way, regions)


def test_a_record_at_no_position_is_unplaced() -> None:
    lines = b"r\t0\ta\t5\t9\t3M\t*\t0\t0\t*\t*\nr\t0\ta\t0\t9\t3M\t*\t0\t0\t*\t*\n"
    reader = BytesReader(HEADER + lines)
    for file in ways(SAM, reader).values():
        assert content(reader, file, ["*"]) == HEADER + lines.splitlines(keepends=True)[1]
        assert content(reader, file, ["a"]) == HEADER + lines.splitlines(keepends=True)[0]


def test_unsorted_files_are_scanned(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = shared_data / "genomics" / "sam" / "index_test.sam"
    with PathReader(path) as reader:
        assert SAM.check(reader) == []
        with caplog.at_level(logging.WARNING):
            file = SAM.open(reader, kind=None, index=None, table=None)
            found = records(content(reader, file, ["*"]), b"@")
        assert "no index" in caplog.text
        assert len(found) == 50


def test_what_cannot_be_read_is_an_error() -> None:
    good = b"r\t0\ta\t5\t9\t3M\t*\t0\t0\t*\t*\n"
    for line in (
        b"r\t0\ta\t5\t9\t3M\t*\t0\t0\t*\n",
        b"r\t0\tzz\t5\t9\t3M\t*\t0\t0\t*\t*\n",
        b"r\tx\ta\t5\t9\t3M\t*\t0\t0\t*\t*\n",
        b"r\t0\ta\t-5\t9\t3M\t*\t0\t0\t*\t*\n",
        b"r\t0\ta\t5\t9\t3Q\t*\t0\t0\t*\t*\n",
        b"@late\n",
    ):
        for data in (HEADER + good + line, blocked(HEADER + good + line, [60])):
            reader = BytesReader(data)
            assert len(SAM.check(reader)) == 1
            with pytest.raises(FormatError):
                SAM.build_table(reader, None)
    for header in (b"@SQ\tSN:a\n", b"@SQ\tSN:a\tLN:5\n@SQ\tSN:a\tLN:5\n"):
        with pytest.raises(FormatError, match="@SQ"):
            SAM.source(BytesReader(header), "")
    with pytest.raises(InvalidRegion):
        ways(SAM, BytesReader(HEADER + good))["table"].plan(["zz"])


def test_flipped_bytes_are_errors_or_right() -> None:
    rng = random.Random(3)
    lines = [b"r\t0\ta\t%d\t9\t%dM\t*\t0\t0\t*\t*\n" % (pos, rng.choice([3, 700])) for pos in range(1, 3000, 20)]
    data = blocked(HEADER + b"".join(lines), [500])
    table = SAM.build_table(BytesReader(data), None)
    wanted = content(BytesReader(data), SAM.open(BytesReader(data), kind=None, index=None, table=table), ["a:900-1500"])
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        reader = BytesReader(bytes(damaged))
        for given_table in (table, None):
            try:
                file = SAM.open(reader, kind=None, index=None, table=given_table)
                found = content(reader, file, ["a:900-1500"])
            except (FormatError, InvalidRegion, gzip.BadGzipFile, zlib.error, AssertionError, EOFError):
                continue
            assert found == wanted
