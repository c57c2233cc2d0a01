"""The lake that docs/catalog.md asks: a small made-up cohort, the same to the byte whenever it is made."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pysam

from lake.lake import Lake
from tests.formats.bam_maker import EOF, block
from tests.lake.samples import flip, object_file

__all__ = ["make_cohort"]

GRCH38 = {
    "chr13": (114_364_328, "a5437debe2ef9c9ef8f3ea2874ae1d82"),
    "chr17": (83_257_441, "f9a0fb01553adb183568e3eb9d8626db"),
    "chr20": (64_444_167, "b18e6c531b0bd70e949a7fc20859cb01"),
}
GRCH37 = {
    "13": (115_169_878, "283f8d7892baa81b510a015719ca7b0b"),
    "17": (81_195_210, "351f64d4f4f9ddd45b35336ad97aa6de"),
}
"""Length and MD5 of each contig."""

READ = 150
"""Bases a read."""

SHEET = """sample,tissue,age
P01,liver,61
P02,liver,48
P03,blood,55
P04,blood,39
P05,liver,70
"""


class Sample(NamedTuple):
    """How the reads of a sample were made."""

    name: str
    platform: str
    library: str
    reads: dict[str, int]
    """Reads near the gene of each contig."""
    version: str
    assembly: str = "GRCh38"


SAMPLES = {
    sample.name: sample
    for sample in (
        Sample("P01", "ILLUMINA", "wgs-1", {"chr13": 3000, "chr17": 6000}, "0.7.17"),
        Sample("P02", "ILLUMINA", "wgs-1", {"chr13": 2400, "chr17": 5200}, "0.7.17"),
        Sample("P03", "ILLUMINA", "panel-7", {"chr17": 1500}, "0.7.18"),
        Sample("P04", "ILLUMINA", "panel-7", {"chr13": 1200}, "0.7.18"),
        Sample("P05", "DNBSEQ", "panel-3", {"13": 700, "17": 800}, "0.7.15", "GRCh37"),
        Sample("P06", "DNBSEQ", "panel-3", {"chr13": 900, "chr17": 1100}, "0.7.18"),
    )
}
GENES = {
    "chr13": (32_315_086, 32_400_268),  # BRCA2
    "chr17": (43_044_294, 43_125_364),  # BRCA1
    "13": (32_889_616, 32_973_809),
    "17": (41_196_311, 41_277_500),
}
"""Where reads and variants lie, 0-based, half-open."""


def make_cohort(folder: Path) -> Lake:
    """Make files and a lake of them in an empty folder; commits are dated from January to April 2026."""
    files = folder / "files"
    files.mkdir()
    with Lake.init(folder / "lake") as lk:
        _january(lk, files)
        _february(lk, files)
        _march(lk, files)
        _april(lk, files)
    return lk


def _january(lk: Lake, files: Path) -> None:
    (files / "panel.fa").write_text(_fasta())
    (files / "genes.bed").write_text("".join(f"{name}\t{start}\t{stop}\n" for name, (start, stop) in GENES.items()))
    with _when("2026-01-12T09:00", "ana"):
        lk.put([files / "panel.fa", files / "genes.bed"], "ref/", message="reference of the panel")
    for name in ("P01", "P02"):
        pysam.index(str(_bam(files, SAMPLES[name])))
    with _when("2026-01-15T16:20", "ana"):
        lk.put(sorted(files.glob("P0[12].bam*")), "runs/", message="first two patients")
        lk.put(_text(files, "notes.txt", "P02: ask for consent\n"), message="notes")
        lk.tag("v1")


def _february(lk: Lake, files: Path) -> None:
    for name in ("P01", "P02"):
        _vcf(files / f"{name}.vcf.gz", [name], "##source=freeBayes v1.3.6\n")
    for name in ("P03", "P04"):
        _bam(files, SAMPLES[name])
    # A transfer that was cut off: the mark at the end is missing.
    whole = (files / "P04.bam").read_bytes()
    (files / "P04.bam").write_bytes(whole.removesuffix(EOF))
    with _when("2026-02-06T11:00", "ben"):
        lk.put([files / "P01.vcf.gz", files / "P02.vcf.gz"], "calls/", message="calls of the first two")
    with _when("2026-02-20T14:45", "ana"):
        lk.put([files / "P03.bam", files / "P04.bam"], "runs/", message="two more patients")


def _march(lk: Lake, files: Path) -> None:
    gatk = '##GATKCommandLine=<ID=HaplotypeCaller,CommandLine="HaplotypeCaller -L panel.bed",Version="4.5.0.0">\n'
    _vcf(files / "joint.vcf.gz", ["P01", "P02", "P03"], gatk, frequencies=True)
    for name in ("P05", "P06"):
        pysam.index(str(_bam(files, SAMPLES[name])))
    with _when("2026-03-10T08:30", "ben"):
        lk.put(sorted(files.glob("P0[56].bam*")), "runs/", message="patients of the second centre")
        lk.put(files / "joint.vcf.gz", "calls/", message="joint calls")
        for path in ("calls/joint.vcf.gz", "runs/P01.bam", "runs/P06.bam"):
            lk.index(path)
    with _when("2026-03-17T17:05", "ana"):
        lk.import_sheet(_text(files, "samples.csv", SHEET), skip_conflicts=True, message="sample sheet")


def _april(lk: Lake, files: Path) -> None:
    bcftools = "##bcftools_callVersion=1.21\n##bcftools_callCommand=call -m -v P01.bam; Date=Tue Apr  7 09:02:11 2026\n"
    _vcf(files / "P01.vcf.gz", ["P01"], bcftools)
    with _when("2026-04-07T10:10", "ben"):
        lk.put(files / "P01.vcf.gz", "calls/", message="P01 called again")
        lk.cp("runs/P01.bam", "backup/P01.bam", message="before the move")
    with _when("2026-04-09T12:00", "ana"):
        lk.rm("notes.txt", message="answered")
        flip(object_file(lk, "runs/P02.bam"), 1_200_000)
        lk.fsck()


@contextmanager
def _when(moment: str, author: str) -> Iterator[None]:
    """All clocks stand still at this minute, UTC, and this author commits."""
    now = round(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 10**9
    with patch("time.time_ns", lambda: now), patch.dict(os.environ, {"LAKE_AUTHOR": author}):
        yield


def _text(files: Path, name: str, text: str) -> Path:
    (files / name).write_text(text)
    return files / name


def _bam(files: Path, sample: Sample) -> Path:
    """Reads in and around a gene of each contig; not compressed, so that no version of zlib changes its size."""
    contigs = GRCH38 if sample.assembly == "GRCh38" else GRCH37
    group = {"ID": f"{sample.name}.1", "SM": sample.name, "LB": sample.library, "PL": sample.platform}
    command = f"bwa mem {sample.assembly}.fa {sample.name}_R1.fq.gz {sample.name}_R2.fq.gz"
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "coordinate"},
            "SQ": [
                {"SN": name, "LN": length, "M5": md5, "AS": sample.assembly} for name, (length, md5) in contigs.items()
            ],
            "RG": [group],
            "PG": [{"ID": "bwa", "PN": "bwa", "VN": sample.version, "CL": command}],
        }
    )
    source = random.Random(sample.name)
    path = files / f"{sample.name}.bam"
    with pysam.AlignmentFile(str(path), "wb0", header=header) as bam:
        for contig, reads in sample.reads.items():
            start, stop = GENES[contig]
            for number, at in enumerate(sorted(source.randrange(start - 500, stop) for _ in range(reads))):
                bam.write(_read(header, f"{sample.name}:{contig}:{number}", contig, at, source))
    return path


def _read(
    header: pysam.AlignmentHeader, name: str, contig: str, at: int, source: random.Random
) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(header)
    read.query_name, read.reference_name, read.reference_start = name, contig, at
    read.flag, read.mapping_quality, read.cigarstring = source.choice((0, 16)), 60, f"{READ}M"
    read.query_sequence = "".join(source.choices("ACGT", k=READ))
    read.query_qualities = pysam.qualitystring_to_array("F" * READ)
    read.set_tag("RG", name.partition(":")[0] + ".1")
    return read


def _vcf(path: Path, samples: Sequence[str], programs: str, *, frequencies: bool = False) -> None:
    source = random.Random(f"{path.name}{programs}")
    info = '##INFO=<ID=AF,Number=A,Type=Float,Description="Allele frequency">\n' if frequencies else ""
    lines = [
        f"##fileformat=VCFv4.3\n{programs}{info}",
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n',
        *(f"##contig=<ID={name},length={length}>\n" for name, (length, _) in GRCH38.items()),
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]) + "\n",
    ]
    for contig in ("chr13", "chr17"):
        for position in sorted(source.sample(range(*GENES[contig]), 60)):
            ref, alt = source.sample("ACGT", 2)
            extra = f";AF={source.randrange(1, 100) / 100}" if frequencies else ""
            genotypes = "\t".join(source.choice(("0/0", "0/1", "1/1")) for _ in samples)
            info = f"DP={source.randrange(20, 60)}{extra}"
            lines.append(f"{contig}\t{position + 1}\t.\t{ref}\t{alt}\t50\tPASS\t{info}\tGT\t{genotypes}\n")
    path.write_bytes(block("".join(lines).encode(), level=0) + EOF)


def _fasta() -> str:
    source = random.Random("panel")
    lengths = {"BRCA1_exon10": 3426, "BRCA2_exon11": 4932, "TP53_exon5": 184}
    return "".join(
        f">{name}\n" + "".join(f"{bases[at : at + 60]}\n" for at in range(0, length, 60))
        for name, length in lengths.items()
        for bases in ["".join(source.choices("ACGT", k=length))]
    )
