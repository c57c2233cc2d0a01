"""Slices of mzML: valid, indexed rightly, and read by pyteomics, pymzML and pyOpenMS as the whole file is."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import FormatError, InvalidRegion
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.spectra import slicing
from lake.formats.spectra.content import content_reader
from lake.formats.spectra.mzml import scan_mzml
from lake.formats.spectra.query import parse_query
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.slicing import plan_slice
from lake.formats.spectra.table import RunTable
from lake.formats.spectra.tokens import unescaped
from lake.segments import Literal, Plan, Span, Stream
from tests.formats.spectra.judges import (
    Peaks,
    pymzml_by_id,
    pymzml_peaks,
    pyopenms_peaks,
    pyteomics_indexed,
    pyteomics_peaks,
)
from tests.formats.spectra.mzml_maker import NAMESPACE, made_mzml, made_spectrum

FILES = (
    "OpenMS__FeatureFinderMultiplex_9_input.mzML",
    "OpenMS__FileConverter_29_output.mzML",
    "OpenMS__FileFilter_37_output.mzML",
    "OpenMS__FileFilter_38_output.mzML",
    "OpenMS__GNPSExport_mzml1.mzML",
    "OpenMS__IM_FAIMS_test.mzML",
    "OpenMS__OpenSwathWorkflow_21_input.mzML",
    "OpenMS__SerumTest.mzML",
    "OpenMS__Spyogenes.chrom.mzML",
    "RaMS__Blank_129I_1L_pos_20240207-MS3.mzML.gz",
    "RaMS__S30657.mzML.gz",
    "RaMS__uv_test_mini.mzML.gz",
    "RaMS__wk_chrom.mzML.gz",
    "ms_deisotope__20150710_3um_AGP_001_29_30.preprocessed.mzML.gz",
    "ms_deisotope__has_missing_charge_state_info.mzML",
    "mzdata__diaPASEF.mzML",
    "mzdata__small.mzML",
    "mzdata__small.mzML.gz",
    "pymzML__Manuels_custom_ids.mzML",
    "pymzML__example.mzML",
)


@cache
def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _scan(data: bytes) -> RunTable:
    scanner = MzmlScanner()
    scanner.update(data)
    return scanner.finish()


def _bytes(reader: ByteReader, plan: Plan) -> bytes:
    parts: list[bytes] = []
    for segment in plan.segments:
        match segment:
            case Span(_, offset, length):
                parts.append(reader.read(offset, length))
            case Literal(data):
                parts.append(data)
            case Stream(pieces):
                parts += pieces()
    return b"".join(parts)


def _sliced(data: bytes, *regions: str, plain: bool = False, run: RunTable | None = None) -> bytes:
    reader = BytesReader(data)
    return _bytes(reader, plan_slice(reader, reader, run or _scan(data), parse_query(regions), plain=plain))


def _check_index(data: bytes, ids: Sequence[str], traces: int) -> None:
    """Offsets point at the elements that they name, one a line; the checksum is that of all before it."""
    offsets = re.findall(rb'^ *<offset idRef="([^"]*)">(\d+)</offset>$', data, re.MULTILINE)
    assert len(offsets) == len(ids) + traces
    for number, (name, offset) in enumerate(offsets):
        element, place = (b"spectrum", number) if number < len(ids) else (b"chromatogram", number - len(ids))
        tag = data[int(offset) : data.index(b">", int(offset))]
        assert tag.startswith(b"<" + element)
        assert re.search(rb"\bindex=[\"'](\d+)", tag)[1] == b"%d" % place  # type: ignore[index]
        given = re.search(rb"\bid=[\"']([^\"']*)", tag)
        assert given is not None
        assert unescaped(given[1], "utf-8") == unescaped(name, "utf-8")
    place = int(re.search(rb"<indexListOffset>(\d+)<", data)[1])  # type: ignore[index]
    assert data[place:].startswith(b"<indexList ")
    checksum = re.search(rb"<fileChecksum>([0-9a-f]{40})</fileChecksum>", data)
    assert checksum is not None
    assert hashlib.sha1(data[: checksum.start(1)]).hexdigest().encode() == checksum[1]


def _readable(judge: Callable[[Path], Peaks], path: Path) -> Peaks | None:
    try:
        return judge(path)
    except (ValueError, AttributeError, KeyError):
        # pymzML reads no MS-Numpress through these files' terms: what it cannot read whole says nothing of slices.
        return None


@pytest.mark.parametrize("name", FILES)
def test_every_reader_gets_the_peaks_of_the_whole_file(name: str, shared_data: Path, tmp_path: Path) -> None:
    data = _plain(shared_data / "massspec" / name)
    run = _scan(data)
    whole, slice_file = tmp_path / "whole.mzML", tmp_path / "slice.mzML"
    whole.write_bytes(data)
    judges: list[Callable[[Path], Peaks]] = [pyteomics_peaks, pymzml_peaks, lambda path: pyopenms_peaks(path)[0]]
    known = [(judge, peaks) for judge in judges if (peaks := _readable(judge, whole)) is not None]
    assert len(known) >= 2
    middle = len(run.spectra) // 2
    for query, plain in (
        ("index=1,3,5-7", False),
        (f"ms_level=2-&index={middle}-{middle + 60}", True),
        ("index=999999-", False),
        ("index=0-2&chromatograms=no", False),
    ):
        rows = parse_query([query]).rows(run.spectra)
        ids = run.spectra.native_id[rows].tolist()
        traces = 0 if "chromatograms" in query else len(run.chromatograms)
        slice_file.write_bytes(_sliced(data, query, plain=plain, run=run))
        for judge, peaks in known:
            assert judge(slice_file) == {key: peaks[key] for key in ids}
        assert len(pyopenms_peaks(slice_file)[1]) == traces
        if plain:
            assert b"<indexedmzML" not in slice_file.read_bytes()
        elif ids or traces:
            _check_index(slice_file.read_bytes(), ids, traces)
            found, found_traces = pyteomics_indexed(slice_file)
            assert sorted(found) == sorted(ids)
            assert len(found_traces) == traces
            assert _on_disc(slice_file) == (len(ids), traces)


def _on_disc(path: Path) -> tuple[int, int]:
    import pyopenms

    experiment = pyopenms.OnDiscMSExperiment()
    assert experiment.openFile(str(path))
    return experiment.getNrSpectra(), experiment.getNrChromatograms()


def test_pymzml_finds_scans_through_the_index(shared_data: Path, tmp_path: Path) -> None:
    data = _plain(shared_data / "massspec" / "mzdata__small.mzML")
    path, whole = tmp_path / "slice.mzML", tmp_path / "whole.mzML"
    path.write_bytes(_sliced(data, "scan=10-20"))
    whole.write_bytes(data)
    assert pymzml_by_id(path, [20, 10, 15]) == pymzml_by_id(whole, [20, 10, 15])


class TestSchema:
    """Slices satisfy the schemas that pyOpenMS brings along, key references from precursors to spectra included."""

    @staticmethod
    def _problems(data: bytes) -> list[str]:
        from lxml import etree  # type: ignore[import-untyped]

        found = find_spec("pyopenms")
        assert found is not None
        assert found.origin is not None
        name = "mzML_idx_1_10.xsd" if b"<indexedmzML" in data else "mzML_1_10.xsd"
        schema = etree.XMLSchema(etree.parse(str(Path(found.origin).parent / "share" / "OpenMS" / "SCHEMAS" / name)))
        schema.validate(etree.fromstring(data))
        return [error.message for error in schema.error_log]

    @pytest.mark.parametrize("name", ["mzdata__small.mzML", "OpenMS__GNPSExport_mzml1.mzML"])
    @pytest.mark.parametrize("query", ["index=3-9", "ms_level=2", "index=99999-", "index=99999-&chromatograms=no"])
    def test_holds_for_files(self, name: str, query: str, shared_data: Path) -> None:
        assert self._problems(_sliced(_plain(shared_data / "massspec" / name), query)) == []

    def test_holds_without_any_list(self, shared_data: Path) -> None:
        data = _plain(shared_data / "massspec" / "RaMS__wk_chrom.mzML.gz")
        # Locations of its source files are no URIs, in the whole file already.
        problems = self._problems(_sliced(data, "chromatograms=no"))
        assert [problem for problem in problems if "location" not in problem] == []


def test_the_plain_form_is_verbatim(shared_data: Path) -> None:
    data = _plain(shared_data / "massspec" / "mzdata__small.mzML")
    run = _scan(data)
    reader = BytesReader(data)
    plan = plan_slice(reader, reader, run, parse_query(["index=2-4,9"]), plain=True)
    assert plan.verbatim
    spans = [segment for segment in plan.segments if isinstance(segment, Span)]
    offsets, lengths = run.spectra.offset, run.spectra.length
    assert (offsets[2], offsets[4] + lengths[4]) in [(span.offset, span.offset + span.length) for span in spans]
    assert sum(len(segment.data) for segment in plan.segments if isinstance(segment, Literal)) < 2000
    assert plan.query != plan_slice(reader, reader, run, parse_query(["index=2-4,9"])).query


def test_the_whole_file_is_itself() -> None:
    data = made_mzml([made_spectrum(0, "scan=1", 1.0)])
    reader = BytesReader(data)
    for regions in ([], ["."], ["index=0-", "."], ["chromatograms=all"]):
        assert plan_slice(reader, reader, _scan(data), parse_query(regions)).segments == (
            Span(reader.source, 0, len(data)),
        )


class TestReferences:
    DATA = made_mzml(
        [
            made_spectrum(0, "scan=1", 1.0),
            made_spectrum(1, "scan=2", 2.0, 2, "scan=1"),
            made_spectrum(2, "a=&quot;&amp;&#66;", 3.0),
            made_spectrum(3, "scan=4", 4.0, 2, "a=&quot;&amp;B"),
            made_spectrum(4, "scan=5", 5.0, 2, "scan=1", quote="'"),
        ]
    )

    def test_inside_the_slice_stay(self) -> None:
        found = _sliced(self.DATA, "index=2-3")
        assert found.count(b'spectrumRef="a=&quot;&amp;B"') == 1
        _check_index(found, ["", "scan=4"], 0)

    def test_out_of_the_slice_become_external(self) -> None:
        found = _sliced(self.DATA, "index=1-4")
        assert found.count(b"externalSpectrumID") == 2
        assert b'<precursor externalSpectrumID="scan=1">' in found
        assert b"<precursor externalSpectrumID='scan=1'>" in found
        assert found.count(b"spectrumRef") == 1

    def test_stay_as_they_are_in_the_plain_form(self) -> None:
        assert b"externalSpectrumID" not in _sliced(self.DATA, "index=1-4", plain=True)


class TestStructure:
    def test_wrapper_without_its_declarations_is_taken_off(self) -> None:
        inner = made_mzml([made_spectrum(0, "scan=1", 1.0)], prolog="", attributes='id="m"')
        data = b'<?xml version="1.0"?>\n<indexedmzML ' + NAMESPACE.encode() + b">\n" + inner + b"\n</indexedmzML>"
        for found in (_sliced(data, "index=0-", "index=7", "chromatograms=no", plain=True), _sliced(data, "index=7-")):
            assert b"indexedmzML" not in found
            assert NAMESPACE.encode() in found
        assert _sliced(data, "index=0").count(b"<indexedmzML") == 1

    def test_missing_index_and_count_are_added(self) -> None:
        data = made_mzml([made_spectrum(7, "scan=1", 1.0).replace('index="7" ', "")]).replace(
            b'count="1" default', b"default"
        )
        found = _sliced(data, "index=0-5")
        assert b'<spectrum index="0" id="scan=1"' in found
        assert b'<spectrumList count="1" default' in found

    def test_values_that_look_like_attributes_are_left_alone(self) -> None:
        name = "a=' index=" + '"'.replace('"', "&quot;") + "9'"
        data = made_mzml([made_spectrum(0, "scan=1", 1.0), made_spectrum(1, name, 2.0)])
        assert f'<spectrum index="0" id="{name}"'.encode() in _sliced(data, "index=1")

    def test_comments_between_spectra_do_not_end_up_between_others(self) -> None:
        spectra = [made_spectrum(number, f"scan={number}", 1.0) for number in range(4)]
        data = made_mzml(spectra, between="\n<!-- <spectrum index='0'> -->")
        found = _sliced(data, "index=1,3")
        assert found.count(b"<!--") == 0
        assert _sliced(data, "index=0-3").count(b"<!--") == 3

    def test_self_closing_list_stays_one(self) -> None:
        data = made_mzml([]).replace(b'"d">\n</spectrumList>', b'"d"/>')
        assert b'<spectrumList count="0" defaultDataProcessingRef="d"/>' in _sliced(data, "index=0")

    def test_text_of_other_encodings_is_kept(self) -> None:
        prolog = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        spectra = [made_spectrum(0, "sample=é", 1.0), made_spectrum(1, "scan=2", 2.0, 2, "sample=é")]
        data = made_mzml(spectra, prolog=prolog, encoding="iso-8859-1")
        found = _sliced(data, "index=0-1", "index=5")
        assert '<offset idRef="sample=é">'.encode("iso-8859-1") in found
        assert 'spectrumRef="sample=é"'.encode("iso-8859-1") in found

    def test_only_what_lies_ahead_of_the_arrays_is_searched(self, shared_data: Path) -> None:
        data = _plain(shared_data / "massspec" / "OpenMS__Spyogenes.chrom.mzML")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slicing, "_LONGEST_HEADER", 1 << 11)
            assert _scan(_sliced(data, "index=7")).chromatograms.n_points.tolist()
            patch.setattr(slicing, "_LONGEST_HEADER", 10)
            with pytest.raises(FormatError, match="ahead of its arrays"):
                _sliced(data, "index=7")

    def test_lists_in_the_wrong_order_are_refused(self, shared_data: Path) -> None:
        data = _plain(shared_data / "massspec" / "mzdata__small.mzML")
        first, behind = data.index(b"<spectrumList"), data.index(b"<chromatogramList")
        stop = data.index(b"</run>")
        swapped = data[:first] + data[behind:stop] + data[first:behind] + data[stop:]
        with pytest.raises(FormatError, match="before the spectra"):
            _sliced(swapped, "index=0")

    def test_ids_that_are_not_of_the_encoding_are_indexed_as_they_stand(self) -> None:
        data = made_mzml([made_spectrum(0, "scan=?", 1.0), made_spectrum(1, "q='\"'", 2.0, quote="'")])
        data = data.replace(b"scan=?", b"scan=\xff").replace(b"""q='"''""", b"""q="'""")
        found = _sliced(data, "index=0-1", "index=7")
        assert b'<offset idRef="scan=\xff">' in found
        assert b'<offset idRef="q=&quot;">' in found

    def test_wrapper_of_mzml_1_0_has_its_namespace(self) -> None:
        namespace = "http://psi.hupo.org/schema_revision/mzML_1.0.0"
        data = made_mzml([made_spectrum(n, f"scan={n}", 1.0) for n in range(3)], attributes=f'xmlns="{namespace}"')
        found = _sliced(data, "index=1")
        assert f'<indexedmzML xmlns="{namespace}">'.encode() in found
        _check_index(found, ["scan=1"], 0)

    @given(st.sets(st.integers(0, 11)), st.integers(1, 3000), st.sampled_from([40, 5000, 1 << 20]))
    def test_any_selection_reads_back(self, rows: set[int], points: int, piece: int) -> None:
        spectra = [
            made_spectrum(
                n, f"scan={n + 1}", float(n), 1 + n % 2, f"scan={n}" if n % 2 else None, points=points if n == 5 else 2
            )
            for n in range(12)
        ]
        data = made_mzml(spectra)
        region = f"index={','.join(map(str, rows))}" if rows else "index=99"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slicing, "_PIECE", piece)
            found = _sliced(data, region)
            patch.setattr(slicing, "_STREAMED", 0)
            assert _sliced(data, region) == found
        again = _scan(found)
        assert again.spectra.native_id.tolist() == [f"scan={n + 1}" for n in sorted(rows)]
        if rows:
            _check_index(found, again.spectra.native_id.tolist(), 0)
        whole = _scan(data)
        for place, row in enumerate(sorted(rows)):
            start, old = int(again.spectra.header_length[place]), int(whole.spectra.header_length[row])
            first, then = int(again.spectra.offset[place]), int(whole.spectra.offset[row])
            assert (
                found[first + start : first + int(again.spectra.length[place])]
                == data[then + old : then + int(whole.spectra.length[row])]
            )


class TestCompressed:
    DATA = made_mzml([made_spectrum(number, f"scan={number + 1}", number * 1.0, points=200) for number in range(30)])

    @pytest.mark.parametrize("plain", [False, True])
    @pytest.mark.parametrize(("pack", "unpack"), [(gzip.compress, gzip.decompress), (bz2.compress, bz2.decompress)])
    def test_slice_is_compressed_as_the_file_is(
        self, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], plain: bool
    ) -> None:
        reader = BytesReader(pack(self.DATA))
        content = content_reader(reader)
        assert content.size == len(self.DATA)
        plan = plan_slice(reader, content, _scan(self.DATA), parse_query(["index=3,9-12"]), plain=plain)
        found = _bytes(reader, plan)
        assert found == _bytes(reader, plan)
        assert unpack(found) == _sliced(self.DATA, "index=3,9-12", plain=plain)

    def test_bgzf_is_read_by_the_block(self, tmp_path: Path) -> None:
        import pysam

        path = tmp_path / "x.mzML.gz"
        with pysam.BGZFile(str(path), "w", None) as file:
            file.write(self.DATA)
        reader = BytesReader(path.read_bytes())
        plan = plan_slice(reader, content_reader(reader), _scan(self.DATA), parse_query(["index=3,9-12"]))
        assert gzip.decompress(_bytes(reader, plan)) == _sliced(self.DATA, "index=3,9-12")

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    def test_damage_is_found_when_the_table_is_made(self, pack: Callable[[bytes], bytes]) -> None:
        packed = bytearray(pack(self.DATA))
        packed[len(packed) // 2] ^= 0x10
        with pytest.raises(FormatError, match="damaged"):
            scan_mzml(content_reader(BytesReader(bytes(packed))))


def test_a_table_of_another_file_is_noticed() -> None:
    spectra = [made_spectrum(number, f"scan={number + 1}", 1.0) for number in range(4)]
    data = made_mzml(spectra)
    run = _scan(data)
    shorter: Any = data[:-2000]
    with pytest.raises(FormatError):
        _sliced(shorter, "index=3", run=run)
    with pytest.raises(FormatError, match="no start tag"):
        _sliced(b" " * len(data), "index=3", run=run)


def test_ids_that_no_spectrum_has_are_told() -> None:
    data = made_mzml([made_spectrum(0, "scan=1", 1.0)])
    with pytest.raises(InvalidRegion, match="scan=2"):
        _sliced(data, "id=scan=2")
