"""Slices of BCF hold the records that bcftools selects; records straddle blocks in every file that bcftools writes."""

from __future__ import annotations

import gzip
import hashlib
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.formats.variants.bcf import BCF
from tests.formats.bam_maker import blocked, bytes_of
from tests.formats.text_files import content, expected_regions, ways

TEXT = (
    b'##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="x",IDX=0>\n##contig=<ID=a,length=9000,IDX=3>\n'
    b"##contig=<ID=b,IDX=1>\n##contig=<ID=none,IDX=0>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\0"
)
HEADER = b"BCF\2\2" + struct.pack("<I", len(TEXT)) + TEXT
NUMBERS = {"a": 3, "b": 1, "none": 0}
FAR = 1 << 40


def _record(contig: str, pos: int, rlen: int, padding: int = 0) -> bytes:
    shared = struct.pack("<iiifHHI", NUMBERS[contig], pos, rlen, 1.0, 0, 1, 0) + b"\x07" + b"\x37ACG" + b"\x00"
    return struct.pack("<II", len(shared), padding) + shared + b"\0" * padding


def _parts(data: bytes) -> list[bytes]:
    at = 9 + struct.unpack_from("<I", data, 5)[0]
    found = []
    while at < len(data):
        size = 8 + sum(struct.unpack_from("<II", data, at))
        found.append(data[at : at + size])
        at += size
    assert at == len(data)
    return found


def test_expected_regions_are_those_of_bcftools(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for name, regions in expected_regions(folder, (".bcf",)).items():
        with PathReader(folder / name) as reader:
            assert BCF.check(reader) == []
            for way, file in ways(BCF, reader).items():
                for region, value in regions.items():
                    path = tmp_path / "slice.bcf"
                    path.write_bytes(bytes_of(reader, file.plan([region])))
                    text = subprocess.run(["bcftools", "view", "-H", path], check=True, capture_output=True).stdout
                    count, *digest = value.split()
                    assert text.count(b"\n") == int(count), (name, way, region)
                    assert hashlib.md5(text).hexdigest() == digest[0], (name, way, region)
                    compared += 1
    assert compared > 35


def test_random_regions_of_real_files(shared_data: Path, tmp_path: Path) -> None:
    rng = random.Random(6)
    for name in ("1kg_p3_chr22_2504samples.bcf", "phasing_panel_300samples.bcf"):
        path = shared_data / "genomics" / "bcf" / name
        lines = subprocess.run(["bcftools", "query", "-f", "%CHROM %POS\n", path], check=True, capture_output=True)
        places = lines.stdout.decode().split("\n")[:-1]
        with PathReader(path) as reader:
            file = ways(BCF, reader)["table"]
            for _ in range(6):
                contig, pos = rng.choice(places).split()
                region = f"{contig}:{pos}-{int(pos) + rng.choice([0, 3000])}"
                (tmp_path / "slice.bcf").write_bytes(bytes_of(reader, file.plan([region])))
                found = subprocess.run(
                    ["bcftools", "view", "-H", tmp_path / "slice.bcf"], check=True, capture_output=True
                )
                wanted = subprocess.run(["bcftools", "view", "-H", "-r", region, path], check=True, capture_output=True)
                assert found.stdout == wanted.stdout


_places = st.lists(
    st.tuples(
        st.sampled_from(["b", "a"]),
        st.one_of(st.integers(-1, 300), st.integers(16_300, 16_500)),
        st.sampled_from([0, 1, 3, 2000, -7]),
        st.sampled_from([0, 200]),
    ),
    max_size=40,
).map(lambda places: sorted(places, key=lambda place: ("ba".index(place[0]), place[1])))


@settings(deadline=None, max_examples=80)
@given(places=_places, sizes=st.lists(st.integers(0, 400), max_size=20), plain=st.booleans(), data=st.data())
def test_made_files_in_blocks_of_any_size(
    places: list[tuple[str, int, int, int]], sizes: list[int], plain: bool, data: st.DataObject
) -> None:
    made = [_record(*place) for place in places]
    inflated = HEADER + b"".join(made)
    reader = BytesReader(inflated if plain else blocked(inflated, [*sizes, 200]))
    assert BCF.check(reader) == []
    opened = ways(BCF, reader)
    spans = [(contig, pos, pos + (rlen if rlen >= 0 else 3)) for contig, pos, rlen, _ in places]
    for _ in range(4):
        contig = data.draw(st.sampled_from(["a", "b", "none"]))
        edges = sorted({0, *(max(edge, 0) for name, *two in spans if name == contig for edge in two)})
        start = max(data.draw(st.sampled_from(edges)) + data.draw(st.integers(-1, 1)), 0)
        stop = start + data.draw(st.sampled_from([1, 40, FAR]))
        wanted = [
            record
            for record, (name, pos, end) in zip(made, spans, strict=True)
            if name == contig and pos < stop and end > start
        ]
        for way, file in opened.items():
            found = content(reader, file, [f"{contig}:{start + 1}-{stop}"])
            assert found.startswith(HEADER)
            assert _parts(found) == wanted, way


def test_what_cannot_be_is_an_error(shared_data: Path) -> None:
    with PathReader(shared_data / "genomics" / "edge" / "malformed.bcf") as reader:
        assert BCF.check(reader) != []
    good = _record("a", 5, 3)
    for bad in (
        good[:8] + struct.pack("<i", 7) + good[12:],
        good[:12] + struct.pack("<i", -9) + good[16:],
        struct.pack("<II", 20, 0) + good[8:],
        struct.pack("<II", 1 << 30, 0) + good[8:],
        good[:-1],
    ):
        for sizes in ([50], [60_000]):
            made = BytesReader(blocked(HEADER + good + bad, sizes))
            assert len(BCF.check(made)) == 1
            with pytest.raises(FormatError):
                BCF.build_table(made, None)
    for header in (
        b"BCF\1" + HEADER[4:],
        HEADER[:-9],
        HEADER.replace(b"IDX=1>", b"IDX=3>"),
        b"BCF\2\2\xff\xff\xff\xff",
    ):
        with pytest.raises(FormatError):
            BCF.source(BytesReader(blocked(header, [60])), "")
    with pytest.raises(InvalidRegion):
        ways(BCF, BytesReader(blocked(HEADER + good, [60])))["table"].plan(["*"])


def test_flipped_bytes_are_errors_or_right() -> None:
    rng = random.Random(3)
    data = blocked(HEADER + b"".join(_record("a", pos, rng.choice([1, 700])) for pos in range(0, 3000, 20)), [500])
    table = BCF.build_table(BytesReader(data), None)
    file = BCF.open(BytesReader(data), kind=None, index=None, table=table)
    wanted = content(BytesReader(data), file, ["a:900-1500"])
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        reader = BytesReader(bytes(damaged))
        for given_table in (table, None):
            try:
                opened = BCF.open(reader, kind=None, index=None, table=given_table)
                found = content(reader, opened, ["a:900-1500"])
            except (FormatError, InvalidRegion, gzip.BadGzipFile, zlib.error, AssertionError, EOFError):
                continue
            assert found == wanted
