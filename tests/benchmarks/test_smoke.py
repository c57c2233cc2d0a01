"""Every benchmark runs, on inputs so small that its figures mean nothing: the scripts stay alive."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pysam
import pytest

import lake
from tests.benchmarks.measuring import Figure, Series, percentile
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum

_READS = 3000


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "small.bam"
    header = pysam.AlignmentHeader.from_dict(
        {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": 300_000} for name in ("one", "two")]}
    )
    chance = random.Random(3)
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for tid in range(2):
            for number in range(_READS):
                read = pysam.AlignedSegment(header)
                read.query_name = f"read{number}"
                read.reference_id, read.reference_start = tid, 90 * number
                read.query_sequence = "".join(chance.choices("ACGT", k=100))
                read.cigarstring = "100M"
                file.write(read)
    pysam.index(str(path))
    return path


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("put", ["--turns", "1", "--bam", "BAM"]),
        ("small_files", ["--turns", "1", "--files", "150", "--size", "64"]),
        ("fsspec_read", ["--turns", "1", "--file", "BAM"]),
        ("listing", ["--turns", "1", "--entries", "200", "--asked", "50"]),
        ("commits", ["--turns", "1", "--processes", "2", "--commits", "5"]),
        ("lookup", ["--turns", "1", "--depth", "20", "--paths", "20"]),
        ("slices", ["--turns", "1", "--bam", "BAM", "--queries", "20", "--big", "100000"]),
        ("catalog", ["--turns", "1", "--files", "300", "--spectra", "2000", "--tail", "50"]),
        ("htsget_tickets", ["--bam", "BAM", "--requests", "200"]),
        ("http_regions", ["--turns", "1", "--bam", "BAM", "--regions", "5"]),
        ("http_bytes", ["--turns", "1", "--size", "300000", "--clients", "2"]),
        ("fsck", ["--turns", "1", "--files", "2", "--size", "100000", "--b3sum", "sha256sum"]),
        ("import_time", ["--turns", "1"]),
        ("gc", ["--turns", "1", "--objects", "500"]),
        ("space", ["--turns", "1", "--files", "200", "--changes", "100", "--commits", "5"]),
        ("memory", ["--bam", "BAM", "--files", "10", "--also", "BAM", "two"]),
    ],
)
def test_benchmark_runs(script: str, arguments: Sequence[str], bam: Path, tmp_path: Path) -> None:
    if script in {"put", "slices", "memory", "http_regions"} and shutil.which("samtools") is None:
        pytest.skip("no samtools to compare with")
    if script == "http_bytes" and not (shutil.which("nginx") and shutil.which("curl")):
        pytest.skip("no nginx, or no curl to ask it with")
    work = tmp_path / "work"
    given = [str(bam) if argument == "BAM" else argument for argument in arguments]
    figures: list[Figure] = import_module(f"tests.benchmarks.{script}").main(["--work", str(work), *given])
    assert figures
    assert all(figure.value > 0 or script == "import_time" for figure in figures)
    assert not work.exists() or not list(work.iterdir()), "temporary data stayed behind"


def test_spectra_benchmarks_run(tmp_path: Path) -> None:
    spectra = [
        made_spectrum(n, f"scan={n + 1}", float(n), 1 + n % 2, f"scan={n}" if n % 2 else None) for n in range(200)
    ]
    with lake.init(tmp_path / "lake") as lk:
        (tmp_path / "bare.mzML").write_bytes(made_mzml(spectra))
        lk.put(tmp_path / "bare.mzML")
        # A slice has the index that the peers need.
        lk.save(lk.slice("bare.mzML", "index=1-"), tmp_path / "run.mzML")
    arguments = [
        "--work",
        str(tmp_path / "work"),
        "--turns",
        "1",
        "--queries",
        "2",
        "--mzml",
        str(tmp_path / "run.mzML"),
    ]
    figures: list[Figure] = import_module("tests.benchmarks.spectra_slices").main(arguments)
    figures += import_module("tests.benchmarks.spectra_scan").main([*arguments[:4], str(tmp_path / "run.mzML")])
    assert all(figure.value > 0 for figure in figures)
    assert not list((tmp_path / "work").iterdir())


@pytest.fixture(scope="module")
def genomes(bam: Path) -> dict[str, Path]:
    """The same places as reads, variants, features and bases."""
    cram, bcf, vcf, bed, fasta = (bam.with_name(f"small.{name}") for name in ("cram", "bcf", "vcf", "bed", "fa"))
    pysam.view("-C", "--output-fmt-option", "no_ref=1", "-o", str(cram), str(bam), catch_stdout=False)
    pysam.index(str(cram))
    places = [(contig, 90 * number) for contig in ("one", "two") for number in range(_READS)]
    header = (
        "##fileformat=VCFv4.3\n##contig=<ID=one>\n##contig=<ID=two>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    vcf.write_text(header + "".join(f"{contig}\t{at + 1}\t.\tA\tC\t.\t.\t.\n" for contig, at in places))
    bed.write_text("".join(f"{contig}\t{at}\t{at + 50}\n" for contig, at in places))
    fasta.write_text("".join(f">{name}\n" + "ACGTACGTAC\n" * 30_000 for name in ("one", "two")))
    pysam.faidx(str(fasta))
    with pysam.VariantFile(str(vcf)) as source, pysam.VariantFile(str(bcf), "wb", header=source.header) as made:
        for record in source:
            made.write(record)
    pysam.tabix_index(str(bcf), preset="bcf", force=True)  # type: ignore[arg-type]
    vcf, bed = (Path(pysam.tabix_index(str(path), preset=path.suffix[1:], force=True)) for path in (vcf, bed))  # type: ignore[arg-type]
    return {"bam": bam, "cram": cram, "vcf": vcf, "bcf": bcf, "bed": bed, "fasta": fasta, "gvcf": vcf, "rna": bam}


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("samtools", "bcftools", "tabix", "bgzip")), reason="no peers"
)
def test_every_genomic_format_is_measured(genomes: dict[str, Path], tmp_path: Path) -> None:
    files = [word for option, path in genomes.items() for word in (f"--{option}", str(path))]
    size = ["--turns", "1", "--queries", "10", "--width", "1000"]
    figures: list[Figure] = import_module("tests.benchmarks.genomics").main(
        ["--work", str(tmp_path / "w"), *size, *files]
    )
    assert {figure.what.partition(":")[0] for figure in figures} == set(genomes)
    assert all(figure.value > 0 for figure in figures)
    assert not list((tmp_path / "w").iterdir()), "temporary data stayed behind"


def test_percentile_is_a_value_that_enough_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([5.0], 50) == 5


def test_a_figure_knows_whether_its_bound_is_kept() -> None:
    assert [Figure("a", 2, "x", at_most=2).met, Figure("a", 2, "x", at_least=3).met] == [True, False]
    assert Figure("a", 2, "x").met is None
    assert "MISSED" in str(Figure("a", 2, "x", at_most=1.5))
    assert Series((3.0, 1.0, 2.0)).median == 2


def test_benchmark_of_spectra_runs(tmp_path: Path) -> None:
    from tests.benchmarks.mzsql import main
    from tests.formats.spectra.run_maker import make_mzml, some_spectra

    (tmp_path / "run.mzML").write_bytes(make_mzml(some_spectra(40, most=60)))
    figures = main([str(tmp_path / "run.mzML"), "--turns", "1", "--only", "lake;lake, points;DuckDB"])
    assert len(figures) == 18
