"""MGF: what pyteomics reads of a file and of its slices, and texts that mislead."""

from __future__ import annotations

import bz2
import gzip
import io
import math
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.reader import BytesReader
from lake.formats.spectra import mgf_blocks
from lake.formats.spectra.mgf import MGF
from lake.formats.spectra.mgf_blocks import read_blocks, scan_mgf
from lake.formats.spectra.run_format import RunFile
from tests.formats.spectra.slices import all_points, open_bytes, slice_bytes, table_built

REAL = ("mzdata__small.mgf", "OpenMS__GNPSExport_3_out.mgf")

ODD = b"""# made by hand
CHARGE=2+ and 3+
COM=BEGIN IONS of what follows

BEGIN IONS\r
TITLE=x BEGIN IONS scan=17\r
PEPMASS=500.5 1e4\r
RTINSECONDS=12.5-13\r
100.5 1\r
200.5\t2.5e1 1+\r
END IONS\r
\r
  BEGIN IONS
title = second, END IONS
SCANS=20-22
CHARGE=3-
MSLEVEL=3
# a remark
100 1

; another
101 2
END IONS
BEGIN IONS
PEPMASS=300
END IONS"""


def read(data: bytes) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mgf
    with mgf.read(io.StringIO(data.decode()), use_index=False) as spectra:
        return list(spectra)


def opened(data: bytes) -> RunFile:
    file = open_bytes(MGF, data)
    assert isinstance(file, RunFile)
    return file


@pytest.mark.parametrize("name", REAL)
def test_facts_and_peaks_are_those_that_pyteomics_reads(shared_data: Path, name: str) -> None:
    data = (shared_data / "massspec" / name).read_bytes()
    file, truth = opened(data), read(data)
    table = file.stored.run.spectra
    assert len(table) == len(truth)
    for row, (expected, (mz, intensity)) in enumerate(zip(truth, all_points(file.source), strict=True)):
        stated = expected["params"]
        assert table.native_id[row] == stated.get("title", f"index={row}")
        assert table.rt[row] == float(stated["rtinseconds"])
        assert table.precursor_mz[row] == stated["pepmass"][0]
        assert table.precursor_charge[row] == (int(stated["charge"][0]) if "charge" in stated else 0)
        named = stated.get("scans", stated.get("title", "").partition(".")[2].partition(".")[0])
        assert table.scan[row] == (int(named) if named else -1)
        assert mz.tobytes() == expected["m/z array"].tobytes()
        assert intensity.tobytes() == expected["intensity array"].tobytes()
        assert table.n_points[row] == len(mz)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("region", ["index=0", "index=3-7,20", "rt=1.5-250", "scan=5-", "precursor_mz=300-600", "."])
def test_slices_hold_the_blocks_as_they_are(shared_data: Path, name: str, region: str, tmp_path: Path) -> None:
    data = (shared_data / "massspec" / name).read_bytes()
    file = table_built(MGF, data, tmp_path)
    cut = slice_bytes(file, BytesReader(data), region)
    whole = read(data)
    rows = {id(expected): row for row, expected in enumerate(whole)}
    wanted = [
        expected
        for expected in whole
        if region == "."
        or (region == "index=0" and rows[id(expected)] == 0)
        or (region.startswith("index=3") and rows[id(expected)] in (3, 4, 5, 6, 7, 20))
        or (region.startswith("rt") and 1.5 <= float(expected["params"]["rtinseconds"]) <= 250)
        or (region.startswith("scan") and opened(data).stored.run.spectra.scan[rows[id(expected)]] >= 5)
        or (region.startswith("prec") and 300 <= expected["params"]["pepmass"][0] <= 600)
    ]
    assert len(wanted) > 0
    assert [spectrum["params"] for spectrum in read(cut)] == [spectrum["params"] for spectrum in wanted]
    assert all(block.text in data for block in read_blocks(BytesReader(cut)))
    assert file.plan([region]).verbatim


def test_texts_that_mislead() -> None:
    table = opened(ODD).stored.run.spectra
    assert list(table.native_id) == ["x BEGIN IONS scan=17", "second, END IONS", "index=2"]
    assert table.scan.tolist() == [17, 20, -1]
    assert table.rt[0] == 12.5
    assert math.isnan(table.rt[1])
    assert table.ms_level.tolist() == [2, 3, 2]
    assert table.polarity.tolist() == [1, -1, 1]
    assert table.precursor_charge.tolist() == [2, 3, 2]
    assert table.precursor_intensity[0] == 1e4
    assert table.n_points.tolist() == [2, 2, 0]
    # A block of two charges is a spectrum of either; the header's hold where a block states none.
    assert table.further.row.tolist() == [0, 2]
    assert table.further.precursor_charge.tolist() == [3, 3]
    points = all_points(opened(ODD).source)
    assert [mz.tolist() for mz, _ in points] == [[100.5, 200.5], [100.0, 101.0], []]
    assert [intensity.tolist() for _, intensity in points] == [[1.0, 25.0], [1.0, 2.0], []]


def test_what_stands_ahead_of_the_blocks_stays() -> None:
    cut = slice_bytes(opened(ODD), BytesReader(ODD), "charge=2")
    assert cut.startswith(ODD[: ODD.index(b"BEGIN IONS\r")])
    assert opened(cut).stored.run.spectra.precursor_mz.tolist() == [500.5, 300.0]
    assert slice_bytes(opened(ODD), BytesReader(ODD), "index=9") == ODD[: ODD.index(b"BEGIN IONS\r")]
    assert slice_bytes(opened(ODD), BytesReader(ODD), "index=0", "index=1", "index=2") == ODD


def test_spectra_of_the_same_title_are_all_found() -> None:
    block = b"BEGIN IONS\nTITLE=a\n1 1\nEND IONS\n"
    data = block + block.replace(b"=a", b"=b") + block
    assert slice_bytes(opened(data), BytesReader(data), "id=a") == block * 2
    with pytest.raises(InvalidRegion, match="no spectrum of the file has the id 'c'"):
        opened(data).plan(["id=c"])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compressed_files_give_compressed_slices(shared_data: Path, tmp_path: Path, compress: Any) -> None:
    data = (shared_data / "massspec" / REAL[0]).read_bytes()
    packed = compress(data)
    file = table_built(MGF, packed, tmp_path)
    cut = slice_bytes(file, BytesReader(packed), "scan=10-20")
    plain = slice_bytes(opened(data), BytesReader(data), "scan=10-20")
    assert {gzip.compress: gzip.decompress, bz2.compress: bz2.decompress}[compress](cut) == plain
    assert MGF.check(BytesReader(packed)) == []
    assert (
        "cut off" in MGF.check(BytesReader(packed[:-100]))[0] or "damaged" in MGF.check(BytesReader(packed[:-100]))[0]
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"BEGIN IONS\nPEPMASS=1\n1 2\n", "block at byte 0 has no line END IONS"),
        (b"BEGIN IONS\n1 2\nBEGIN IONS\nEND IONS\n", "before the next one begins"),
        (b"BEGIN IONS\n1 2\nEND IONS\nEND IONS\n", "a block ends that has not begun"),
        (b"BEGIN IONS\nPEPMASS=heavy\nEND IONS\n", "PEPMASS is 'heavy', which is no number"),
        (b"BEGIN IONS\nRTINSECONDS=late\nEND IONS\n", "byte 0: RTINSECONDS is 'late'"),
    ],
)
def test_damage_is_named(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        scan_mgf(BytesReader(data))
    assert words in MGF.check(BytesReader(data))[0]


def test_peaks_that_are_none() -> None:
    file = opened(b"BEGIN IONS\nTITLE=t\n1 2\n3\nEND IONS\n")
    with pytest.raises(FormatError, match=r"spectrum 0 \(t\): a line of it is not an m/z and an intensity"):
        all_points(file.source)
    with pytest.raises(Unsupported, match="no chromatograms"):
        file.source.trace(0)
    with pytest.raises(Unsupported, match="no targets"):
        file.plan([], [])


@given(
    blocks=st.lists(st.tuples(st.sampled_from([b"", b"TITLE=x\n", b"T=END IONS\r\n"]), st.integers(0, 5)), max_size=8),
    between=st.sampled_from([b"", b"\n", b"\r\n\n", b" \n"]),
    piece=st.integers(1, 64),
)
@settings(max_examples=150, deadline=None)
def test_blocks_are_the_same_however_they_are_read(blocks: list[tuple[bytes, int]], between: bytes, piece: int) -> None:
    made = [b"BEGIN IONS\n" + head + b"1.5 2\n" * count + b"END IONS\n" + between for head, count in blocks]
    data = b"H=1\n" + b"".join(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mgf_blocks, "_PIECE", piece)
        found = list(read_blocks(BytesReader(data)))
    assert [block.text for block in found] == [b"H=1\n", *made] or between == b" \n"
    assert b"".join(block.text for block in found) == data
    assert scan_mgf(BytesReader(data)).spectra.n_points.tolist() == [count for _, count in blocks]


def test_titles_of_any_bytes_survive(tmp_path: Path) -> None:
    data = b"".join(
        b"BEGIN IONS\nTITLE=%b\n1 1\nEND IONS\n" % title for title in (b"a\0b", b"\1", b"\xe4", b"\xc3\xa4")
    )
    file = table_built(MGF, data, tmp_path)
    assert isinstance(file, RunFile)
    assert list(file.stored.run.spectra.native_id) == ["a\ufffdb", "\ufffd", "\xe4", "\xe4"]


def test_noise_never_fails_otherwise() -> None:
    rng = random.Random(5)
    words = [
        b"BEGIN IONS\n",
        b"END IONS\n",
        b"1 2\n",
        b"CHARGE=9999999+\n",
        b"SCANS=99999999999999999999\n",
        b"\xff=\0\n",
    ]
    for _ in range(300):
        data = b"".join(rng.choices(words, k=12))
        try:
            scan_mgf(BytesReader(data))
        except FormatError:
            continue
