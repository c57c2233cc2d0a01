"""Regions of FASTA are the text of samtools faidx; sequences have the digests of refget."""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import RegionFormat
from lake.formats.compression import inflated
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.region import Region
from lake.formats.sequences.fasta import FASTA, FastaFile
from lake.formats.sequences.refget import sequences
from lake.segments import Span, Stream
from tests.formats.bam_maker import bytes_of

FORMAT: RegionFormat = FASTA
SUFFIXES = (".fa", ".fasta", ".fa.gz", ".fasta.gz")


def _files(folder: Path) -> dict[str, dict[str, str]]:
    files: dict[str, dict[str, str]] = {}
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        name, what, *value = line.split("\t")
        if name.endswith(SUFFIXES):
            files.setdefault(name, {})[what] = value[0]
    return files


def _opened(reader: ByteReader) -> FastaFile:
    return FASTA.open(reader, kind=None, index=None, table=None)


def _blocked(data: bytes, size: int) -> bytes:
    return b"".join(compress(data[at : at + size]) for at in range(0, len(data), size)) + EOF_BLOCK


def test_expected_regions_and_sizes(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, values in _files(folder).items():
        if name == "edge/ragged_lines.fasta":
            continue
        with PathReader(folder / name) as reader:
            file = _opened(reader)
            assert (len(file.contigs), sum(file.contigs.values())) == (int(values["sequences"]), int(values["bases"]))
            for what, value in values.items():
                if what.startswith("region ") and not name.endswith("zero_linewidth_fai.fa"):
                    text = bytes_of(reader, file.plan([what.removeprefix("region ")]))
                    bases = text.split(b"\n", 1)[1].replace(b"\n", b"")
                    assert hashlib.md5(bases).hexdigest() == value, (name, what)
                    compared += 1
    assert compared == 25


def test_text_is_that_of_samtools_for_any_region_of_any_file(shared_data: Path, tmp_path: Path) -> None:
    folder, rng = shared_data / "genomics", random.Random(1)
    for name in _files(folder):
        if name == "edge/ragged_lines.fasta":
            continue
        path = tmp_path / Path(name).name
        shutil.copyfile(folder / name, path)
        with PathReader(path) as reader:
            file = _opened(reader)
            contigs = list(file.contigs.items())
            regions = [f"{{{contig}}}" for contig, _ in contigs[:3]]
            for _ in range(12):
                contig, length = rng.choice(contigs)
                start = rng.randrange(length)
                stop = start + rng.choice([1, 59, 60, 61, 3000, 10**7])
                regions += [f"{{{contig}}}:{start + 1:,}-{stop:,}", f"{{{contig}}}:{max(length - 100, 1)}"]
            wanted = subprocess.run(["samtools", "faidx", path, *regions], check=True, capture_output=True).stdout
            assert bytes_of(reader, file.plan(regions)) == wanted, name


def test_order_and_duplicates_are_those_of_the_query(shared_data: Path) -> None:
    path = shared_data / "genomics" / "fasta" / "ce.fa"
    regions = [
        "CHROMOSOME_II:3-4",
        "CHROMOSOME_I:5-9",
        "CHROMOSOME_II:3-4",
        "CHROMOSOME_I:-5",
        "CHROMOSOME_I:2000000-2e6",
    ]
    wanted = subprocess.run(["samtools", "faidx", path, *regions], check=True, capture_output=True).stdout
    with PathReader(path) as reader:
        file = _opened(reader)
        plan = file.plan(regions)
        assert bytes_of(reader, plan) == wanted
        assert not plan.verbatim
        assert plan.query != file.plan(regions[::-1]).query
        for wrong in ("nowhere:1-2", "CHROMOSOME_I:9-5", "*", "CHROMOSOME_I:x"):
            with pytest.raises(InvalidRegion):
                file.plan([wrong])
        with pytest.raises(Unsupported, match="targets"):
            file.plan([], [Region("CHROMOSOME_I", 1, 2)])
        whole = file.plan([])
        assert whole.verbatim
        assert whole.segments == file.plan(["."]).segments == (Span(reader.source, 0, reader.size),)


def test_lines_of_sixty_are_copied_and_long_ones_are_streamed(tmp_path: Path) -> None:
    rng = random.Random(2)
    bases = bytes(rng.choice(b"ACGTn") for _ in range(2_500_013))
    for width in (60, 61, len(bases)):
        lines = b"\n".join(bases[at : at + width] for at in range(0, len(bases), width))
        path = tmp_path / f"{width}.fa"
        path.write_bytes(b">a\n" + lines + (b"\n" if width != 61 else b""))
        wanted = subprocess.run(["samtools", "faidx", path, "a"], check=True, capture_output=True).stdout
        with PathReader(path) as reader:
            plan = _opened(reader).plan(["a"])
            assert bytes_of(reader, plan) == wanted
            assert any(isinstance(segment, Span if width == 60 else Stream) for segment in plan.segments)


def test_fetch_in_blocks_of_any_size() -> None:
    rng = random.Random(3)
    sequences_ = {f"s{n}": bytes(rng.choice(b"ACGTacgt") for _ in range(rng.randrange(400))) for n in range(30)}
    for end in (b"\n", b"\r\n"):
        text = b"".join(
            b">%b x%b" % (name.encode(), end) + b"".join(bases[at : at + 37] + end for at in range(0, len(bases), 37))
            for name, bases in sequences_.items()
        )
        for data in (text, _blocked(text, 50), _blocked(text, 4096)):
            reader = BytesReader(data)
            table = FASTA.build_table(reader, None)
            for file in (_opened(reader), FASTA.open(reader, kind=None, index=None, table=table)):
                for name, bases in sequences_.items():
                    assert file.fetch(name, 0, len(bases)) == bases
                    start = rng.randrange(len(bases) + 1)
                    stop = rng.randrange(start, len(bases) + 1)
                    assert file.fetch(name, start, stop) == bases[start:stop]
                    with pytest.raises(InvalidRegion, match="is not inside"):
                        file.fetch(name, 0, len(bases) + 1)
            with pytest.raises(InvalidRegion):
                _opened(reader).fetch("nobody", 0, 0)


def test_indexes_of_the_file_are_adopted_and_others_are_not(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    for index in folder.glob("fasta/*.fai"):
        with PathReader(index.with_suffix("")) as reader:
            data = index.read_bytes()
            assert FASTA.check_index(reader, "fai", data) is None
            assert FASTA.open(reader, kind="fai", index=data, table=None).contigs == _opened(reader).contigs
            fields = data.splitlines()[0].split(b"\t")
            for column in (0, 1, 2, 3, 4):
                stale = list(fields)
                stale[column] = b"9" + stale[column] if column != 3 else b"7"
                assert FASTA.check_index(reader, "fai", b"\t".join(stale)) is not None
    with PathReader(folder / "edge" / "zero_linewidth_fai.fa") as reader:
        broken = (folder / "edge" / "zero_linewidth_fai.fa.fai").read_bytes()
        assert "0 bases in 0 bytes" in (FASTA.check_index(reader, "fai", broken) or "")
        assert bytes_of(reader, _opened(reader).plan(["seq1:2-8"])) == b">seq1:2-8\nCGTACGT\n"


def test_an_index_that_is_wrong_all_the_same_gives_errors_not_bases() -> None:
    reader = BytesReader(b">a\n" + b"ACGTACGTAC\n" * 20 + b">b\nTT\n")
    for index in (b"a\t200\t4\t10\t11\n", b"a\t200\t3\t9\t11\n", b"a\t200\t3\t10\t12\n", b"a\t100\t3\t11\t12\n"):
        with pytest.raises(FormatError, match="wrong index"):
            FASTA.open(reader, kind="fai", index=index, table=None).plan(["a:1-100"])
    with pytest.raises(FormatError, match="behind the end"):
        FASTA.open(reader, kind="fai", index=b"a\t9000\t3\t10\t11\n", table=None)


def test_the_map_of_blocks_is_the_gzi(shared_data: Path) -> None:
    checked = 0
    for path in (shared_data / "genomics" / "fasta").glob("*.gzi"):
        data = path.read_bytes()
        with PathReader(path.with_suffix("")) as reader:
            assert FASTA.check_index(reader, "gzi", data) is None, path.name
            assert "its size" in (FASTA.check_index(reader, "gzi", data + b"x") or "")
            if len(data) > 24:
                assert "stale" in (FASTA.check_index(reader, "gzi", data[:9] + b"\x07" + data[10:]) or "")
                assert "stale" in (FASTA.check_index(reader, "gzi", b"\0" * 8) or "")
                checked += 1
    assert checked >= 3


def test_plain_gzip_says_what_to_do() -> None:
    reader = BytesReader(gzip.compress(b">a\nACGT\n"))
    assert "recompress it with bgzip" in (FASTA.indexable(reader) or "")
    with pytest.raises(FormatError, match="recompress it with bgzip"):
        _opened(reader)
    assert [found[:2] for found in sequences(reader)] == [("a", 4)]


def test_ragged_files_are_refused_whatever_is_asked(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "genomics" / "edge" / "ragged_lines.fasta"
    with pytest.raises(FormatError, match="cannot be indexed: different line length"):
        FASTA.build_index(path, tmp_path / "out.fai", 1)
    assert list(tmp_path.iterdir()) == []
    with PathReader(path) as reader, pytest.raises(FormatError, match="phix_ragged"):
        _opened(reader)


def test_damage_is_an_error_or_harmless() -> None:
    rng = random.Random(4)
    text = b"".join(b">s%d\n" % n + b"ACGTTGCAAC\n" * 30 + b"AC\n" for n in range(4))
    sound = _blocked(text, 300)
    wanted = {
        name: bytes_of(BytesReader(sound), _opened(BytesReader(sound)).plan([name])) for name in ("s0", "s3:5-99")
    }
    table, index = FASTA.build_table(BytesReader(sound), None), b""
    index = b"".join(b"s%d\t302\t%d\t10\t11\n" % (n, 4 + n * 337) for n in range(4))
    assert FASTA.check_index(BytesReader(sound), "fai", index) is None
    errors = 0
    for step in range(400):
        data = bytearray(sound)
        if step % 2:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(len(data)) :]
        reader = BytesReader(bytes(data))
        for parts in ((None, None), (index, table), (index, None)):
            for region, answer in wanted.items():
                try:
                    file = FASTA.open(reader, kind="fai", index=parts[0], table=parts[1])
                    assert bytes_of(reader, file.plan([region])) == answer
                except (FormatError, InvalidRegion):
                    errors += 1
    assert errors > 100


def test_digests_are_those_of_refget_and_sam(shared_data: Path) -> None:
    for path in (shared_data / "genomics" / "fasta").glob("*"):
        if not path.name.endswith(SUFFIXES):
            continue
        with PathReader(path) as reader, pysam.FastxFile(str(path)) as records:
            for found, record in zip(sequences(reader), records, strict=True):
                bases = (record.sequence or "").upper().encode()
                assert found[:3] == (record.name, len(bases), hashlib.md5(bases).hexdigest())


def test_digests_of_known_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    # refget 2.0: SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2 is ACGT.
    made = b"\n>a one\nac\r\nG T\r\n>b\n>c\nAC\n\nGT"
    for size in (1, 2, 3, 5, 100):
        monkeypatch.setattr(inflated, "_PIECE", size)
        found = list(sequences(BytesReader(made)))
        assert found == list(sequences(BytesReader(_blocked(made, size))))
        assert [(item.name, item.length) for item in found] == [("a", 4), ("b", 0), ("c", 4)]
        assert {found[0].ga4gh, found[2].ga4gh} == {"SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"}
        assert found[0].md5 == "f1f8f4bf413b16ad135722aa4591043e"
    assert [item.length for item in sequences(BytesReader(b">a\nAC\n>b"))] == [2, 0]
    for wrong in (b"", b"ACGT\n", b"\n\n"):
        with pytest.raises(FormatError):
            list(sequences(BytesReader(wrong)))


def test_the_format_keeps_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(b">a\nAC\n")
    assert FORMAT.build_index(path, tmp_path / "a.fai", 1) == "fai"
    with PathReader(path) as reader:
        index = (tmp_path / "a.fai").read_bytes()
        file = FORMAT.open(reader, kind="fai", index=index, table=FORMAT.build_table(reader, index))
        assert dict(file.contigs) == {"a": 2}
        assert FORMAT.check(reader) == []
    assert FORMAT.check(BytesReader(_blocked(b">a\nAC\n", 3)[:-1])) != []
