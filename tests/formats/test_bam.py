"""Slices of BAMs are what samtools selects, record by record, whoever wrote the file."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import subprocess
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.alignments.bam import BAM
from lake.formats.base import RegionFile, RegionFormat
from lake.formats.intervals.record_file import RecordFile
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.region import Region
from lake.segments import Span, Stream
from tests.formats.bam_maker import EOF, PADDING, Made, Read, blocked, bytes_of, made_bam, parts, selected, spans_of

CONTIGS = [("a", 2_000_000), ("b", 100_000), ("c", 700_000_000), ("d", 1000)]
BAI_CONTIGS = [("a", 2_000_000), ("b", 100_000), ("d", 1000)]
BAM_FORMAT: RegionFormat = BAM


def _opened(reader: ByteReader, path: Path) -> dict[str, RecordFile]:
    """The file by every way to find records that it allows."""
    ways = {"scan": BAM.open(reader, kind=None, index=None, table=None)}
    for kind in ("bai", "csi"):
        index = Path(f"{path}.{kind}")
        if index.exists() and BAM.check_index(reader, kind, index.read_bytes()) is None:
            ways[kind] = BAM.open(reader, kind=kind, index=index.read_bytes(), table=None)
    if BAM.indexable(reader) != "the records are not sorted by coordinate":
        ways["table"] = BAM.open(reader, kind=None, index=None, table=BAM.build_table(reader, None))
    return ways


def _view(data: bytes, path: Path) -> bytes:
    path.write_bytes(data)
    subprocess.run(["samtools", "quickcheck", "-u", path], check=True)
    return subprocess.run(["samtools", "view", path], check=True, capture_output=True).stdout


def _expected(folder: Path) -> dict[str, dict[str, str]]:
    expected: dict[str, dict[str, str]] = {}
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, what, *value = line.split("\t")
            if what.startswith("region ") and name.endswith(".bam"):
                expected.setdefault(name, {})[what.removeprefix("region ")] = value[0]
    return expected


def test_expected_regions_by_every_locator(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in _expected(folder).items():
        with PathReader(folder / name) as reader:
            header = parts((folder / name).read_bytes()).header
            for way, file in _opened(reader, folder / name).items():
                for region, value in regions.items():
                    answer = bytes_of(reader, file.plan([region]))
                    text = _view(answer, tmp_path / "slice.bam")
                    count, *digest = value.split()
                    assert text.count(b"\n") == int(count), (name, way, region)
                    if digest:
                        assert hashlib.md5(text).hexdigest() == digest[0], (name, way, region)
                    assert parts(answer).header == header
                    compared += 1
    assert compared > 300


def test_several_regions_and_targets_are_those_of_samtools(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics" / "bam"
    path = folder / "na12878_chr20_21_unplaced.bam"
    bed = tmp_path / "targets.bed"
    bed.write_text("20\t10000089\t10000590\n21\t10000000\t10004000\n20 10000800\nzz\t1\t5\n")
    targets = [Region("20", 10_000_089, 10_000_590), Region("21", 10_000_000, 10_004_000)]
    targets.append(Region("20", 10_000_799, 10_000_800))
    for regions, limits in (
        (["20:10000100-10000200", "20:10000150-10000900", "21"], None),
        (["21:10002000-10003000", "20:10000100-10000100", "*"], None),
        (["20:10000489-10000989"], targets),
        ([], targets),
    ):
        command = ["samtools", "view", "-M", *(["-L", str(bed)] if limits else []), str(path), *regions]
        wanted = subprocess.run(command, check=True, capture_output=True).stdout
        assert wanted
        with PathReader(path) as reader:
            for file in _opened(reader, path).values():
                assert _view(bytes_of(reader, file.plan(regions, limits)), tmp_path / "slice.bam") == wanted


@cache
def _truth(path: Path) -> tuple[Made, list[tuple[int, int, int]], BytesReader, dict[str, RecordFile]]:
    reader = BytesReader(path.read_bytes())
    return parts(path.read_bytes()), spans_of(path), reader, _opened(reader, path)


@pytest.fixture(scope="module", autouse=True)
def _forget_files() -> Iterator[None]:
    yield
    _truth.cache_clear()


_FILES = [
    "hg18_45contigs_bai_csi.bam",
    "na12878_wgs_b37_unplaced.bam",
    "ont_longread_sv_200kb.bam",
    "pacbio_hifi_chr21_unplaced.bam",
    "rnaseq_barley_768mb_contig_csi.bam",
    "rnaseq_hcc1395_spliced.bam",
    "unsorted.bam",
    "volvox_bai_csi.bam",
]


@pytest.mark.parametrize("name", _FILES)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_regions_of_real_files(shared_data: Path, name: str, data: st.DataObject) -> None:
    path = shared_data / "genomics" / "bam" / name
    made, spans, reader, ways = _truth(path)
    contigs = list(ways["scan"].contigs)
    texts, wanted = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        tid, pos, end = spans[data.draw(st.integers(0, len(spans) - 1))]
        if tid < 0:
            texts.append("*")
            wanted.append((-1, 0, 0))
            continue
        start = max(data.draw(st.sampled_from([pos, end, end - 1, pos + 1])) + data.draw(st.integers(-50, 50)), 0)
        length = data.draw(st.sampled_from([1, 2, 100, 20_000, 1 << 40]))
        texts.append(str(Region(contigs[tid], start, start + length)))
        wanted.append((tid, start, start + length))
    chosen = [made.records[index] for index in selected(spans, wanted)]
    for way, file in ways.items():
        answer = parts(bytes_of(reader, file.plan(texts)))
        assert answer.header == made.header
        assert answer.records == chosen, (way, texts)


_cigars = st.sampled_from(["", "10M", "1M", "10S", "3M200N4M", "2M50000N8M", "1M1000000N1M", "5M2D5M"])
_sorted_reads = st.lists(
    st.builds(
        lambda tid, pos, cigar, flag, tags: Read(tid, pos, cigar, flag, tags=tags),
        st.integers(0, 2),
        st.one_of(st.integers(0, 300), st.integers(0, 99_000), st.sampled_from([16_383, 16_384, 32_768])),
        _cigars,
        st.sampled_from([0, 4, 16]),
        st.sampled_from([b"", PADDING]),
    ),
    max_size=50,
).map(sorted)


def _ways(
    made: Made, file: bytes, folder: Path
) -> tuple[BytesReader, list[tuple[int, int, int]], dict[str, RecordFile]]:
    path = folder / "made.bam"
    path.write_bytes(file)
    reader = BytesReader(file)
    kind = BAM.build_index(path, folder / "made.index", 1)
    index = (folder / "made.index").read_bytes()
    ways = {
        "scan": BAM.open(reader, kind=None, index=None, table=None),
        "table": BAM.open(reader, kind=None, index=None, table=BAM.build_table(reader, index)),
        kind: BAM.open(reader, kind=kind, index=index, table=None),
    }
    assert BAM.check(reader) == []
    assert BAM.check_index(reader, kind, index) is None
    return reader, spans_of(path), ways


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=_sorted_reads,
    unplaced=st.integers(0, 4),
    sizes=st.lists(st.integers(0, 1200), max_size=30),
    far=st.booleans(),
    data=st.data(),
)
def test_made_files_in_blocks_of_any_size(
    tmp_path: Path, reads: list[Read], unplaced: int, sizes: list[int], far: bool, data: st.DataObject
) -> None:
    contigs = CONTIGS if far else BAI_CONTIGS
    reads = [read._replace(pos=read.pos + 600_000_000) if far and read.tid == 2 else read for read in reads]
    made = made_bam(contigs, [*reads, *[Read(-1, -1, flag=4)] * unplaced])
    reader, spans, ways = _ways(made, blocked(made.inflated, [*sizes, 300]), tmp_path)
    for _ in range(4):
        wanted = []
        for _ in range(data.draw(st.integers(1, 3))):
            tid = data.draw(st.integers(0, 2))
            edges = sorted({0, 16_384, *(edge for t, *ends in spans if t == tid for edge in ends)})
            start = max(data.draw(st.sampled_from(edges)) + data.draw(st.integers(-1, 1)), 0)
            wanted.append((tid, start, start + data.draw(st.sampled_from([1, 300, 1 << 33]))))
        texts = [str(Region(contigs[tid][0], start, stop)) for tid, start, stop in wanted]
        if data.draw(st.booleans()):
            wanted.append((-1, 0, 0))
            texts.append("*")
        chosen = [made.records[index] for index in selected(spans, wanted)]
        for way, file in ways.items():
            answer = parts(bytes_of(reader, file.plan(texts)))
            assert answer == (made.header, chosen), (way, texts)


def test_long_records_long_headers_and_spliced_reads(tmp_path: Path) -> None:
    rng = random.Random(2)
    reads = [Read(0, 100, "5M1500000N5M", name="far")]
    reads += [Read(0, 1000 + 40 * n, f"{50 + n % 7}M") for n in range(20_000)]
    reads += [Read(0, 900_000, f"{n}M") for n in (70_000, 200_000, 70_000)]
    reads += [Read(1, pos, "10M") for pos in sorted(rng.sample(range(90_000), 500))]
    text = "@HD\tVN:1.6\n" + "".join(f"@CO\t{rng.random()}\n" for _ in range(8000))
    made = made_bam(CONTIGS, [*sorted(reads), Read(-1, -1, flag=4)], text)
    assert len(made.header) > 1 << 17
    for sizes in ([65_280], [len(made.header) - 65_280 * 2, 65_280], [40_000, 0, 7]):
        sizes = sizes if sizes[-1] > 7 else [40_000, 0, 3, 50_000]
        reader, spans, ways = _ways(made, blocked(made.inflated, sizes), tmp_path)
        for text_of, wanted in (
            ("a:1400000-1500000", (0, 1_399_999, 1_500_000)),
            ("a:300000-600000", (0, 299_999, 600_000)),
            ("a:950000-950000", (0, 949_999, 950_000)),
            ("a:1900000-", (0, 1_899_999, 1 << 40)),
            ("b:50000", (1, 49_999, 1 << 40)),
            ("c", (2, 0, 1 << 40)),
        ):
            chosen = [made.records[index] for index in selected(spans, [wanted])]
            for way, file in ways.items():
                plan = file.plan([text_of])
                assert parts(bytes_of(reader, plan)) == (made.header, chosen), (way, text_of)
        plan = ways["table"].plan(["a:300000-600000"])
        raw = sum(segment.length for segment in plan.segments if isinstance(segment, Span))
        assert raw > 50_000


def test_whole_files_and_nothing(tmp_path: Path) -> None:
    made = made_bam(CONTIGS, [Read(0, pos, "10M") for pos in range(0, 9000, 9)])
    data = blocked(made.inflated, [700])
    reader, _, ways = _ways(made, data, tmp_path)
    for way, file in ways.items():
        assert bytes_of(reader, file.plan([])) == data
        assert file.plan(["a:5-10", "."]).segments == (Span(reader.source, 0, len(data)),)
        for empty in (["a:2,000,001"], ["a:99999999"], ["b"], ["d:5-6"], ["*"]):
            assert parts(bytes_of(reader, file.plan(empty))) == (made.header, []), (way, empty)
        assert parts(bytes_of(reader, file.plan([], []))) == (made.header, [])
        for wrong in ("e", "a:9-5", "b:x"):
            with pytest.raises(InvalidRegion):
                file.plan([wrong])
        with pytest.raises(InvalidRegion):
            file.plan(["a", "nowhere"])


def test_a_file_without_index_is_scanned_and_that_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    reads = [Read(0, pos, "10M", tags=PADDING) for pos in range(3000)]
    random.Random(1).shuffle(reads)
    made = made_bam(CONTIGS, [Read(-1, -1, flag=4), *reads])
    reader = BytesReader(blocked(made.inflated, [5000]))
    assert BAM.indexable(reader) == "the records are not sorted by coordinate"
    with caplog.at_level(logging.WARNING):
        plan = BAM.open(reader, kind=None, index=None, table=None).plan(["a:11-20", "a:2,000-2,100", "*"])
    assert "no index" in caplog.text
    assert any(isinstance(segment, Stream) for segment in plan.segments)
    wanted = [made.records[0]]
    wanted += [read.encode() for read in reads if 0 < read.pos < 20 or 1989 < read.pos < 2100]
    assert parts(bytes_of(reader, plan)) == (made.header, [r for r in made.records if r in set(wanted)])


def test_an_unsorted_file_gets_no_index_and_leaves_no_litter(tmp_path: Path) -> None:
    made = made_bam(CONTIGS, [Read(0, 9, "10M"), Read(0, 5, "10M")])
    path = tmp_path / "unsorted.bam"
    path.write_bytes(blocked(made.inflated, [5000]))
    with pytest.raises(FormatError, match=r"^cannot be indexed: the records are not sorted"):
        BAM.build_index(path, tmp_path / "out.bai", 2)
    assert [item.name for item in tmp_path.iterdir()] == ["unsorted.bam"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty_no_eof.bam", "end marker is missing"),
        ("hg18_no_eof.bam", "end marker is missing"),
        ("bad_eof.bam", "end marker is missing"),
        ("truncated_midfile.bam", "cut off"),
        ("bad_header.bam", "not BGZF"),
        ("defective_bgzf.bam", "no BGZF block"),
        ("malformed_magic.bam", "not BGZF"),
        ("bitflip.bam", "BGZF block at 155026"),
    ],
)
def test_damaged_files_are_told(shared_data: Path, name: str, message: str) -> None:
    with PathReader(shared_data / "genomics" / "edge" / name) as reader:
        problems = BAM.check(reader)
    assert len(problems) == 1
    assert message in problems[0]


def test_sound_files_have_no_problems(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    sound = [*(folder / "bam").glob("*.bam")]
    names = "header_only empty_no_refs no_targets sq_not_in_text_header pha_big_header pha_leading_zero_index"
    names += " pha_no_linear_index malformed_sq_line_csi cigar_65535_overflow exact_duplicate_records stale_index"
    sound += [folder / "edge" / f"{name}.bam" for name in names.split()]
    for path in sound:
        with PathReader(path) as reader:
            assert BAM.check(reader) == [], path.name


def test_a_file_without_end_marker_answers_only_what_is_complete(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "genomics" / "edge" / "hg18_no_eof.bam"
    whole = tmp_path / "whole.bam"
    whole.write_bytes(path.read_bytes() + EOF)
    made, spans = parts(whole.read_bytes()), spans_of(whole)
    with PathReader(path) as reader:
        file = BAM.open(reader, kind=None, index=None, table=BAM.build_table(reader, None))
        contigs = list(file.contigs)
        present = sorted({tid for tid, _, _ in spans if tid >= 0})
        for tid in present:
            chosen = [made.records[index] for index in selected(spans, [(tid, 0, 1 << 40)])]
            assert parts(bytes_of(reader, file.plan([contigs[tid]]))).records == chosen
        for regions in ([], ["."], ["*"]):
            with pytest.raises(FormatError, match="end marker"):
                file.plan(regions)
        scanned = BAM.open(reader, kind=None, index=None, table=None)
        with pytest.raises(FormatError, match="end marker"):
            scanned.plan([contigs[present[0]]])


def test_many_threads_may_ask_at_once(shared_data: Path) -> None:
    made, spans, reader, ways = _truth(shared_data / "genomics" / "bam" / "hg18_45contigs_bai_csi.bam")
    contigs = list(ways["table"].contigs)
    present = sorted({tid for tid, _, _ in spans if tid >= 0})

    def ask(item: tuple[str, int]) -> bool:
        way, tid = item
        chosen = [made.records[index] for index in selected(spans, [(tid, 0, 1 << 40)])]
        return parts(bytes_of(reader, ways[way].plan([contigs[tid]]))).records == chosen

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [(way, tid) for tid in present for way in ("table", "bai", "csi")]))


class _Small:
    """A small file with everything in it, and what its regions hold."""

    def __init__(self, folder: Path) -> None:
        rng = random.Random(4)
        reads = [
            Read(rng.randrange(3), rng.randrange(60_000), rng.choice(["10M", "90M", "3M9000N2M"])) for _ in range(120)
        ]
        self.made = made_bam(BAI_CONTIGS, [*sorted(reads), *[Read(-1, -1, flag=4)] * 3])
        self.file = blocked(self.made.inflated, [900])
        _, self.spans, _ = _ways(self.made, self.file, folder)
        self.index = (folder / "made.index").read_bytes()
        self.table = BAM.build_table(BytesReader(self.file), None)
        self.wanted = {
            "a": (0, 0, 1 << 40),
            "a:20000-30000": (0, 19_999, 30_000),
            "b:50000-": (1, 49_999, 1 << 40),
            "b:16385": (1, 16_384, 1 << 40),
            "d:1-1": (2, 0, 1),
            "*": (-1, 0, 0),
        }

    def no_wrong_answer(self, file: bytes, *, index: bytes | None = None, table: bytes | None = None) -> int:
        """Ask for every region; an answer must be right or an error. Returns the number of answers."""
        reader = BytesReader(file)
        answers = 0
        for region, interval in self.wanted.items():
            try:
                plan = BAM.open(reader, kind="bai", index=index, table=table).plan([region])
                answer = bytes_of(reader, plan)
                found = parts(answer).records
            except (FormatError, InvalidRegion, gzip.BadGzipFile, zlib.error, EOFError):
                # What is copied untouched is not looked at: its damage is seen by whoever reads the slice.
                continue
            assert found == [self.made.records[index] for index in selected(self.spans, [interval])], region
            answers += 1
        return answers


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> _Small:
    return _Small(tmp_path_factory.mktemp("small"))


def test_prefixes_of_a_file_are_errors_or_right(small: _Small) -> None:
    assert small.no_wrong_answer(small.file, index=small.index) == len(small.wanted)
    for length in range(0, len(small.file), 37):
        small.no_wrong_answer(small.file[:length], index=small.index)
        small.no_wrong_answer(small.file[:length])
        assert BAM.check(BytesReader(small.file[:length])) != []


def test_flipped_bytes_of_a_file_are_errors_or_right(small: _Small) -> None:
    rng = random.Random(6)
    for _ in range(120):
        data = bytearray(small.file)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        small.no_wrong_answer(bytes(data), index=small.index)
        small.no_wrong_answer(bytes(data), table=small.table)
        small.no_wrong_answer(bytes(data))


def test_flipped_bytes_of_an_index_are_refused_or_harmless(small: _Small) -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(600):
        data = bytearray(small.index)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if BAM.check_index(BytesReader(small.file), "bai", bytes(data)) is not None:
            refused += 1
            continue
        small.no_wrong_answer(small.file, index=bytes(data))
    assert refused > 20


def test_a_table_of_another_file_is_refused(small: _Small) -> None:
    with pytest.raises(FormatError, match="block table"):
        BAM.open(BytesReader(small.file[:-1]), kind=None, index=None, table=small.table)


def test_the_format_keeps_its_contract() -> None:
    assert isinstance(BAM_FORMAT, RegionFormat)
    reader = BytesReader(blocked(made_bam(CONTIGS, []).inflated, [50]))
    file: RegionFile = BAM_FORMAT.open(reader, kind=None, index=None, table=None)
    assert list(file.contigs.items()) == CONTIGS
