"""``lake demo``: a lake from nothing, with small, realistic data, in a few seconds."""

from __future__ import annotations

import os
import random
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lake.errors import InvalidInput, LakeError
from lake.lake import Lake

__all__ = ["make_data", "run_demo"]

_CONTIGS = (("chr17", 120_000), ("chr20", 80_000))
_READ = 100
"""Bases a read."""
_SAMPLES = ("s1", "s2")
_REGION = "chr17:41,000-43,000"


def run_demo(directory: str | None, data: Sequence[str]) -> None:
    """Make a lake, fill it, slice and query it, and print each step as the command that does it.

    Args:
        directory: where the lake and the files go; None makes a temporary one that stays.
        data: local files to use instead of made ones.
    """
    folder = Path(directory).absolute() if directory else Path(tempfile.mkdtemp(prefix="lake-demo-"))
    root = folder / "lake"
    sources = [Path(name) for name in data]
    if not sources:
        (folder / "files").mkdir(parents=True, exist_ok=True)
        sources = make_data(folder / "files")
    with Lake.init(root) as lk:
        _step(f"lake init {root}")
        _step(f"lake put {' '.join(shlex.quote(str(path)) for path in sources)} study1/ --meta project=demo")
        report = lk.put(sources, "study1/", meta={"project": "demo"})
        for item in report.items:
            print(f"  {item.path}  {item.format}  {item.size} bytes  {item.index or ''}{item.error or ''}")
        _slice(lk)
        if not data:
            _query(lk)
        _history(lk)
        print(f"\nThe lake is at {root}. What to try next:\n")
        for hint in _hints(lk, root):
            print(f"  {hint}")


def _slice(lk: Lake) -> None:
    bams = [entry for entry in lk.ls("study1") if entry.format == "BAM"]
    for entry in bams:
        try:
            region = _region(lk, entry.path)
            answer = lk.slice(entry.path, region)
        except LakeError as error:
            print(f"  {error}")
            continue
        target = lk.root.parent / f"{Path(entry.path).stem}.slice.bam"
        _step(f"lake slice {entry.path} {region} -o {target}")
        lk.save(answer, target)
        print(f"  {target.stat().st_size} of {entry.size} bytes, {_count(target)} records, each once, in file order")


def _region(lk: Lake, path: str) -> str:
    import pysam

    with pysam.AlignmentFile(str(lk.local_path(path)), check_sq=False) as bam:
        if _CONTIGS[0][0] in bam.references and bam.get_reference_length(_CONTIGS[0][0]) == _CONTIGS[0][1]:
            return _REGION
        for read in bam:
            if read.reference_name is not None:
                return f"{{{read.reference_name}}}:{read.reference_start + 1}-{read.reference_start + 10_000}"
    return "*"


def _count(path: Path) -> int:
    import pysam

    with pysam.AlignmentFile(str(path), check_sq=False) as bam:
        return sum(1 for _ in bam)


def _query(lk: Lake) -> None:
    import duckdb

    from lake.fs import LakeFileSystem

    query = "SELECT sample, tissue, reads FROM 'lake://study1/samples.csv' ORDER BY reads DESC"
    _step(f'duckdb, through lake://: "{query}"')
    with duckdb.connect() as connection:
        connection.register_filesystem(LakeFileSystem(root=str(lk.root)))
        for row in connection.execute(query).fetchall():
            print(f"  {row}")


def _history(lk: Lake) -> None:
    first = lk.ls("study1")[0].path
    _step(f"lake rm {first}; lake restore {first} --from main~1; lake log")
    lk.rm(first)
    lk.restore(first, "main~1")
    for commit in lk.log():
        print(f"  {commit.seq}  {commit.author}  {commit.message}")


def _hints(lk: Lake, root: Path) -> Iterator[str]:
    path = next((entry.path for entry in lk.ls("study1") if entry.format == "BAM"), lk.ls("study1")[0].path)
    yield f"cd {root}"
    yield "lake ls -l study1/"
    yield f"lake stat --chunks {path}"
    yield f"lake slice {path} {_REGION} | samtools view | head"
    yield "lake branch exp1; lake log; lake fsck"
    yield "python -c \"import pandas; print(pandas.read_csv('lake://study1/samples.csv'))\""


def _step(command: str) -> None:
    print(f"\n$ {command}")


def make_data(folder: Path) -> list[Path]:
    """Write two indexed BAMs, a VCF, a mass-spectrometry run and a sample sheet; returns the files.

    Raises:
        InvalidInput: the folder cannot be written.
    """
    if not os.access(folder, os.W_OK):
        raise InvalidInput(f"cannot write demo data to {folder}")
    source = random.Random(20)
    genome = {name: "".join(source.choices("ACGT", k=length)) for name, length in _CONTIGS}
    counts = {sample: _make_bam(folder / f"{sample}.bam", sample, genome, source) for sample in _SAMPLES}
    _make_vcf(folder / "calls.vcf.gz", genome, source)
    _make_mgf(folder / "run1.mgf", source)
    rows = [f"{sample},{tissue},{counts[sample]}" for sample, tissue in zip(_SAMPLES, ("blood", "liver"), strict=True)]
    (folder / "samples.csv").write_text("\n".join(["sample,tissue,reads", *rows]) + "\n")
    return sorted(folder.iterdir())


def _make_bam(path: Path, sample: str, genome: dict[str, str], source: random.Random) -> int:
    """Paired reads of a fixed length at random places, sorted, with a few that have none; returns how many."""
    import pysam

    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": name, "LN": length} for name, length in _CONTIGS],
        "RG": [{"ID": f"rg-{sample}", "SM": sample, "PL": "ILLUMINA"}],
    }
    count = 0
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for tid, (name, length) in enumerate(_CONTIGS):
            for start in sorted(source.randrange(length - _READ) for _ in range(length // 10)):
                read = pysam.AlignedSegment(bam.header)
                read.query_name = f"{sample}:{count}"
                read.query_sequence = genome[name][start : start + _READ]
                read.query_qualities = pysam.qualitystring_to_array("I" * _READ)
                read.reference_id, read.reference_start, read.mapping_quality = tid, start, 60
                read.cigarstring = f"{_READ}M"
                read.set_tag("RG", f"rg-{sample}")
                bam.write(read)
                count += 1
    pysam.index(str(path))
    return count


def _make_vcf(path: Path, genome: dict[str, str], source: random.Random) -> None:
    import pysam

    lines = ["##fileformat=VCFv4.3", *(f"##contig=<ID={name},length={length}>" for name, length in _CONTIGS)]
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *_SAMPLES]))
    for name, length in _CONTIGS:
        for position in sorted(source.sample(range(length), 200)):
            base = genome[name][position]
            other = source.choice([letter for letter in "ACGT" if letter != base])
            genotypes = [source.choice(["0/0", "0/1", "1/1"]) for _ in _SAMPLES]
            lines.append("\t".join([name, str(position + 1), ".", base, other, "50", "PASS", ".", "GT", *genotypes]))
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(("\n".join(lines) + "\n").encode())
    pysam.tabix_index(str(path), preset="vcf", force=True)


def _make_mgf(path: Path, source: random.Random) -> None:
    blocks = []
    for scan in range(1, 51):
        peaks = sorted((source.uniform(100, 1500), source.uniform(1e3, 1e6)) for _ in range(40))
        lines = ["BEGIN IONS", f"TITLE=run1.{scan}.{scan}.2", f"SCANS={scan}", f"RTINSECONDS={scan * 1.5:.3f}"]
        lines += [
            f"PEPMASS={source.uniform(400, 900):.5f}",
            "CHARGE=2+",
            *(f"{mz:.5f} {height:.1f}" for mz, height in peaks),
        ]
        blocks.append("\n".join([*lines, "END IONS"]))
    path.write_text("\n\n".join(blocks) + "\n")
