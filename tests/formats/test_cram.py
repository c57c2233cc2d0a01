"""Slices of CRAMs are what samtools selects, whoever wrote the file and however it was cut into containers."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.base import ReferencedFormat, RegionFormat
from lake.formats.cram.cram import CRAM, CramFile
from lake.formats.cram.source import CramSource
from lake.formats.cram.structure import EOF_MARKERS, MULTIPLE
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.references import References
from lake.formats.region import Region
from lake.segments import Literal, Span, Stream
from tests.formats.bam_maker import bytes_of
from tests.formats.cram_maker import (
    CONTIGS,
    FastaReferences,
    Mapped,
    Truth,
    decoded,
    made_reference,
    make_cram,
    wanted_of,
)

CRAM_FORMAT: ReferencedFormat = CRAM
_FASTA = {
    "cram/na12878_tiny_v30.cram": "freebayes_q.fa",
    "cram/pacbio_longread_v30.cram": "whatshap_pacbio_ref.fasta",
    "cram/celegans_multiref_v30.cram": "ce.fa",
    "cram/celegans_range_v30.cram": "ce.fa",
    "cram/volvox_v31.cram": "volvox.fa.gz",
    "cram/sv_shortread_v31.cram": "delly_200kb.fa",
    "edge/v21_large_seq.cram": "ce.fa",
    "edge/invalid_records.cram": "ce.fa",
}
"""The reference of each file that needs one."""


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    before = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(before)


@pytest.fixture(scope="module")
def references(shared_data: Path) -> FastaReferences:
    return FastaReferences(*(shared_data / "genomics" / "fasta" / name for name in sorted(set(_FASTA.values()))))


def _ways(reader: ByteReader, references: References | None, crai: bytes | None = None) -> dict[str, CramFile]:
    """The file by every way to find records."""
    table = CRAM.build_table(reader, None)
    ways = {
        "headers": CRAM.open(reader, kind=None, index=None, table=None, references=references),
        "table": CRAM.open(reader, kind="crai", index=crai, table=table, references=references),
    }
    if crai is not None:
        assert CRAM.check_index(reader, "crai", crai) is None
        ways["crai"] = CRAM.open(reader, kind="crai", index=crai, table=None, references=references)
    return ways


def _view(data: bytes, path: Path, fasta: Path | None) -> bytes:
    path.write_bytes(data)
    subprocess.run(["samtools", "quickcheck", "-u", path], check=True)
    command = ["samtools", "view", *(["-T", str(fasta)] if fasta is not None else []), str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _expected(folder: Path) -> dict[str, dict[str, str]]:
    expected: dict[str, dict[str, str]] = {}
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, what, *value = line.split("\t")
            if what.startswith("region ") and name.endswith(".cram"):
                expected.setdefault(name, {})[what.removeprefix("region ")] = value[0]
    return expected


def test_expected_regions_by_every_way(shared_data: Path, tmp_path: Path, references: FastaReferences) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in _expected(folder).items():
        fasta = folder / "fasta" / _FASTA[name] if name in _FASTA else None
        with PathReader(folder / name) as reader:
            body = CramSource(reader).body
            ways = _ways(reader, references, (folder / f"{name}.crai").read_bytes())
            for way, file in ways.items():
                for region, value in regions.items():
                    answer = bytes_of(reader, file.plan([region]))
                    text = _view(answer, tmp_path / "slice.cram", fasta)
                    count, *digest = value.split()
                    assert text.count(b"\n") == int(count), (name, way, region)
                    if digest:
                        assert hashlib.md5(text).hexdigest() == digest[0], (name, way, region)
                    assert answer[:body] == reader.read(0, body)
                    compared += 1
    assert compared > 180


@pytest.mark.parametrize("name", ["volvox_v31", "na12878_wgs_b37_unplaced_v30_noref"])
def test_several_regions_and_targets_are_those_of_samtools(
    shared_data: Path, tmp_path: Path, references: FastaReferences, name: str
) -> None:
    folder = shared_data / "genomics"
    path = folder / "cram" / f"{name}.cram"
    fasta = folder / "fasta" / _FASTA[f"cram/{name}.cram"] if f"cram/{name}.cram" in _FASTA else None
    first, second = {
        "volvox_v31": ("ctgA:1000-2000", "ctgA:1500-9000"),
        "na12878_wgs_b37_unplaced_v30_noref": ("20:6059546-6060545", "11:5000000-5009000"),
    }[name]
    bed = tmp_path / "targets.bed"
    contig, _, positions = first.partition(":")
    start, stop = (int(number) for number in positions.split("-"))
    bed.write_text(f"{contig}\t{start + 100}\t{stop - 100}\n{contig}\t{start}\t{start + 50}\n")
    targets = [Region(contig, start + 100, stop - 100), Region(contig, start, start + 50)]
    for regions, limits in (([second, first, first], None), ([first, second], targets), ([], targets)):
        command = ["samtools", "view", "-M", *(["-T", str(fasta)] if fasta else [])]
        command += [*(["-L", str(bed)] if limits else []), str(path), *regions]
        wanted = subprocess.run(command, check=True, capture_output=True).stdout
        assert wanted
        with PathReader(path) as reader:
            for file in _ways(reader, references).values():
                assert _view(bytes_of(reader, file.plan(regions, limits)), tmp_path / "s.cram", fasta) == wanted


def test_several_regions_within_slices_of_several_contigs(
    shared_data: Path, tmp_path: Path, references: FastaReferences
) -> None:
    path = shared_data / "genomics" / "cram" / "celegans_range_v30.cram"
    fasta = shared_data / "genomics" / "fasta" / "ce.fa"
    # samtools 1.16 -M adds reads of CHROMOSOME_I here: in a slice of several contigs it compares positions alone.
    wanted = wanted_of(decoded(path, fasta), [(1, 1199, 1300), (2, 1616, 2616)])
    with PathReader(path) as reader:
        for file in _ways(reader, references).values():
            plan = file.plan(["CHROMOSOME_III:1617-2616", "CHROMOSOME_II:1200-1300", "CHROMOSOME_III:2000-2100"])
            (tmp_path / "slice.cram").write_bytes(bytes_of(reader, plan))
            assert decoded(tmp_path / "slice.cram", fasta).texts == wanted


def test_containers_that_share_an_offset_are_not_lost(shared_data: Path, references: FastaReferences) -> None:
    path = shared_data / "genomics" / "cram" / "celegans_multiref_v30.cram"
    offsets = [int(line.split()[3]) for line in gzip.decompress(Path(f"{path}.crai").read_bytes()).splitlines()]
    # From a line's offset to the next line's: for most of these lines that is nothing at all.
    assert sum(here == following for here, following in pairwise(offsets)) > len(offsets) / 2
    truth = decoded(path, shared_data / "genomics" / "fasta" / "ce.fa")
    with PathReader(path) as reader:
        source = CramSource(reader)
        slices = [located for container in source.containers() for located in source.slices(container)]
        assert any(located.header.reference == MULTIPLE for located in slices)
        for file in _ways(reader, references).values():
            for tid, name in enumerate(file.contigs):
                answer = file.plan([name])
                assert len(wanted_of(truth, [(tid, 0, 1 << 40)])) == _count(reader, bytes_of(reader, answer))
            assert _count(reader, bytes_of(reader, file.plan(["*"]))) == 300


def _count(reader: ByteReader, data: bytes) -> int:
    return sum(container.header.records for container in CramSource(BytesReader(data)).containers())


@pytest.mark.parametrize(
    ("name", "version", "codecs"),
    [
        ("edge/v21_large_seq.cram", (2, 1), 2),
        ("cram/na12878_tiny_v30.cram", (3, 0), 4),
        ("cram/volvox_v31.cram", (3, 1), 8),
    ],
)
def test_edges_keep_the_version_of_the_file(
    shared_data: Path, references: FastaReferences, name: str, version: tuple[int, int], codecs: int
) -> None:
    with PathReader(shared_data / "genomics" / name) as reader:
        file = CRAM.open(reader, kind=None, index=None, table=None, references=references)
        contig = next(iter(file.contigs))
        plan = file.plan([f"{contig}:500"])
        assert any(isinstance(segment, Literal) for segment in plan.segments)
        assert not plan.verbatim
        answer = BytesReader(bytes_of(reader, plan))
    source = CramSource(answer)
    assert (source.major, source.minor) == version
    methods = {block.header.method for container in source.containers() for block in source.blocks(container)}
    assert max(methods) <= codecs
    assert answer.read(source.end, 100) == EOF_MARKERS[version[0]]


def test_the_header_container_of_2_1_states_its_length_wrongly(shared_data: Path) -> None:
    path = shared_data / "genomics" / "edge" / "v21_large_seq.cram"
    with PathReader(path) as reader:
        source = CramSource(reader)
        stated = source.container(26).end
        first = int(gzip.decompress(Path(f"{path}.crai").read_bytes()).split()[3])
        assert stated != source.body == first


def test_what_needs_a_reference_says_which(shared_data: Path, references: FastaReferences) -> None:
    folder = shared_data / "genomics"
    for name in _expected(folder):
        with PathReader(folder / name) as reader:
            needed = CRAM.required_references(reader)
            assert bool(needed) == (name in _FASTA), name
            assert all(references.find(item.md5 or "", item.length) is not None for item in needed)
    with PathReader(folder / "edge" / "missing_reference.cram") as reader:
        assert CRAM.check(reader) == []
        (needed_here,) = CRAM.required_references(reader)
        assert needed_here == ("20", "0dec9660ec1efaaf33281c0d5ea2560f", 63_025_520)
        file = CRAM.open(reader, kind=None, index=None, table=None, references=references)
        message = "needs reference M5 0dec9660ec1efaaf33281c0d5ea2560f of contig 20: put a FASTA"
        with pytest.raises(FormatError, match=message):
            file.plan(["20:70000-70100"])
        # What need not be decoded needs no reference.
        assert file.plan(["20"]).verbatim


def test_paths_in_headers_are_never_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fasta = made_reference(tmp_path)
    path = tmp_path / "made.cram"
    make_cram(path, [Mapped(0, pos) for pos in range(0, 3000, 10)], ["version=3.0"], fasta)
    cache = tmp_path / "cache"
    cache.mkdir()
    for line in decoded_header(path).splitlines():
        if line.startswith("@SQ"):
            fields = dict(field.split(":", 1) for field in line.split("\t")[1:])
            assert Path(fields["UR"].removeprefix("file://")) == fasta
            sequence = pysam.FastaFile(str(fasta)).fetch(fields["SN"])
            (cache / fields["M5"]).write_text(sequence)
    references = FastaReferences(fasta)
    truth = decoded(path, fasta)
    Path(f"{fasta}.fai").unlink()
    for name in ("REF_PATH", "REF_CACHE"):
        monkeypatch.setenv(name, f"{cache}/%s")
    with PathReader(path) as reader:
        file = CRAM.open(reader, kind=None, index=None, table=None)
        with pytest.raises(FormatError, match="needs reference M5"):
            file.plan(["a:100-200"])
        file = CRAM.open(reader, kind=None, index=None, table=None, references=references)
        (tmp_path / "slice.cram").write_bytes(bytes_of(reader, file.plan(["a:100-200"])))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cache", "made.cram", "reference.fa", "slice.cram"]
    # Trimmed containers carry their bases: nothing but the file is needed to read them.
    assert decoded(tmp_path / "slice.cram").texts == wanted_of(truth, [(0, 99, 200)])


def decoded_header(path: Path) -> str:
    with pysam.AlignmentFile(str(path), "rc") as file:
        return str(file.header)


def test_a_wrong_reference_is_an_error(tmp_path: Path) -> None:
    fasta = made_reference(tmp_path)
    path = tmp_path / "made.cram"
    make_cram(path, [Mapped(0, pos) for pos in range(0, 3000, 10)], ["version=3.0"], fasta)

    class Liar:
        def __init__(self, missing: int) -> None:
            self._missing = missing

        def find(self, md5: str, length: int) -> Liar:
            return self

        def fetch(self, start: int, stop: int) -> bytes:
            return b"A" * (stop - start - self._missing)

    with PathReader(path) as reader:
        for missing, message in ((0, "cannot be decoded"), (1, "shorter than")):
            file = CRAM.open(reader, kind=None, index=None, table=None, references=Liar(missing))
            with pytest.raises(FormatError, match=message):
                file.plan(["a:100-200"])


_reads = st.lists(
    st.builds(
        Mapped,
        st.integers(0, 2),
        st.one_of(st.integers(0, 60), st.integers(0, 1900)),
        st.sampled_from(["20M", "1M", "5S10M5S", "5M40N15M", "5M1500N5M", "8M2D10M", "8M3I9M", "3H20M"]),
        st.sampled_from([0, 0, 0, 4, 16, 256, 1024]),
        st.integers(0, 1000),
        st.just(0),
    ),
    max_size=60,
)
_modes = st.sampled_from(["", "no_ref=1", "embed_ref=1", "embed_ref=2"])
_layouts = st.tuples(
    st.sampled_from(["version=2.1", "version=3.0", "version=3.1"]),
    st.integers(1, 25).map("seqs_per_slice={}".format),
    st.integers(1, 4).map("slices_per_container={}".format),
    st.sampled_from(["multi_seq_per_slice=0", "multi_seq_per_slice=1", "multi_seq_per_slice=-1"]),
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_reference(tmp_path_factory.mktemp("reference"))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=_reads,
    unplaced=st.integers(0, 5),
    pairs=st.booleans(),
    in_order=st.booleans(),
    mode=_modes,
    layout=_layouts,
    data=st.data(),
)
def test_made_files_of_any_layout(
    tmp_path: Path,
    reference: Path,
    reads: list[Mapped],
    unplaced: int,
    pairs: bool,
    in_order: bool,
    mode: str,
    layout: tuple[str, ...],
    data: st.DataObject,
) -> None:
    # The writer that makes these files corrupts its own memory when it derives a reference from unsorted reads.
    assume(in_order or mode != "embed_ref=2")
    made = sorted(reads) if in_order else reads
    if pairs:
        firsts = [read._replace(flag=0x41 | read.flag & 16, mate=50) for read in made[::2] if not read.flag & 4]
        mates = [read._replace(flag=0x81, pos=read.pos + 50, mate=-50, cigar="20M") for read in firsts]
        made = sorted([*firsts, *mates]) if in_order else [*firsts, *mates]
    made = [*made, *[Mapped(-1, -1, flag=4, seed=seed) for seed in range(unplaced)]]
    if not in_order:
        random.Random(len(made)).shuffle(made)
    path = tmp_path / "made.cram"
    order = "coordinate" if in_order and data.draw(st.booleans()) else "unknown"
    make_cram(path, made, [*layout, *([mode] if mode else [])], reference, order)
    truth = decoded(path, reference)
    assert len(truth.texts) == len(made)
    reader = BytesReader(path.read_bytes())
    assert CRAM.check(reader) == []
    crai = None
    if in_order:
        assert CRAM.indexable(reader) is None
        assert CRAM.build_index(path, tmp_path / "made.crai", 1) == "crai"
        crai = (tmp_path / "made.crai").read_bytes()
    ways = _ways(reader, FastaReferences(reference), crai)
    if mode in ("no_ref=1", "embed_ref=2"):
        assert CRAM.required_references(reader) == []
    for _ in range(3):
        texts, wanted = _drawn(data, truth)
        chosen = wanted_of(truth, wanted)
        for way, file in ways.items():
            (tmp_path / "slice.cram").write_bytes(bytes_of(reader, file.plan(texts)))
            assert decoded(tmp_path / "slice.cram", reference).texts == chosen, (way, texts)
        assert len({bytes_of(reader, file.plan(texts)) for file in ways.values()}) == 1


def _drawn(data: st.DataObject, truth: Truth) -> tuple[list[str], list[tuple[int, int, int]]]:
    texts, wanted = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        tid = data.draw(st.integers(-1, 2))
        if tid < 0:
            texts.append("*")
            wanted.append((-1, 0, 0))
            continue
        edges = sorted({0, *(edge for t, *ends in truth.spans if t == tid for edge in ends)})
        start = max(data.draw(st.sampled_from(edges)) + data.draw(st.integers(-1, 1)), 0)
        stop = start + data.draw(st.sampled_from([1, 40, 500, 1 << 40]))
        texts.append(str(Region(list(CONTIGS)[tid], start, stop)))
        wanted.append((tid, start, stop))
    return texts, wanted


@pytest.mark.parametrize("layout", ["multi_seq_per_slice=0", "multi_seq_per_slice=1"])
def test_a_built_index_is_that_of_samtools(tmp_path: Path, reference: Path, layout: str) -> None:
    reads = [Mapped(tid, pos, seed=pos) for tid in range(3) for pos in range(0, 1500, 13)]
    path = tmp_path / "made.cram"
    options = ["version=3.0", "seqs_per_slice=30", "slices_per_container=2", layout]
    make_cram(path, [*reads, *[Mapped(-1, -1, flag=4)] * 40], options, reference)
    CRAM.build_index(path, tmp_path / "ours.crai", 1)
    pysam.index("-o", str(tmp_path / "theirs.crai"), str(path))
    assert gzip.decompress((tmp_path / "ours.crai").read_bytes()) == gzip.decompress(
        (tmp_path / "theirs.crai").read_bytes()
    )


@pytest.mark.parametrize("mode", ["no_ref=1", "embed_ref=2"])
def test_unmapped_reads_that_slice_headers_leave_out(tmp_path: Path, reference: Path, mode: str) -> None:
    reads = [Mapped(0, 0), Mapped(0, 5, "1M"), Mapped(0, 100, "1M"), Mapped(0, 200, flag=4)]
    reads += [Mapped(0, 250, flag=4), Mapped(0, 300), Mapped(0, 400, flag=4), Mapped(0, 500, flag=4)]
    path = tmp_path / "made.cram"
    make_cram(path, reads, ["version=3.0", "seqs_per_slice=2", mode], reference)
    truth = decoded(path)
    reader = BytesReader(path.read_bytes())
    source = CramSource(reader)
    headers = [located.header for container in source.containers() for located in source.slices(container)]
    # By its header the second slice ends at 101, yet it has a read at 200.
    assert mode != "no_ref=1" or (headers[1].start, headers[1].span) == (101, 1)
    CRAM.build_index(path, tmp_path / "made.crai", 1)
    for way, file in _ways(reader, None, (tmp_path / "made.crai").read_bytes()).items():
        for start in range(0, 520, 10):
            for stop in (start + 1, start + 60, 1000):
                (tmp_path / "slice.cram").write_bytes(bytes_of(reader, file.plan([f"a:{start + 1}-{stop}"])))
                found = decoded(tmp_path / "slice.cram").texts
                assert found == wanted_of(truth, [(0, start, stop)]), (way, start, stop)


def test_record_counters_only_grow(tmp_path: Path, reference: Path) -> None:
    for version in ("2.1", "3.0", "3.1"):
        path = tmp_path / "made.cram"
        reads = [Mapped(0, pos, seed=pos) for pos in range(0, 3900, 3)]
        options = [f"version={version}", "seqs_per_slice=100", "slices_per_container=2"]
        make_cram(path, reads, options, reference)
        reader = BytesReader(path.read_bytes())
        file = CRAM.open(reader, kind=None, index=None, table=None, references=FastaReferences(reference))
        plan = file.plan(["a:350-3700"])
        assert [type(segment) for segment in plan.segments] == [Span, Literal, Span, Literal, Span]
        source = CramSource(BytesReader(bytes_of(reader, plan)))
        reached = -1
        for container in source.containers():
            assert container.header.counter > reached
            reached = container.header.counter + container.header.records - 1
            source.slices(container)
        assert reached < len(reads)


def test_made_up_names_keep_their_numbers(tmp_path: Path, reference: Path) -> None:
    path = tmp_path / "made.cram"
    reads = [
        Mapped(0, pos, flag=flag, mate=mate) for pos in range(0, 3000, 20) for flag, mate in ((0x41, 1), (0x81, -1))
    ]
    reads = [read._replace(pos=read.pos + (read.mate < 0)) for read in reads]
    make_cram(path, reads, ["version=3.0", "seqs_per_slice=100", "lossy_names=1", "name_prefix=x"], reference)
    reader = BytesReader(path.read_bytes())
    file = CRAM.open(reader, kind=None, index=None, table=None, references=FastaReferences(reference))
    truth = decoded(path, reference)
    (tmp_path / "slice.cram").write_bytes(bytes_of(reader, file.plan(["a:1001-1100"])))
    found = decoded(tmp_path / "slice.cram", reference).texts
    assert len(found) == len(wanted_of(truth, [(0, 1000, 1100)]))
    assert [text.split("\t", 1)[1] for text in found] == [
        text.split("\t", 1)[1] for text in wanted_of(truth, [(0, 1000, 1100)])
    ]


def test_whole_files_and_nothing(shared_data: Path, references: FastaReferences) -> None:
    path = shared_data / "genomics" / "cram" / "celegans_range_v30.cram"
    with PathReader(path) as reader:
        for file in _ways(reader, references).values():
            whole = (Span(reader.source, 0, reader.size),)
            assert file.plan([]).segments == file.plan(["CHROMOSOME_I:5-10", "."]).segments == whole
            for regions in (["CHROMOSOME_I:1,009,801"], ["CHROMOSOME_V"], ["*"], ["CHROMOSOME_III:1112-1229"]):
                assert CramSource(BytesReader(bytes_of(reader, file.plan(regions)))).body
                assert _count(reader, bytes_of(reader, file.plan(regions))) == 0
            for wrong in ("e", "CHROMOSOME_I:9-5", "CHROMOSOME_I:x"):
                with pytest.raises(InvalidRegion):
                    file.plan([wrong])


def test_many_containers_are_cut_while_the_answer_is_read(
    tmp_path: Path, reference: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "unsorted.cram"
    reads = [Mapped(pos % 3, pos, seed=pos) for pos in range(1500)]
    random.Random(1).shuffle(reads)
    make_cram(path, reads, ["version=3.0", "seqs_per_slice=50"], reference, "unsorted")
    truth = decoded(path, reference)
    reader = BytesReader(path.read_bytes())
    assert CRAM.indexable(reader) == "the records are not sorted by coordinate"
    with pytest.raises(FormatError, match=r"^cannot be indexed"):
        CRAM.build_index(path, tmp_path / "out.crai", 1)
    assert not (tmp_path / "out.crai").exists()
    file = CRAM.open(reader, kind=None, index=None, table=None, references=FastaReferences(reference))
    with caplog.at_level(logging.WARNING):
        plan = file.plan(["b:101-300"])
    assert "containers must be decoded" in caplog.text
    assert any(isinstance(segment, Stream) for segment in plan.segments)
    (tmp_path / "slice.cram").write_bytes(bytes_of(reader, plan))
    assert decoded(tmp_path / "slice.cram", reference).texts == wanted_of(truth, [(1, 100, 300)])


def test_many_threads_may_ask_at_once(shared_data: Path, references: FastaReferences) -> None:
    folder = shared_data / "genomics"
    path = folder / "cram" / "na12878_wgs_b37_unplaced_v30_noref.cram"
    reader = BytesReader(path.read_bytes())
    ways = _ways(reader, None)
    regions = [f"20:{start}-{start + 200}" for start in range(6_059_000, 6_062_000, 500)]
    wanted = [bytes_of(reader, ways["table"].plan([region])) for region in regions]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda region: bytes_of(reader, ways["headers"].plan([region])), regions * 3))
    assert found == wanted * 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty_noeof", "end marker is missing"),
        ("truncated_v21", "end marker is missing"),
        ("truncated_v30", "end marker is missing"),
    ],
)
def test_damaged_files_are_told(shared_data: Path, name: str, message: str) -> None:
    with PathReader(shared_data / "genomics" / "edge" / f"{name}.cram") as reader:
        (problem,) = CRAM.check(reader)
        assert message in problem
        with pytest.raises(FormatError, match=message):
            CRAM.build_table(reader, None)
        with pytest.raises(FormatError, match=message):
            CRAM.open(reader, kind=None, index=None, table=None).plan([])


def test_sound_files_have_no_problems(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    paths = [*(folder / "cram").glob("*.cram")]
    paths += [folder / "edge" / f"{name}.cram" for name in ("empty_eof", "v21_large_seq", "invalid_records")]
    for path in paths:
        with PathReader(path) as reader:
            assert CRAM.check(reader) == [], path.name
            assert CRAM.indexable(reader) is None


def test_other_files_and_versions_are_refused() -> None:
    for data, message in (
        (b"", "not a CRAM"),
        (b"BAM\1" + bytes(60), "not a CRAM"),
        (b"CRAM\4\0" + bytes(60), r"CRAM 4\.0 is not known"),
        (b"CRAM\3\0" + bytes(60), "no sound CRAM container"),
        (b"CRAM\3\0" + bytes(20), "cut off"),
    ):
        assert message.replace("\\", "") in CRAM.check(BytesReader(data))[0]
        with pytest.raises(FormatError, match=message):
            CRAM.open(BytesReader(data), kind=None, index=None, table=None)


class _Small:
    """A small file with everything in it, and what its regions hold."""

    def __init__(self, folder: Path, reference: Path) -> None:
        rng = random.Random(4)
        reads = [Mapped(tid, pos, seed=pos) for tid in range(2) for pos in sorted(rng.sample(range(1800), 60))]
        reads += [Mapped(2, pos, seed=pos) for pos in (5, 50, 500)]
        self.path = folder / "small.cram"
        options = ["version=3.0", "seqs_per_slice=15", "slices_per_container=2", "no_ref=1"]
        make_cram(self.path, [*reads, *[Mapped(-1, -1, flag=4)] * 4], options, reference)
        self.file = self.path.read_bytes()
        self.truth = decoded(self.path)
        reader = BytesReader(self.file)
        CRAM.build_index(self.path, folder / "small.crai", 1)
        self.index = gzip.decompress((folder / "small.crai").read_bytes())
        self.table = CRAM.build_table(reader, None)
        self.wanted = {
            "a": (0, 0, 1 << 40),
            "a:500-900": (0, 499, 900),
            "b:300-": (1, 299, 1 << 40),
            "c:50-60": (2, 49, 60),
            "*": (-1, 0, 0),
        }
        self.slice = folder / "slice.cram"

    def no_wrong_answer(self, file: bytes, *, index: bytes | None = None, table: bytes | None = None) -> int:
        """Ask for every region; an answer must be right or an error. Returns the number of answers."""
        reader = BytesReader(file)
        answers = 0
        for region, interval in self.wanted.items():
            try:
                opened = CRAM.open(reader, kind="crai", index=index, table=table)
                self.slice.write_bytes(bytes_of(reader, opened.plan([region])))
                found = decoded(self.slice).texts
            except (FormatError, InvalidRegion, OSError, ValueError):
                # What is copied untouched is not looked at: its damage is seen by whoever reads the slice.
                continue
            assert found == wanted_of(self.truth, [interval]), region
            answers += 1
        return answers


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> _Small:
    return _Small(tmp_path_factory.mktemp("small"), reference)


def test_prefixes_of_a_file_are_errors(small: _Small) -> None:
    assert small.no_wrong_answer(small.file, index=small.index) == len(small.wanted)
    for length in range(0, len(small.file), 41):
        assert small.no_wrong_answer(small.file[:length], index=small.index) == 0
        assert small.no_wrong_answer(small.file[:length]) == 0
        assert CRAM.check(BytesReader(small.file[:length])) != []


def test_flipped_and_zeroed_bytes_of_a_file_are_errors_or_right(small: _Small) -> None:
    rng = random.Random(6)
    for number in range(90):
        data = bytearray(small.file)
        at = rng.randrange(len(data))
        if number % 3:
            data[at] ^= 1 << rng.randrange(8)
        else:
            data[at : at + 30] = bytes(len(data[at : at + 30]))
        small.no_wrong_answer(bytes(data), index=small.index)
        small.no_wrong_answer(bytes(data), table=small.table)
        small.no_wrong_answer(bytes(data))
        if 26 < at < len(data) - 38 and bytes(data) != small.file:
            assert CRAM.check(BytesReader(bytes(data))) != []
            with pytest.raises(FormatError):
                CRAM.build_table(BytesReader(bytes(data)), None)


def test_flipped_bytes_of_an_index_are_refused_or_harmless(small: _Small) -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(200):
        data = bytearray(small.index)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if CRAM.check_index(BytesReader(small.file), "crai", bytes(data)) is not None:
            refused += 1
            continue
        small.no_wrong_answer(small.file, index=bytes(data))
    assert refused > 100


def test_indexes_of_other_files_are_refused(shared_data: Path, small: _Small) -> None:
    lines = small.index.splitlines(keepends=True)
    reader = BytesReader(small.file)
    assert CRAM.check_index(reader, "crai", gzip.compress(small.index)) is None
    for wrong, message in (
        (b"".join(lines[1:]), "lacks the slice"),
        (b"".join([*lines, lines[0].replace(b"\n", b"0\n")]), None),
        (gzip.compress(small.index)[:-9], "cut off"),
        (b"1\t2\t3\n", "six integers"),
        (b"9" * 40, "six integers"),
        (b"\x1f\x8bnonsense", "does not decompress"),
        (Path(shared_data / "genomics/cram/volvox_v31.cram.crai").read_bytes(), "belongs to another file"),
        (lines[0].replace(b"0\t", b"1\t", 1) + b"".join(lines[1:]), "does not name"),
    ):
        reason = CRAM.check_index(reader, "crai", wrong)
        assert (reason is None) == (message is None), wrong[:50]
        assert message is None or message in (reason or "")
    stale = shared_data / "genomics" / "cram"
    with PathReader(stale / "na12878_tiny_v30.cram") as other:
        assert CRAM.check_index(other, "crai", (stale / "pacbio_longread_v30.cram.crai").read_bytes()) is not None


def test_a_table_of_another_file_is_refused(small: _Small) -> None:
    with pytest.raises(FormatError, match="slice table"):
        CRAM.open(BytesReader(small.file[:-1]), kind=None, index=None, table=small.table)


def test_chunks_are_proven(shared_data: Path, small: _Small) -> None:
    for path in (small.path, shared_data / "genomics" / "edge" / "v21_large_seq.cram"):
        data = path.read_bytes()
        source = CramSource(BytesReader(data))
        cuts = [0, *[container.offset for container in source.containers()][1:], len(data)]
        for start, stop in pairwise(cuts):
            CRAM.check_chunk(data[start:stop], start)
            with pytest.raises(FormatError):
                CRAM.check_chunk(data[start : stop - 1], start)
            if source.major == 3:
                damaged = bytearray(data[start:stop])
                damaged[len(damaged) // 2] ^= 1
                with pytest.raises(FormatError):
                    CRAM.check_chunk(bytes(damaged), start)


def test_the_format_keeps_its_contract(small: _Small) -> None:
    assert isinstance(CRAM_FORMAT, RegionFormat)
    assert isinstance(CRAM_FORMAT, ReferencedFormat)
    plain: RegionFormat = CRAM_FORMAT
    file = plain.open(BytesReader(small.file), kind=None, index=None, table=None)
    assert dict(file.contigs) == CONTIGS
