"""mzXML: what pyteomics reads of made files and of their slices, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import random
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from lake.errors import FormatError, Unsupported
from lake.formats.reader import BytesReader
from lake.formats.spectra.mzxml import MZXML
from lake.formats.spectra.run_format import RunFile
from tests.formats.spectra.mzxml_maker import MadeScan, make_mzxml, some_scans
from tests.formats.spectra.slices import all_points, open_bytes, slice_bytes, table_built


def opened(data: bytes) -> RunFile:
    file = open_bytes(MZXML, data)
    assert isinstance(file, RunFile)
    return file


def read(data: bytes) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mzxml

        with mzxml.MzXML(io.BytesIO(data), use_index=False) as spectra:
            return list(spectra)


def read_by_index(data: bytes) -> dict[str, Any]:
    """Spectra through the index of the file, last one first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mzxml

        with mzxml.MzXML(io.BytesIO(data), use_index=True) as spectra:
            return {name: spectra.get_by_id(name) for name in reversed(list(spectra.index["scan"]))}


@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize("version", ["2.1", "3.2", "1.1"])
def test_facts_and_peaks_are_those_that_pyteomics_reads(precision: int, compression: str, version: str) -> None:
    if version == "1.1":
        compression = "none"
    data = make_mzxml(some_scans(), precision=precision, compression=compression, version=version)
    file = opened(data)
    table, layout = file.stored.run.spectra, file.stored.run.layout
    truth = {int(expected["num"]): expected for expected in read(data)}
    assert table.scan.tolist() == [3, 4, 5, 7, 8, 9] == sorted(truth)
    for row, (mz, intensity) in enumerate(all_points(file.source)):
        expected = truth[int(table.scan[row])]
        assert table.ms_level[row] == expected["msLevel"]
        assert table.rt[row] == pytest.approx(float(expected["retentionTime"]) * 60)
        assert table.n_points[row] == expected["peaksCount"] == len(mz)
        if len(mz):
            assert mz.tolist() == expected["m/z array"].tolist()
            assert intensity.tolist() == expected["intensity array"].tolist()
    assert layout is not None
    assert layout.own_index_ok is (None if version == "1.1" else True)
    assert file.stored.run.run.instrument == "Made"
    assert file.stored.run.run.software == "maker 1"


def test_what_scans_state() -> None:
    table = opened(make_mzxml(some_scans())).stored.run.spectra
    assert table.rt.tolist() == [6.0, 6.5, 7.0, 60.5, 61.0, 62.0]
    assert table.native_id[0] == "scan=3"
    assert table.filter_string[0] == "a < b"
    assert table.polarity.tolist() == [1, 0, 0, -1, 0, 0]
    assert table.centroided.tolist() == [0, 1, 1, 1, 1, 1]
    assert (table.low_mz[0], table.tic[0]) == (100.5, 1e7)
    assert (table.precursor_mz[1], table.precursor_charge[1], table.precursor_intensity[1]) == (445.25, 2, 7.5)
    assert (table.isolation_low[1], table.isolation_mz[1], table.isolation_high[1]) == (444.25, 445.25, 446.25)
    assert (table.activation[1], table.collision_energy[1]) == ("MS:1000422", 35.0)
    assert math.isnan(table.collision_energy[2])
    assert table.further.row.tolist() == [2]
    assert table.further.precursor_mz.tolist() == [600.0]


@pytest.mark.parametrize(
    ("region", "numbers"),
    [
        ("ms_level=1", [3, 7, 9]),
        ("ms_level=2", [4, 5, 8]),
        ("scan=4,9", [4, 9]),
        ("rt=6-7", [3, 4, 5]),
        ("precursor_mz=600~0.01&activation=ETD", [5]),
        ("charge=2", [4, 5]),
        ("polarity=-", [7]),
        ("id=scan=8", [8]),
        ("ms_level=5", []),
    ],
)
@pytest.mark.parametrize("version", ["3.2", "1.1"])
def test_slices_are_valid_files_of_the_scans(region: str, numbers: list[int], version: str, tmp_path: Path) -> None:
    data = make_mzxml(some_scans(), version=version)
    cut = slice_bytes(table_built(MZXML, data, tmp_path), BytesReader(data), region)
    truth = {expected["num"]: expected for expected in read(data)}
    found = read(cut)
    assert [int(spectrum["num"]) for spectrum in found] == numbers
    for spectrum in found:
        expected = truth[spectrum["num"]]
        assert spectrum["m/z array"].tobytes() == expected["m/z array"].tobytes()
        assert set(spectrum) == set(expected)
    again = opened(cut)
    assert again.stored.run.spectra.scan.tolist() == numbers
    assert again.stored.run.layout is not None
    assert again.stored.run.layout.spectra is not None
    assert again.stored.run.layout.spectra.stated == len(numbers)
    if version == "1.1" or not numbers:
        assert b"<index" not in cut
        return
    assert again.stored.run.layout.own_index_ok
    sealed = cut.index(b"<sha1>") + 6
    assert cut[sealed : sealed + 40].decode() == hashlib.sha1(cut[:sealed]).hexdigest()
    place = re.search(rb"<indexOffset>(\d+)<", cut)
    assert place is not None
    assert cut[int(place[1]) :].startswith(b'<index name="scan">')
    assert sorted(map(int, read_by_index(cut))) == numbers


def test_compressed_files_give_compressed_slices(tmp_path: Path) -> None:
    data = make_mzxml(some_scans())
    packed = gzip.compress(data)
    cut = slice_bytes(table_built(MZXML, packed, tmp_path), BytesReader(packed), "ms_level=2")
    assert gzip.decompress(cut) == slice_bytes(opened(data), BytesReader(data), "ms_level=2")


def test_big_slices_are_streams_of_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_mzxml(some_scans())
    small = slice_bytes(opened(data), BytesReader(data), "ms_level=1")
    monkeypatch.setattr("lake.formats.spectra.mzxml._STREAMED", 10)
    assert slice_bytes(opened(data), BytesReader(data), "ms_level=1") == small


def _with(find: bytes, put: bytes) -> bytes:
    data = make_mzxml(some_scans())
    assert find in data
    return data.replace(find, put, 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (make_mzxml(some_scans())[:-300], "not well-formed at byte"),
        (_with(b' num="4"', b' no="4"'), "has no number"),
        (_with(b'msLevel="2"', b'msLevel="two"'), "scan 4 at byte .*: msLevel is 'two', which is no whole number"),
        (_with(b'retentionTime="PT7S"', b'retentionTime="7"'), "retentionTime is '7': wanted a duration"),
        (_with(b'precursorCharge="3"', b'precursorCharge="40000"'), "precursorCharge is 40000: too large"),
        (_with(b"</scan>\n", b"</scan><nameValue/>\n"), "stands behind a scan inside of its scan"),
        (_with(b"<mzXML xmlns", b'<!DOCTYPE mzXML [<!ENTITY a "b">]><mzXML xmlns'), "document type declaration"),
        (_with(b"</msRun>\n", b"</msRun><msRun></msRun>\n"), "several runs"),
        (b"<mzXML></mzXML>", "no msRun: not mzXML"),
        (b'<mzXML><msRun><scan num="1"/></msRun></mzXML>', "scan 1 at byte 14 has no peaks element"),
    ],
)
def test_damage_is_named(data: bytes, words: str) -> None:
    [problem] = MZXML.check(BytesReader(data))
    assert re.search(words, problem)
    with pytest.raises(FormatError):
        opened(data)


def test_a_tag_without_an_end_is_not_gathered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.formats.spectra.mzxml_scans._PIECE", 1000)
    monkeypatch.setattr("lake.formats.spectra.mzxml_scans._LONGEST_TAG", 5000)
    with pytest.raises(FormatError, match="a tag at byte 14 does not end"):
        opened(b"<mzXML><msRun>" + b'<scan num="' + b"1" * 10_000)
    opened(make_mzxml([MadeScan(1, [(n, n) for n in range(5_000)])]))


@pytest.mark.parametrize(
    ("scan", "error", "words"),
    [
        (MadeScan(1, [(1, 2)], more={"contentType": "S/N"}), Unsupported, "its peaks are S/N"),
        (MadeScan(1, [(1, 2)], more={"contentType": "m/z-int", "compressionType": "lzma"}), Unsupported, "by lzma"),
        (MadeScan(1, [(1, 2)], more={"contentType": "m/z-int", "compressionType": "zlib"}), FormatError, "damaged"),
    ],
)
def test_peaks_that_cannot_be_read(scan: MadeScan, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        all_points(opened(make_mzxml([scan])).source)


def test_peaks_of_another_number() -> None:
    data = make_mzxml([MadeScan(1, [(1, 2), (3, 4)])]).replace(b'peaksCount="2"', b'peaksCount="3"')
    with pytest.raises(FormatError, match=r"spectrum 0 \(scan=1\): its peaks have 16 bytes, not those of 3 points"):
        all_points(opened(data).source)


def test_two_elements_of_peaks() -> None:
    one = make_mzxml([MadeScan(1, [(1, 2)], more={"contentType": "m/z"})]).replace(b'peaksCount="1"', b'peaksCount="2"')
    start, stop = one.index(b"<peaks"), one.index(b"</peaks>") + 8
    both = one[:stop] + one[start:stop].replace(b'"m/z"', b'"intensity"') + one[stop:]
    [(mz, intensity)] = all_points(opened(both).source)
    assert mz.tolist() == intensity.tolist() == [1.0, 2.0]


def test_flipped_bytes_never_fail_otherwise() -> None:
    rng = random.Random(7)
    data = make_mzxml(some_scans(), compression="zlib")
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(data))] = rng.choice([0, 60, 62, 34, 57, 120, 255])
        try:
            file = opened(bytes(damaged))
            slice_bytes(file, BytesReader(bytes(damaged)), "index=0-2")
            all_points(file.source)
        except (FormatError, Unsupported):
            continue
