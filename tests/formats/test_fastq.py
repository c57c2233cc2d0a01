"""Reads of FASTQ by number and by name: those of the field's own reader, byte for byte, in every container."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import RegionFormat
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.compression.inflated import Piece
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.sequences.fastq import FASTQ, FastqFile, build_name_index
from lake.formats.sequences.fastq_records import read_fastq
from lake.segments import Span, Stream
from tests.formats.bam_maker import bytes_of

FORMAT: RegionFormat = FASTQ
Reads = list[tuple[str | None, str | None, str | None]]


def _opened(reader: ByteReader) -> FastqFile:
    return FASTQ.open(reader, kind=None, index=None, table=None)


def _blocked(data: bytes, sizes: Iterable[int]) -> bytes:
    out, at, cycle = [], 0, list(sizes) or [60_000]
    while at < len(data):
        for size in cycle:
            out.append(compress(data[at : at + size]) if size else compress(b"") + EOF_BLOCK)
            at += size
    return b"".join(out) + EOF_BLOCK


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _by_pysam(path: Path) -> Reads:
    with pysam.FastxFile(str(path)) as file:
        return [(read.name, read.sequence, read.quality) for read in file]


def _sound(folder: Path) -> dict[str, tuple[int, int]]:
    """Numbers of reads and of bases of the files that are whole."""
    values: dict[str, dict[str, str]] = {}
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        name, what, *value = line.split("\t")
        if name.endswith((".fastq", ".fq", ".fastq.gz", ".fastq.bgz")) and "error" not in name:
            values.setdefault(name, {})[what] = value[0]
    return {name: (int(value["reads"]), int(value["bases"])) for name, value in values.items()}


def test_numbers_and_names_select_the_reads_of_htslib(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics"
    files = _sound(folder)
    assert len(files) == 10
    out = tmp_path / "slice.fastq"
    for name, (count, bases) in files.items():
        reads = _by_pysam(folder / name)
        assert (len(reads), sum(len(read[1] or "") for read in reads)) == (count, bases)
        text = _plain((folder / name).read_bytes())
        with PathReader(folder / name) as reader:
            assert FASTQ.check(reader) == []
            file = _opened(reader)
            assert file.reads == count
            named = file.with_names(build_name_index(reader))
            for first, last in ((1, 1), (count, count), (1, count), (count // 3 + 1, count // 2 + 1)):
                plan = file.plan([f"reads={first}-{last}"])
                answer = bytes_of(reader, plan)
                assert plan.verbatim
                assert answer.startswith(b"\x1f\x8b") == name.endswith(("gz", "bgz"))
                assert last - first + 1 < count or _plain(answer) == text
                out.write_bytes(answer)
                assert _by_pysam(out) == reads[first - 1 : last], (name, first, last)
            for number in (0, count // 2, count - 1):
                wanted = [read for read in reads if read[0] == reads[number][0]]
                out.write_bytes(bytes_of(reader, named.plan([f"name={reads[number][0]}"])))
                assert _by_pysam(out) == wanted


def test_damaged_files_say_which_read(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics" / "edge"
    for name, message in (
        ("error_short_qual.fastq", "read 3, at byte 242 of the text: 25 residues"),
        ("error_trunc_in_seq.fastq", "read 5, at byte 486 of the text: the file ends inside it"),
    ):
        with PathReader(folder / name) as reader:
            (problem,) = FASTQ.check(reader)
            assert problem.startswith(message)
            with pytest.raises(FormatError, match=message):
                _opened(reader)
        with pytest.raises(FormatError, match=f"cannot be indexed: {message}"):
            FASTQ.build_index(folder / name, tmp_path / "out", 1)
        assert list(tmp_path.iterdir()) == []


_record = st.builds(
    lambda number, residues, width, end, plus, quality: (
        b"@r%d d" % number
        + end
        + _wrapped(residues, width, end)
        + b"+"
        + plus
        + end
        + _wrapped(bytes(quality[n % len(quality)] for n in range(len(residues))), width, end)
    ),
    st.integers(0, 9),
    st.binary(max_size=24).map(lambda data: data.translate(bytes(b"ACGTN"[n % 5] for n in range(256)))),
    st.sampled_from([100, 100, 100, 5]),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
    st.sampled_from([b"", b"again"]),
    st.sampled_from([b"I", b"@", b"+", b"@+!", b">J+"]),
)


def _wrapped(text: bytes, width: int, end: bytes) -> bytes:
    return end.join([text[at : at + width] for at in range(0, len(text), width)] or [b""]) + end


@settings(deadline=None, max_examples=150)
@given(records=st.lists(_record, max_size=30), sizes=st.lists(st.integers(0, 90), max_size=8), data=st.data())
def test_made_files_in_every_container(records: list[bytes], sizes: list[int], data: st.DataObject) -> None:
    text = b"".join(records)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    pieces = [Piece.at(text[start:stop], start) for start, stop in pairwise([0, *cuts, len(text)])]
    starts = [int(address) for batch in read_fastq(pieces) for address in batch.address]
    assert starts == [sum(map(len, records[:number])) for number in range(len(records))]
    first = data.draw(st.integers(1, 33))
    last, other = first + data.draw(st.integers(0, 8)), data.draw(st.integers(1, 33))
    name = b"r%d" % data.draw(st.integers(0, 9))
    half = len(text) // 2
    by_number = [r for number, r in enumerate(records, 1) if first <= number <= last or number == other]
    by_name = [record for record in records if record[1:].split()[0] == name]
    for file in (text, _blocked(text, [*sizes, 30]), gzip.compress(text[:half]) + gzip.compress(text[half:])):
        if not file:
            continue
        reader = BytesReader(file)
        opened = _opened(reader)
        named = opened.with_names(build_name_index(reader))
        assert _plain(bytes_of(reader, opened.plan([f"reads={other},{first}-{last}"]))) == b"".join(by_number)
        for way in (opened, named):
            if by_name:
                assert _plain(bytes_of(reader, way.plan(["name=" + name.decode()]))) == b"".join(by_name)
            else:
                with pytest.raises(InvalidRegion, match="no read is called"):
                    way.plan(["name=" + name.decode()])


def _many(count: int) -> list[bytes]:
    rng = random.Random(7)
    sizes = [rng.choice([0, 30, 150, 150, 150, 20_000]) for _ in range(count)]
    return [
        b"@read%d/1 x\n%b\n+\n%b\n" % (n, b"ACGTC" * (size // 5), b"@" * (size // 5 * 5))
        for n, size in enumerate(sizes)
    ]


def test_interior_blocks_are_copied_and_plain_gzip_is_streamed() -> None:
    records = _many(3000)
    text = b"".join(records)
    wanted = b"".join(records[999:2000])
    for data in (text, _blocked(text, [65_000]), gzip.compress(text, 1)):
        reader = BytesReader(data)
        plan = _opened(reader).plan(["reads=1000-2000"])
        assert _plain(bytes_of(reader, plan)) == wanted
        spans = sum(segment.length for segment in plan.segments if isinstance(segment, Span))
        if data is text:
            assert spans == len(wanted)
        elif data[3] == 4:
            assert spans > 0
            assert bytes_of(reader, plan).endswith(EOF_BLOCK)
        else:
            assert [type(segment) for segment in plan.segments] == [Stream]
            assert bytes_of(reader, plan) == bytes_of(reader, plan)


def test_every_read_once_and_the_same_query_for_the_same_reads() -> None:
    records = _many(400)
    reader = BytesReader(b"".join(records))
    file = _opened(reader)
    plan = file.plan(["reads=50-60", "reads=7,55-70", "name=read6/1", "reads=399-"])
    wanted = [6, *range(49, 70), 398, 399]
    assert bytes_of(reader, plan) == b"".join(records[number] for number in wanted)
    assert plan.query == file.plan(["reads=7-7,50-70,399-1000"]).query == "6-7,49-70,398-400"
    assert bytes_of(reader, file.plan(["reads=-3"])) == b"".join(records[:3])
    assert file.plan(["reads=401-500"]).segments == ()
    assert file.plan([]).segments == file.plan(["reads=1", "."]).segments == (Span(reader.source, 0, reader.size),)
    for wrong in (
        "reads=0",
        "reads=9-5",
        "reads=",
        "reads=a",
        "reads=1,000-2,000",
        "chr1:1-2",
        "name=",
        "reads",
        "reads=--1",
    ):
        with pytest.raises(InvalidRegion):
            file.plan([wrong])
    with pytest.raises(Unsupported, match="targets"):
        file.plan([], [])


def test_names_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import lake.formats.sequences.fastq_names as names

    monkeypatch.setattr(names, "_MIX", np.uint64(0))
    records = _many(300)
    reader = BytesReader(b"".join(records))
    file = _opened(reader).with_names(build_name_index(reader))
    assert bytes_of(reader, file.plan(["name=read77/1"])) == records[77]
    with pytest.raises(InvalidRegion, match="no read is called 'read77'"):
        file.plan(["name=read77"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ACGT\n", "read 1, at byte 0 .*'@'"),
        (b"@a\nAC\n+\nII\nAC\n", "read 2, at byte 11 .*'@'"),
        (b"@a\nAC\n+\nII\n@b\n", "read 2, .*ends inside"),
        (b"@a\nAC\n+\n", "read 1, .*ends inside"),
        (b"@a\nAC\n+\nIII\n", "read 1, .*2 residues"),
        (b"@a\nAC\n+\nI\n@b\nAC\n+\nII\n", "read 1, .*2 residues"),
        (b">a\nAC\n", "'@'"),
    ],
)
def test_malformed_text_is_refused(text: bytes, message: str) -> None:
    for data in (text, _blocked(text, [4]), gzip.compress(text)):
        with pytest.raises(FormatError, match=message):
            _opened(BytesReader(data))


def test_blank_lines_and_ends_that_are_no_error() -> None:
    text = b"\n@a\nAC\n+\nII\n\n@b\n\n+\n\n\n@c\nA\n+\nI"
    reader = BytesReader(text)
    file = _opened(reader)
    assert file.reads == 3
    assert bytes_of(reader, file.plan(["reads=1"])) == b"@a\nAC\n+\nII\n\n"
    assert bytes_of(reader, file.plan(["reads=3"])) == b"@c\nA\n+\nI"
    assert _opened(BytesReader(b"@a\n\n+\n")).reads == 1


def test_damage_is_an_error_or_harmless() -> None:
    rng = random.Random(5)
    text = b"".join(_many(40))
    for sound in (_blocked(text, [700]), gzip.compress(text)):
        reader = BytesReader(sound)
        kept = _opened(reader)
        wanted = {query: _plain(bytes_of(reader, kept.plan([query]))) for query in ("reads=3-9", "reads=30")}
        errors = 0
        for step in range(150):
            data = bytearray(sound)
            if step % 2:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            else:
                del data[rng.randrange(1, len(data)) :]
            damaged = BytesReader(bytes(data))
            for query, answer in wanted.items():
                try:
                    assert _plain(bytes_of(damaged, _opened(damaged).plan([query]))) == answer
                except (FormatError, zlib.error):
                    errors += 1
        assert errors > 100


def test_indexes_are_sealed() -> None:
    reader = BytesReader(gzip.compress(b"".join(_many(50))))
    table, names = FASTQ.build_table(reader, None), build_name_index(reader)
    file = _opened(reader)
    for wrong in (names[:-1], b"", names[:20] + b"x" + names[21:]):
        with pytest.raises(FormatError, match="index of read names is damaged"):
            file.with_names(wrong)
    for wrong in (table[:-1], b"x", table[:20] + b"x" + table[21:]):
        with pytest.raises(FormatError, match="gzip index is damaged"):
            FASTQ.open(reader, kind=None, index=None, table=wrong)
    with pytest.raises(FormatError, match="belongs to a file of"):
        _opened(BytesReader(b"@a\nA\n+\nI\n")).with_names(names)


def test_the_format_keeps_its_contract(tmp_path: Path) -> None:
    for number, data in enumerate(
        (b"".join(_many(9)), _blocked(b"".join(_many(9)), [99]), gzip.compress(b"@a\nA\n+\nI\n"))
    ):
        path = tmp_path / f"{number}.fastq"
        path.write_bytes(data)
        kind = FORMAT.build_index(path, tmp_path / "index", 1)
        assert kind == FORMAT.indexes[0].kind
        with PathReader(path) as reader:
            index = (tmp_path / "index").read_bytes()
            file = FORMAT.open(reader, kind=kind, index=index, table=FORMAT.build_table(reader, index))
            assert dict(file.contigs) == {}
            assert _plain(bytes_of(reader, file.plan(["reads=1"]))).startswith(b"@")
            assert FORMAT.check_index(reader, kind, index) is not None
