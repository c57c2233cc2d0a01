"""mzMLb: what pyteomics reads of a real file, and of the mzML that is cut out of it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lake.errors import FormatError, Unsupported
from lake.formats.reader import BytesReader
from lake.formats.spectra.mzml import scan_mzml
from lake.formats.spectra.mzmlb import MZMLB
from lake.formats.spectra.run_format import RunFile
from tests.formats.spectra.slices import all_points, open_bytes, slice_bytes, table_built

NAMES = {
    1000511: "ms level",
    1000514: "m/z array",
    1000515: "intensity array",
    1000521: "32-bit float",
    1000523: "64-bit float",
    1000574: "zlib compression",
    1000576: "no compression",
}


def term(accession: int, value: object = "") -> str:
    return f'<cvParam cvRef="MS" accession="MS:{accession}" name="{NAMES.get(accession, "other")}" value="{value}"/>'


def read(data: bytes, *, inner: bool) -> list[dict[str, Any]]:
    """Spectra of an mzMLb, or of an mzML."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mzml, mzmlb

        with mzml.MzML(io.BytesIO(data), use_index=False) if inner else mzmlb.MzMLb(io.BytesIO(data)) as spectra:
            return list(spectra)


@pytest.fixture
def real(shared_data: Path) -> bytes:
    return (shared_data / "massspec" / "OpenMS__test_old.mzMLb").read_bytes()


def opened(data: bytes) -> RunFile:
    file = open_bytes(MZMLB, data)
    assert isinstance(file, RunFile)
    return file


def make(datasets: dict[str, np.ndarray[Any, Any]], arrays: list[tuple[int, int, list[tuple[int, object]]]]) -> bytes:
    """A file of one spectrum of four points; arrays are kind, type and further terms."""
    made = "".join(
        f'<binaryDataArray encodedLength="0">{term(kind)}{term(dtype)}'
        f"{''.join(term(*each) for each in terms)}<binary/></binaryDataArray>"
        for kind, dtype, terms in arrays
    )
    text = (
        '<?xml version="1.0"?><mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1.0"><run id="r">'
        '<spectrumList count="1" defaultDataProcessingRef="d"><spectrum index="0" id="scan=1" defaultArrayLength="4">'
        f'{term(1000511, 1)}<binaryDataArrayList count="{len(arrays)}">{made}</binaryDataArrayList></spectrum>'
        "</spectrumList></run></mzML>"
    ).encode()
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["mzML"] = np.frombuffer(text, np.int8)
        for name, values in datasets.items():
            file[name] = values
    return out.getvalue()


def external(name: str, first: int = 0, count: int = 4, scheme: int = 1000574) -> list[tuple[int, object]]:
    return [(scheme, ""), (1002841, name), (1002842, first), (1002843, count)]


MASSES = np.array([100.0, 101.5, 200.25, 300.125])


def two(
    mz: list[tuple[int, object]], datasets: dict[str, np.ndarray[Any, Any]] | None = None, dtype: int = 1000523
) -> bytes:
    found = datasets or {"m": np.concatenate((np.zeros(3), MASSES)), "i": np.arange(4, dtype=np.float32)}
    return make(found, [(1000514, dtype, mz), (1000515, 1000521, external("i"))])


def test_facts_and_peaks_are_those_that_pyteomics_reads(real: bytes, tmp_path: Path) -> None:
    file = table_built(MZMLB, real, tmp_path)
    assert isinstance(file, RunFile)
    truth, table = read(real, inner=False), file.stored.run.spectra
    assert MZMLB.check(BytesReader(real)) == []
    assert list(table.native_id) == [expected["id"] for expected in truth]
    assert table.rt.tolist() == pytest.approx(
        [float(expected["scanList"]["scan"][0]["scan start time"]) * 60 for expected in truth]
    )
    for (mz, intensity), expected in zip(all_points(file.source), truth, strict=True):
        # Those of a batch have one type, the widest.
        assert mz.tolist() == expected["m/z array"].tolist()
        assert intensity.tolist() == expected["intensity array"].tolist()


@pytest.mark.parametrize(("region", "rows"), [("index=1", [1]), ("rt=0-1", [0, 1]), ("scan=1", [0]), ("scan=7", [])])
def test_slices_are_mzml(real: bytes, region: str, rows: list[int]) -> None:
    file = opened(real)
    assert file.plan([region]).media_type == "application/xml"
    cut = slice_bytes(file, BytesReader(real), region)
    truth = read(real, inner=False)
    found = read(cut, inner=True)
    assert [spectrum["id"] for spectrum in found] == [truth[row]["id"] for row in rows]
    for number, (spectrum, row) in enumerate(zip(found, rows, strict=True)):
        assert spectrum["index"] == number
        assert spectrum["m/z array"].tobytes() == truth[row]["m/z array"].tobytes()
        assert spectrum["intensity array"].tobytes() == truth[row]["intensity array"].tobytes()
    assert scan_mzml(BytesReader(cut)).spectra.n_points.tolist() == [19914 for _ in rows]
    assert b"MS:100284" not in cut


def test_the_whole_file_stays_what_it_is(real: bytes) -> None:
    assert slice_bytes(opened(real), BytesReader(real)) == real


def both_ways(data: bytes) -> tuple[list[float], list[float]]:
    """m/z by the source, and by pyteomics from the slice."""
    file = opened(data)
    [(mz, _)] = all_points(file.source)
    [spectrum] = read(slice_bytes(file, BytesReader(data), "index=0"), inner=True)
    return mz.tolist(), spectrum["m/z array"].tolist()


def test_arrays_are_parts_of_datasets() -> None:
    assert both_ways(two(external("m", 3))) == (MASSES.tolist(), MASSES.tolist())
    assert both_ways(two(external("m", 3, scheme=1000576))) == (MASSES.tolist(), MASSES.tolist())


def test_a_type_that_the_text_does_not_tell() -> None:
    assert both_ways(two(external("m", 3), dtype=1000521)) == (MASSES.tolist(), MASSES.tolist())


@pytest.mark.parametrize(("scheme", "undone"), [(1003089, 1), (1003090, 2)])
def test_predictions_are_undone(scheme: int, undone: int) -> None:
    stored = MASSES.copy()
    for place in range(2, 4):
        before = MASSES[place - 1] - MASSES[0] if undone == 1 else 2 * MASSES[place - 1] - MASSES[place - 2] - MASSES[1]
        stored[place] = MASSES[place] - before
    data = two(external("m", scheme=scheme), {"m": stored, "i": np.arange(4, dtype=np.float32)})
    assert both_ways(data) == (MASSES.tolist(), MASSES.tolist())


def test_numpress_in_bytes() -> None:
    pynumpress = pytest.importorskip("pynumpress")
    packed = np.asarray(pynumpress.encode_linear(MASSES, 1000.0), np.uint8)
    data = two(external("m", 0, len(packed), 1002746), {"m": packed, "i": np.arange(4, dtype=np.float32)})
    mz, again = both_ways(data)
    assert mz == again == pynumpress.decode_linear(packed).tolist()


@pytest.mark.parametrize(
    ("terms", "error", "words"),
    [
        (external("m", 4), FormatError, r"spectrum 0 \(scan=1\): values 4 to 8 of 'm', which has 7"),
        (external("nothing"), FormatError, "no dataset 'nothing'"),
        (external("m", 0, 3), FormatError, "an array has 3 values, but the file declares 4"),
        ([(1000574, "")], FormatError, "names no dataset"),
        ([(1000574, ""), (1002841, "m"), (1002842, "x"), (1002843, 4)], FormatError, "is 'x', which is no number"),
        (external("m", 0, 4, 1002312), Unsupported, "MS-Numpress in a dataset of numbers"),
    ],
)
def test_what_does_not_fit_is_named(terms: list[tuple[int, object]], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        all_points(opened(two(terms)).source)


def test_other_hdf5_files_are_refused() -> None:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["mzML"] = np.arange(5.0)
    assert "no dataset mzML of bytes" in MZMLB.check(BytesReader(out.getvalue()))[0]
    assert MZMLB.check(BytesReader(out.getvalue()[:200])) != []


def test_text_that_cannot_be_there_is_not_read() -> None:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("mzML", (1 << 50,), np.int8, chunks=(1 << 20,))
    assert "the dataset mzML states 1125899906842624 bytes" in MZMLB.check(BytesReader(out.getvalue()))[0]
