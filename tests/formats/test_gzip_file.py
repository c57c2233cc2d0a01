"""Ranges of gzip files are the bytes of gzip -dc."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lake.errors import DamagedObject, FormatError, InvalidRegion, Unsupported
from lake.formats.base import RegionFormat
from lake.formats.compression.gzip_access import GzipAccess, build_gzip_index
from lake.formats.compression.inflated import inflate_gzip
from lake.formats.gzip_file import GZIP, GzipFile
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.segments import Span
from tests.formats.bam_maker import bytes_of

FORMAT: RegionFormat = GZIP


def _opened(data: bytes) -> tuple[BytesReader, GzipFile]:
    reader = BytesReader(data)
    return reader, GZIP.open(reader, kind=None, index=None, table=None)


@pytest.fixture(scope="module")
def content() -> bytes:
    rng = random.Random(1)
    words = [bytes(rng.choice(b"abcdefghij ") for _ in range(rng.randrange(3, 12))) for _ in range(3000)]
    return b" ".join(rng.choice(words) for _ in range(2_000_000))


@pytest.fixture(scope="module")
def members(content: bytes) -> bytes:
    parts = [content[:7_000_000], b"", content[7_000_000:7_000_001], content[7_000_001:]]
    return b"".join(gzip.compress(part, 1) for part in parts)


def test_any_range_of_a_file_of_members(content: bytes, members: bytes) -> None:
    reader, file = _opened(members)
    rng = random.Random(2)
    assert file.size == len(content) > 12 << 20
    for _ in range(60):
        start = rng.choice([rng.randrange(len(content)), 6_999_990, 0])
        stop = min(start + rng.choice([1, 100, 70_000, 5 << 20]), len(content))
        assert bytes_of(reader, file.plan([f"bytes={start}-{stop - 1}"])) == content[start:stop]
    assert bytes_of(reader, file.plan(["bytes=0-"])) == content
    assert len(build_gzip_index(reader)) < 5 * 40_000


def test_words_of_a_query_are_those_of_http(content: bytes, members: bytes) -> None:
    reader, file = _opened(members)
    assert bytes_of(reader, file.plan(["bytes=0-99"])) == content[:100]
    assert bytes_of(reader, file.plan(["bytes=-10"])) == content[-10:]
    plan = file.plan(["bytes=200-299,50-99", "bytes=90-109"])
    assert bytes_of(reader, plan) == content[50:110] + content[200:300]
    assert plan.query == "50-110,200-300"
    assert not plan.verbatim
    assert file.plan([f"bytes={len(content)}-"]).segments == ()
    assert file.plan(["bytes=-0"]).segments == ()
    assert file.plan([]).segments == (Span(reader.source, 0, reader.size),)
    for wrong in ("bytes=5", "bytes=9-5", "bytes=", "bytes=-", "bytes=1-2x", "reads=1", "chr1", "bytes=01-5"):
        with pytest.raises(InvalidRegion):
            file.plan([wrong])
    with pytest.raises(Unsupported, match="targets"):
        file.plan(["bytes=0-1"], [])


def test_real_files_agree_with_gzip(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    names = ["fastq/multimember_pigz.fastq.gz", "fastq/rhodobacter_5k.fastq.gz", "edge/plain_gzip_not_bgzf.vcf.gz"]
    for name in [*names, "fasta/volvox.fa.gz"]:
        wanted = subprocess.run(["gzip", "-dc", folder / name], check=True, capture_output=True).stdout
        with PathReader(folder / name) as reader:
            file = GZIP.open(reader, kind=None, index=None, table=None)
            assert bytes_of(reader, file.plan(["bytes=0-"])) == wanted, name
            assert bytes_of(reader, file.plan(["bytes=100-1099"])) == wanted[100:1100]
            assert GZIP.check(reader) == []


def test_empty_content_and_padding() -> None:
    for data, wanted in ((gzip.compress(b""), b""), (gzip.compress(b"abc") + bytes(600_000), b"abc")):
        reader, file = _opened(data)
        assert bytes_of(reader, file.plan(["bytes=0-"])) == wanted
        assert GZIP.check(reader) == []


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 200, -1, -8, -9])
def test_files_that_are_cut_off_are_refused(cut: int) -> None:
    data = gzip.compress(random.Random(3).randbytes(500))[:cut]
    assert GZIP.check(BytesReader(data)) != []
    with pytest.raises(FormatError):
        _opened(data)


def test_other_bytes_behind_the_last_member_are_refused() -> None:
    with pytest.raises(FormatError):
        _opened(gzip.compress(b"abc") + b"garbage that is no member")


def test_flipped_bits_are_errors_or_harmless() -> None:
    rng = random.Random(4)
    wanted = bytes(rng.choice(b"ACGT") for _ in range(600))
    sound = gzip.compress(wanted[:400]) + gzip.compress(wanted[400:])
    errors = 0
    for at in range(len(sound)):
        data = bytearray(sound)
        data[at] ^= 1 << rng.randrange(8)
        try:
            reader, file = _opened(bytes(data))
            assert bytes_of(reader, file.plan(["bytes=0-"])) == wanted, at
        except FormatError:
            errors += 1
    assert errors > 0.8 * len(sound)


def test_bombs_take_no_memory() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    assert max(map(len, inflate_gzip(BytesReader(bomb)))) <= 2 << 20
    reader, file = _opened(bomb)
    assert bytes_of(reader, file.plan([f"bytes={60 << 20}-{(60 << 20) + 9}"])) == bytes(10)


def test_failures_of_the_storage_are_passed_on(members: bytes) -> None:
    class _Failing(BytesReader):
        broken = False

        def read(self, offset: int, length: int) -> bytes:
            if self.broken:
                raise DamagedObject("a chunk does not match its digest")
            return super().read(offset, length)

    reader = _Failing(members)
    access = GzipAccess(reader, build_gzip_index(reader))
    reader.broken = True
    with pytest.raises(DamagedObject):
        access.read(9_000_000, 10)


def test_a_damaged_index_is_refused(members: bytes) -> None:
    reader = BytesReader(members)
    index = build_gzip_index(reader)
    for wrong in (index[:-1], b"", index[:99] + struct.pack("B", index[99] ^ 1) + index[100:]):
        with pytest.raises(FormatError, match="gzip index is damaged"):
            GzipAccess(reader, wrong)
    with pytest.raises(FormatError, match="belongs to a file of"):
        GzipAccess(BytesReader(members[:-1]), index)


def test_many_threads_may_read_at_once(content: bytes, members: bytes) -> None:
    reader = BytesReader(members)
    access = GzipAccess(reader, build_gzip_index(reader))
    starts = [random.Random(5).randrange(len(content) - 1000) for _ in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda start: access.read(start, 1000) == content[start : start + 1000], starts))


def test_the_format_keeps_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"hello"))
    kind = FORMAT.build_index(path, tmp_path / "index", 1)
    with PathReader(path) as reader:
        index = (tmp_path / "index").read_bytes()
        assert FORMAT.indexable(reader) is None
        assert FORMAT.check_index(reader, kind, index) is not None
        file = FORMAT.open(reader, kind=kind, index=index, table=None)
        assert bytes_of(reader, file.plan(["bytes=1-3"])) == b"ell"
    path.write_bytes(b"\x1f\x8b\x08 nothing")
    with pytest.raises(FormatError, match="cannot be indexed"):
        FORMAT.build_index(path, tmp_path / "index", 1)
