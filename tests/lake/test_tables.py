"""Slices as Arrow: what pandas, polars and DuckDB see is what samtools, bcftools and tabix print."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pysam
import pytest

import lake
from lake.errors import FormatError, InvalidInput, Unsupported

BAM = "na12878_chr20_21_unplaced.bam"
REGION = "20:10000100-10001000"


def run(*command: str | Path) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    return shared_data / "genomics"


@pytest.fixture(scope="module")
def lk(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with lake.init(tmp_path_factory.mktemp("lake")) as made:
        names = [f"bam/{BAM}", f"bam/{BAM}.bai", "bam/rnaseq_heart_slc25a3.bam", "vcf/exome_189samples.vcf.gz"]
        names += ["vcf/multi_contig_tbi_csi.vcf.gz", "bcf/multi_contig.bcf", "bcf/multi_contig.bcf.csi", "fasta/ce.fa"]
        names += ["tabix/ensembl_grch38_94.gff3.gz", "tabix/ensembl_grch38_94.gff3.gz.tbi", "tabix/oxbow_sample.gtf.gz"]
        names += ["tabix/oxbow_sample.gtf.gz.tbi", "tabix/seg_dups_hg19.bed.gz", "tabix/seg_dups_hg19.bed.gz.tbi"]
        names += [
            "cram/sv_shortread_v31.cram",
            "fasta/delly_200kb.fa",
            "sam/index_test.sam",
            "vcf/gvcf_two_contigs.vcf.gz",
        ]
        assert not made.put([data / name for name in names]).failed
        yield made


def test_reads_are_those_of_samtools(lk: lake.Lake, data: Path) -> None:
    lines = [line.split("\t") for line in run("samtools", "view", "-q", "20", "-F", "16", data / "bam" / BAM, REGION)]
    table = lk.reads(BAM, REGION, columns=["name", "start", "cigar"], min_quality=20, exclude_flags=16).read_all()
    assert table.column_names == ["name", "start", "cigar"]
    got = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    assert list(got) == [(line[0], int(line[3]) - 1, line[5]) for line in lines]


@pytest.mark.parametrize("name", ["sv_shortread_v31.cram", "index_test.sam"])
def test_reads_of_cram_and_sam(lk: lake.Lake, data: Path, name: str) -> None:
    path = data / ("cram" if name.endswith("cram") else "sam") / name
    lines = run("samtools", "view", "-T", data / "fasta/delly_200kb.fa", path)
    rows = lk.reads(name, columns=["name", "flag", "sequence"]).read_all().to_pylist()
    fields = [line.split("\t") for line in lines]
    assert [(r["name"], r["flag"], r["sequence"]) for r in rows] == [
        (f[0], int(f[1]), None if f[9] == "*" else f[9]) for f in fields
    ]


def test_pandas_polars_and_duckdb_take_them(lk: lake.Lake) -> None:
    count = lk.reads(BAM, REGION).read_all().num_rows
    assert len(lk.reads(BAM, REGION).read_pandas()) == count
    assert polars.from_arrow(lk.reads(BAM, REGION).read_all()).shape[0] == count
    reads = lk.reads(BAM, REGION)
    assert isinstance(reads, pa.RecordBatchReader)
    found = duckdb.sql("SELECT count(*), min(start) FROM reads")
    assert found is not None
    assert found.fetchall()[0][0] == count
    variants = duckdb.from_arrow(lk.variants("exome_189samples.vcf.gz").read_all())
    assert variants.filter("info.AC[1] > 1").fetchall()


def test_memory_stays_flat_while_batches_are_read(lk: lake.Lake) -> None:
    before = pa.total_allocated_bytes()
    rows = 0
    for batch in lk.reads(BAM):
        rows += batch.num_rows
        assert pa.total_allocated_bytes() - before < 64 << 20
    assert rows == 12_720


@pytest.mark.parametrize("regions", [[REGION], ["20:9999999-10000500", "21:10002000-10002200"]])
@pytest.mark.parametrize("size", [1, 7])
def test_coverage_is_that_of_samtools_depth(lk: lake.Lake, data: Path, regions: list[str], size: int) -> None:
    rows = lk.coverage(BAM, regions, bin=size).read_all().to_pylist()
    wanted = []
    for region in regions:
        contig, _, span = region.partition(":")
        first, last = map(int, span.split("-"))
        depth = [int(line.split("\t")[2]) for line in run("samtools", "depth", "-a", "-r", region, data / "bam" / BAM)]
        for at in range(0, len(depth), size):
            bases = depth[at : at + size]
            stop = min(first - 1 + at + size, last)
            wanted.append({"contig": contig, "start": first - 1 + at, "stop": stop, "depth": sum(bases) / len(bases)})
    assert rows == wanted


def test_coverage_of_spliced_reads_and_filters(lk: lake.Lake, data: Path) -> None:
    path = data / "bam/rnaseq_heart_slc25a3.bam"
    region = "chr12:98986000-98999000"
    depth = [int(line.split("\t")[2]) for line in run("samtools", "depth", "-a", "-r", region, path)]
    assert max(depth) > 100
    assert lk.coverage(path.name, region).read_all()["depth"].to_pylist() == depth
    strict = run("samtools", "depth", "-a", "-Q", "60", "-G", "0x710", "-r", region, path)
    found = lk.coverage(path.name, region, min_quality=60, exclude_flags=0x714).read_all()["depth"].to_pylist()
    assert found == [int(line.split("\t")[2]) for line in strict]


def test_coverage_of_the_whole_file_has_a_row_for_every_bin(lk: lake.Lake) -> None:
    rows = lk.coverage("sv_shortread_v31.cram", bin=1000).read_all()
    assert rows["start"].to_pylist() == list(range(0, rows.num_rows * 1000, 1000))
    with pytest.raises(InvalidInput):
        lk.coverage(BAM, REGION, bin=0)
    with pytest.raises(Unsupported):
        lk.coverage(BAM, "*")


@pytest.mark.parametrize(
    "name", ["exome_189samples.vcf.gz", "multi_contig_tbi_csi.vcf.gz", "gvcf_two_contigs.vcf.gz", "multi_contig.bcf"]
)
def test_variants_are_those_of_pysam(lk: lake.Lake, data: Path, name: str) -> None:
    table = lk.variants(name, samples=[]).read_all().to_pylist()
    with pysam.VariantFile(str(data / name.rsplit(".", 1)[-1].replace("gz", "vcf") / name)) as file:
        records = list(file)
        assert len(records) == len(table)
        for record, row in zip(records, table, strict=True):
            assert (row["contig"], row["start"], row["ref"]) == (record.contig, record.start, record.ref)
            assert row["stop"] == record.stop
            assert tuple(row["alt"] or ()) == (record.alts or ())
            assert row["qual"] == (None if record.qual is None else pytest.approx(record.qual, rel=1e-6))
            assert row["filter"] == (list(record.filter) or None)
            assert {key for key, value in row["info"].items() if value is not None} - {"END"} <= set(record.info)
            for key in ("DP", "AC", "AN", "END"):
                if key in record.info and key != "END":
                    value = record.info[key]
                    assert row["info"][key] == (list(value) if isinstance(value, tuple) else value)
            for cell in row["genotypes"]:
                alleles = record.samples[cell["sample"]]["GT"]
                text = cell["GT"].replace("|", "/").split("/")
                assert [None if allele == "." else int(allele) for allele in text] == list(alleles)
            assert [cell["sample"] for cell in row["genotypes"]] == list(record.samples)


def test_samples_are_chosen(lk: lake.Lake) -> None:
    name = "multi_contig_tbi_csi.vcf.gz"
    names = lk.facts(name)["samples"]["sample"].to_pylist()
    row = lk.variants(name, samples=[names[2], names[0]]).read_all().to_pylist()[0]
    assert [cell["sample"] for cell in row["genotypes"]] == [names[2], names[0]]
    assert "genotypes" not in lk.variants(name).schema.names
    with pytest.raises(InvalidInput, match="no sample"):
        lk.variants(name, samples=["nobody"])


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("ensembl_grch38_94.gff3.gz", "20:10902283-10914535"),
        ("oxbow_sample.gtf.gz", "chr12"),
        ("seg_dups_hg19.bed.gz", "chr2:1-1000000"),
    ],
)
def test_features_are_those_of_tabix(lk: lake.Lake, data: Path, name: str, region: str) -> None:
    rows = lk.features(name, region).read_all().to_pylist()
    lines = [line.split("\t") for line in run("tabix", data / "tabix" / name, region)]
    assert lines
    first, last = (1, 2) if ".bed" in name else (3, 4)
    shift = 0 if ".bed" in name else 1
    assert [(r["contig"], r["start"], r["stop"]) for r in rows] == [
        (f[0], int(f[first]) - shift, int(f[last])) for f in lines
    ]
    if ".bed" not in name:
        for row, fields in zip(rows, lines, strict=True):
            assert (row["type"], row["strand"]) == (fields[2], None if fields[6] == "." else fields[6])
            for key, value in row["attributes"]:
                assert key in fields[8]
                assert value.split(",")[0][:5].split(" ")[0] in fields[8] or "%" in fields[8]


def test_sequences_are_those_of_samtools(lk: lake.Lake, data: Path) -> None:
    lines = run("samtools", "faidx", data / "fasta/ce.fa", "CHROMOSOME_II:101-340")
    assert lk.sequence("ce.fa", "CHROMOSOME_II:101-340") == "".join(lines[1:])


def test_what_a_file_does_not_have(lk: lake.Lake) -> None:
    for ask in (lk.variants, lk.features):
        with pytest.raises(Unsupported):
            ask(BAM, REGION)
    with pytest.raises(Unsupported):
        lk.reads("ce.fa", "CHROMOSOME_I")
    with pytest.raises(Unsupported):
        lk.sequence(BAM, REGION)
    with pytest.raises(InvalidInput):
        lk.reads(BAM, columns=["nothing"])


def test_damage_is_an_error_when_it_is_reached(data: Path, tmp_path: Path) -> None:
    with lake.init(tmp_path / "lake") as lk:
        lk.put(data / "edge/bitflip.bam")
        with pytest.raises(FormatError):
            lk.reads("bitflip.bam").read_all()
