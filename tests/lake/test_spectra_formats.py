"""MGF, mzXML and mzMLb in a lake: facts, regions and points by the same words as mzML; damage is told at put."""

from __future__ import annotations

import bz2
import gzip
import random
from pathlib import Path

import pytest

from lake.errors import DamagedObject, FormatError
from lake.lake import Lake
from tests.formats.spectra.mzxml_maker import make_mzxml, some_scans
from tests.lake.samples import flip, object_file


def blocks(count: int) -> bytes:
    """Spectra, one a second from the first second on, of 200 peaks each."""
    rng = random.Random(2)
    peaks = [b"\n".join(b"%d.25 %d" % (100 + peak, rng.randrange(10**9)) for peak in range(200)) for _ in range(count)]
    return b"".join(
        b"BEGIN IONS\nTITLE=run.%d.%d.2\nRTINSECONDS=%d\nPEPMASS=%d.5 7\nCHARGE=2+\n%b\nEND IONS\n\n"
        % (n, n, n, 400 + n, text)
        for n, text in enumerate(peaks, 1)
    )


BLOCKS = blocks(100)


@pytest.fixture
def lk(tmp_path: Path) -> Lake:
    return Lake.init(tmp_path / "lk")


def put(lk: Lake, tmp_path: Path, name: str, data: bytes) -> list[str]:
    """Store a file; its warnings."""
    path = tmp_path / name
    path.write_bytes(data)
    return [warning for item in lk.put(path, name).items for warning in item.warnings]


@pytest.mark.parametrize(
    ("name", "pack", "unpack"),
    [
        ("a.mgf", bytes, bytes),
        ("a.mgf.gz", gzip.compress, gzip.decompress),
        ("a.mgf.bz2", bz2.compress, bz2.decompress),
    ],
)
def test_mgf(lk: Lake, tmp_path: Path, name: str, pack: type[bytes], unpack: type[bytes]) -> None:
    packed = pack(BLOCKS)
    assert put(lk, tmp_path, name, packed) == []
    rows = lk.sql("SELECT scan, rt, ms_level, precursor_mz, n_points FROM spectra WHERE rt BETWEEN 3 AND 4").fetchall()
    assert rows == [(3, 3.0, 2, 403.5, 200), (4, 4.0, 2, 404.5, 200)]
    cut = unpack(lk.slice(name, "rt=3-4").to_bytes())
    start, stop = BLOCKS.index(b"BEGIN IONS\nTITLE=run.3.3"), BLOCKS.index(b"BEGIN IONS\nTITLE=run.5.5")
    assert cut == BLOCKS[start:stop]
    table = lk.peaks(name, "precursor_mz=403-405", mz=(298, 300)).read_all()
    assert table["mz"].to_pylist() == [298.25, 299.25] * 2
    assert len(lk.xic(name, mz=150.25, ms_level=2)) == 100
    assert lk.slice(name, "").to_bytes() == packed


def test_mgf_is_cut_behind_blocks_and_its_chunks_know_their_times(lk: Lake, tmp_path: Path) -> None:
    data = blocks(600)
    assert put(lk, tmp_path, "a.mgf", data) == []
    chunks = lk.facts("a.mgf")["chunks"].to_pylist()
    assert len(chunks) > 1
    assert [chunk["rt_start"] for chunk in chunks[1:]] == [chunk["rt_stop"] + 1 for chunk in chunks[:-1]]
    # A slice of one chunk does not see that another one is damaged.
    flip(object_file(lk, "a.mgf"), len(data) - 10)
    lk.close()
    with Lake.open_at(tmp_path / "lk") as again:
        assert b"TITLE=run.2.2.2" in again.slice("a.mgf", "index=1").to_bytes()
        with pytest.raises(DamagedObject):
            again.slice("a.mgf", "index=599").to_bytes()


def test_mzxml(lk: Lake, tmp_path: Path) -> None:
    assert put(lk, tmp_path, "a.mzXML", make_mzxml(some_scans())) == []
    facts = lk.facts("a.mzXML")
    assert facts["spectra"]["scan"].to_pylist() == [3, 4, 5, 7, 8, 9]
    [run] = facts["runs"].to_pylist()
    assert (run["spectra"], run["ms_levels"], run["polarities"], run["own_index_ok"]) == (6, "1,2", "+,-", True)
    assert lk.tic("a.mzXML")["rt"].to_pylist() == [6.0, 60.5, 62.0]
    assert put(lk, tmp_path, "b.mzXML", lk.slice("a.mzXML", "ms_level=2").to_bytes()) == []
    assert lk.facts("b.mzXML")["spectra"]["scan"].to_pylist() == [4, 5, 8]


def test_mzmlb(lk: Lake, tmp_path: Path, shared_data: Path) -> None:
    data = (shared_data / "massspec" / "OpenMS__test_old.mzMLb").read_bytes()
    assert put(lk, tmp_path, "a.mzMLb", data) == []
    facts = lk.facts("a.mzMLb")
    assert facts["spectra"]["scan"].to_pylist() == [1, 2]
    assert "chunks" not in facts
    assert put(lk, tmp_path, "b.mzML", lk.slice("a.mzMLb", "scan=2").to_bytes()) == []
    whole, cut = (lk.peaks(path, "scan=2").read_all() for path in ("a.mzMLb", "b.mzML"))
    assert whole["mz"].to_pylist() == cut["mz"].to_pylist()
    assert whole["intensity"].to_pylist() == cut["intensity"].to_pylist()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mgf", BLOCKS[:-20]),
        ("a.mzXML", make_mzxml(some_scans())[:-400]),
        ("a.mgf.gz", gzip.compress(BLOCKS, mtime=0)[:-50]),
    ],
)
def test_damaged_files_are_kept_and_marked(lk: Lake, tmp_path: Path, name: str, data: bytes) -> None:
    assert put(lk, tmp_path, name, data)
    assert lk.sql("SELECT count(*) FROM spectra").fetchall() == [(0,)]
    with pytest.raises(FormatError, match=name):
        lk.slice(name, "index=0")
