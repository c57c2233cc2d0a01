"""Binary arrays: every codec, against its reference and against pyteomics on real files."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import math
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pynumpress
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lake.errors import FormatError, Unsupported
from lake.formats.reader import BytesReader
from lake.formats.spectra.arrays import (
    INTENSITY,
    MOBILITY,
    MZ,
    Compression,
    decode_array,
    decode_base64,
    inflate,
    predict_by_delta,
    predict_by_line,
)
from lake.formats.spectra.numpress import decode_linear, decode_pic, decode_slof
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.source import EncodedSource
from tests.formats.spectra.run_maker import MadeSpectrum, make_mzml, some_spectra

REAL = 1000523

masses = st.lists(st.floats(50, 4000), min_size=2, max_size=60).map(lambda values: np.array(sorted(values)))
# The reference ends the process where a number does not fit into 31 bits.
counts = st.lists(st.floats(0, 2e9), min_size=1, max_size=60).map(np.array)


def _source(content: bytes) -> EncodedSource:
    scanner = MzmlScanner()
    scanner.update(content)
    return EncodedSource(BytesReader(content), scanner.finish())


def _bytes(encoded: NDArray[np.uint8]) -> bytes:
    return bytes(np.asarray(encoded, np.uint8))


@settings(deadline=None)
@given(masses, st.floats(1, 1e5))
def test_linear_prediction_is_that_of_the_reference(values: NDArray[np.float64], factor: float) -> None:
    encoded = _bytes(pynumpress.encode_linear(values, factor))
    expected = np.asarray(pynumpress.decode_linear(np.frombuffer(encoded, np.uint8)))
    assert decode_linear(encoded).tobytes() == expected.tobytes()


@settings(deadline=None)
@given(counts)
def test_positive_integers_are_those_of_the_reference(values: NDArray[np.float64]) -> None:
    encoded = _bytes(pynumpress.encode_pic(values))
    expected = np.asarray(pynumpress.decode_pic(np.frombuffer(encoded, np.uint8)))
    assert decode_pic(encoded).tobytes() == expected.tobytes()


@settings(deadline=None)
@given(counts)
def test_short_logged_floats_are_those_of_the_reference(values: NDArray[np.float64]) -> None:
    encoded = _bytes(pynumpress.encode_slof(values, pynumpress.optimal_slof_fixed_point(values)))
    expected = np.asarray(pynumpress.decode_slof(np.frombuffer(encoded, np.uint8)))
    assert decode_slof(encoded).tobytes() == expected.tobytes()


def test_numbers_that_cross_the_blocks_of_numpress_are_found() -> None:
    values = np.random.default_rng(5).exponential(1e6, 20_000)
    encoded = _bytes(pynumpress.encode_pic(values))
    assert np.array_equal(decode_pic(encoded), np.rint(values)) or np.array_equal(
        decode_pic(encoded), np.asarray(pynumpress.decode_pic(np.frombuffer(encoded, np.uint8)))
    )


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_random_bytes_are_no_numpress_or_some_numbers(data: bytes) -> None:
    for decode in (decode_linear, decode_pic, decode_slof):
        try:
            values = decode(data)
        except FormatError:
            continue
        assert values.ndim == 1


def test_a_numpress_array_that_is_cut_short_is_an_error() -> None:
    encoded = _bytes(pynumpress.encode_linear(np.array([100.0, 250.5, 251.5, 900.25]), 1e5))
    with pytest.raises(FormatError, match="ends inside a number"):
        decode_linear(encoded[:-2])
    with pytest.raises(FormatError, match="too few"):
        decode_linear(encoded[:9])
    with pytest.raises(FormatError, match="fixed point"):
        decode_slof(bytes(8))


def _text(data: bytes) -> bytes:
    return base64.b64encode(data)


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def _shuffle(data: bytes) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, 8).T.tobytes()


VALUES = np.array([1.5, -2.25, math.pi, 1e300, 0.0])


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        (Compression.NONE, bytes),
        (Compression.ZLIB, zlib.compress),
        (Compression.TRUNCATED_ZLIB, zlib.compress),
        (Compression.ZSTD, _zstd),
        (Compression.SHUFFLED_ZSTD, lambda data: _zstd(_shuffle(data))),
    ],
)
def test_lossless_codecs_give_the_bits_back(compression: int, pack: Callable[[bytes], bytes]) -> None:
    packed = _text(pack(VALUES.tobytes()))
    assert decode_array(packed, REAL, compression, 5).tobytes() == VALUES.tobytes()
    spaced = b"\n".join(packed[at : at + 7] for at in range(0, len(packed), 7)) + b"\r\n"
    assert decode_array(spaced, REAL, compression, 5).tobytes() == VALUES.tobytes()
    for wrong in (4, 6, 0, 1 << 50):
        with pytest.raises(FormatError):
            decode_array(packed, REAL, compression, wrong)


@pytest.mark.parametrize("pack", [zlib.compress, _zstd])
def test_numpress_within_another_codec(pack: Callable[[bytes], bytes]) -> None:
    mz = np.array([100.0, 250.5, 251.5])
    base = Compression.LINEAR_ZLIB if pack is zlib.compress else Compression.LINEAR_ZSTD
    linear = _bytes(pynumpress.encode_linear(mz, 1e5))
    assert np.allclose(decode_array(_text(pack(linear)), REAL, base, 3), mz)
    pic = _bytes(pynumpress.encode_pic(mz))
    assert decode_array(_text(pack(pic)), REAL, base + 1, 3).tolist() == [100, 251, 252]
    with pytest.raises(FormatError, match="3 values, but the file declares 2"):
        decode_array(_text(pack(pic)), REAL, base + 1, 2)


@pytest.mark.parametrize("code", [1000519, 1000521, 1000522, 1000523])
def test_types_of_values(code: int) -> None:
    dtype = {1000519: "<i4", 1000521: "<f4", 1000522: "<i8", 1000523: "<f8"}[code]
    values = np.array([1, 2, 1 << 20], dtype)
    assert decode_array(_text(values.tobytes()), code, Compression.NONE, 3).dtype == dtype


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(Unsupported, match="compressed by MS:1003782"):
        decode_array(b"", REAL, 1003782, 0)
    with pytest.raises(Unsupported, match="type MS:1001479"):
        decode_array(b"", 1001479, Compression.NONE, 0)
    with pytest.raises(FormatError, match="no base64"):
        decode_base64(b"!!!!")


def test_a_bomb_takes_no_more_memory_than_it_may() -> None:
    bomb = zlib.compress(bytes(50 << 20), 9)
    with pytest.raises(FormatError, match="does not have the 80 bytes"):
        inflate(bomb, 80)
    with pytest.raises(FormatError, match="no spectrum has one"):
        inflate(bomb, 1 << 40)
    with pytest.raises(FormatError, match="no spectrum has one"):
        inflate(bomb, -8)
    with pytest.raises(FormatError):
        decode_array(_text(_zstd(bytes(50 << 20))), REAL, Compression.ZSTD, 10)


def test_damage_of_zlib_is_found() -> None:
    packed = bytearray(zlib.compress(VALUES.tobytes()))
    with pytest.raises(FormatError, match=r"cut short|damaged"):
        inflate(bytes(packed[:-1]), 40)
    packed[-1] ^= 1
    with pytest.raises(FormatError, match="damaged"):
        inflate(bytes(packed), 40)


def test_predictions_are_those_of_pyteomics() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics.mzmlb import delta_predict, linear_predict

    values = np.random.default_rng(2).normal(0, 1, 50).cumsum()
    assert predict_by_delta(values).tobytes() == delta_predict(values).tobytes()
    assert predict_by_line(values).tobytes() == linear_predict(values).tobytes()
    packed = _text(zlib.compress(values.tobytes()))
    assert np.array_equal(decode_array(packed, REAL, Compression.DELTA_ZLIB, 50), delta_predict(values))


# -- whole files --------------------------------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".bz2":
        return bz2.decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _judged(content: bytes, element: str) -> list[dict[str, Any]]:
    """What pyteomics reads."""
    with warnings.catch_warnings():
        # It warns of packages that are not there, and of real files.
        warnings.simplefilter("ignore")
        from pyteomics import mzml

        with mzml.MzML(io.BytesIO(content), use_index=False) as reader:
            return list(reader.iterfind(element))


def _all_points(source: EncodedSource, kinds: tuple[int, ...]) -> list[dict[int, NDArray[Any]]]:
    found: list[dict[int, NDArray[Any]]] = []
    for points in source.points(np.arange(len(source.table.spectra)), kinds):
        for number in range(len(points.rows)):
            part = slice(int(points.first[number]), int(points.first[number + 1]))
            found.append({kind: values[part] for kind, values in points.values.items()})
    return found


def test_every_point_of_real_files_is_that_of_pyteomics(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "massspec").glob("*.mzML*")):
        if "corrupt" in path.name or path.suffix == ".mzMLb":
            continue
        content = _content(path)
        ours = _all_points(_source(content), (MZ, INTENSITY))
        theirs = _judged(content, "spectrum")
        assert len(ours) == len(theirs), path.name
        for place, (points, spectrum) in enumerate(zip(ours, theirs, strict=True)):
            for kind, name in ((MZ, "m/z array"), (INTENSITY, "intensity array")):
                expected = spectrum.get(name, np.empty(0)) if "m/z array" in spectrum else np.empty(0)
                got = points.get(kind, np.empty(0))
                assert np.array_equal(got, expected), (path.name, place, name)
                seen += len(got)
    assert seen > 1_000_000


def test_damage_names_the_spectrum(shared_data: Path) -> None:
    source = _source(_content(shared_data / "massspec/OpenMS__FileFilter_39_input_corrupt.mzML"))
    with pytest.raises(FormatError, match=r"^spectrum 0 \(spectrum=1\): "):
        _all_points(source, (MZ, INTENSITY))


def test_only_arrays_that_are_wanted_are_read() -> None:
    content = make_mzml(some_spectra(30, most=3000))

    class Counting(BytesReader):
        total = 0

        def read(self, offset: int, length: int) -> bytes:
            Counting.total += length
            return super().read(offset, length)

    scanner = MzmlScanner()
    scanner.update(content)
    source = EncodedSource(Counting(content), scanner.finish())
    list(source.points(np.array([7]), (MZ,)))
    assert Counting.total < len(content) / 20


def test_ion_mobility_is_absent_where_a_spectrum_has_none() -> None:
    mz = np.array([100.0, 200.0])
    plain = MadeSpectrum(1, mz, mz.astype("<f4"))
    source = _source(make_mzml([plain._replace(mobility=np.array([0.5, 0.75])), plain]))
    [points] = source.points(np.arange(2), (MZ, INTENSITY, MOBILITY))
    assert np.array_equal(points.values[MOBILITY], [0.5, 0.75, np.nan, np.nan], equal_nan=True)
    assert points.owners().tolist() == [0, 0, 1, 1]


def test_spectra_without_masses_have_no_points() -> None:
    light = make_mzml(some_spectra(3), horizontal="wavelength")
    [points] = _source(light).points(np.arange(3), (MZ, INTENSITY))
    assert points.first.tolist() == [0, 0, 0, 0]


def test_spectra_without_any_array_have_no_points() -> None:
    content = re.sub(rb"<binaryDataArrayList.*?</binaryDataArrayList>", b"", make_mzml(some_spectra(3)))
    [points] = _source(content).points(np.arange(3), (MZ, INTENSITY))
    assert points.first.tolist() == [0, 0, 0, 0]
    assert not points.values


def test_arrays_of_different_lengths_are_an_error() -> None:
    content = make_mzml([MadeSpectrum(1, np.array([100.0, 200.0]), np.array([1.0]))])
    with pytest.raises(FormatError, match=r"spectrum 0 \(scan=1\): .*16 bytes"):
        _all_points(_source(content), (MZ, INTENSITY))


def test_batches_are_bounded_and_hold_all() -> None:
    from lake.formats.spectra.source import batches

    points = np.array([10, 3_000_000, 5, 5, 900_000, 900_000])
    found = list(batches(points, np.full(6, 1000)))
    assert [start for start, _ in found] == [0, *[stop for _, stop in found[:-1]]]
    assert found[-1][1] == 6
    assert all(points[start:stop].sum() <= 1 << 20 or stop - start == 1 for start, stop in found)


def test_chromatograms(shared_data: Path) -> None:
    content = _content(shared_data / "massspec/mzdata__small.mzML")
    source = _source(content)
    times, intensity = source.trace(0)
    [expected] = _judged(content, "chromatogram")
    assert np.array_equal(times, expected["time array"])
    assert np.array_equal(intensity, expected["intensity array"])
