"""Slices of VCF hold the lines that overlap by htslib's own lengths, as bytes, whoever wrote the file."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import subprocess
import zlib
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.base import RegionFormat
from lake.formats.intervals.record_file import RecordFile
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.formats.variants.vcf import VCF
from lake.segments import Span, Stream
from tests.formats.bam_maker import EOF, blocked, bytes_of
from tests.formats.text_files import content, expected_regions, records, ways

HEADER = (
    b"##fileformat=VCFv4.3\n"
    b'##INFO=<ID=END,Number=1,Type=Integer,Description="End, of the record">\n'
    b'##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">\n'
    b'##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    b'##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    b'##FORMAT=<ID=LEN,Number=1,Type=Integer,Description="Length of <*> block">\n'
    b"##contig=<ID=a,length=100000>\n##contig=<ID=b>\n##contig=<ID=none,length=5>\n"
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
)
FAR = 1 << 40


def _truth(path: Path) -> list[tuple[str, int, int]]:
    """Contig, start and end of every record by a full scan with pysam."""
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(path)) as file:
            return [(record.chrom, record.pos - 1, record.pos - 1 + record.rlen) for record in file]
    finally:
        pysam.set_verbosity(verbosity)


def _selected(lines: list[bytes], spans: list[tuple[str, int, int]], wanted: list[tuple[str, int, int]]) -> list[bytes]:
    assert len(lines) == len(spans)
    return [
        line
        for line, (contig, start, end) in zip(lines, spans, strict=True)
        if any(contig == name and start < stop and end > first for name, first, stop in wanted)
    ]


def _spans(reader: BytesReader | PathReader) -> list[tuple[str, int, int]]:
    source = VCF.source(reader, "")
    names = list(source.contigs)
    return [
        (names[tid], pos, end)
        for batch in source.walk_all()
        for tid, pos, end in zip(batch.tid.tolist(), batch.pos.tolist(), batch.end.tolist(), strict=True)
    ]


def test_expected_regions_with_and_without_a_table(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in expected_regions(folder, (".vcf.gz",)).items():
        with PathReader(folder / name) as reader:
            header = [line for line in gzip.decompress((folder / name).read_bytes()).split(b"\n") if line[:1] == b"#"]
            for way, file in ways(VCF, reader).items():
                for region, value in regions.items():
                    answer = bytes_of(reader, file.plan([region]))
                    assert [line for line in gzip.decompress(answer).split(b"\n") if line[:1] == b"#"] == header
                    (tmp_path / "slice.vcf.gz").write_bytes(answer)
                    command = ["bcftools", "view", "-H", str(tmp_path / "slice.vcf.gz")]
                    text = subprocess.run(command, check=True, capture_output=True).stdout
                    count, *digest = value.split()
                    assert text.count(b"\n") == int(count), (name, way, region)
                    assert hashlib.md5(text).hexdigest() == digest[0], (name, way, region)
                    compared += 1
    assert compared > 120


def test_spans_of_real_files_are_those_of_htslib(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "genomics").glob("*/*.vcf*")):
        if path.suffix in (".tbi", ".csi", ".gzi") or path.name in ("mangled.vcf.gz", "plain_gzip_not_bgzf.vcf.gz"):
            continue
        with PathReader(path) as reader:
            assert VCF.check(reader) == [], path.name
            spans = _spans(reader)
        assert spans == _truth(path), path.name
        seen += len(spans)
    assert seen > 99_000


_infos = st.lists(
    st.sampled_from(
        ["DP=3", "END={}", "END=.", "END=5", "END=1", "SVLEN=-40", "SVLEN=30,70", "SVLEN=.", "XEND=99", "END", "LEN=9"]
    ),
    max_size=3,
    unique=True,
).map(lambda fields: ";".join(fields) or ".")
_alts = st.sampled_from(
    ["C", ".", "<DEL>", "<NON_REF>", "C,<NON_REF>", "<*>", "<DUP:TANDEM>", "<INS>", "C,<DEL>", "<INV>,<CNV>", "]b:9]C"]
)
_formats = st.sampled_from(["", "\tGT\t0/1", "\tGT:LEN\t0/0:77", "\tLEN\t.", "\tGT:XLEN\t0:5"])
_places = st.tuples(st.sampled_from([b"b", b"a", b"z"]), st.one_of(st.integers(0, 400), st.integers(20_000, 20_300)))


@st.composite
def _lines(draw: st.DrawFn) -> list[bytes]:
    lines = []
    for contig, pos in sorted(
        draw(st.lists(_places, max_size=40)), key=lambda place: (b"bza".index(place[0]), place[1])
    ):
        ref = draw(st.sampled_from(["A", "ACGT", "A" * 90]))
        info = draw(_infos).format(pos + draw(st.integers(-3, 300)))
        line = f"{pos}\tid\t{ref}\t{draw(_alts)}\t30.50\tPASS\t{info}{draw(_formats)}"
        lines.append(contig + b"\t" + line.encode())
    return lines


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=_lines(),
    sizes=st.lists(st.integers(0, 700), max_size=20),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    plain=st.booleans(),
    data=st.data(),
)
def test_made_files_in_blocks_of_any_size(
    tmp_path: Path,
    lines: list[bytes],
    sizes: list[int],
    ends: bytes,
    final: bool,
    plain: bool,
    data: st.DataObject,
) -> None:
    text = HEADER + b"".join(line + ends for line in lines)
    if not final and lines:
        text = text.removesuffix(ends)
    file = text if plain else blocked(text, [*sizes, 300])
    path = tmp_path / ("made.vcf" if plain else "made.vcf.gz")
    path.write_bytes(file)
    spans = _truth(path)
    reader = BytesReader(file)
    assert VCF.check(reader) == []
    assert _spans(reader) == spans
    opened = ways(VCF, reader)
    for _ in range(4):
        wanted = []
        for _ in range(data.draw(st.integers(1, 3))):
            contig = data.draw(st.sampled_from(list(opened["table"].contigs)))
            edges = sorted({0, 16_384, *(max(edge, 0) for name, *two in spans if name == contig for edge in two)})
            start = max(data.draw(st.sampled_from(edges)) + data.draw(st.integers(-1, 1)), 0)
            wanted.append((contig, start, start + data.draw(st.sampled_from([1, 50, FAR]))))
        texts = [f"{contig}:{start + 1}-{stop}" for contig, start, stop in wanted]
        chosen = _selected(lines, spans, wanted)
        for way, file_ in opened.items():
            found = content(reader, file_, texts)
            assert found.startswith(HEADER)
            assert records(found) == chosen, (way, texts)


def test_old_bgzip_output_straddles_blocks_everywhere(shared_data: Path) -> None:
    whole = gzip.decompress((shared_data / "genomics" / "vcf" / "1kg_5samples_chr22.vcf.gz").read_bytes())
    made = subprocess.run(["bgzip", "-c"], input=whole, check=True, capture_output=True).stdout
    lines = records(whole)
    reader = BytesReader(made)
    file = ways(VCF, reader)["table"]
    rng = random.Random(1)
    for _ in range(60):
        first = rng.randrange(len(lines))
        position = int(lines[first].split(b"\t", 2)[1])
        found = records(content(reader, file, [f"22:{position}-{position + 20_000}"]))
        assert found == [
            line
            for line in lines
            if (at := int((fields := line.split(b"\t", 4))[1])) <= position + 20_000 and at + len(fields[3]) > position
        ]


def test_long_lines_and_a_long_header(tmp_path: Path) -> None:
    rng = random.Random(3)
    header = HEADER.replace(
        b"#CHROM", b"".join(b"##note=%030x\n" % rng.getrandbits(120) for _ in range(4000)) + b"#CHROM"
    )
    assert len(header) > 1 << 17
    lines = [
        b"a\t%d\t.\tA\tC\t.\t.\tDP=%0*d\tGT\t0/1" % (1000 * n, width, n)
        for n, width in enumerate((5, 70_000, 3, 200_000, 200_000, 9, 2000), 1)
    ]
    text = header + b"".join(line + b"\n" for line in lines)
    for sizes in ([65_280], [1000], [50_000] * 2 + [len(header) - 100_000, 65_280], [len(header) % 60_000, 60_000]):
        reader = BytesReader(blocked(text, sizes))
        for way, file in ways(VCF, reader).items():
            for start, stop in ((1, 7), (2, 2), (4, 5), (7, 7), (3, 3)):
                found = content(reader, file, [f"a:{1000 * start}-{1000 * stop}"])
                assert found == header + b"".join(line + b"\n" for line in lines[start - 1 : stop]), (way, sizes)


def test_a_deletion_without_end_is_found_by_its_length() -> None:
    line = b"a\t600\t.\tA\t<DEL>\t.\t.\tSVLEN=-500\tGT\t0/1\n"
    reader = BytesReader(blocked(HEADER + line, [90]))
    for file in ways(VCF, reader).values():
        assert content(reader, file, ["a:1000-1001"]) == HEADER + line
        assert content(reader, file, ["a:1101-2000"]) == HEADER


def test_the_telomere_and_ends_before_positions() -> None:
    lines = [b"a\t0\t.\tN\tC\t.\t.\t.\tGT\t0\n", b"a\t5\t.\tN\tC\t.\t.\tEND=2\tGT\t0\n"]
    reader = BytesReader(blocked(HEADER + b"".join(lines), [90]))
    for file in ways(VCF, reader).values():
        assert records(content(reader, file, ["a:0-50"])) == [lines[1].strip()]
        assert records(content(reader, file, ["a:2-4"])) == []
        assert records(content(reader, file, ["a:5-5"])) == [lines[1].strip()]


def test_keys_that_come_twice(tmp_path: Path) -> None:
    infos = ["END;END=900", "END=900;END", "END=900;END=700", "DP=1;END;END=900", "XEND;END=900", "SVLEN=5;END;END=900"]
    lines = [f"a\t9\t.\tA\t{alt}\t.\t.\t{info}\tGT\t0\n".encode() for info in infos for alt in ("C", "<DEL>", "<*>")]
    path = tmp_path / "twice.vcf"
    path.write_bytes(HEADER + b"".join(lines))
    with PathReader(path) as reader:
        assert _spans(reader) == _truth(path)


def test_contigs_are_those_of_the_records_and_of_the_header() -> None:
    text = HEADER + b"b\t5\t.\tA\tC\t.\t.\t.\tGT\t0\nodd:1\t7\t.\tA\tC\t.\t.\t.\tGT\t0\na\t2\t.\tA\tC\t.\t.\t.\tGT\t0\n"
    for data in (text, blocked(text, [50])):
        reader = BytesReader(data)
        for file in ways(VCF, reader).values():
            assert dict(file.contigs) == {"b": 0, "odd:1": 0, "a": 100_000, "none": 5}
            assert content(reader, file, ["none"]) == HEADER
            assert len(records(content(reader, file, ["a", "{odd:1}:7"]))) == 2
            assert content(reader, file, []) == text
            assert content(reader, file, ["b", "."]) == text
            for wrong in ("zz", "*", "b:9-5", "b:x"):
                with pytest.raises(InvalidRegion):
                    file.plan([wrong])


def test_qualities_stay_as_they_were_written() -> None:
    lines = b"".join(b"a\t%d\t.\tA\tC\t430521.000\t.\t.\tGT\t0\n" % n for n in range(1, 900))
    reader = BytesReader(blocked(HEADER + lines, [3000]))
    plan = ways(VCF, reader)["table"].plan(["a:30-800"])
    assert any(isinstance(segment, Span) for segment in plan.segments)
    assert gzip.decompress(bytes_of(reader, plan)).count(b"\t430521.000\t") == 771


def test_unsorted_and_interleaved_files_are_scanned_and_that_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    for order in ([b"a\t9", b"a\t5", b"b\t1"], [b"a\t1", b"b\t1", b"a\t2"]):
        lines = [place + b"\t.\tA\tC\t.\t.\t.\tGT\t0" for place in order]
        text = HEADER + b"".join(line + b"\n" for line in lines)
        for data in (text, blocked(text, [50])):
            reader = BytesReader(data)
            assert VCF.indexable(reader) == "the records are not sorted by coordinate"
            with pytest.raises(FormatError, match="not sorted"):
                VCF.build_table(reader, None)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                plan = VCF.open(reader, kind=None, index=None, table=None).plan(["a", "none"])
            assert "no index" in caplog.text
            assert any(isinstance(segment, Stream) for segment in plan.segments)
            found = bytes_of(reader, plan)
            assert records(found if data is text else gzip.decompress(found)) == [x for x in lines if x[:1] == b"a"]


def test_plain_gzip_has_no_blocks(shared_data: Path) -> None:
    with PathReader(shared_data / "genomics" / "edge" / "plain_gzip_not_bgzf.vcf.gz") as reader:
        assert VCF.check(reader) == []
        assert "bgzip" in str(VCF.indexable(reader))
        with pytest.raises(FormatError, match="plain gzip"):
            VCF.open(reader, kind=None, index=None, table=None)


def test_files_of_nothing_but_a_header() -> None:
    for text in (b"##fileformat=VCFv4.2\n##x\n", HEADER, b"##fileformat=VCFv4.2"):
        for data in (text, blocked(text, [9])):
            reader = BytesReader(data)
            assert VCF.check(reader) == []
            file = ways(VCF, reader)["table"]
            assert content(reader, file, []) == text
            if b"contig" in text:
                assert content(reader, file, ["a:1-50"]) == text


def test_lines_that_cannot_be_read_are_errors() -> None:
    for line in (b"a\tx\t.\tA\tC\t.\t.\t.\n", b"a\t5\t.\tA\tC\t.\t.\n", b"a\t\t.\tA\tC\t.\t.\t.\n", b"junk"):
        reader = BytesReader(HEADER + line)
        assert "eight columns" in VCF.check(reader)[0]
        with pytest.raises(FormatError, match="eight columns"):
            VCF.build_table(reader, None)


def test_an_index_of_another_tool_is_not_needed(shared_data: Path) -> None:
    path = shared_data / "genomics" / "vcf" / "spec43_small.vcf.gz"
    assert [kind.suffixes for kind in VCF.indexes] == [()]
    with PathReader(path) as reader:
        assert "of its own" in str(VCF.check_index(reader, "tbi", Path(f"{path}.tbi").read_bytes()))


def test_an_index_built_from_a_path_is_the_table(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "genomics" / "vcf" / "gvcf_two_contigs.vcf.gz"
    kind = VCF.build_index(path, tmp_path / "index", 1)
    made = (tmp_path / "index").read_bytes()
    with PathReader(path) as reader:
        assert kind == VCF.table_kind
        assert made == VCF.build_table(reader, None) == VCF.build_table(reader, made)
        assert VCF.check_index(reader, kind, made) is None
        assert "damaged" in str(VCF.check_index(reader, kind, made[:-1]))
        assert VCF.indexable(reader) is None
        file = VCF.open(reader, kind=kind, index=made, table=None)
        assert len(records(content(reader, file, ["ctgA:23832-25832"]))) == 1163


class _Small:
    """A small file, and what its regions hold."""

    def __init__(self) -> None:
        rng = random.Random(8)
        lines = [
            b"%s\t%d\t.\tA\tC,<NON_REF>\t%d\t.\tEND=%d\tGT\t0/1" % (contig, pos, rng.randrange(999), pos + span)
            for contig in (b"a", b"b")
            for pos, span in sorted((rng.randrange(1, 5000), rng.choice([0, 3, 1500])) for _ in range(100))
        ]
        self.file = blocked(HEADER + b"".join(line + b"\n" for line in lines), [500])
        self.table = VCF.build_table(BytesReader(self.file), None)
        file = VCF.open(BytesReader(self.file), kind=None, index=None, table=self.table)
        self.wanted = {
            region: content(BytesReader(self.file), file, [region])
            for region in ("a", "a:2000-2500", "b:4000", "b:1-1")
        }

    def no_wrong_answer(self, file: bytes, table: bytes | None) -> int:
        reader, answers = BytesReader(file), 0
        for region, wanted in self.wanted.items():
            try:
                opened: RecordFile = VCF.open(reader, kind=None, index=None, table=table)
                found = content(reader, opened, [region])
            except (FormatError, InvalidRegion, gzip.BadGzipFile, zlib.error, EOFError):
                continue
            assert found == wanted, region
            answers += 1
        return answers


@pytest.fixture(scope="module")
def small() -> _Small:
    return _Small()


def test_damaged_bytes_are_errors_or_right(small: _Small) -> None:
    assert small.no_wrong_answer(small.file, small.table) == len(small.wanted)
    rng = random.Random(9)
    for _ in range(150):
        data = bytearray(small.file)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        small.no_wrong_answer(bytes(data), small.table)
        small.no_wrong_answer(bytes(data), None)
        cut = small.file[: rng.randrange(len(data))]
        small.no_wrong_answer(cut, None)
        assert VCF.check(BytesReader(cut)) != []
        table = bytearray(small.table)
        table[rng.randrange(len(table))] ^= 1 << rng.randrange(8)
        with pytest.raises(FormatError):
            VCF.open(BytesReader(small.file), kind=None, index=None, table=bytes(table))


def test_a_file_without_end_marker_is_told(small: _Small) -> None:
    reader = BytesReader(small.file.removesuffix(EOF))
    assert any("end marker" in problem for problem in VCF.check(reader))
    for region in ([], ["b"]):
        with pytest.raises(FormatError, match="end marker"):
            VCF.open(reader, kind=None, index=None, table=VCF.build_table(reader, None)).plan(region)


def test_the_format_keeps_its_contract() -> None:
    form: RegionFormat = VCF
    assert isinstance(form, RegionFormat)
    form.check_chunk(blocked(HEADER, [60]), 0)
    form.check_chunk(HEADER, 0)
    with pytest.raises(FormatError):
        form.check_chunk(blocked(HEADER, [60])[:-3], 0)
