"""``lake://path#region``: a slice as a file."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import pysam
import pytest

from lake.errors import IsDirectory, LakeError, SourceChanged, Unsupported
from lake.fs import LakeFileSystem
from lake.lake import Lake

REGION = "runs/s%231.bam#chr1:1,001-2,000"


def make_bam(path: Path, count: int = 500) -> None:
    """Reads of 50 bases every 10 bases of chr1, and one on chr2."""
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "chr1", "LN": 100_000}, {"SN": "chr2", "LN": 5_000}],
    }
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number in range(count + 1):
            read = pysam.AlignedSegment(file.header)
            read.query_name = f"r{number}"
            read.flag = 0
            read.reference_id = number // count
            read.reference_start = number % count * 10
            read.mapping_quality = 60
            read.cigarstring = "50M"
            read.query_sequence = "ACGTA" * 10
            file.write(read)


@pytest.fixture
def fs(fs: LakeFileSystem, lk: Lake, tmp_path: Path) -> LakeFileSystem:
    make_bam(tmp_path / "s#1.bam")
    lk.put(tmp_path / "s#1.bam", "runs/")
    fs.pipe_file("table.csv", b"a,b\n")
    return fs


def names(path: Path) -> list[str]:
    with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
        return [read.query_name or "" for read in file]


def expected(path: Path, *regions: str) -> list[str]:
    text = pysam.view("-M", str(path), *regions)
    assert isinstance(text, str)
    return [line.split("\t", 1)[0] for line in text.splitlines()]


def test_a_slice_is_a_seekable_file(fs: LakeFileSystem, lk: Lake) -> None:
    whole = lk.slice("runs/s#1.bam", "chr1:1,001-2,000").to_bytes()
    with fsspec.open(f"lake://{REGION}", root=fs.root) as file:
        assert file.size == len(whole) == fs.size(REGION)
        assert file.read() == whole
        file.seek(-10, 2)
        assert file.read() == whole[-10:]
        file.seek(17)
        assert file.read(5) == whole[17:22]
    assert fs.cat_file(REGION) == whole
    assert fs.cat_file(REGION, -20, -3) == whole[-20:-3]
    assert fs.cat_ranges([REGION], [None], [9]) == [whole[:9]]


@pytest.mark.parametrize("regions", [["chr1:1,001-2,000"], ["chr1:1-100", "chr2", "chr1:50-300"]])
def test_records_are_those_of_samtools(fs: LakeFileSystem, tmp_path: Path, regions: list[str]) -> None:
    pysam.index(str(tmp_path / "s#1.bam"))
    fs.get_file(f"runs/s%231.bam#{';'.join(regions)}", tmp_path / "slice.bam")
    assert names(tmp_path / "slice.bam") == expected(tmp_path / "s#1.bam", *regions)


def test_ways_out(fs: LakeFileSystem, tmp_path: Path) -> None:
    whole = fs.cat_file(REGION)
    with open(tmp_path / "open.bam", "wb") as file:
        fs.get_file(REGION, file)
    fs.get(REGION, str(tmp_path / "got.bam"))
    assert (tmp_path / "open.bam").read_bytes() == (tmp_path / "got.bam").read_bytes() == whole
    fs.cp_file(REGION, "small.bam")
    assert fs.cat_file("small.bam") == whole
    assert fs.info("small.bam")["format"] == "BAM"


def test_what_is_said_of_a_slice(fs: LakeFileSystem, lk: Lake) -> None:
    info = fs.info(REGION)
    assert (info["name"], info["type"], info["format"]) == (REGION, "file", "BAM")
    assert fs.ukey(REGION) == info["digest"] == lk.slice("runs/s#1.bam", "chr1:1,001-2,000").identity
    assert fs.ukey(REGION) != fs.ukey("runs/s%231.bam#chr2")
    assert fs.exists(REGION)
    assert fs.isfile(REGION)
    assert fs.glob("runs/s%231.bam#*") == fs.find("runs/s%231.bam#*") == ["runs/s%231.bam#*"]
    assert fs.glob("runs/missing.bam#*") == []
    assert fs.ls(REGION, detail=False) == [REGION]


def test_errors(fs: LakeFileSystem) -> None:
    with pytest.raises(FileNotFoundError):
        fs.open("runs/missing.bam#chr1")
    with pytest.raises(IsDirectory):
        fs.open("runs#chr1")
    with pytest.raises(Unsupported, match=r"table\.csv"):
        fs.open("table.csv#chr1")
    for ask in (fs.open, fs.exists, fs.info):
        with pytest.raises(LakeError, match="chr99"):
            ask("runs/s%231.bam#chr99")


def test_a_slice_pickles_while_its_file_stays(fs: LakeFileSystem, tmp_path: Path) -> None:
    with fs.open(REGION) as file:
        file.seek(10)
        frozen = pickle.dumps(file)
        rest = file.read()
    with pickle.loads(frozen) as file:
        assert file.read() == rest
    make_bam(tmp_path / "other.bam", 400)
    fs.put_file(tmp_path / "other.bam", "runs/s%231.bam")
    with pytest.raises(SourceChanged):
        pickle.loads(frozen)


def test_regions_at_a_ref(fs: LakeFileSystem, lk: Lake) -> None:
    whole = fs.cat_file(REGION)
    lk.tag("v1")
    fs.rm("runs", recursive=True)
    assert fs.cat_file(f"@v1/{REGION}") == whole
    assert fs.info(f"@v1/{REGION}")["name"] == f"@v1/{REGION}"
    assert not fs.exists(REGION)


def test_regions_of_what_a_transaction_wrote(fs: LakeFileSystem, tmp_path: Path, lk: Lake) -> None:
    make_bam(tmp_path / "other.bam", 400)
    with fs.transaction:
        fs.put_file(tmp_path / "other.bam", "runs/other.bam")
        inside = fs.cat_file("runs/other.bam#chr2")
    assert inside == lk.slice("runs/other.bam", "chr2").to_bytes()
