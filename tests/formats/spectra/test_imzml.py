"""imzML with its .ibd: what pyimzML reads of real pairs and of the pairs that are cut out of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyimzml.ImzMLParser import ImzMLParser
from pyimzml.ImzMLWriter import ImzMLWriter

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.reader import BytesReader
from lake.formats.spectra.imzml import IMZML, ImzmlFile
from lake.formats.spectra.imzml_pair import read_identity
from lake.segments import Stream
from tests.formats.spectra.slices import all_points

Pixels = dict[tuple[int, int, int], tuple[NDArray[Any], NDArray[Any]]]


def pixels(path: Path) -> Pixels:
    with ImzMLParser(str(path)) as parser:
        places = [tuple(place) for place in parser.coordinates]
        if b"zlib compression" not in path.read_bytes():
            return {place: parser.getspectrum(row) for row, place in enumerate(places)}
        # Of what is compressed it knows the place alone.
        ibd = path.with_suffix(".ibd").read_bytes()
        starts = zip(parser.mzOffsets, parser.intensityOffsets, strict=True)
        arrays = [(_inflated(ibd[mz:], "<f8"), _inflated(ibd[intensity:], "<f4")) for mz, intensity in starts]
        return dict(zip(places, arrays, strict=True))


def _inflated(data: bytes, dtype: str) -> NDArray[Any]:
    return np.frombuffer(zlib.decompressobj().decompress(data), dtype)


def opened(path: Path) -> ImzmlFile:
    ibd = BytesReader(path.with_suffix(".ibd").read_bytes())
    return IMZML.open(BytesReader(path.read_bytes()), kind=None, index=None, table=None, partner=ibd)


def cut(file: ImzmlFile, folder: Path, *regions: str) -> Path:
    """The imzML of a slice, unpacked."""
    plan = file.plan(regions)
    assert plan.media_type == "application/zip"
    [stream] = plan.segments
    assert isinstance(stream, Stream)
    data = b"".join(stream.pieces())
    assert data == b"".join(stream.pieces())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
        archive.extractall(folder)
    return folder / "slice.imzML"


@pytest.fixture(params=["continuous", "processed", "zlib", "real-continuous", "real-processed"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, shared_data: Path) -> Path:
    """The imzML of a pair, of three by three pixels."""
    name: str = request.param
    if name.startswith("real"):
        return shared_data / "massspec" / f"mzdata__Example_{name[5:].capitalize()}.imzML"
    return make_pair(tmp_path / "made.imzML", name)


def make_pair(path: Path, mode: str) -> Path:
    from pyimzml.compression import NoCompression, ZlibCompression

    rng = np.random.default_rng(3)
    packed = ZlibCompression() if mode == "zlib" else NoCompression()
    with ImzMLWriter(
        str(path),
        mode="continuous" if mode == "continuous" else "processed",
        mz_compression=packed,
        intensity_compression=packed,
    ) as writer:
        shared = np.sort(rng.uniform(100, 900, 25))
        for place in range(9):
            count = 25 if mode == "continuous" else int(rng.integers(1, 60))
            mz = shared if mode == "continuous" else np.sort(rng.uniform(100, 900, count))
            writer.addSpectrum(mz, rng.uniform(0, 9, count), (place % 3 + 1, place // 3 + 1, 1))
    return path


def test_pairs_are_recognised_and_read(pair: Path) -> None:
    reader, ibd = BytesReader(pair.read_bytes()), BytesReader(pair.with_suffix(".ibd").read_bytes())
    assert IMZML.check(reader) == []
    assert IMZML.check_partner(reader, ibd) is None
    file, truth = opened(pair), pixels(pair)
    table = file.source.table.spectra
    assert list(zip(table.x.tolist(), table.y.tolist(), strict=True)) == [place[:2] for place in truth]
    assert table.n_points.tolist() == [len(mz) for mz, _ in truth.values()]
    for found, expected in zip(all_points(file.source), truth.values(), strict=True):
        assert [values.tobytes() for values in found] == [values.tobytes() for values in expected]


@pytest.mark.parametrize(
    ("regions", "wanted"),
    [
        (("x=1-2&y=2-3",), {(1, 2), (2, 2), (1, 3), (2, 3)}),
        (("x=3", "index=0"), {(1, 1), (3, 1), (3, 2), (3, 3)}),
        (("y=2-",), {(x, y) for x in (1, 2, 3) for y in (2, 3)}),
        (("x=4",), set()),
    ],
)
def test_slices_are_pairs_again(
    pair: Path, tmp_path: Path, regions: tuple[str, ...], wanted: set[tuple[int, int]]
) -> None:
    made = cut(opened(pair), tmp_path / "out", *regions)
    reader, ibd = BytesReader(made.read_bytes()), BytesReader(made.with_suffix(".ibd").read_bytes())
    assert IMZML.check_partner(reader, ibd) is None
    identity = read_identity(made.read_bytes())
    assert identity.uuid != read_identity(pair.read_bytes()).uuid
    assert identity.checksums["sha1"] == hashlib.sha1(made.with_suffix(".ibd").read_bytes()).hexdigest()
    assert re.findall(rb'<spectrumList[^>]* count="(\d+)"', made.read_bytes()) == [b"%d" % len(wanted)]
    if not wanted:
        assert ibd.size == 16
        return
    found, truth = pixels(made), pixels(pair)
    assert {place[:2] for place in found} == wanted
    assert list(found) == [place for place in truth if place[:2] in wanted]
    for place, arrays in found.items():
        assert [values.tobytes() for values in arrays] == [values.tobytes() for values in truth[place]]
    assert [row.tobytes() for pair_ in all_points(opened(made).source) for row in pair_] == [
        values.tobytes() for arrays in found.values() for values in arrays
    ]
    numbers = [int(number) for number in re.findall(rb'<spectrum [^>]*\bindex="(\d+)"', made.read_bytes())]
    assert numbers == list(range(len(wanted)))


def test_a_shared_array_stays_shared(shared_data: Path, tmp_path: Path) -> None:
    file = opened(shared_data / "massspec" / "mzdata__Example_Continuous.imzML")
    made = cut(file, tmp_path, "x=1-3&y=1")
    assert made.with_suffix(".ibd").stat().st_size == 16 + 4 * 33_596


def test_the_whole_file_is_the_imzml(pair: Path) -> None:
    plan = opened(pair).plan([])
    assert plan.verbatim
    assert plan.query == "."


def test_another_ibd_is_refused(tmp_path: Path) -> None:
    one, other = make_pair(tmp_path / "a.imzML", "processed"), make_pair(tmp_path / "b.imzML", "processed")
    reader = BytesReader(one.read_bytes())
    strange = BytesReader(other.with_suffix(".ibd").read_bytes())
    assert "its UUID is" in (IMZML.check_partner(reader, strange) or "")
    data = bytearray(one.with_suffix(".ibd").read_bytes())
    data[50] ^= 1
    assert "but the imzML states" in (IMZML.check_partner(reader, BytesReader(bytes(data))) or "")
    short = IMZML.open(reader, kind=None, index=None, table=None, partner=BytesReader(bytes(data[:60])))
    with pytest.raises(FormatError, match=r"behind the end of the \.ibd, which has 60 bytes"):
        cut(short, tmp_path / "out", "x=1")


def test_without_the_ibd_nothing_is_made_up(tmp_path: Path) -> None:
    path = make_pair(tmp_path / "a.imzML", "continuous")
    file = IMZML.open(BytesReader(path.read_bytes()), kind=None, index=None, table=None)
    with pytest.raises(Unsupported, match=r"its \.ibd is not in the lake"):
        file.plan(["x=1"])
    with pytest.raises(Unsupported, match=r"its \.ibd is not in the lake"):
        _ = file.source
    with pytest.raises(InvalidRegion):
        file.plan(["z"])


@pytest.mark.parametrize(
    ("pattern", "put", "words"),
    [
        (rb'accession="IMS:1000080"', b'accession="IMS:1000085"', "no UUID"),
        (rb'(IMS:1000080"[^>]*value=")[^"]*', rb"\1abc", "the UUID 'abc' has not 32 hexadecimal digits"),
        (rb"</mzML>.*", b"", "cut off"),
    ],
)
def test_damage_is_named(tmp_path: Path, pattern: bytes, put: bytes, words: str) -> None:
    data = make_pair(tmp_path / "a.imzML", "processed").read_bytes()
    changed = re.sub(pattern, put, data, flags=re.DOTALL)
    assert changed != data
    assert words in IMZML.check(BytesReader(changed))[0]
    assert IMZML.check_partner(BytesReader(changed), BytesReader(b"")) is not None


def test_a_compressed_imzml_is_stored_but_not_cut(tmp_path: Path) -> None:
    packed = BytesReader(gzip.compress(make_pair(tmp_path / "a.imzML", "processed").read_bytes()))
    assert IMZML.check(packed) == []
    assert IMZML.indexable(packed) == "a compressed imzML"
    with pytest.raises(Unsupported, match="put it as it was written"):
        IMZML.open(packed, kind=None, index=None, table=None)


def test_flipped_bytes_never_fail_otherwise(tmp_path: Path) -> None:
    rng = random.Random(8)
    path = make_pair(tmp_path / "a.imzML", "processed")
    data, ibd = path.read_bytes(), BytesReader(path.with_suffix(".ibd").read_bytes())
    for _ in range(150):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] = rng.choice([0, 60, 62, 34, 57, 120, 255])
        try:
            file = IMZML.open(BytesReader(bytes(damaged)), kind=None, index=None, table=None, partner=ibd)
            for segment in file.plan(["x=1-2"]).segments:
                assert isinstance(segment, Stream)
                assert b"".join(segment.pieces())
            all_points(file.source)
        except (FormatError, Unsupported):
            continue
