"""Files damaged before they come into a lake: every answer is an error, or that of the sound file."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pysam.bcftools
import pytest

import lake
from lake.errors import LakeError
from lake.lake import Lake
from tests.lake.samples import make_bam

GENOMIC = ("chr1:10,001-12,000", "chr2", "{HLA-A*01:01}:1-2,000", "chr1:1-100;chr2:20,000-30,000", "chr1:49,900", ".")
BYTES = "bytes=1000-9000"
VARIANTS = 30
COMPANIONS = 12


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    before = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(before)


def _bam(folder: Path) -> Path:
    return make_bam(folder / "f.bam", reads=250, index="bai")


def _cram(folder: Path) -> Path:
    path = folder / "f.cram"
    made = make_bam(folder / "made.bam", reads=250)
    with (
        pysam.AlignmentFile(str(made)) as source,
        pysam.AlignmentFile(
            str(path), "wc", template=source, format_options=["version=3.0", "no_ref=1", "seqs_per_slice=60"]
        ) as target,
    ):
        for read in source.fetch(until_eof=True):
            target.write(read)
    made.unlink()
    pysam.index(str(path))
    return path


def _sam(folder: Path) -> Path:
    made = make_bam(folder / "made.bam", reads=250)
    text = pysam.view("-h", "--no-PG", str(made))
    assert isinstance(text, str)
    made.unlink()
    return _bgzf(folder / "f.sam.gz", text)


def _bgzf(path: Path, text: str, size: int = 3000) -> Path:
    """In blocks that end anywhere in a line, as old bgzip wrote them."""
    data = text.encode()
    with pysam.BGZFile(str(path), "wb", None) as file:
        for at in range(0, len(data), size):
            file.write(data[at : at + size])
            file.flush()
    return path


def _rows() -> list[tuple[str, int]]:
    rng = random.Random(3)
    contigs = {"chr1": 50_000, "chr2": 30_000, "HLA-A*01:01": 5_000}
    return [(name, at) for name, length in contigs.items() for at in sorted(rng.sample(range(1, length), 200))]


def _vcf_text() -> str:
    rng = random.Random(4)
    head = "##fileformat=VCFv4.2\n" + "".join(
        f"##contig=<ID={name},length={length}>\n"
        for name, length in (("chr1", 50_000), ("chr2", 30_000), ("HLA-A*01:01", 5_000))
    )
    head += '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n'
    return head + "".join(
        f"{name}\t{at}\trs{rng.randrange(10**9)}\tA\tC\t{rng.randrange(99)}\tPASS\tDP={rng.randrange(10**6)}\n"
        for name, at in _rows()
    )


def _vcf(folder: Path) -> Path:
    return _bgzf(folder / "f.vcf.gz", _vcf_text())


def _bcf(folder: Path) -> Path:
    path, text = folder / "f.bcf", folder / "f.vcf"
    text.write_text(_vcf_text())
    pysam.bcftools.view("--no-version", "-Ob", "-o", str(path), str(text), catch_stdout=False)
    text.unlink()
    return path


def _bed(folder: Path) -> Path:
    rng = random.Random(5)
    text = "".join(f"{name}\t{at}\t{at + 50}\tn{rng.randrange(10**9)}\n" for name, at in _rows())
    path = _bgzf(folder / "f.bed.gz", text)
    pysam.tabix_index(str(path), preset="bed", keep_original=True, force=True)
    return path


def _fasta_text() -> str:
    rng = random.Random(6)
    text = ""
    for name, length in (("chr1", 50_000), ("chr2", 30_000), ("HLA-A*01:01", 5_000)):
        bases = "".join(rng.choices("ACGT", k=length))
        text += f">{name}\n" + "".join(f"{bases[at : at + 70]}\n" for at in range(0, length, 70))
    return text


def _fasta(folder: Path) -> Path:
    path = folder / "f.fa"
    path.write_text(_fasta_text())
    pysam.faidx(str(path))
    return path


def _fasta_gz(folder: Path) -> Path:
    path = _bgzf(folder / "f.fa.gz", _fasta_text(), 9000)
    pysam.faidx(str(path))
    return path


def _fastq_text() -> str:
    rng = random.Random(7)
    return "".join(f"@r{n}\n{''.join(rng.choices('ACGT', k=50))}\n+\n{'I' * 50}\n" for n in range(300))


def _fastq(folder: Path) -> Path:
    path = folder / "f.fq.gz"
    path.write_bytes(gzip.compress(_fastq_text().encode()))
    return path


def _fastq_bgzf(folder: Path) -> Path:
    return _bgzf(folder / "f.fastq.gz", _fastq_text())


READS = ("reads=1-10", "reads=250-", "reads=-3", "reads=100-200,7", ".")
SEQUENCES = ("chr1:10,001-12,000", "chr2", "{HLA-A*01:01}:1-2,000", "chr1:49,900")

MAKERS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "BAM": (_bam, (*GENOMIC, "*", BYTES)),
    "CRAM": (_cram, (*GENOMIC, "*")),
    "SAM": (_sam, (*GENOMIC, "*", BYTES)),
    "VCF": (_vcf, (*GENOMIC, BYTES)),
    "BCF": (_bcf, (*GENOMIC, BYTES)),
    "BED": (_bed, (*GENOMIC, BYTES)),
    "FASTA in BGZF": (_fasta_gz, (*SEQUENCES, BYTES)),
    "FASTA": (_fasta, SEQUENCES),
    "FASTQ in gzip": (_fastq, (*READS, BYTES)),
    "FASTQ in BGZF": (_fastq_bgzf, (*READS, BYTES)),
}

CHECKED = [name for name in MAKERS if name != "FASTA"]
"""Formats with checksums of their own, so that damage can be told from data."""

ACCOMPANIED = ["BAM", "CRAM", "BED", "FASTA", "FASTA in BGZF"]
"""Formats of which an index by another tool is adopted."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A bit flipped, some bytes zeroed, the end cut off, or a piece cut out."""
    at = rng.randrange(len(data))
    match rng.randrange(4):
        case 0 | 1:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes(len(data[at : at + 30])) + data[at + 30 :]
        case _:
            return data[:at] + data[at + rng.choice((1, 28, len(data))) :]


def content(answer: bytes, name: str, folder: Path) -> bytes:
    """What a slice says, however it is compressed."""
    if name != "CRAM":
        return gzip.decompress(answer) if answer.startswith(b"\x1f\x8b") else answer
    path = folder / "slice.cram"
    path.write_bytes(answer)
    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        return "\n".join([str(file.header), *(read.to_string() for read in file.fetch(until_eof=True))]).encode()


def answers(lk: Lake, path: str, name: str, folder: Path) -> dict[str, bytes | None]:
    """Content by region, None where it is an error."""
    found: dict[str, bytes | None] = {}
    for region in MAKERS[name][1]:
        try:
            answer = lk.slice(path, region.split(";")).to_bytes()
        except LakeError:
            found[region] = None
        else:
            found[region] = content(answer, name, folder)
    return found


@pytest.fixture(scope="module")
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A small file and its companion, by the name of its format."""
    name = str(request.param)
    return name, MAKERS[name][0](tmp_path_factory.mktemp("sound"))


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    with lake.init(tmp_path / "lake") as made:
        yield made


@pytest.fixture
def truth(sound: tuple[str, Path], lk: Lake, tmp_path: Path) -> dict[str, bytes]:
    name, path = sound
    assert not lk.put([*sorted(path.parent.iterdir())], "sound/").failed
    found = answers(lk, f"sound/{path.name}", name, tmp_path)
    assert all(found.values()), [region for region, value in found.items() if not value]
    return {region: value for region, value in found.items() if value is not None}


@pytest.mark.parametrize("sound", CHECKED, indirect=True)
def test_a_damaged_file_gives_errors_or_the_truth(
    sound: tuple[str, Path], lk: Lake, truth: dict[str, bytes], tmp_path: Path
) -> None:
    name, path = sound
    rng = random.Random(8)
    for number in range(VARIANTS):
        folder = tmp_path / "damaged" / str(number)
        folder.mkdir(parents=True)
        (folder / path.name).write_bytes(damaged(path.read_bytes(), rng))
        for companion in path.parent.glob(f"{path.name}.*"):
            (folder / companion.name).write_bytes(companion.read_bytes())
    report = lk.put(tmp_path / "damaged", index=False)
    assert not report.failed
    refused = 0
    for number in range(VARIANTS):
        for region, found in answers(lk, f"damaged/{number}/{path.name}", name, tmp_path).items():
            refused += found is None
            assert found is None or found == truth[region], (number, region)
    assert refused > VARIANTS


@pytest.mark.parametrize("sound", ACCOMPANIED, indirect=True)
def test_a_damaged_companion_changes_no_answer(
    sound: tuple[str, Path], lk: Lake, truth: dict[str, bytes], tmp_path: Path
) -> None:
    name, path = sound
    rng = random.Random(9)
    for number in range(COMPANIONS):
        # The same bytes would be the same object, whose index is there already: hence a new lake.
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        for companion in path.parent.glob(f"{path.name}.*"):
            (folder / companion.name).write_bytes(damaged(companion.read_bytes(), rng))
        with lake.init(folder / "lake") as own:
            assert not own.put([file for file in folder.iterdir() if file.is_file()], index=False).failed
            for region, found in answers(own, path.name, name, tmp_path).items():
                assert found == truth[region], (number, region)


def test_a_file_whose_first_block_is_broken_is_not_handed_out_as_plain_gzip(lk: Lake, tmp_path: Path) -> None:
    path = _vcf(tmp_path)
    data = bytearray(path.read_bytes())
    data[20:50] = bytes(30)
    path.write_bytes(data)
    lk.put(path, index=False)
    assert lk.stat(path.name).format == "gzip"
    for region in (".", "bytes=0-9", "chr1"):
        with pytest.raises(LakeError):
            lk.slice(path.name, region).to_bytes()
