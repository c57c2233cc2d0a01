"""Facts of headers and indexes are what samtools, bcftools and a full scan say."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.alignments.bam import BAM
from lake.formats.alignments.bam_source import BamSource
from lake.formats.cram.cram import CRAM
from lake.formats.cram.source import CramSource
from lake.formats.facts.headers import sam_facts, variant_facts
from lake.formats.facts.kinds import FACT_KINDS, fact_table
from lake.formats.facts.sources import SOURCES, IndexFile, fact_source
from lake.formats.intervals.index_counts import index_counts
from lake.formats.lines.header_fields import structured
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.lake import Lake
from tests.formats.bam_maker import Read, blocked, made_bam
from tests.formats.text_files import blocked_format

BAMS = ["hg18_45contigs_bai_csi", "na12878_wgs_b37_unplaced", "sim_wgs_8contigs_unplaced", "cho_28751_contigs"]


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    with Lake.init(tmp_path / "lake") as made:
        yield made


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_column_says_its_type_and_source() -> None:
    for name, kind in FACT_KINDS.items():
        assert kind.schema.metadata[b"facts"].decode() == name
        for field in kind.schema:
            assert field.metadata[b"source"]
            assert b"unit" in field.metadata


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_loads(name: str) -> None:
    found = fact_source(name)
    assert found is not None
    assert found.code.startswith("facts/")


def test_formats_without_facts() -> None:
    assert fact_source("text") is None


@pytest.mark.parametrize("name", BAMS)
def test_header_and_counts_are_those_of_samtools(shared_data: Path, name: str) -> None:
    path = shared_data / "genomics/bam" / f"{name}.bam"
    source = fact_source("BAM")
    assert source is not None
    with PathReader(path) as reader:
        facts = source.header(reader)
        contigs = dict(zip(facts["contigs"]["name"].to_pylist(), facts["contigs"]["length"].to_pylist(), strict=True))
        index = path.with_name(path.name + ".bai").read_bytes()
        at_hand = IndexFile("bai", index, None, None, [0, reader.size], contigs)
        stats = source.located(reader, at_hand)["contig_stats"].to_pylist()
    wanted = [line.split("\t") for line in run("samtools", "idxstats", path).splitlines()]
    assert [(row[0], int(row[1])) for row in wanted[:-1]] == list(contigs.items())
    counted = {row["contig"] or "*": (row["mapped"], row["unmapped"]) for row in stats}
    for contig, _, mapped, unmapped in wanted:
        assert counted.get(contig, (0, 0)) == (int(mapped), int(unmapped))
    assert all(row["records"] == row["mapped"] + row["unmapped"] for row in stats)


def test_bai_and_csi_count_the_same(shared_data: Path) -> None:
    path = shared_data / "genomics/bam/hg18_45contigs_bai_csi.bam"
    bai, csi = (index_counts(kind, Path(f"{path}.{kind}").read_bytes()) for kind in ("bai", "csi"))
    assert bai.unplaced == csi.unplaced == 279
    assert [c for c in bai.counts if c] == [c for c in csi.counts if c]


def test_a_tabix_index_counts_by_its_own_names(shared_data: Path) -> None:
    """The header lists 86 contigs, the index one: by the order of the header the records would be those of contig 1."""
    path = shared_data / "genomics/vcf/1kg_p3_chr22_2504samples.vcf.gz"
    source = fact_source("VCF")
    assert source is not None
    with PathReader(path) as reader:
        contigs = dict.fromkeys(source.header(reader)["contigs"]["name"].to_pylist(), 0)
        index = Path(f"{path}.csi").read_bytes()
        located = source.located(reader, IndexFile("csi", index, None, None, [0, reader.size], contigs))
    records = run("bcftools", "index", "-s", Path(f"{path}")).split()
    assert len(contigs) == 86
    assert located["contig_stats"].to_pylist() == [
        {"contig": records[0], "mapped": None, "unmapped": None, "records": int(records[2])}
    ]
    assert located["chunks"]["contig"].to_pylist() == [records[0]]


def _scan(reader: BytesReader, bounds: list[int]) -> dict[tuple[int, int], tuple[int, int]]:
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for batch in BamSource(reader).walk_all():
        for first, tid, pos, end in zip(
            *(getattr(batch, n).tolist() for n in ("first", "tid", "pos", "end")), strict=True
        ):
            chunk = max(n for n, bound in enumerate(bounds) if bound <= first >> 16)
            low, high = found.get((chunk, tid), (pos, end))
            found[chunk, tid] = min(low, pos), max(high, end)
    return found


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 60_000), st.integers(1, 40_000)), max_size=60),
    st.lists(st.integers(60, 900), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_intervals_of_chunks_are_those_of_a_scan(
    places: list[tuple[int, int, int]], sizes: list[int], per_chunk: int
) -> None:
    names = [("a", 120_000), ("b", 120_000)]
    reads = [
        Read(tid, pos if tid >= 0 else -1, f"{length}M" if tid >= 0 else "", 0 if tid >= 0 else 4, bases=4)
        for tid, pos, length in sorted(places, key=lambda p: (p[0] < 0, p[0], p[1]))
    ]
    data = blocked(made_bam(names, reads).inflated, sizes)
    reader = BytesReader(data)
    blocks = sorted({int(first) >> 16 for batch in BamSource(reader).walk_all() for first in batch.first})
    bounds = [0, *[block for block in blocks[::per_chunk] if block], len(data)]
    source = fact_source("BAM")
    assert source is not None
    at_hand = IndexFile(None, None, BAM.table_kind, BAM.build_table(reader, None), bounds, dict(names))
    rows = source.located(reader, at_hand)["chunks"].to_pylist()
    found = {(row["ord"], "ab".index(row["contig"])): (row["start"], row["stop"]) for row in rows if row["contig"]}
    assert found == {key: value for key, value in _scan(reader, bounds).items() if key[1] >= 0}
    assert {row["ord"] for row in rows} == set(range(len(bounds) - 1))
    assert all(row["exact"] for row in rows)


def test_bounds_of_an_index_hold_the_exact_intervals(shared_data: Path) -> None:
    path = shared_data / "genomics/bam/sim_wgs_8contigs_unplaced.bam"
    data = path.read_bytes()
    reader = BytesReader(data)
    table = BAM.build_table(reader, None)
    blocks = sorted({int(first) >> 16 for batch in BamSource(reader).walk_all() for first in batch.first[::50]})
    bounds = [0, *[block for block in blocks[::30] if block], len(data)]
    contigs = BamSource(reader).header.contigs
    source = fact_source("BAM")
    assert source is not None
    exact = source.located(reader, IndexFile(None, None, BAM.table_kind, table, bounds, contigs))["chunks"].to_pylist()
    for kind in ("bai", "csi"):
        index = Path(f"{path}.{kind}").read_bytes()
        loose = source.located(reader, IndexFile(kind, index, None, None, bounds, contigs))["chunks"].to_pylist()
        held = {(row["ord"], row["contig"]): row for row in loose}
        assert not any(row["exact"] for row in loose)
        for row in exact:
            if row["contig"]:
                bound = held[row["ord"], row["contig"]]
                assert bound["start"] <= row["start"]
                assert row["stop"] <= bound["stop"]


def test_the_index_of_another_file_is_refused(shared_data: Path) -> None:
    path = shared_data / "genomics/edge/stale_index.bam"
    source = fact_source("BAM")
    assert source is not None
    with PathReader(path) as reader:
        contigs = BamSource(reader).header.contigs
        at_hand = IndexFile("bai", Path(f"{path}.bai").read_bytes(), None, None, [0, reader.size], contigs)
        with pytest.raises(FormatError, match="another file"):
            source.located(reader, at_hand)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_indexes_end_in_an_error_or_in_counts(shared_data: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["bam/hg18_45contigs_bai_csi.bam.bai", "tabix/skiplines_header.bed.gz.tbi"]))
    body = bytearray((shared_data / "genomics" / name).read_bytes())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    if data.draw(st.booleans()):
        del body[at:]
    with contextlib.suppress(FormatError):
        found = index_counts(name.rpartition(".")[2], bytes(body))
        assert all(count is None or min(count) >= 0 for count in found.counts)


def test_sam_headers_as_people_write_them() -> None:
    text = (
        b"@HD\tVN:1.6\n@SQ\tSN:1\tLN:100\tM5:ABCDEF\tAS:GRCh37\tSP:Homo sapiens\n@SQ\tSN:2\tLN:x\n@SQ\tLN:5\n"
        b"@RG\tID:a\tSM:s1\tLB:l\tPL:ILLUMINA\tPU:u\n@RG\tID:b\tSM:s1\n@RG\tSM:nobody\n"
        b"@PG\tID:bwa\tPN:bwa\tVN:0.7\tCL:bwa mem -t 4\n@PG\tID:x\tPP:bwa\n@CO\tSN:no\tfield\n\xff\xfe\n@\n"
    )
    facts = sam_facts(text, {"1": 100, "2": 7})
    assert facts["contigs"].to_pylist() == [
        {"name": "1", "length": 100, "md5": "abcdef", "assembly": "GRCh37", "species": "Homo sapiens"},
        {"name": "2", "length": 7, "md5": None, "assembly": None, "species": None},
    ]
    assert facts["samples"]["sample"].to_pylist() == ["s1"]
    assert facts["read_groups"]["id"].to_pylist() == ["a", "b"]
    assert facts["programs"].to_pylist()[1] == {
        "id": "x",
        "name": None,
        "version": None,
        "command_line": None,
        "previous": "bwa",
    }
    assert sam_facts(b"") == {}


def test_vcf_headers_as_people_write_them() -> None:
    text = (
        b'##fileformat=VCFv4.3\n##contig=<ID=20,length=62435964,assembly=B36,md5=F126,species="Homo sapiens",x=y>\n'
        b'##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, \\"total\\", a=b">\n'
        b'##FILTER=<ID=q10,Description="x">\n'
        b"##bcftools_viewVersion=1.16\n##bcftools_viewCommand=view -h; Date=now\n##source=caller\n##ALT=<ID=DEL\n"
        b"##contig=<length=3>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n##INFO=<ID=after>\n"
    )
    facts = variant_facts(text)
    assert facts["contigs"].to_pylist() == [
        {"name": "20", "length": 62435964, "md5": "f126", "assembly": "B36", "species": "Homo sapiens"}
    ]
    assert facts["samples"]["sample"].to_pylist() == ["A", "B"]
    assert facts["variant_header"].to_pylist()[0] == {
        "kind": "INFO",
        "id": "DP",
        "number": "1",
        "type": "Integer",
        "description": 'Depth, "total", a=b',
    }
    assert facts["variant_header"]["kind"].to_pylist() == ["INFO", "FILTER", "ALT"]
    assert facts["programs"].to_pylist()[0]["version"] == "1.16"
    assert structured('<ID=a,Values=[1, 2],D="b,c">')["D"] == "b,c"


@pytest.mark.parametrize(
    ("name", "form"),
    [("vcf/exome_189samples.vcf.gz", "VCF"), ("bcf/multi_contig.bcf", "BCF"), ("vcf/sv_skbr3_bnd.vcf", "VCF")],
)
def test_samples_are_those_of_bcftools(shared_data: Path, name: str, form: str) -> None:
    path = shared_data / "genomics" / name
    source = fact_source(form)
    assert source is not None
    with PathReader(path) as reader:
        facts = source.header(reader)
    assert facts["samples"]["sample"].to_pylist() == run("bcftools", "query", "-l", path).split()
    header = run("bcftools", "view", "-h", path)
    assert sum(facts["variant_header"]["kind"].to_pylist().count(kind) for kind in ("INFO", "FORMAT")) == sum(
        header.count(f"\n##{kind}=<") for kind in ("INFO", "FORMAT")
    )


@pytest.mark.parametrize("name", ["ce.fa", "hg18_trimmed.fasta.gz", "phix174.fa.gz"])
def test_sequences_are_those_of_samtools_dict(shared_data: Path, name: str) -> None:
    path = shared_data / "genomics/fasta" / name
    source = fact_source("FASTA")
    assert source is not None
    with PathReader(path) as reader:
        rows = source.header(reader)["sequences"].to_pylist()
    fields = [
        dict(f.split(":", 1) for f in line.split("\t")[1:4]) for line in run("samtools", "dict", path).splitlines()[1:]
    ]
    assert [(f["SN"], int(f["LN"]), f["M5"]) for f in fields] == [(r["name"], r["length"], r["md5"]) for r in rows]


@pytest.mark.parametrize(
    ("index", "message"),
    [(b"1\t2\n", "six integers"), (b"0\t1\t5\t99999999\t0\t1\n", "lacks"), (b"9\t1\t5\t99\t0\t1\n", "another file's")],
)
def test_damaged_crai(shared_data: Path, index: bytes, message: str) -> None:
    source = fact_source("CRAM")
    assert source is not None
    with PathReader(shared_data / "genomics/cram/volvox_v31.cram") as reader:
        at_hand = IndexFile("crai", index, None, None, [0, reader.size], CramSource(reader).contigs)
        with pytest.raises(FormatError, match=message):
            source.located(reader, at_hand)


CRAMS = ["celegans_multiref_v30", "na12878_tiny_v30", "volvox_v31", "na12878_wgs_b37_unplaced_v30_noref"]


@pytest.mark.parametrize("name", CRAMS)
def test_a_crai_gives_bounds_and_a_table_of_slices_intervals(shared_data: Path, name: str) -> None:
    path = shared_data / "genomics/cram" / f"{name}.cram"
    source = fact_source("CRAM")
    assert source is not None
    with PathReader(path) as reader:
        opened = CramSource(reader)
        bounds = [0, *[container.offset for container in opened.containers()], reader.size]
        contigs = opened.contigs
        index = Path(f"{path}.crai").read_bytes()
        loose = source.located(reader, IndexFile("crai", index, None, None, bounds, contigs))["chunks"].to_pylist()
        table = CRAM.build_table(reader, None)
        at_hand = IndexFile("crai", index, CRAM.table_kind, table, bounds, contigs)
        exact = source.located(reader, at_hand)["chunks"].to_pylist()
    held = {(row["ord"], row["contig"]): row for row in loose}
    assert not any(row["exact"] for row in loose)
    assert all(row["exact"] for row in exact)
    assert {row["ord"] for row in exact} == set(range(len(bounds) - 1))
    assert any(row["contig"] for row in exact)
    for row in exact:
        if row["contig"]:
            bound = held[row["ord"], row["contig"]]
            assert bound["start"] <= row["start"]
            assert row["stop"] <= bound["stop"] <= max(contigs[row["contig"]], row["stop"])


OWN = [
    ("vcf/multi_contig_tbi_csi.vcf.gz", "VCF"),
    ("vcf/gvcf_two_contigs.vcf.gz", "VCF"),
    ("bcf/multi_contig.bcf", "BCF"),
    ("sam/index_test.sam", "SAM"),
    ("sam/brca1_HG00096.sam.gz", "SAM"),
    ("tabix/gencode_v38_polyA.gff.gz", "GFF3"),
    ("tabix/oxbow_sample.gtf.gz", "GTF"),
    ("tabix/bed_100k_lines.bed.gz", "BED"),
]


@pytest.mark.parametrize(
    ("name", "form", "plain"),
    [*((*own, False) for own in OWN), *((*own, True) for own in OWN if own[1] != "BCF" and own[0].endswith(".gz"))],
)
def test_our_own_tables_count_and_place_what_a_scan_finds(shared_data: Path, name: str, form: str, plain: bool) -> None:
    data = (shared_data / "genomics" / name).read_bytes()
    if plain:
        data = gzip.decompress(data)
    reader = BytesReader(data)
    blocked = blocked_format(form)
    source = fact_source(form)
    assert source is not None
    opened = blocked.source(reader, blocked.flavour(None))
    shift = opened.container.shift
    batches = list(opened.walk_all())
    starts = np.concatenate([batch.first for batch in batches]) >> shift
    tids, pos, ends = (np.concatenate([getattr(batch, n) for batch in batches]) for n in ("tid", "pos", "end"))
    inside = sorted(set(starts[:: max(len(starts) // 7, 1)].tolist()) - {0})
    bounds = np.array([0, *inside, len(data)])
    table = blocked.build_table(reader, None)
    contigs = opened.contigs
    at_hand = IndexFile(blocked.table_kind, table, blocked.table_kind, table, bounds.tolist(), contigs)
    facts = source.located(reader, at_hand)
    names = list(contigs)
    wanted = Counter(names[tid] if tid >= 0 else None for tid in tids.tolist())
    stats = {row["contig"]: row for row in facts["contig_stats"].to_pylist()}
    assert {name: row["records"] for name, row in stats.items() if row["records"]} == wanted
    assert (None in stats) == (form == "SAM")
    chunk = np.searchsorted(bounds, starts, side="right") - 1
    places: dict[tuple[int, str], tuple[int, int]] = {}
    for at, tid, low, high in zip(chunk.tolist(), tids.tolist(), pos.tolist(), ends.tolist(), strict=True):
        if tid >= 0:
            begin, end = places.get((at, names[tid]), (low, high))
            places[at, names[tid]] = min(begin, low), max(end, high)
    rows = facts["chunks"].to_pylist()
    found = {(row["ord"], row["contig"]): row for row in rows if row["contig"]}
    assert found.keys() == places.keys()
    for key, row in found.items():
        start, stop = places[key]
        # What is taken together of a plain file may lie in two chunks, whose intervals are then bounds.
        assert row["exact"] or shift == 0
        assert (row["start"], row["stop"]) == (start, stop) if row["exact"] else row["start"] <= start
        assert row["stop"] >= stop
    assert {row["ord"] for row in rows} == set(range(len(bounds) - 1))


@pytest.mark.parametrize(
    "name", ["vcf/multi_contig_tbi_csi.vcf.gz", "bcf/multi_contig.bcf", "vcf/exome_189samples.vcf.gz"]
)
def test_variants_are_counted_as_bcftools_counts_them(lk: Lake, shared_data: Path, name: str) -> None:
    path = shared_data / "genomics" / name
    lk.put(path)
    rows = lk.facts(path.name)["contig_stats"].to_pylist()
    counted = [line.split("\t") for line in run("bcftools", "index", "-s", path).splitlines()]
    assert {row["contig"]: row["records"] for row in rows} == {fields[0]: int(fields[2]) for fields in counted}
    assert {(row["mapped"], row["unmapped"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize("name", BAMS[:3])
def test_reads_of_a_sam_are_counted_as_those_of_its_bam(lk: Lake, tmp_path: Path, shared_data: Path, name: str) -> None:
    path = shared_data / "genomics/bam" / f"{name}.bam"
    (tmp_path / "a.sam").write_text(run("samtools", "view", "-h", "--no-PG", path))
    lk.put(tmp_path / "a.sam")
    found = {row["contig"] or "*": row for row in lk.facts("a.sam")["contig_stats"].to_pylist()}
    for contig, _, mapped, unmapped in (line.split("\t") for line in run("samtools", "idxstats", path).splitlines()):
        row = found.get(contig, {"mapped": 0, "unmapped": 0})
        assert (row["mapped"], row["unmapped"]) == (int(mapped), int(unmapped)), contig


def test_names_that_are_not_utf8_are_kept_readable() -> None:
    table = fact_table("samples", [("caf\udce9",)])["samples"]
    assert isinstance(table, pa.Table)
    assert table["sample"].to_pylist() == ["caf\ufffd"]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_headers_end_in_an_error_or_in_facts(shared_data: Path, data: st.DataObject) -> None:
    name, form = data.draw(
        st.sampled_from(
            [
                ("bam/hla_contig_name_with_colons.bam", "BAM"),
                ("cram/celegans_range_v30.cram", "CRAM"),
                ("bcf/multi_contig.bcf", "BCF"),
                ("vcf/spec43_small.vcf.gz", "VCF"),
                ("sam/index_test.sam", "SAM"),
                ("fasta/phix174.fa.gz", "FASTA"),
            ]
        )
    )
    body = bytearray((shared_data / "genomics" / name).read_bytes()[: 1 << 16])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, min(len(body), 4000) - 1))] = data.draw(st.integers(0, 255))
    source = fact_source(form)
    assert source is not None
    with contextlib.suppress(FormatError):
        tables = source.header(BytesReader(bytes(body)))
        assert all(tables[kind].schema.equals(FACT_KINDS[kind].schema) for kind in tables)
