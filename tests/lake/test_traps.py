"""Where servers that cut at the blocks of an index lose or spoil records: each trap, and that the naive cut falls in.

T1 to T11 are the cases that no conformance suite of htsget asks for.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pysam
import pytest

import lake
from lake.errors import InvalidRegion
from lake.formats.compression.bgzf import EOF_BLOCK
from lake.lake import Lake
from lake.segments import Literal, Span
from tests.lake.truth import run

BAM = "na12878_chr20_21_unplaced.bam"
ALIGNED = "volvox_bai_csi.bam"
BAM_REGIONS = ["20:10,000,100-10,000,200", "21:10,001,690-10,002,689", "21:10,004,100-10,004,100"]
VCF = "1kg_5samples_chr22.vcf.gz"
BCF = "phasing_panel_300samples.bcf"


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    return shared_data / "genomics"


@pytest.fixture(scope="module")
def lk(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("traps")
    _reblock(data / "bam" / BAM, folder / "straddled.bam", 5000)
    _reblock(data / "vcf" / VCF, folder / "straddled.vcf.gz", 5000)
    _small_contigs(folder)
    names = [BAM, ALIGNED, "cho_28751_contigs.bam", "ont_5hmc_basemods.bam", "rnaseq_hcc1395_spliced.bam"]
    names += ["rnaseq_barley_768mb_contig_csi.bam", "plasmodium_3contigs.bam", "longcigar_65536ops.bam"]
    files = [data / "bam" / name for name in names]
    files += [data / "vcf" / name for name in (VCF, "large_header_324samples.vcf.gz", "large_contig_2gb_csi.vcf.gz")]
    files += [data / "bcf" / BCF, *sorted(folder.iterdir())]
    with lake.init(tmp_path_factory.mktemp("lake")) as made:
        assert not made.put(files).failed
        yield made


def _reblock(source: Path, target: Path, size: int) -> None:
    """Blocks that end anywhere, as GATK, Picard and bgzip before 1.17 write them."""
    text = gzip.decompress(source.read_bytes())
    with pysam.BGZFile(str(target), "wb", None) as file:
        for at in range(0, len(text), size):
            file.write(text[at : at + size])
            file.flush()


def _small_contigs(folder: Path) -> None:
    """200 contigs of 10 reads: slices of a CRAM that hold several contigs, containers that hold several slices."""
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": f"c{n}", "LN": 1000} for n in range(200)]}
    for name, options in (("default", []), ("slices", ["seqs_per_slice=50", "slices_per_container=4"])):
        path = folder / f"{name}.cram"
        with pysam.AlignmentFile(str(path), "wc", header=header, format_options=["no_ref=1", *options]) as file:
            for number in range(2000):
                read = pysam.AlignedSegment(file.header)
                read.query_name, read.flag = f"r{number}", 0
                read.reference_id, read.reference_start = number // 10, number % 10 * 50
                read.mapping_quality, read.cigarstring, read.query_sequence = 60, "20M", "ACGTA" * 4
                file.write(read)


def view(lk: Lake, folder: Path, name: str, *regions: str) -> bytes:
    """Records of a slice, as samtools or bcftools prints them."""
    out = folder / f"slice{Path(name).suffix}"
    out.write_bytes(lk.slice(name, list(regions)).to_bytes())
    if name.endswith((".vcf.gz", ".bcf")):
        return run("bcftools", "view", "-H", out)
    run("samtools", "quickcheck", "-u", out)
    return run("samtools", "view", out)


def blocks(data: bytes) -> Iterator[bytes]:
    """Inflated BGZF blocks; anything that is no whole block is an error."""
    at = 0
    while at < len(data):
        assert data[at : at + 4] == b"\x1f\x8b\x08\x04"
        (size,) = struct.unpack_from("<H", data, at + 16)
        assert at + size + 1 <= len(data)
        yield gzip.decompress(data[at : at + size + 1])
        at += size + 1


def bam_starts(text: bytes) -> tuple[int, set[int]]:
    """Where the records of an inflated BAM begin: the first one, and all."""
    at = 8 + struct.unpack_from("<i", text, 4)[0]
    (contigs,) = struct.unpack_from("<i", text, at)
    at += 4
    for _ in range(contigs):
        at += 8 + struct.unpack_from("<i", text, at)[0]
    first, starts = at, set()
    while at < len(text):
        starts.add(at)
        at += 4 + struct.unpack_from("<i", text, at)[0]
    return first, starts


def ends_of(data: bytes) -> list[int]:
    """Inflated offsets at which blocks end."""
    found, at = [], 0
    for block in blocks(data):
        at += len(block)
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("name", "source", "regions", "aligned"),
    [
        (ALIGNED, ALIGNED, ["ctgA:24309-25308", "ctgA:3-3", "ctgA:49986-49986"], True),
        (BAM, BAM, BAM_REGIONS, False),
        ("straddled.bam", BAM, BAM_REGIONS, False),
    ],
    ids=["samtools", "htsjdk", "any"],
)
def test_t1_reads_are_those_of_samtools_whoever_wrote_the_file(
    lk: Lake, data: Path, tmp_path: Path, name: str, source: str, regions: list[str], aligned: bool
) -> None:
    whole = lk.slice(name).to_bytes()
    first, starts = bam_starts(gzip.decompress(whole))
    assert aligned == all(end in starts for end in ends_of(whole)[:-2] if end >= first)
    for region in regions:
        wanted = run("samtools", "view", data / "bam" / source, region.replace(",", ""))
        assert wanted
        assert view(lk, tmp_path, name, region) == wanted


@pytest.mark.parametrize("name", [VCF, "straddled.vcf.gz", BCF])
def test_t1_variants_are_those_of_bcftools_whoever_wrote_the_file(
    lk: Lake, data: Path, tmp_path: Path, name: str
) -> None:
    source = data / "bcf" / BCF if name == BCF else data / "vcf" / VCF
    if name == "straddled.vcf.gz":
        text = gzip.decompress(lk.slice(name).to_bytes())
        assert any(text[end - 1 : end] != b"\n" for end in ends_of(lk.slice(name).to_bytes())[:-1])
    records = run("bcftools", "view", "-H", source).splitlines()
    contig, position = records[len(records) // 2].split(b"\t")[:2]
    for span in (0, 500, 20_000):
        region = f"{contig.decode()}:{int(position) - span}-{int(position) + span}"
        wanted = run("bcftools", "view", "-H", "-r", region, source)
        assert wanted
        assert view(lk, tmp_path, name, region) == wanted


@pytest.mark.parametrize("name", ["default.cram", "slices.cram"])
def test_t2_no_contig_of_a_slice_of_several_is_lost(lk: Lake, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(lk.slice(name).to_bytes())
    pysam.index(str(path))
    offsets = [line.split(b"\t")[3] for line in gzip.decompress(Path(f"{path}.crai").read_bytes()).splitlines()]
    # Who ends a range where the next line of the index begins gets an empty one.
    assert sum(one == other for one, other in pairwise(offsets)) > len(offsets) // 2
    for number in (0, 1, 57, 99, 100, 199):
        names = [line.split(b"\t")[0] for line in view(lk, tmp_path, name, f"c{number}").splitlines()]
        assert names == [b"r%d" % (number * 10 + at) for at in range(10)]


@pytest.mark.parametrize("name", ["cho_28751_contigs.bam", "large_header_324samples.vcf.gz"])
def test_t3_a_header_of_many_blocks_is_whole(lk: Lake, data: Path, tmp_path: Path, name: str) -> None:
    source = data / ("bam" if name.endswith("bam") else "vcf") / name
    command = (
        ("samtools", "view", "--no-PG", "-H") if name.endswith("bam") else ("bcftools", "view", "--no-version", "-h")
    )
    header = run(*command, source)
    assert len(header) > 1 << 16
    region = next(iter(lk.facts(name)["contigs"]["name"].to_pylist()))
    view(lk, tmp_path, name, region)
    assert run(*command, tmp_path / f"slice{source.suffix}") == header


def test_t4_records_in_the_last_block_of_the_header_are_not_in_every_slice(lk: Lake, tmp_path: Path) -> None:
    whole = lk.slice("straddled.bam").to_bytes()
    first, starts = bam_starts(gzip.decompress(whole))
    end = next(end for end in ends_of(whole) if end > first)
    assert first not in ends_of(whole)
    assert any(first < start < end for start in starts)
    answer = gzip.decompress(lk.slice("straddled.bam", "21:10,004,100-10,004,100").to_bytes())
    assert bam_starts(answer)[0] == first
    assert answer[:first] == gzip.decompress(whole)[:first]
    assert view(lk, tmp_path, "straddled.bam", "21:10,004,100-10,004,100").count(b"\n") == 1


@pytest.mark.parametrize("name", [BAM, "straddled.bam"])
def test_t5_overlapping_regions_in_any_order_give_each_read_once(
    lk: Lake, data: Path, tmp_path: Path, name: str
) -> None:
    regions = ["21:10002000-10003000", "20:10000100-10000900", "21:10001690-10002689"]
    wanted = run("samtools", "view", "-M", data / "bam" / BAM, *regions)
    apart = [run("samtools", "view", data / "bam" / BAM, region) for region in regions]
    assert b"".join(apart) != wanted
    assert view(lk, tmp_path, name, *regions) == wanted
    assert view(lk, tmp_path, name, *reversed(regions)) == wanted


def test_t6_a_contig_without_reads_is_empty_and_one_that_is_unknown_an_error(lk: Lake, tmp_path: Path) -> None:
    assert view(lk, tmp_path, "plasmodium_3contigs.bam", "Pf3D7_03_v3") == b""
    assert lk.slice("plasmodium_3contigs.bam", "Pf3D7_03_v3").to_bytes().endswith(EOF_BLOCK)
    with pytest.raises(InvalidRegion, match="no contig"):
        lk.slice("plasmodium_3contigs.bam", "Pf3D7_04_v3")


@pytest.mark.parametrize("name", [BAM, "straddled.bam", "plasmodium_3contigs.bam"])
def test_t7_the_last_read_of_a_file_and_one_end_marker(lk: Lake, data: Path, tmp_path: Path, name: str) -> None:
    source = data / "bam" / (BAM if name.startswith("straddled") else name)
    placed = [line for line in run("samtools", "view", source).splitlines() if line.split(b"\t")[2] != b"*"]
    _, _, contig, position = placed[-1].split(b"\t")[:4]
    region = f"{contig.decode()}:{position.decode()}"
    assert view(lk, tmp_path, name, region).splitlines()[-1] == placed[-1]
    for regions in ([region], ["*"], [region, "*"]):
        inflated = list(blocks(lk.slice(name, regions).to_bytes()))
        assert inflated[-1] == b""
        assert b"" not in inflated[:-1]


@pytest.mark.parametrize("name", ["ont_5hmc_basemods.bam", "longcigar_65536ops.bam"])
def test_t8_reads_longer_than_a_block(lk: Lake, data: Path, tmp_path: Path, name: str) -> None:
    lines = run("samtools", "view", data / "bam" / name).splitlines()
    longest = max(lines, key=len)
    assert len(longest) > 1 << 16
    _, _, contig, position = longest.split(b"\t")[:4]
    region = f"{contig.decode()}:{int(position) + 1000}-{int(position) + 1000}"
    wanted = run("samtools", "view", data / "bam" / name, region)
    assert longest in wanted.splitlines()
    assert view(lk, tmp_path, name, region) == wanted


@pytest.mark.parametrize("name", ["rnaseq_barley_768mb_contig_csi.bam", "large_contig_2gb_csi.vcf.gz"])
def test_t9_positions_beyond_what_bai_and_tbi_can_say(lk: Lake, data: Path, tmp_path: Path, name: str) -> None:
    bam = name.endswith("bam")
    source = data / ("bam" if bam else "vcf") / name
    tool = ("samtools", "view") if bam else ("bcftools", "view", "-H")
    at = (2, 3) if bam else (0, 1)
    records = [line.split(b"\t") for line in run(*tool, source).splitlines()]
    contig, position = max(((fields[at[0]], int(fields[at[1]])) for fields in records), key=lambda place: place[1])
    assert position > 1 << 29
    region = f"{contig.decode()}:{position}-{position}"
    wanted = run(*tool, source, region) if bam else run(*tool, "-r", region, source)
    assert wanted
    assert view(lk, tmp_path, name, region) == wanted


def test_t10_reads_that_begin_far_to_the_left_behind_an_intron(lk: Lake, data: Path, tmp_path: Path) -> None:
    source = data / "bam" / "rnaseq_hcc1395_spliced.bam"
    with pysam.AlignmentFile(str(source)) as file:
        read = max(file.fetch(until_eof=True), key=lambda read: (read.reference_end or 0) - read.reference_start)
        assert read.reference_end is not None
        assert read.reference_end - read.reference_start > 1 << 14
        region = f"{read.reference_name}:{read.reference_end}-{read.reference_end}"
    wanted = run("samtools", "view", source, region)
    assert (read.query_name or "").encode() in wanted
    assert view(lk, tmp_path, source.name, region) == wanted


@pytest.mark.parametrize("name", [BAM, "straddled.bam", "straddled.vcf.gz", BCF])
def test_t11_every_segment_is_whole_blocks(lk: Lake, name: str) -> None:
    contig = next(iter(lk.facts(name)["contig_stats"]["contig"].to_pylist()))
    answer = lk.slice(name, contig)
    assert any(isinstance(segment, Span) for segment in answer.segments)
    for segment in answer.segments:
        assert isinstance(segment, Span | Literal)
        assert list(blocks(answer.read(segment) if isinstance(segment, Span) else segment.data))


def test_exact_slices_are_small(lk: Lake) -> None:
    """One read is one read: neither its block nor the bin of its index comes along."""
    answer = lk.slice(BAM, "21:10,004,100-10,004,100")
    text = gzip.decompress(answer.to_bytes())
    assert len(bam_starts(text)[1]) == 1
    assert (answer.size or 0) < 10_000


def test_vcf_is_compressed_and_vcftext_is_plain(lk: Lake) -> None:
    """What htsget 1.3.1 asks for: ``VCF`` in BGZF, ``VCFTEXT`` for who wants lines."""
    region = "chr22:50,300,078-50,310,000"
    packed = lk.slice(VCF, region, format="VCF").to_bytes()
    plain = lk.slice(VCF, region, format="VCFTEXT").to_bytes()
    assert packed.endswith(EOF_BLOCK)
    assert plain.startswith(b"##fileformat=VCF")
    assert gzip.decompress(packed) == plain
