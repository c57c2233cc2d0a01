"""BAI and CSI: parsed, queried, and adopted only where they belong."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.alignments.bam import BAM
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.intervals.binning import parse_bai, parse_csi, parse_index
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from tests.formats.bam_maker import Read, blocked, made_bam


def _bai(*contigs: list[tuple[int, list[tuple[int, int]]]]) -> bytes:
    data = b"BAI\1" + struct.pack("<i", len(contigs))
    for bins in contigs:
        data += struct.pack("<i", len(bins))
        for number, chunks in bins:
            data += struct.pack("<Ii", number, len(chunks))
            data += b"".join(struct.pack("<QQ", *chunk) for chunk in chunks)
        data += struct.pack("<i", 0)
    return data


def test_bai_is_read_and_queried() -> None:
    index = parse_bai(_bai([(4681, [(10, 20)]), (0, [(40, 50), (5, 10)]), (4682, [(20, 30)]), (37450, [(1, 0)])], []))
    assert [len(chunks.first) for chunks in index.contigs] == [4, 0]
    assert index.contigs[0].first.tolist() == [5, 10, 20, 40]
    assert index.contigs[0].low.tolist() == [0, 0, 1 << 14, 0]
    assert index.contigs[0].high.tolist() == [1 << 29, 1 << 14, 1 << 15, 1 << 29]
    assert index.query(0, 0, 1) == [(5, 20), (40, 50)]
    assert index.query(0, 1 << 14, (1 << 14) + 1) == [(5, 10), (20, 30), (40, 50)]
    assert index.query(0, 1 << 20, 1 << 62) == [(5, 10), (40, 50)]
    assert index.unplaced is None


@given(st.integers(0, (1 << 29) - 1), st.integers(1, 1 << 20))
def test_bins_are_those_of_the_specification(start: int, length: int) -> None:
    stop = min(start + length, 1 << 29)
    wanted = {0}
    for offset, shift in ((1, 26), (9, 23), (73, 20), (585, 17), (4681, 14)):
        wanted |= set(range(offset + (start >> shift), offset + ((stop - 1) >> shift) + 1))
    assert {number for bins in parse_bai(_bai()).bins(start, stop) for number in bins} == wanted


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BAI\1",
        b"CSI\1" + bytes(40),
        b"BAI\1" + struct.pack("<i", -1),
        b"BAI\1" + struct.pack("<i", 1 << 30),
        b"BAI\1" + struct.pack("<ii", 1, 1 << 30),
        b"BAI\1" + struct.pack("<iiIi", 1, 1, 4681, 1 << 27) + bytes(64),
        b"BAI\1" + struct.pack("<iiIi", 1, 1, 4681, -1) + bytes(64),
        _bai([(50_000, [(1, 2)])]),
        _bai([(4681, [(5, 5)])]),
        _bai([(4681, [(9, 5)])]),
        _bai([]) + b"abc",
    ],
)
def test_a_damaged_bai_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="index"):
        parse_bai(data)


def test_csi_is_read_compressed_or_not_and_checked() -> None:
    data = b"CSI\1" + struct.pack("<iiiiiIQiQQQ", 14, 5, 0, 1, 1, 4681, 3, 1, 7, 9, 33)
    for form in (data, compress(data) + EOF_BLOCK):
        index = parse_csi(form)
        assert index.query(0, 5, 6) == [(7, 9)]
        assert index.unplaced == 33
    with pytest.raises(FormatError, match="truncated"):
        parse_csi(compress(data)[:-3])
    with pytest.raises(FormatError, match="shift"):
        parse_csi(b"CSI\1" + struct.pack("<iiii", 14, 99, 0, 0))
    with pytest.raises(FormatError, match="256 MiB"):
        parse_csi(compress(bytes(1 << 16)) * 4200 + EOF_BLOCK)


def _indexed(shared_data: Path) -> list[tuple[Path, Path]]:
    files = sorted((shared_data / "genomics").glob("*/*.bam"))
    return [(bam, index) for bam in files for kind in ("bai", "csi") if (index := Path(f"{bam}.{kind}")).exists()]


def test_every_sound_index_is_adopted_and_no_other(shared_data: Path) -> None:
    pairs = _indexed(shared_data)
    assert len(pairs) > 30
    refused = {}
    for bam, index in pairs:
        with PathReader(bam) as reader:
            reason = BAM.check_index(reader, index.suffix[1:], index.read_bytes())
        if reason:
            refused[bam.name] = reason
    assert set(refused) == {"stale_index.bam", "bitflip.bam"}
    assert "contigs" in refused["stale_index.bam"]


def test_the_index_of_another_file_with_the_same_contigs_is_refused(tmp_path: Path) -> None:
    indexes, files = [], []
    for seed in range(2):
        rng = random.Random(seed)
        reads = [Read(0, pos, "10M") for pos in sorted(rng.sample(range(900_000), 4000))]
        files.append(blocked(made_bam([("a", 1_000_000)], reads).inflated, [5000]))
        (tmp_path / f"{seed}.bam").write_bytes(files[-1])
        assert BAM.build_index(tmp_path / f"{seed}.bam", tmp_path / f"{seed}.bai", 1) == "bai"
        indexes.append((tmp_path / f"{seed}.bai").read_bytes())
    for seed in range(2):
        assert BAM.check_index(BytesReader(files[seed]), "bai", indexes[seed]) is None
        assert BAM.check_index(BytesReader(files[seed]), "bai", indexes[1 - seed]) is not None
    longer = blocked(made_bam([("a", 1_000_000)], [*reads, Read(0, 950_000, "10M")]).inflated, [5000])
    assert BAM.check_index(BytesReader(longer), "bai", indexes[1]) is not None


def test_truncated_indexes_are_refused(shared_data: Path) -> None:
    folder = shared_data / "genomics" / "bam"
    for name, kind in (("hg18_45contigs_bai_csi.bam", "bai"), ("volvox_bai_csi.bam", "csi")):
        index = (folder / f"{name}.{kind}").read_bytes()
        with PathReader(folder / name) as reader:
            for length in {*range(0, len(index) - 8, max(len(index) // 60, 1)), len(index) - 9}:
                assert BAM.check_index(reader, kind, index[:length]) is not None


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200), st.sampled_from(["bai", "csi"]))
def test_any_bytes_are_an_index_or_an_error(data: bytes, kind: str) -> None:
    for prefix in (b"", b"BAI\1", b"CSI\1\x0e\0\0\0\5\0\0\0\0\0\0\0"):
        try:
            parse_index(kind, prefix + data)
        except FormatError:
            continue
