"""All shared genomic files in one lake: every answer is the one that samtools, bcftools and tabix gave."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import fsspec
import pysam
import pytest

import lake
from lake.cli import main
from lake.errors import FormatError, LakeError
from lake.lake import Lake
from lake.puts import PutItem
from tests.lake.truth import GENOMICS, KNOWN, Known, run

FOLDERS = ("bam", "cram", "sam", "vcf", "bcf", "tabix", "fasta", "fastq", "edge")

EXCEPTIONS = {
    "edge/zero_linewidth_fai.fa": "its .fai is refused and one is built: the answers of no_newline_at_end.fa",
    "edge/plain_gzip_not_bgzf.vcf.gz": "without blocks there is nothing to cut at: slices are an error that says so",
    "edge/toofew_fields.gtf.gz": "blanks divide its columns: tabix finds no record in it, a slice of it is an error",
}
"""Files of which a lake answers otherwise than the verdict about them says, and why."""

MISNAMED = {"tabix/chip_50k.bed.gz": "counts of bases by position, without the end that a BED has"}
"""Sound files of which a lake says that their content is not what their name promises."""

NO_TABLE = {
    "sam/longref_over_2pow31.sam": "positions that BAM cannot hold, through which reads become a table",
    "tabix/skiplines_header.bed.gz": "its first line is no feature, which only its index knows",
}
"""Files whose records cannot be had as a table, which is an error, and why."""

SOUND = [name for name, known in KNOWN.items() if known.verdict != "FAIL" and name not in EXCEPTIONS]
BROKEN = [name for name, known in KNOWN.items() if known.verdict == "FAIL" and name not in EXCEPTIONS]

INSIDE = "{20}:65000-65500"
"""Where edge/missing_reference.cram cannot be cut without its reference."""

INTACT = {
    "edge/bitflip.bam": "bam/rnaseq_heart_slc25a3.bam",
    "edge/hg18_no_eof.bam": "bam/hg18_45contigs_bai_csi.bam",
}
"""The files that damaged ones were before."""


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    before = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(before)


@pytest.fixture(scope="session")
def everything(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lake, dict[str, PutItem]]]:
    """All files with their indexes, put at once, and what was said of each."""
    with lake.init(tmp_path_factory.mktemp("genomics") / "lake") as lk:
        report = lk.put([shared_data / "genomics" / folder for folder in FOLDERS], checksums=True)
        assert not report.failed
        yield lk, {item.path: item for item in report.items}


@pytest.fixture(scope="session")
def lk(everything: tuple[Lake, dict[str, PutItem]]) -> Lake:
    return everything[0]


@pytest.fixture(scope="session")
def items(everything: tuple[Lake, dict[str, PutItem]]) -> dict[str, PutItem]:
    return everything[1]


def md5(text: bytes) -> str:
    return hashlib.md5(text).hexdigest()


# -- the text of slices ---------------------------------------------------------------------------------------------


def sam_text(answer: bytes, known: Known, folder: Path) -> bytes:
    """Records of BAM, CRAM or SAM as samtools prints them."""
    path = folder / "slice"
    path.write_bytes(answer)
    return run(
        "samtools", "view", "--no-PG", *(["-T", str(GENOMICS / known.reference)] if known.reference else []), path
    )


def vcf_text(answer: bytes, _: Known, folder: Path) -> bytes:
    """Records of VCF or BCF as bcftools prints them."""
    path = folder / "slice"
    path.write_bytes(answer)
    return run("bcftools", "view", "-H", path)


def interval_text(answer: bytes, known: Known, _: Path) -> bytes:
    """Records of whatever tabix indexes as it prints them: without comments and the lines that the index skips."""
    lines = gzip.decompress(answer).splitlines(keepends=True)[1 if "skiplines" in known.name else 0 :]
    return b"".join(line for line in lines if not line.startswith(b"#"))


def answered(lk: Lake, name: str, *regions: str) -> bytes:
    answer = lk.slice(name, list(regions))
    data = answer.to_bytes()
    assert answer.size in (None, len(data))
    assert lk.slice(name, list(regions)).identity == answer.identity
    return data


TEXTS = {"BAM": sam_text, "CRAM": sam_text, "SAM": sam_text, "VCF": vcf_text, "BCF": vcf_text}


@lru_cache(maxsize=1)
def whole_text(lk: Lake, name: str, folder: Path) -> bytes:
    """All records of an alignment or of variants; the last one asked for is kept."""
    text = TEXTS[lk.stat(name).format or ""]
    return text(answered(lk, name, "."), KNOWN[name], folder)


# -- what was counted, and how a lake answers it --------------------------------------------------------------------

Check = Callable[[Lake, Known, Path], object]


def sha256(lk: Lake, known: Known, _: Path) -> str:
    with lk.open(known.name, "rb", verify=True) as file:
        found = hashlib.sha256(file.read()).hexdigest()
    assert lk.stat(known.name).checksums["sha256"] == found
    return found


def sam_records(lk: Lake, known: Known, folder: Path) -> int:
    count = whole_text(lk, known.name, folder).count(b"\n")
    if known.name not in NO_TABLE:
        assert lk.reads(known.name).read_all().num_rows == count
    return count


def spliced(lk: Lake, known: Known, folder: Path) -> int:
    lines = whole_text(lk, known.name, folder).splitlines()
    count = sum(b"N" in line.split(b"\t")[5] for line in lines)
    if known.name not in NO_TABLE:
        cigars = lk.reads(known.name, columns=["cigar"]).read_all()["cigar"].to_pylist()
        assert sum("N" in (cigar or "") for cigar in cigars) == count
    return count


def unplaced(lk: Lake, known: Known, folder: Path) -> int:
    return sam_text(answered(lk, known.name, "*"), known, folder).count(b"\n")


def contigs_used(lk: Lake, known: Known, folder: Path) -> int:
    form = lk.stat(known.name).format
    if form in ("VCF", "BCF"):
        return len(set(lk.variants(known.name).read_all()["contig"].to_pylist()))
    text = interval_text(answered(lk, known.name, "."), known, folder).decode()
    used = Counter(line.split("\t")[0] for line in text.splitlines())
    if form in ("BED", "GFF3", "GTF") and used:
        stats = lk.facts(known.name)["contig_stats"].to_pylist()
        assert {row["contig"]: row["records"] for row in stats if row["contig"] is not None} == used
        if known.name not in NO_TABLE:
            assert Counter(lk.features(known.name).read_all()["contig"].to_pylist()) == used
    return len(used)


def fastq(lk: Lake, known: Known, folder: Path) -> list[tuple[str, str]]:
    path = folder / "slice.fastq"
    path.write_bytes(answered(lk, known.name, "reads=1-"))
    with pysam.FastxFile(str(path)) as file:
        return [(read.name or "", read.sequence or "") for read in file]


def bases(lk: Lake, known: Known, folder: Path) -> int:
    if lk.stat(known.name).format == "FASTQ":
        return sum(len(sequence) for _, sequence in fastq(lk, known, folder))
    return sum(lk.facts(known.name)["sequences"]["length"].to_pylist())


CHECKS: dict[str, Check] = {
    "bytes": lambda lk, known, _: lk.stat(known.name).size,
    "sha256": sha256,
    "records": lambda lk, known, folder: (
        sam_records(lk, known, folder)
        if lk.stat(known.name).format in ("BAM", "CRAM", "SAM")
        else lk.variants(known.name).read_all().num_rows
    ),
    "samtext_md5": lambda lk, known, folder: md5(whole_text(lk, known.name, folder)),
    "unplaced": unplaced,
    "header_sq": lambda lk, known, _: (
        lk.facts(known.name)["contigs"].num_rows if "contigs" in lk.facts(known.name) else 0
    ),
    "spliced": spliced,
    "vcftext_md5": lambda lk, known, folder: md5(whole_text(lk, known.name, folder)),
    "samples": lambda lk, known, _: (
        lk.facts(known.name)["samples"].num_rows if "samples" in lk.facts(known.name) else 0
    ),
    "contigs_used": contigs_used,
    "lines": lambda lk, known, _: gzip.decompress(answered(lk, known.name, ".")).count(b"\n"),
    "text_md5": lambda lk, known, _: md5(gzip.decompress(answered(lk, known.name, "."))),
    "sequences": lambda lk, known, _: lk.facts(known.name)["sequences"].num_rows,
    "bases": bases,
    "reads": lambda lk, known, folder: len(fastq(lk, known, folder)),
}


def region_value(lk: Lake, known: Known, region: str, folder: Path) -> str:
    """In the words of EXPECTED.tsv."""
    form = lk.stat(known.name).format
    answer = answered(lk, known.name, region)
    if form == "FASTA":
        return md5(answer.split(b"\n", 1)[1].replace(b"\n", b""))
    text = TEXTS.get(form or "", interval_text)(answer, known, folder)
    count = text.count(b"\n")
    return str(count) if region == "*" else f"{count} {md5(text)}"


def test_every_file_is_in_the_lake(lk: Lake, items: dict[str, PutItem]) -> None:
    assert len(KNOWN) == len(SOUND) + len(BROKEN) + len(EXCEPTIONS) == 134
    assert set(KNOWN) <= set(items)
    assert {entry.path for entry in lk.ls("", recursive=True) if entry.digest is not None} == set(items)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_gives_every_answer_that_is_known(
    lk: Lake, items: dict[str, PutItem], tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = KNOWN[name]
    for what, value in known.values.items():
        if what.startswith("region "):
            assert region_value(lk, known, what.removeprefix("region "), tmp_path) == value, what
        else:
            assert str(CHECKS[what](lk, known, tmp_path)) == value, what
    assert answered(lk, name) == (GENOMICS / name).read_bytes()
    assert bool(lk.stat(name).problems) == (name in MISNAMED)
    assert bool(items[name].warnings) == (known.verdict == "warn" or name in MISNAMED), items[name].warnings


@pytest.mark.parametrize("name", [name for name in KNOWN if name in NO_TABLE])
def test_what_cannot_be_a_table_is_an_error(lk: Lake, name: str) -> None:
    table = lk.reads if name.endswith(".sam") else lk.features
    with pytest.raises(FormatError, match="position"):
        table(name).read_all()


@pytest.mark.parametrize("name", [name for name in KNOWN if name in EXCEPTIONS])
def test_an_exception_is_what_it_is_said_to_be(lk: Lake, items: dict[str, PutItem], tmp_path: Path, name: str) -> None:
    assert items[name].warnings
    assert answered_bytes(lk, name) == (GENOMICS / name).read_bytes()
    if name == "edge/zero_linewidth_fai.fa":
        sound = KNOWN["edge/no_newline_at_end.fa"]
        for region, value in sound.regions.items():
            assert region_value(lk, KNOWN[name], region, tmp_path) == value
        return
    for region in (".", "chr1", "20:1-2000000"):
        with pytest.raises(LakeError, match=r"recompress it with bgzip|put the \.tbi or \.csi beside"):
            lk.slice(name, region)


# -- damaged files --------------------------------------------------------------------------------------------------


def answered_bytes(lk: Lake, name: str) -> bytes:
    with lk.open(name, "rb") as file:
        data = file.read()
    assert isinstance(data, bytes)
    return data


def readable(path: Path) -> list[pysam.AlignedSegment]:
    """Reads up to the first error."""
    found: list[pysam.AlignedSegment] = []
    try:
        with pysam.AlignmentFile(str(path), check_sq=False, ignore_truncation=True) as file:
            found.extend(file.fetch(until_eof=True))
    except (OSError, ValueError):
        return found
    return found


def asked(path: Path) -> list[str]:
    """Regions all over a file, as far as its header can be read: of the first contigs, and of all with reads."""
    try:
        with pysam.AlignmentFile(str(path), check_sq=False, ignore_truncation=True) as file:
            contigs = dict(zip(file.references, file.lengths, strict=True))
    except (OSError, ValueError):
        contigs = {"chr1": 1000, "20": 100_000}
    windows = [
        f"{{{name}}}:{length * part // 8 + 1}-{length * (part + 1) // 8}"
        for name, length in list(contigs.items())[:4]
        for part in range(8)
    ]
    reads = [read for read in readable(path) if read.reference_id >= 0]
    places = [f"{{{read.reference_name}}}:{read.reference_start + 1}-{read.reference_end}" for read in reads[::97]]
    return [".", "*", *(f"{{{name}}}" for name in list(contigs)[:26]), *windows, *places]


def selected_of(reads: list[pysam.AlignedSegment], region: str) -> list[str]:
    """Reads that overlap, one by one, without any index."""
    if region == ".":
        return [read.to_string() for read in reads]
    if region == "*":
        return [read.to_string() for read in reads if read.reference_id < 0]
    match = re.fullmatch(r"\{(.*)\}(?::(\d+)-(\d+))?", region)
    assert match
    contig, first, last = match[1], int(match[2] or 1), int(match[3] or 1 << 40)
    return [
        read.to_string()
        for read in reads
        if read.reference_name == contig
        and read.reference_start < last
        and max(read.reference_end or 0, read.reference_start + 1) >= first
    ]


def follows(reads: list[pysam.AlignedSegment], region: str) -> bool:
    """Whether a read that can be read lies behind the region, which proves that none of the region is lost."""
    match = re.fullmatch(r"\{(.*)\}(?::\d+-(\d+))?", region)
    placed = [read for read in reads if read.reference_id >= 0]
    if match is None or not placed:
        return False
    end = placed[-1].header.references.index(match[1]), int(match[2] or 1 << 40)
    return any(read.reference_id < 0 or (read.reference_id, read.reference_start) >= end for read in reads)


@pytest.mark.filterwarnings("ignore:no BGZF EOF marker")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_kept_told_and_never_answered_in_part(
    lk: Lake, items: dict[str, PutItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("REF_PATH", "/dev/null/%s")
    path, item = GENOMICS / name, items[name]
    said = [*item.warnings, *lk.stat(name).problems]
    assert said
    assert all(len(sentence) > 20 and "\n" not in sentence for sentence in said)
    assert answered_bytes(lk, name) == path.read_bytes()
    reads = readable(path)
    whole = readable(GENOMICS / INTACT[name]) if name in INTACT else None
    refused = []
    regions = asked(path) if name.endswith((".bam", ".cram")) else [".", "*", "chr1:1-1000", "reads=1-", "reads=1"]
    regions.append("no_such_contig:1-5")
    if name == "edge/missing_reference.cram":
        regions.append(INSIDE)
    for region in regions:
        try:
            data = answered(lk, name, region)
        except LakeError as error:
            refused.append(str(error))
            continue
        if name == "edge/missing_reference.cram":
            assert region != INSIDE
            # The bytes of the file are whole; reads without a contig, and contigs without reads, need no reference.
            part = write(tmp_path / "slice.cram", data)
            assert data == path.read_bytes() or run("samtools", "view", part) == run("samtools", "view", path, region)
            continue
        found = [read.to_string() for read in readable(write(tmp_path / "slice.bam", data))]
        run("samtools", "quickcheck", "-u", tmp_path / "slice.bam")
        assert whole is not None or follows(reads, region), region
        assert found == selected_of(whole or reads, region), region
    assert refused
    assert not any("\n" in sentence for sentence in refused)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# -- through the doors that people use ------------------------------------------------------------------------------

ASKED = {
    "bam/volvox_bai_csi.bam": "ctgA:24309-25308",
    "cram/volvox_v31.cram": "ctgA:24309-25308",
    "sam/brca1_HG00096.sam.gz": "ref_brca1:1,000-2,000",
    "sam/index_test.sam": "CHROMOSOME_I:1-3000",
    "vcf/1kg_5samples_chr22.vcf.gz": "chr22:50,300,078-50,400,000",
    "bcf/multi_contig.bcf": "20:1,229,237-1,231,237",
    "tabix/oxbow_sample.gff.gz": "chr1",
    "tabix/bed_100k_lines.bed.gz": "20:25,003,001-25,005,001",
    "fasta/volvox.fa.gz": "ctgA:1-100",
    "fasta/freebayes_hla.fa": "{HLA-DRB1*16:02:01}:4118-9118",
    "fastq/rhodobacter_5k.fastq.gz": "reads=1-10",
    "fastq/bgzf_80k.fastq.gz": "reads=19990-",
    "fastq/illumina_pair_R1.fq": "reads=488",
}
"""A region of a file of every kind, some by another name of its contig."""


@pytest.mark.parametrize("name", [name for name in KNOWN if name in ASKED])
def test_addresses_and_commands_give_the_same_slice(lk: Lake, tmp_path: Path, name: str) -> None:
    region = ASKED[name]
    data = lk.slice(name, region).to_bytes()
    assert data
    assert data != answered_bytes(lk, name) or name == "bcf/multi_contig.bcf"
    with fsspec.open(f"lake://{name}#{region}", root=str(lk.root)) as file:
        assert file.read() == data
    out = tmp_path / Path(name).name
    assert main(["-C", str(lk.root), "slice", name, region, "-o", str(out)]) == 0
    assert out.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("bam/volvox_bai_csi.bam", ("bai", "csi")),
        ("bam/rnaseq_barley_768mb_contig_csi.bam", ("csi",)),
        ("cram/volvox_v31.cram", ("crai",)),
        ("sam/brca1_HG00096.sam.gz", ("bai", "csi")),
        ("vcf/1kg_5samples_chr22.vcf.gz", ("tbi", "csi")),
        ("vcf/large_contig_2gb_csi.vcf.gz", ("csi",)),
        ("bcf/oxbow_sample.bcf", ("csi",)),
        ("tabix/oxbow_sample.gff.gz", ("tbi", "csi")),
        ("tabix/large_contig_csi.gff3.gz", ("csi",)),
    ],
)
def test_targets_of_a_bed_and_an_index_of_the_slice(
    lk: Lake, tmp_path: Path, name: str, index: tuple[str, ...]
) -> None:
    known = KNOWN[name]
    region, value = next((region, value) for region, value in known.regions.items() if re.search(r":\d+-\d+$", region))
    contig, _, places = region.rpartition(":")
    first, _, last = places.partition("-")
    bed = tmp_path / "targets.bed"
    bed.write_text(f"{contig}\t{int(first) - 1}\t{last}\n")
    out = tmp_path / Path(name).name
    assert main(["-C", str(lk.root), "slice", name, "-L", str(bed), "-o", str(out), "--write-index"]) == 0
    assert out.read_bytes() == lk.slice(name, region).to_bytes()
    written = [path.name for path in tmp_path.iterdir() if path.name.startswith(f"{out.name}.")]
    assert written
    assert set(written) <= {f"{out.name}.{kind}" for kind in index}
    form = lk.stat(name).format
    if form in ("BAM", "CRAM", "SAM"):
        reference: list[str | Path] = ["-T", GENOMICS / known.reference] if known.reference else []
        again = run("samtools", "view", *reference, out, region)
    elif form in ("VCF", "BCF"):
        again = run("bcftools", "view", "-H", "-r", region, out)
    else:
        again = run("tabix", out, region)
    assert f"{len(again.splitlines())} {md5(again)}" == value


@pytest.mark.parametrize(
    ("name", "region", "reason"),
    [
        ("fastq/illumina_pair_R1.fq", "reads=1-10", "no index of FASTQ that other tools read"),
        ("vcf/sv_skbr3_bnd.vcf", "chr1", "not sorted"),
        ("sam/index_test.sam", "CHROMOSOME_I", "not compressed with bgzip"),
        ("bam/unsorted.bam", "seq1", "not sorted"),
    ],
)
def test_a_slice_that_cannot_be_indexed_is_written_and_that_is_said(
    lk: Lake, tmp_path: Path, name: str, region: str, reason: str
) -> None:
    out = tmp_path / Path(name).name
    with pytest.raises(LakeError, match=reason):
        lk.save(lk.slice(name, region), out, write_index=True)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
