"""The bytes of answers, put together from tickets, against samtools and bcftools on the stored files (T1 to T11)."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pysam
import pytest

from lake.lake import Lake
from tests.formats.bam_maker import PADDING, Read, blocked, made_bam, parts
from tests.formats.cram_maker import Mapped, make_cram
from tests.htsget.conftest import running
from tests.htsget.ticket_reader import Answer, ask, post, samtools_text

MODES = ("auto", "all", "none")
MAPPED = ("bam/na12878_chr20_21_unplaced.bam", "bam/rnaseq_hcc1395_spliced.bam", "bam/ont_longread_sv_200kb.bam")


class Served:
    """A server, and the local files that it serves under the same names."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def reads(self, name: str, *regions: str) -> str:
        """What samtools selects of the local file."""
        many = ["-M"] if len(regions) > 1 else []
        command = ["samtools", "view", *many, str(self.folder / name), *regions]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "surrogateescape")

    def variants(self, name: str, *regions: str) -> str:
        chosen = ["-r", ",".join(regions)] if regions else []
        command = ["bcftools", "view", "-H", *chosen, str(self.folder / name)]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode()


REAL = [
    *MAPPED,
    "bam/na12878_wgs_b37_unplaced.bam",
    "bam/rnaseq_barley_768mb_contig_csi.bam",
    "bam/cho_28751_contigs.bam",
    "cram/na12878_wgs_b37_unplaced_v30_noref.cram",
    "bcf/phasing_panel_300samples.bcf",
]


@pytest.fixture(scope="module")
def served(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    source = shared_data / "genomics"
    for name in REAL:
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes((source / name).read_bytes())
        for suffix in (".bai", ".csi", ".crai", ".tbi"):
            index = source / f"{name}{suffix}"
            if index.is_file():
                place.with_name(place.name + suffix).write_bytes(index.read_bytes())
    _make_straddled(folder / "made")
    _make_variants(folder)
    with Lake.init(tmp_path_factory.mktemp("lake")) as lake:
        for name in sorted({path.parent.name for path in folder.glob("*/*")}):
            lake.put(str(folder / name))
        with (
            running(lake.root) as base,
            httpx.Client(base_url=base, timeout=30, trust_env=False) as client,
        ):
            yield Served(client, folder)


def _make_straddled(folder: Path) -> None:
    """BAM files as other writers make them: records over the borders of blocks, and a header that ends in a block."""
    folder.mkdir()
    chance = random.Random(3)
    contigs = [("c1", 40_000), ("c2", 30_000), ("none", 10_000), ("c4", 9_000)]
    reads = sorted(
        (
            Read(tid, chance.randrange(8_000), chance.choice(["50M", "20M900N30M", "10M2D40M"]), name=f"r{number}")
            for number, tid in enumerate(chance.choices([0, 1, 3], k=900))
        ),
        key=lambda read: (read.tid, read.pos),
    )
    reads = [read._replace(tags=PADDING) for read in reads]
    reads += [Read(-1, -1, flag=4, name=f"u{number}") for number in range(20)]
    made = made_bam(contigs, reads, "@HD\tVN:1.6\tSO:coordinate\n")
    long_header = "@HD\tVN:1.6\tSO:coordinate\n" + "".join(f"@CO\t{number} {'x' * 90}\n" for number in range(1500))
    (folder / "straddled.bam").write_bytes(blocked(made.inflated, [5_000]))
    (folder / "longheader.bam").write_bytes(blocked(made_bam(contigs, reads, long_header).inflated, [65_000]))
    long = [
        *reads[:300],
        Read(0, 30_000, "7000M", bases=7000),
        Read(0, 30_001, "9M99000S9M", name="long"),
        *reads[-320:],
    ]
    long.sort(key=lambda read: (read.tid if read.tid >= 0 else 99, read.pos))
    (folder / "long.bam").write_bytes(
        blocked(made_bam(contigs, long, "@HD\tVN:1.6\tSO:coordinate\n").inflated, [9_000])
    )
    placed = [Mapped(tid, 40 * number, seed=number) for tid in range(3) for number in range(45)]
    options = ["no_ref=1", "multi_seq_per_slice=1", "seqs_per_slice=15", "slices_per_container=3"]
    make_cram(folder / "several.cram", placed, options, None)
    for path in folder.glob("*am"):
        pysam.index(str(path))


def _make_variants(folder: Path) -> None:
    """VCF and BCF with records over the borders of blocks, as bcftools and old bgzip write them."""
    chance = random.Random(4)
    header = "##fileformat=VCFv4.2\n##contig=<ID=c1,length=90000>\n##contig=<ID=none,length=9000>\n"
    header += '##contig=<ID=c3,length=90000>\n##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n'
    header += '##INFO=<ID=T,Number=1,Type=String,Description="t">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n'
    lines = []
    for contig in ("c1", "c3"):
        for pos in sorted(chance.choices(range(1, 80_000), k=3000)):
            end = f";END={pos + chance.randrange(1, 4000)}" if chance.random() < 0.05 else ""
            text = "".join(chance.choices("abcdefgh", k=60))
            lines.append(f"{contig}\t{pos}\t.\tA\t{'<DEL>' if end else 'C'}\t430521\tPASS\tT={text}{end}\n")
    text = header + "".join(lines)
    place = folder / "variants"
    place.mkdir()
    (place / "old.vcf.gz").write_bytes(blocked(text.encode(), [60_000]))
    pysam.tabix_index(str(place / "old.vcf.gz"), preset="vcf", csi=False)
    plain = folder / "plain.vcf"
    plain.write_text(text)
    subprocess.run(["bcftools", "view", "-Ob", "-o", str(place / "made.bcf"), str(plain)], check=True)
    subprocess.run(["bcftools", "index", str(place / "made.bcf")], check=True)
    plain.rename(place / "text.vcf")


def regions_of(contigs: dict[str, int], count: int, seed: int = 5) -> list[tuple[str, int, int]]:
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        name = chance.choice(list(contigs))
        width = chance.choice([1, 100, 3_000, 50_000, 10_000_000])
        start = chance.randrange(max(1, contigs[name]))
        found.append((name, start, min(start + width, contigs[name])))
    return [each for each in found if each[1] < each[2]]


def check_reads(served: Served, name: str, count: int, contigs: dict[str, int] | None = None) -> None:
    if contigs is None:
        with pysam.AlignmentFile(str(served.folder / name), check_sq=False) as file:
            contigs = dict(zip(file.references, file.lengths, strict=True))
            used = {each.contig for each in file.get_index_statistics() if each.total} if name.endswith("bam") else None
        contigs = {name: length for name, length in contigs.items() if used is None or name in used}
    form = "CRAM" if name.endswith(".cram") else "BAM"
    for number, (contig, start, stop) in enumerate(regions_of(contigs, count)):
        mode = MODES[number % 3]
        answer = ask(
            served.client, f"/reads/{name}", format=form, referenceName=contig, start=start, end=stop, inline=mode
        )
        expected = served.reads(name, f"{contig}:{start + 1}-{stop}")
        assert samtools_text(answer.data) == expected, (name, contig, start, stop, mode)


@pytest.mark.parametrize("name", MAPPED)
def test_t1_regions_of_aligned_files_are_those_of_samtools(served: Served, name: str) -> None:
    check_reads(served, name, 9)


def test_t1_regions_of_a_bam_whose_records_straddle_blocks(served: Served) -> None:
    check_reads(served, "made/straddled.bam", 24)


@pytest.mark.parametrize("name", ["variants/old.vcf.gz", "variants/made.bcf", "bcf/phasing_panel_300samples.bcf"])
def test_t1_regions_of_variants_that_straddle_blocks_are_those_of_bcftools(served: Served, name: str) -> None:
    with pysam.VariantFile(str(served.folder / name)) as file:
        contigs = {str(name): file.header.contigs[name].length or 90_000 for name in file.header.contigs}
    form = "BCF" if name.endswith(".bcf") else "VCF"
    for number, (contig, start, stop) in enumerate(regions_of(contigs, 12)):
        answer = ask(
            served.client,
            f"/variants/{name}",
            format=form,
            referenceName=contig,
            start=start,
            end=stop,
            inline=MODES[number % 3],
        )
        assert samtools_text(answer.data, "bcftools", "-H") == served.variants(name, f"{contig}:{start + 1}-{stop}")


@pytest.mark.parametrize("name", [*MAPPED, "made/straddled.bam"])
def test_t1_whole_files_and_unplaced_reads(served: Served, name: str) -> None:
    assert samtools_text(ask(served.client, f"/reads/{name}").data) == served.reads(name)
    for mode in MODES:
        answer = ask(served.client, f"/reads/{name}", referenceName="*", inline=mode)
        assert samtools_text(answer.data) == served.reads(name, "*")


def test_t2_multi_reference_and_multi_slice_cram(served: Served) -> None:
    check_reads(served, "made/several.cram", 12)
    check_reads(served, "cram/na12878_wgs_b37_unplaced_v30_noref.cram", 6)


@pytest.mark.parametrize("name", ["made/longheader.bam", "bam/cho_28751_contigs.bam"])
def test_t3_a_header_of_more_than_64_kib(served: Served, name: str) -> None:
    for mode in MODES:
        answer = ask(served.client, f"/reads/{name}", class_="header", inline=mode)
        assert parts(answer.data).header == parts((served.folder / name).read_bytes()).header
        assert parts(answer.data).records == []


def test_a_long_header_that_must_be_made_has_a_url_of_its_own(served: Served) -> None:
    name = "made/longheader.bam"
    answer = ask(served.client, f"/reads/{name}", referenceName="c1", end=100, inline="none")
    assert any("/slices/" in url for url in answer.remote[:1])
    assert samtools_text(answer.data) == served.reads(name, "c1:1-100")


def test_t4_a_header_that_ends_in_mid_block_is_apart_from_the_records(served: Served) -> None:
    whole = parts((served.folder / "made/straddled.bam").read_bytes())
    answer = ask(served.client, "/reads/made/straddled.bam")
    assert parts(answer.header) == (whole.header, [])
    assert parts(answer.data) == whole


def both_ways(served: Served, family: str, name: str, regions: list[tuple[str, int, int]]) -> list[Answer]:
    """The answers to a POST of regions, in every mode."""
    body = [{"referenceName": contig, "start": start, "end": stop} for contig, start, stop in regions]
    form = {"bam": "BAM", "cram": "CRAM", "bcf": "BCF", "gz": "VCF"}[name.rpartition(".")[2]]
    return [post(served.client, f"/{family}/{name}", format=form, regions=body, inline=mode) for mode in MODES]


def test_t5_overlapping_regions_in_reverse_order_give_each_record_once(served: Served) -> None:
    name = "made/straddled.bam"
    regions = [("c4", 0, 9_000), ("c1", 900, 2_500), ("c1", 500, 1_000), ("c1", 2_000, 2_001), ("c2", 7, 8)]
    expected = served.reads(name, *(f"{contig}:{start + 1}-{stop}" for contig, start, stop in regions))
    for answer in both_ways(served, "reads", name, regions):
        assert samtools_text(answer.data) == expected


@pytest.mark.parametrize("name", ["made/straddled.bam", "bam/rnaseq_hcc1395_spliced.bam"])
def test_t5_hundreds_of_regions_give_each_record_once(served: Served, name: str) -> None:
    with pysam.AlignmentFile(str(served.folder / name)) as file:
        first = next(iter(file))
        contig = first.reference_name or ""
        begin, end = first.reference_start, max(read.reference_end or 0 for read in file.fetch(contig))
    step = max((end - begin) // 400, 2)
    regions = [(contig, place, place + step // 2) for place in range(begin, end, step)]
    expected = served.reads(name, *(f"{contig}:{start + 1}-{stop}" for contig, start, stop in regions))
    for answer in both_ways(served, "reads", name, regions):
        assert samtools_text(answer.data) == expected


def test_t5_hundreds_of_regions_of_variants(served: Served) -> None:
    regions = [("c1", start, start + 40) for start in range(0, 80_000, 200)]
    expected = served.variants("variants/old.vcf.gz", *(f"{name}:{start + 1}-{stop}" for name, start, stop in regions))
    for answer in both_ways(served, "variants", "variants/old.vcf.gz", regions):
        assert samtools_text(answer.data, "bcftools", "-H") == expected


@pytest.mark.parametrize(
    ("path", "form"), [("/reads/made/straddled.bam", "BAM"), ("/variants/variants/old.vcf.gz", "VCF")]
)
def test_t6_a_contig_without_records_gives_an_empty_file(served: Served, path: str, form: str) -> None:
    for mode in MODES:
        answer = ask(served.client, path, format=form, referenceName="none", inline=mode)
        assert (
            samtools_text(answer.data, "samtools" if form == "BAM" else "bcftools", *(["-H"] * (form == "VCF"))) == ""
        )


def test_t7_the_last_record_stands_right_before_the_end_marker(served: Served) -> None:
    name = "made/straddled.bam"
    for mode in MODES:
        answer = ask(served.client, f"/reads/{name}", referenceName="c4", inline=mode)
        assert samtools_text(answer.data) == served.reads(name, "c4")


def test_t8_reads_longer_than_a_block(served: Served) -> None:
    name = "made/long.bam"
    for answer in both_ways(served, "reads", name, [("c1", 30_005, 30_006)]):
        text = samtools_text(answer.data)
        assert "long\t" in text
        assert text == served.reads(name, "c1:30006-30006")
    for answer in both_ways(served, "reads", name, [("c1", 0, 40_000)]):
        assert samtools_text(answer.data) == served.reads(name, "c1")


def test_t9_a_contig_of_more_than_512_mbp(served: Served) -> None:
    check_reads(served, "bam/rnaseq_barley_768mb_contig_csi.bam", 6)


def test_t10_spliced_reads_that_start_far_left(served: Served) -> None:
    name = "bam/rnaseq_hcc1395_spliced.bam"
    with pysam.AlignmentFile(str(served.folder / name)) as file:
        widest = max(file, key=lambda read: (read.reference_end or 0) - read.reference_start)
    assert widest.reference_end is not None
    stop = widest.reference_end
    for answer in both_ways(served, "reads", name, [(widest.reference_name or "", stop - 1, stop)]):
        text = samtools_text(answer.data)
        assert widest.query_name is not None
        assert widest.query_name in text
        assert text == served.reads(name, f"{widest.reference_name}:{stop}-{stop}")


def test_t11_every_part_is_whole_blocks_in_every_mode(served: Served) -> None:
    """The reader of tickets checks it of each part; here parts of all kinds come together."""
    name = "bam/na12878_chr20_21_unplaced.bam"
    kinds = set()
    with pysam.AlignmentFile(str(served.folder / name)) as file:
        contig = max(file.get_index_statistics(), key=lambda each: each.total).contig
    for mode in MODES:
        answer = ask(served.client, f"/reads/{name}", referenceName=contig, inline=mode)
        kinds |= {url.split("/")[3] for url in answer.remote}
        assert samtools_text(answer.data) == served.reads(name, contig)
    assert kinds == {"blocks", "slices"}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("made/straddled.bam", "CRAM"),
        ("made/straddled.bam", "SAM"),
        ("cram/na12878_wgs_b37_unplaced_v30_noref.cram", "BAM"),
    ],
)
def test_reads_of_another_kind_have_the_same_records(served: Served, name: str, form: str) -> None:
    with pysam.AlignmentFile(str(served.folder / name)) as file:
        contig = next(read.reference_name for read in file if read.reference_name) or ""
    for mode in MODES:
        answer = ask(served.client, f"/reads/{name}", format=form, referenceName=contig, end=6_000, inline=mode)
        assert answer.ticket["format"] == form
        got, expected = samtools_text(answer.data), served.reads(name, f"{contig}:1-6000")
        assert [line.split("\t")[:11] for line in got.splitlines()] == [
            line.split("\t")[:11] for line in expected.splitlines()
        ]


@pytest.mark.parametrize("name", ["variants/old.vcf.gz", "variants/made.bcf", "variants/text.vcf"])
@pytest.mark.parametrize("form", ["VCF", "VCFTEXT", "BCF"])
def test_variants_of_another_kind_have_the_same_records(served: Served, name: str, form: str) -> None:
    expected = served.variants("variants/old.vcf.gz", "c1:10001-12000")
    for mode in MODES:
        answer = ask(
            served.client,
            f"/variants/{name}",
            format=form,
            referenceName="c1",
            start=10_000,
            end=12_000,
            inline=mode,
        )
        assert answer.data.startswith({"VCFTEXT": b"##fileformat"}.get(form, b"\x1f\x8b"))
        assert samtools_text(answer.data, "bcftools", "-H") == expected


def test_many_regions_can_be_converted(served: Served) -> None:
    regions = [{"referenceName": "c1", "start": start, "end": start + 40} for start in range(0, 80_000, 200)]
    answer = post(served.client, "/variants/variants/old.vcf.gz", format="VCFTEXT", regions=regions)
    texts = [f"c1:{start + 1}-{start + 40}" for start in range(0, 80_000, 200)]
    assert samtools_text(answer.data, "bcftools", "-H") == served.variants("variants/old.vcf.gz", *texts)


def test_a_superset_holds_the_records_and_is_valid(served: Served) -> None:
    name = "made/straddled.bam"
    for start in range(0, 8_000, 700):
        answer = ask(served.client, f"/reads/{name}", referenceName="c1", start=start, end=start + 9, exact="false")
        got = samtools_text(answer.data).splitlines()
        expected = served.reads(name, f"c1:{start + 1}-{start + 9}").splitlines()
        assert set(expected) <= set(got)
        assert len(got) == len(set(got))


def test_samtools_and_bcftools_read_the_urls_of_tickets(served: Served) -> None:
    base = str(served.client.base_url).rstrip("/")
    for mode in MODES:
        url = f"{base}/reads/made/straddled.bam?referenceName=c1&start=999&end=3000&inline={mode}"
        done = subprocess.run(["samtools", "view", url], capture_output=True, text=True, check=True)
        assert done.stdout == served.reads("made/straddled.bam", "c1:1000-3000")
        assert not done.stderr
        url = f"{base}/variants/variants/made.bcf?format=VCF&referenceName=c3&start=999&end=30000&inline={mode}"
        done = subprocess.run(["bcftools", "view", "-H", url], capture_output=True, text=True, check=True)
        assert done.stdout == served.variants("variants/made.bcf", "c3:1000-30000")
    with pysam.AlignmentFile(f"{base}/reads/made/several.cram?format=CRAM&referenceName=b", check_sq=False) as file:
        assert "".join(f"{read.to_string()}\n" for read in file) == served.reads("made/several.cram", "b")


def test_conversions_are_so_many_at_a_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"format": "SAM", "inline": "none", "regions": [{"referenceName": "c1"}]}
    urls = [part["url"] for part in served.client.post("/reads/made/straddled", json=body).json()["htsget"]["urls"]]
    (made,) = [url for url in urls[1:] if url.startswith("http")]
    monkeypatch.setattr("lake.htsget.bodies._MOST_DECODED", 0)
    refused = served.client.get(made)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert served.client.get("/files/made/straddled.bam").status_code == 200
    monkeypatch.undo()
    assert served.client.get(made).status_code == 200
