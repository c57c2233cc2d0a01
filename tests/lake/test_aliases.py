"""A region may name a contig as another file does, when it is clear which one is meant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import lake
from lake.errors import InvalidRegion

BAM = "na12878_chr20_21_unplaced.bam"


def test_the_slice_keeps_the_names_of_the_file(shared_data: Path, tmp_path: Path) -> None:
    with lake.init(tmp_path / "lake") as lk:
        lk.put(shared_data / "genomics/bam" / BAM)
        exact = lk.slice(BAM, "20:10000100-10000200")
        alias = lk.slice(BAM, "chr20:10000100-10000200")
        assert alias.identity == exact.identity
        assert alias.to_bytes() == exact.to_bytes()
        assert lk.reads(BAM, "chr20:10000100-10000200").read_all()["contig"].unique().to_pylist() == ["20"]
        with pytest.raises(InvalidRegion, match="no contig 'chr5'"):
            lk.slice(BAM, "chr5:1-2")


def _sam(path: Path, header: str) -> Path:
    text = header + "r1\t0\tone\t5\t60\t4M\t*\t0\t0\tACGT\t*\n"
    subprocess.run(["samtools", "view", "-b", "--no-PG", "-o", path, "-"], input=text.encode(), check=True)
    return path


def test_names_from_the_header_and_from_the_fastas_of_the_lake(tmp_path: Path) -> None:
    md5 = "f1f8f4bf413b16ad135722aa4591043e"  # of ACGT
    header = f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:one\tLN:4\tM5:{md5}\tAN:uno,eins\n@SQ\tSN:two\tLN:4\tAN:eins\n"
    bam = _sam(tmp_path / "x.bam", header)
    (tmp_path / "ref.fa").write_text(">NC_1.1 first\nAC\ngt\n>other\nA\n")
    with lake.init(tmp_path / "lake") as lk:
        lk.put(bam)
        wanted = lk.slice("x.bam", "one").identity
        assert lk.slice("x.bam", "uno").identity == wanted
        with pytest.raises(InvalidRegion, match="'eins' is ambiguous: the file has one, two"):
            lk.slice("x.bam", "eins:1-2")
        with pytest.raises(InvalidRegion, match="no contig"):
            lk.slice("x.bam", "NC_1.1")
        lk.put(tmp_path / "ref.fa")
        assert lk.slice("x.bam", "NC_1.1:1-4").identity == lk.slice("x.bam", "one:1-4").identity
