"""Slices of BED, GFF3, GTF and any file that tabix can index hold the records that tabix selects."""

from __future__ import annotations

import gzip
import logging
import random
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion, LakeError, Unsupported
from lake.formats.lines.tabix import BED, GFF3, GTF, TEXT, TSV, TabixFormat
from lake.formats.lines.tabix_columns import TabixColumns, read_tabix_header
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.formats.sniffing import detect
from tests.formats.bam_maker import EOF, blocked, bytes_of
from tests.formats.text_files import blocked_format, content, expected_regions, records, ways

FORMATS = ("BED", "GFF3", "GTF", "TSV", "text")
FAR = 1 << 40


def _tabix(path: Path, *regions: str) -> list[bytes]:
    done = subprocess.run(["tabix", str(path), *regions], check=True, capture_output=True)
    return done.stdout.split(b"\n")[:-1]


def _index(path: Path) -> bytes | None:
    for kind in ("tbi", "csi"):
        if (index := Path(f"{path}.{kind}")).exists():
            return index.read_bytes()
    return None


def _form(path: Path) -> TabixFormat:
    found = detect(path.read_bytes()[: 1 << 16], path.name)
    assert found.name in FORMATS
    form = blocked_format(found.name)
    assert isinstance(form, TabixFormat)
    return form


def test_expected_regions_are_those_of_tabix(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in expected_regions(folder, (".bed.gz", ".gff.gz", ".gff3.gz", ".gtf.gz")).items():
        path = folder / name
        form, index = _form(path), _index(path)
        assert index is not None
        with PathReader(path) as reader:
            assert form.check(reader) == []
            for kind in ("tbi", "csi"):
                if Path(f"{path}.{kind}").exists():
                    assert form.check_index(reader, kind, Path(f"{path}.{kind}").read_bytes()) is None
            for way, file in ways(form, reader, index).items():
                for region, value in regions.items():
                    found = records(content(reader, file, [region]))
                    if "skiplines" in name:
                        assert found.pop(0) == b"chrom\tstart\tend\tname"
                    assert len(found) == int(value.split()[0]), (name, way, region)
                    assert found == [line.rstrip(b"\r") for line in _tabix(path, region)], (name, way, region)
                    compared += 1
    assert compared > 70


def test_random_regions_of_real_files(shared_data: Path) -> None:
    rng = random.Random(5)
    for path in sorted((shared_data / "genomics" / "tabix").glob("*.gz")):
        form, index = _form(path), _index(path)
        with PathReader(path) as reader:
            file = ways(form, reader, index)["table"]
            contigs = list(file.contigs)
            source = form.source(reader, form.flavour(index))
            spans = [
                span for batch in source.walk_all() for span in zip(*(x.tolist() for x in batch[5:8]), strict=True)
            ]
            head = len(records(content(reader, file, [f"{contigs[0]}:{FAR}"])))
            for _ in range(8):
                tid, pos, end = rng.choice(spans)
                start = max(rng.choice([pos, end]) + rng.randrange(-20, 20), 0)
                region = f"{contigs[tid]}:{start + 1}-{start + rng.choice([1, 300, 50_000])}"
                found = records(content(reader, file, [region]))[head:]
                assert found == [line.rstrip(b"\r") for line in _tabix(path, region)], (path.name, region)


_lines = st.lists(
    st.tuples(
        st.sampled_from([b"c", b"a"]),
        st.one_of(st.integers(0, 300), st.integers(16_300, 16_500)),
        st.sampled_from([0, 1, 2, 90, 17_000]),
        st.sampled_from([b"", b"\tname", b"\t" + b"x" * 200]),
    ),
    min_size=1,
    max_size=40,
).map(lambda lines: sorted(lines, key=lambda line: (b"ca".index(line[0]), line[1])))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_lines, sizes=st.lists(st.integers(1, 300), max_size=20), gff=st.booleans(), data=st.data())
def test_made_files_agree_with_tabix(
    tmp_path: Path,
    lines: list[tuple[bytes, int, int, bytes]],
    sizes: list[int],
    gff: bool,
    data: st.DataObject,
) -> None:
    if gff:
        rows = [b"%s\ts\tt\t%d\t%d\t.\t+\t.\tID=1%s" % (c, p + 1, p + max(n, 1), more) for c, p, n, more in lines]
        form, preset, header = GFF3, "gff", b"##gff-version 3\n"
    else:
        rows = [b"%s\t%d\t%d%s" % (c, p, p + n, more) for c, p, n, more in lines]
        form, preset, header = BED, "bed", b"#title\n"
    path = tmp_path / "made.gz"
    path.write_bytes(blocked(header + b"".join(row + b"\n" for row in rows), [*sizes, 200]))
    subprocess.run(["tabix", "-f", "-p", preset, str(path)], check=True, capture_output=True)
    reader = BytesReader(path.read_bytes())
    assert form.check_index(reader, "tbi", Path(f"{path}.tbi").read_bytes()) is None
    opened = ways(form, reader)
    for _ in range(4):
        contig, pos, length, _ = data.draw(st.sampled_from(lines))
        start = max(data.draw(st.sampled_from([pos, pos + length])) + data.draw(st.integers(-2, 2)), 0)
        region = f"{contig.decode()}:{start + 1}-{start + data.draw(st.sampled_from([1, 2, 400]))}"
        for way, file in opened.items():
            found = content(reader, file, [region])
            assert found.startswith(header)
            assert records(found) == _tabix(path, region), (way, region)


def test_columns_come_from_the_index(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.tsv.gz"
    rows = [b"id%d;1;chr%d;%d" % (n, n // 50, 10 * (n % 50)) for n in range(100)]
    text = b"name\tvalue\tcontig\tposition\n%not a record\n" + b"".join(
        row.replace(b";", b"\t") + b"\n" for row in rows
    )
    path.write_bytes(blocked(text, [300]))
    command = ["tabix", "-S", "1", "-c", "%", "-s", "3", "-b", "4", "-e", "4", "-0", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    index = Path(f"{path}.tbi").read_bytes()
    assert read_tabix_header(index).columns == TabixColumns(3, 4, 4, ord("%"), 1, zero_based=True)
    with PathReader(path) as reader:
        for form in (TSV, TEXT, BED):
            assert form.check_index(reader, "tbi", index) is None
            for file in ways(form, reader, index).values():
                found = content(reader, file, ["chr1:101-131"])
                assert found.startswith(b"name\tvalue\tcontig\tposition\n%not a record\n")
                assert found.split(b"\n")[2:-1] == _tabix(path, "chr1:101-131")
                assert len(found.split(b"\n")) == 7
        assert TSV.open(reader, kind="tbi", index=index, table=None).plan(["chr1:5"]).query.startswith("3,4,4,37,1,1;")


def test_without_an_index_some_formats_cannot_be_asked() -> None:
    reader = BytesReader(blocked(b"a\tb\tc\n1\t2\t3\n", [50]))
    for form in (TSV, TEXT):
        assert "tabix index" in str(form.indexable(reader))
        assert form.check(reader) == []
        with pytest.raises(Unsupported, match="tabix index"):
            form.open(reader, kind=None, index=None, table=None)


def test_wrong_indexes_are_refused(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    tabix = folder / "tabix"
    with PathReader(tabix / "bin_boundary.bed.gz") as reader:
        for other, message in (
            ("tabix/seg_dups_hg19.bed.gz.tbi", "other contigs"),
            ("tabix/gencode_v38_polyA.gff.gz.tbi", "numbers in columns 4 and 5"),
            ("vcf/spec43_small.vcf.gz.tbi", "made for VCF"),
            ("sam/brca1_HG00096.sam.gz.csi", "does not say which columns"),
            ("edge/empty.bed.gz.tbi", "agree"),
        ):
            assert message in str(BED.check_index(reader, "tbi", (folder / other).read_bytes())), other
        sound = (tabix / "bin_boundary.bed.gz.tbi").read_bytes()
        for length in range(0, len(sound), 5):
            assert BED.check_index(reader, "tbi", sound[:length]) is not None
    with PathReader(folder / "edge" / "toofew_fields.gtf.gz") as reader:
        assert GTF.check(reader) == []
        assert "cannot be read" in str(
            TEXT.check_index(reader, "tbi", _index(folder / "edge/toofew_fields.gtf.gz") or b"")
        )
    with PathReader(folder / "edge" / "empty.bed.gz") as reader:
        assert BED.check(reader) == []
        assert BED.check_index(reader, "tbi", (folder / "edge" / "empty.bed.gz.tbi").read_bytes()) is None
        assert bytes_of(reader, ways(BED, reader)["table"].plan([])) == EOF


def test_comments_in_the_middle_and_lines_for_browsers() -> None:
    text = b"browser position a:1\ntrack name=x\n#c\na\t5\t9\n###\n\na\t7\t9\ntrack name=y\nb\t1\t2"
    for data in (text, blocked(text, [11])):
        reader = BytesReader(data)
        for file in ways(BED, reader).values():
            assert list(file.contigs) == ["a", "b"]
            found = content(reader, file, ["a:6-6", "b"])
            assert found.startswith(b"browser position a:1\ntrack name=x\n#c\na\t5\t9\n")
            assert found.endswith(b"b\t1\t2")
            assert b"a\t7\t9" not in found
            with pytest.raises(InvalidRegion):
                file.plan(["*"])


def test_intervals_that_cover_no_base(tmp_path: Path) -> None:
    rows = [b"a\t5\t5", b"a\t5\t6", b"a\t9\t4", b"a\t9\t9", b"a\t20\t30"]
    path = tmp_path / "empty.bed.gz"
    path.write_bytes(blocked(b"".join(row + b"\n" for row in rows), [12]))
    with PathReader(path) as reader:
        for way, file in ways(BED, reader).items():
            for start in range(30):
                for length in (1, 3, 30):
                    region = f"a:{start + 1}-{start + length}"
                    wanted = [
                        row
                        for row, (begin, end) in zip(rows, [(5, 5), (5, 6), (9, 4), (9, 9), (20, 30)], strict=True)
                        if begin < start + length and end > start
                    ]
                    assert records(content(reader, file, [region])) == wanted, (way, region)


def test_lines_that_cannot_be_read_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    for text in (b"chrom\tstart\tend\na\t1\t2\n", b"a\t1\tx\n", b"a\n", b"a\t5\t-3\n"):
        reader = BytesReader(text)
        with pytest.raises(FormatError, match="cannot be read"):
            BED.build_table(reader, None)
    reader = BytesReader(b"a\t9\t10\na\t1\t2\n")
    assert BED.indexable(reader) == "the records are not sorted by coordinate"
    with caplog.at_level(logging.WARNING):
        file = BED.open(reader, kind=None, index=None, table=None)
        assert content(reader, file, ["a:1-5"]) == b"a\t1\t2\n"
    assert "no index" in caplog.text


def test_numbers_as_c_reads_them() -> None:
    reader = BytesReader(b"a\t010\t0x20\na\t +9\t12abc\na\t10\n")
    source = BED.source(reader, BED.flavour(None))
    batch = next(source.walk_all())
    assert list(zip(batch.pos.tolist(), batch.end.tolist(), strict=True)) == [(8, 32), (9, 12), (10, 11)]


def test_damaged_bytes_are_errors_or_right() -> None:
    rng = random.Random(3)
    rows = sorted((rng.randrange(3000), rng.choice([0, 1, 900])) for _ in range(150))
    data = blocked(b"".join(b"a\t%d\t%d\n" % (pos, pos + n) for pos, n in rows), [200])
    table = BED.build_table(BytesReader(data), None)
    file = BED.open(BytesReader(data), kind=None, index=None, table=table)
    wanted = {region: content(BytesReader(data), file, [region]) for region in ("a", "a:500-600", "a:2990")}
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        reader = BytesReader(bytes(damaged))
        for given_table in (table, None):
            for region, right in wanted.items():
                try:
                    opened = BED.open(reader, kind=None, index=None, table=given_table)
                    found = content(reader, opened, [region])
                except (LakeError, gzip.BadGzipFile, zlib.error, EOFError, AssertionError):
                    continue
                assert found == right
