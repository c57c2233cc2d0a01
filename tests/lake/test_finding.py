"""`Lake.find`: files that cover a region, files that have to do with words."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

from lake.errors import InvalidInput, InvalidRegion
from lake.finding import Filters, RegionHit, TextHit
from lake.lake import Lake
from tests.lake.samples import make_bam, make_tree


def _regions(lk: Lake, region: str, **filters: tuple[str, ...]) -> dict[str, RegionHit]:
    hits = lk.find(region, filters=Filters(**filters))  # type: ignore[arg-type]
    assert all(isinstance(hit, RegionHit) for hit in hits)
    return {hit.path: hit for hit in hits if isinstance(hit, RegionHit)}


def _words(lk: Lake, *words: str, filters: Filters | None = None) -> dict[str, TextHit]:
    hits = lk.find(*words, filters=filters)
    assert all(isinstance(hit, TextHit) for hit in hits)
    return {hit.path: hit for hit in hits if isinstance(hit, TextHit)}


def _one_read(path: Path, contig: str, start: int, sample: str) -> Path:
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": contig, "LN": 100_000}, {"SN": "other:7", "LN": 500}],
        "RG": [{"ID": "rg", "SM": sample, "PL": "ILLUMINA", "LB": "library one"}],
    }
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        read = pysam.AlignedSegment(bam.header)
        read.query_name, read.query_sequence, read.cigarstring = "r", "ACGT" * 25, "100M"
        read.reference_id, read.reference_start = 0, start
        bam.write(read)
    pysam.index(str(path))
    return path


@pytest.fixture
def cohort(lk: Lake, tmp_path: Path) -> Lake:
    """Three BAMs with one read each, of two fashions of naming, and a FASTA."""
    for name, contig, start, sample in (
        ("s1", "chr7", 1_000, "NA1"),
        ("s2", "7", 1_050, "NA2"),
        ("s3", "chr7", 9_000, "NA2"),
    ):
        lk.put([_one_read(tmp_path / f"{name}.bam", contig, start, sample)], f"runs/{name}.bam")
        lk.index(f"runs/{name}.bam")
    fasta = tmp_path / "ref.fa"
    fasta.write_text(">7\n" + "ACGT" * 1000 + "\n")
    lk.put(fasta, "ref/ref.fa")
    lk.set_meta("runs/s1.bam", {"tissue": "Liver", "batch": 7})
    return lk


def test_a_region_finds_files_of_either_naming(cohort: Lake) -> None:
    assert set(_regions(cohort, "chr7:1,051-1,100")) == {"runs/s1.bam", "runs/s2.bam", "ref/ref.fa"}
    found = _regions(cohort, "7:1,051-1,100")
    assert set(found) == {"runs/s1.bam", "runs/s2.bam", "ref/ref.fa"}
    assert (found["runs/s1.bam"].contig, found["runs/s2.bam"].contig) == ("chr7", "7")
    assert found["runs/s1.bam"].exact
    assert found["runs/s1.bam"].chunks == 1
    assert found["runs/s1.bam"].bytes == cohort.stat("runs/s1.bam").size


def test_bounds_are_those_of_the_records(cohort: Lake) -> None:
    bams = {"formats": ("BAM",)}
    assert set(_regions(cohort, "chr7:1001-1001", **bams)) == {"runs/s1.bam"}
    assert set(_regions(cohort, "chr7:1000-1000", **bams)) == set()
    assert set(_regions(cohort, "chr7:1100-1100", **bams)) == {"runs/s1.bam", "runs/s2.bam"}
    assert set(_regions(cohort, "chr7:1101-1150", **bams)) == {"runs/s2.bam"}
    assert set(_regions(cohort, "chr7:1151", **bams)) == {"runs/s3.bam"}
    assert set(_regions(cohort, "chr7", **bams)) == {"runs/s1.bam", "runs/s2.bam", "runs/s3.bam"}


def test_a_file_that_only_declares_the_contig_cannot_tell(cohort: Lake) -> None:
    hit = _regions(cohort, "chr7:3000-3100")["ref/ref.fa"]
    assert (hit.chunks, hit.bytes, hit.exact, hit.contig) == (None, None, False, "7")
    assert "ref/ref.fa" not in _regions(cohort, "chr7:4001-4100")


def test_a_file_of_which_only_the_index_names_contigs(cohort: Lake, tmp_path: Path) -> None:
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr7\t100\t200\nchr9\t5\t9\n")
    pysam.tabix_index(str(bed), preset="bed")
    cohort.put([tmp_path / "peaks.bed.gz", tmp_path / "peaks.bed.gz.tbi"], "peaks")
    assert "peaks/peaks.bed.gz" in _regions(cohort, "7:150-160")
    assert set(_regions(cohort, "chr9")) == {"peaks/peaks.bed.gz"}


def test_filters(cohort: Lake) -> None:
    assert set(_regions(cohort, "chr7", samples=("NA2",))) == {"runs/s2.bam", "runs/s3.bam"}
    assert set(_regions(cohort, "chr7", samples=("NA1", "NA2"), formats=("bam",))) == {
        "runs/s1.bam",
        "runs/s2.bam",
        "runs/s3.bam",
    }
    hits = cohort.find("chr7", filters=Filters(attributes=(("tissue", "Liver"),)))
    assert [hit.path for hit in hits] == ["runs/s1.bam"]
    hits = cohort.find("chr7", filters=Filters(attributes=(("batch", ""),), under="runs/"))
    assert [hit.path for hit in hits] == ["runs/s1.bam"]
    assert cohort.find("chr7", filters=Filters(under="ru")) == []
    assert [hit.path for hit in cohort.find(filters=Filters(formats=("FASTA",)))] == ["ref/ref.fa"]


def test_removed_and_overwritten_files_are_not_found(cohort: Lake) -> None:
    cohort.rm("runs/s1.bam")
    cohort.cp("runs/s3.bam", "runs/s2.bam")
    assert set(_regions(cohort, "chr7:1-2000", formats=("BAM",))) == set()
    assert set(_regions(cohort, "chr7:9001-9001", formats=("BAM",))) == {"runs/s2.bam", "runs/s3.bam"}


def test_words(cohort: Lake) -> None:
    assert _words(cohort, "liver")["runs/s1.bam"].where == ("attribute tissue=Liver",)
    assert set(_words(cohort, "na2")) == {"runs/s2.bam", "runs/s3.bam"}
    assert set(_words(cohort, "NA2", "s3")) == {"runs/s3.bam"}
    assert set(_words(cohort, "library one")) == {"runs/s1.bam", "runs/s2.bam", "runs/s3.bam"}
    assert set(_words(cohort, "REF.fa")) == {"ref/ref.fa"}
    assert set(_words(cohort, str(cohort.stat("ref/ref.fa").digest)[:12])) == {"ref/ref.fa"}
    assert _words(cohort, "nothing of the kind") == {}
    assert set(_words(cohort, "na2", filters=Filters(under="runs", formats=("FASTA",)))) == set()


def test_what_a_lake_of_text_finds(lk: Lake, tmp_path: Path) -> None:
    lk.put(make_tree(tmp_path / "t", {"it's 100%.txt": "x", "b_c.txt": "y"}), "t")
    assert set(_words(lk, "it's 100%")) == {"t/it's 100%.txt"}
    assert set(_words(lk, "b_c")) == {"t/b_c.txt"}
    assert set(_words(lk, "chr1:5-7")) == set()


def test_bad_questions(cohort: Lake) -> None:
    with pytest.raises(InvalidInput, match="find what"):
        cohort.find()
    for region in ("chr7:20-10", "chr7:1-x", "7:99999999999999999999-5"):
        with pytest.raises(InvalidRegion):
            cohort.find(region)


def test_contigs_with_colons(lk: Lake, tmp_path: Path) -> None:
    make_bam(tmp_path / "a.bam", index="bai")
    lk.put([tmp_path / "a.bam", tmp_path / "a.bam.bai"])
    assert set(_regions(lk, "HLA-A*01:01")) == {"a.bam"}
    assert set(_regions(lk, "{HLA-A*01:01}:1-4000")) == {"a.bam"}
    assert set(_regions(lk, "HLA-A*01:01:1-4000")) == {"a.bam"}
