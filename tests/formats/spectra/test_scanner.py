"""The scan of mzML: its traps one by one, made files beside an XML parser, and all real files beside pyteomics."""

from __future__ import annotations

import base64
import bz2
import gzip
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.spectra import scanner as scanner_module
from lake.formats.spectra.native_ids import scan_number
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.strict import difference, scan_strictly
from lake.formats.spectra.table import RunTable
from lake.formats.spectra.table_codec import decode_run, encode_run
from tests.formats.spectra.judges import pyteomics_headers
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum

MS1 = '<cvParam cvRef="MS" accession="MS:1000511" name="ms level" value="1"/>'


def scan(data: bytes, size: int = 1 << 20) -> RunTable:
    scanner = MzmlScanner()
    for start in range(0, len(data), size):
        scanner.update(data[start : start + size])
    return scanner.finish()


def strictly(data: bytes) -> RunTable:
    return scan_strictly([data])


def agreed(data: bytes) -> RunTable:
    """The table, which must not depend on the pieces and be that of the XML parser."""
    table = scan(data)
    assert difference(table, strictly(data)) is None
    for size in (1, 7, 4096):
        assert difference(table, scan(data, size)) is None
    return table


def spans(data: bytes, table: RunTable) -> list[bytes]:
    spectra = table.spectra
    return [data[at : at + length] for at, length in zip(spectra.offset, spectra.length, strict=True)]


def element(inside: str, name: str = "scan=1", attributes: str = "", points: int = 0) -> str:
    return f'<spectrum index="0" id="{name}" defaultArrayLength="{points}"{attributes}>{inside}</spectrum>'


def param(accession: str, value: str = "", unit: str = "") -> str:
    return f'<cvParam cvRef="MS" accession="{accession}" name="n" value="{value}"{unit}/>'


def array(inside: str) -> str:
    return (
        f'<binaryDataArray encodedLength="4">{param("MS:1000523")}{param("MS:1000576")}{param("MS:1000514")}'
        f"{inside}</binaryDataArray>"
    )


class TestTraps:
    """Massspec notes, section 4.4, by number."""

    def test_1_another_order_of_attributes(self) -> None:
        start = (
            '<cvParam value="3.3389343" unitName="minute" unitAccession="UO:0000031" accession="MS:1000016" name=""/>'
        )
        level = '<cvParam value="2" name="ms level" accession="MS:1000511" cvRef="MS"/>'
        table = agreed(made_mzml([element(level + start)] * 3))
        assert table.spectra.rt.tolist() == [200.336058] * 3
        assert table.spectra.ms_level.tolist() == [2] * 3
        assert table.layout is not None
        assert table.layout.mode == "generic"

    def test_1_thermo_raw_file_parser_stays_fast(self) -> None:
        start = (
            '<cvParam cvRef="MS" accession="MS:1000016" value="2" name="scan start time" unitAccession="UO:0000031" '
            'unitName="minute" unitCvRef="UO" />'
        )
        level = '<cvParam cvRef="MS" accession="MS:1000511" value="2" name="ms level" />'
        table = agreed(made_mzml([element(level + start)] * 3))
        assert table.spectra.rt.tolist() == [120.0] * 3
        assert table.layout is not None
        assert table.layout.mode == "fast"

    def test_1_one_header_in_another_order_far_from_the_sample(self) -> None:
        usual = element(MS1 + param("MS:1000285", "5"))
        odd = element(MS1 + '<cvParam cvRef="MS" name="tic" accession="MS:1000285" value="7"/>')
        table = agreed(made_mzml([usual] * 100 + [odd] + [usual] * 100))
        assert table.spectra.tic.tolist() == [5.0] * 100 + [7.0] + [5.0] * 100
        assert table.layout is not None
        assert table.layout.mode == "fast"

    def test_2_no_list_of_arrays(self) -> None:
        data = made_mzml([element(MS1), made_spectrum(1, "scan=2", 2.0), element(MS1, "scan=3")])
        table = agreed(data)
        assert table.spectra.native_id.tolist() == ["scan=1", "scan=2", "scan=3"]
        assert np.diff(table.spectra.arrays.first).tolist() == [0, 2, 0]
        assert table.spectra.header_length[0] == table.spectra.length[0]

    @pytest.mark.parametrize("empty", ["<binary/>", "<binary />", "<binary></binary>", "<binary  />", ""])
    def test_3_empty_arrays(self, empty: str) -> None:
        full = array("<binary>AAAA</binary>")
        data = made_mzml([element(f"{MS1}<binaryDataArrayList>{full}{array(empty)}{full}</binaryDataArrayList>")])
        arrays = agreed(data).spectra.arrays
        assert arrays.length.tolist() == [4, 0, 4]
        assert data[arrays.offset[2] :].startswith(b"AAAA</binary>")

    def test_3_attributes_of_binary(self) -> None:
        data = made_mzml([element(MS1 + array('<binary xml:space="preserve">AAAA</binary>'))])
        assert agreed(data).spectra.arrays.length.tolist() == [4]

    def test_4_user_parameters_of_old_openms(self) -> None:
        inside = MS1 + '<userParam name="total ion current" type="xsd:double" value="9"/>'
        inside += '<userParam name="filter string" type="xsd:string" value="FTMS"/><userParam name="other" value="1"/>'
        table = agreed(made_mzml([element(inside)]))
        assert table.spectra.tic.tolist() == [9.0]
        assert table.spectra.filter_string.tolist() == ["FTMS"]

    def test_5_parameter_groups(self) -> None:
        group = f'<referenceableParamGroup id="g">{MS1}{param("MS:1000129")}</referenceableParamGroup>'
        data = made_mzml([element('<referenceableParamGroupRef ref="g"/>'), element(MS1)])
        data = data.replace(
            b"<softwareList",
            f"<referenceableParamGroupList>{group}</referenceableParamGroupList><softwareList".encode(),
        )
        table = agreed(data)
        assert table.spectra.ms_level.tolist() == [1, 1]
        assert table.spectra.polarity.tolist() == [-1, 0]

    def test_6_no_value(self) -> None:
        inside = MS1 + '<cvParam cvRef="MS" accession="MS:1000130" name="positive scan"/>'
        inside += '<cvParam cvRef="MS" accession="MS:1000285" name="total ion current" />'
        table = agreed(made_mzml([element(inside)]))
        assert table.spectra.polarity.tolist() == [1]
        assert np.isnan(table.spectra.tic[0])

    def test_7_windows_lines(self) -> None:
        data = made_mzml([made_spectrum(0, "scan=1", 1.0)]).replace(b"\n", b"\r\n").replace(b"/>", b"\r\n />")
        assert agreed(data).spectra.n_points.tolist() == [3]

    def test_8_mzml_1_0(self) -> None:
        precursor = f"<precursor><selectedIonList><selectedIon>{param('MS:1000744', '445.1')}</selectedIon>"
        old = f"<spectrumDescription>{MS1}<precursorList>{precursor}</selectedIonList></precursor></precursorList>"
        data = made_mzml([element(old + "</spectrumDescription>")]).replace(b'"1.1.0"', b'"1.0"')
        table = agreed(data)
        assert table.spectra.precursor_mz.tolist() == [445.1]
        assert table.layout is not None
        assert table.layout.version == "1.0"

    @pytest.mark.parametrize("stated", ["0", "3", "99999999999999999999", "x"])
    def test_9_encoded_length_is_not_believed(self, stated: str) -> None:
        data = made_mzml([made_spectrum(0, "scan=1", 1.0), made_spectrum(1, "scan=2", 2.0)])
        wrong = re.sub(rb'encodedLength="\d+"', f'encodedLength="{stated}"'.encode(), data)
        arrays = agreed(wrong).spectra.arrays
        assert arrays.length.tolist() == [32] * 4
        assert base64.b64decode(wrong[arrays.offset[0] : arrays.offset[0] + 32])

    def test_10_no_ms_level(self) -> None:
        table = agreed(made_mzml([element(param("MS:1000804")), element(MS1)]))
        assert table.spectra.ms_level.tolist() == [0, 1]

    def test_11_several_precursors_and_ions(self) -> None:
        def ion(mz: int) -> str:
            return f"<selectedIon>{param('MS:1000744', str(mz))}{param('MS:1000041', str(mz % 10))}</selectedIon>"

        def precursor(target: int, ions: str) -> str:
            window = param("MS:1000827", str(target)) + param("MS:1000828", "1") + param("MS:1000829", "2")
            activation = param("MS:1000422") + param("MS:1000045", str(target / 10))
            return (
                f"<precursor><isolationWindow>{window}</isolationWindow><selectedIonList>{ions}</selectedIonList>"
                f"<activation>{activation}</activation></precursor>"
            )

        third = f"<precursorList>{precursor(400, ion(401) + ion(402))}{precursor(500, '')}</precursorList>"
        table = agreed(made_mzml([element(MS1), element(MS1 + third), element(MS1)]))
        spectra, further = table.spectra, table.spectra.further
        assert spectra.precursor_mz[1] == 401
        assert spectra.precursor_charge.tolist() == [0, 1, 0]
        assert (spectra.isolation_low[1], spectra.isolation_high[1]) == (399, 402)
        assert spectra.collision_energy[1] == 40
        assert spectra.activation.tolist() == [None, "MS:1000422", None]
        assert further.row.tolist() == [1, 1]
        assert further.isolation_mz.tolist() == [400, 500]
        assert further.precursor_charge.tolist() == [2, 0]
        assert further.collision_energy.tolist() == [40, 50]
        assert further.precursor_mz[0] == 402
        assert np.isnan(further.precursor_mz[1])

    def test_precursors_of_mzml_1_0(self) -> None:
        window = f"<isolationWindow>{param('MS:1000040', '445.3')}{param('MS:1000023', '2')}</isolationWindow>"
        ion = f"<selectedIonList><selectedIon>{param('MS:1000040', '445.34')}</selectedIon></selectedIonList>"
        later = f"<precursor><selectedIonList><selectedIon>{param('MS:1000744', '7')}</selectedIon></selectedIonList>"
        first = f"<precursorList><precursor>{window}{ion}</precursor></precursorList>"
        spectra = agreed(made_mzml([element(MS1 + first), element(MS1 + later + "</precursor>")])).spectra
        assert spectra.precursor_mz.tolist() == [445.34, 7]
        assert spectra.isolation_mz[0] == 445.3
        assert np.isnan(spectra.isolation_mz[1])

    def test_possible_charges_are_precursors(self) -> None:
        def ion(mz: int, *charges: str) -> str:
            return f"<selectedIon>{param('MS:1000744', str(mz))}{''.join(charges)}</selectedIon>"

        possible = [param("MS:1000633", value) for value in ("2", "3", "x", "0", "99999")]
        listed = f"<precursor>{ion(400, *possible)}{ion(500, param('MS:1000041', '1'))}</precursor>"
        second = f"<precursor>{ion(600, possible[1])}</precursor>"
        spectra = agreed(made_mzml([element(MS1), element(MS1 + listed), element(MS1 + second)])).spectra
        assert spectra.precursor_mz[1:].tolist() == [400, 600]
        assert spectra.precursor_charge.tolist() == [0, 0, 0]
        assert spectra.further.row.tolist() == [1, 1, 1, 2]
        assert spectra.further.precursor_mz.tolist() == [400, 400, 500, 600]
        assert spectra.further.precursor_charge.tolist() == [2, 3, 1, 3]

    @pytest.mark.parametrize(
        ("unit", "seconds"),
        [("UO:0000010", 4.2), ("UO:0000031", 252), ("UO:0000032", 15120), ("UO:0000028", 0.0042), ("MS:1000038", 252)],
    )
    def test_units_of_time(self, unit: str, seconds: float) -> None:
        stated = f' unitCvRef="UO" unitAccession="{unit}" unitName="u"'
        scan = f"<scanList><scan>{param('MS:1000016', '4.2', stated)}</scan></scanList>"
        assert agreed(made_mzml([element(MS1 + scan)])).spectra.rt.tolist() == [seconds]

    def test_12_encodings(self) -> None:
        spectrum = element(MS1, "scan=1 ä")
        for name in ("ISO-8859-1", "UTF-8"):
            data = made_mzml([spectrum], prolog=f'<?xml version="1.0" encoding="{name}"?>', encoding=name)
            assert agreed(data).spectra.native_id.tolist() == ["scan=1 ä"]
        with pytest.raises(FormatError, match="the encoding klingon of the file is not known"):
            scan(made_mzml([spectrum], prolog='<?xml version="1.0" encoding="klingon"?>'))


class TestKnownRisks:
    @pytest.mark.parametrize(
        "hidden",
        [
            "<!-- <spectrum id='no'> </spectrum> <binary> > -->",
            "<![CDATA[<spectrum id='no'> </spectrum> <binary>]]>",
            "<?app <spectrum </spectrum> ?>",
            "<!---->",
        ],
    )
    def test_what_is_no_element(self, hidden: str) -> None:
        inside = f"{MS1}{hidden}{param('MS:1000285', '5')}"
        data = made_mzml([element(inside), element(inside, "scan=2")], between=hidden)
        data = data.replace(b"</mzML>", hidden.encode() + b"</mzML>").replace(b"<cvList", hidden.encode() + b"<cvList")
        table = agreed(data)
        assert table.spectra.native_id.tolist() == ["scan=1", "scan=2"]
        assert table.spectra.tic.tolist() == [5.0, 5.0]

    def test_a_comment_between_array_and_end(self) -> None:
        inside = MS1 + array("<binary>AAAA</binary>") + "<!-- </spectrum> -->"
        data = made_mzml([element(inside), element(MS1, "scan=2")])
        assert spans(data, agreed(data))[0].endswith(b"--></spectrum>")

    def test_greater_than_in_values(self) -> None:
        inside = MS1 + '<userParam name="a > b" value="/>"/>' + param("MS:1000512", "a>b/>c")
        table = agreed(made_mzml([element(inside, "scan=1>2", ' spotID="/>"')]))
        assert table.spectra.filter_string.tolist() == ["a>b/>c"]
        assert table.spectra.native_id.tolist() == ["scan=1>2"]

    def test_entities(self) -> None:
        written = "a=&quot;&amp;amp;&lt;&#228;&#xe4;&apos;"
        table = agreed(made_mzml([element(MS1 + param("MS:1000512", written), written)]))
        assert table.spectra.native_id.tolist() == ["a=\"&amp;<ää'"]
        assert table.spectra.filter_string.tolist() == ["a=\"&amp;<ää'"]

    @pytest.mark.parametrize("closed", ["/>", " />", "></spectrum >", "></spectrum\n>"])
    def test_spectra_without_content(self, closed: str) -> None:
        data = made_mzml([f'<spectrum index="0" id="scan=1" defaultArrayLength="0"{closed}', element(MS1, "scan=2")])
        table = agreed(data)
        assert table.spectra.native_id.tolist() == ["scan=1", "scan=2"]
        assert spans(data, table)[0].decode().endswith(closed)

    def test_blanks_and_quotes_inside_of_tags(self) -> None:
        data = made_mzml(
            [
                "<spectrum\n\tindex = '0'\n id='scan=1' defaultArrayLength='3' ><cvParam\naccession = 'MS:1000511' "
                "cvRef='MS' name='\"' value='2' ></cvParam></spectrum>"
            ]
        )
        table = agreed(data)
        assert table.spectra.ms_level.tolist() == [2]
        assert table.spectra.n_points.tolist() == [3]

    def test_empty_lists(self) -> None:
        for data in (made_mzml([]), re.sub(rb'"d">\s*</spectrumList>', b'"d"/>', made_mzml([]))):
            table = agreed(data)
            assert len(table.spectra) == len(table.chromatograms) == 0
            assert table.layout is not None
            assert table.layout.spectra is not None
            assert table.layout.spectra.stated == 0

    def test_a_document_type_is_refused(self) -> None:
        prolog = '<?xml version="1.0"?><!DOCTYPE mzML [<!ENTITY a "b">]>'
        for read in (scan, strictly):
            with pytest.raises(FormatError, match="document type declaration"):
                read(made_mzml([], prolog=prolog))


class TestDamage:
    def test_cut_off_anywhere(self) -> None:
        data = made_mzml([made_spectrum(n, f"scan={n}", n) for n in range(3)])
        for stop in range(0, len(data), 13):
            with pytest.raises(FormatError):
                scan(data[:stop])
            with pytest.raises(FormatError):
                strictly(data[:stop])

    def test_the_message_says_where(self) -> None:
        data = made_mzml([made_spectrum(n, f"scan={n}", n) for n in range(3)])
        with pytest.raises(FormatError, match=r"ends at byte \d+ before </mzML>: it is cut off behind 2 spectra"):
            scan(data[: data.index(b'id="scan=2"')])

    @pytest.mark.parametrize(
        ("old", "new"),
        [(b"</spectrum>", b""), (b"</spectrumList>", b""), (b"</spectrumList>", b"</chromatogramList>")],
    )
    def test_tags_that_do_not_match(self, old: bytes, new: bytes) -> None:
        data = made_mzml([made_spectrum(0, "scan=1", 1.0)]).replace(old, new)
        for read in (scan, strictly):
            with pytest.raises(FormatError):
                read(data)

    def test_what_is_no_mzml(self) -> None:
        for data in (b"", b"text", b"<a/>", b"<mzML", b"<", b"<<<", bytes(range(256))):
            with pytest.raises(FormatError):
                scan(data)

    def test_what_is_endless_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanner_module, "LARGEST_ITEM", 1 << 16)
        data = made_mzml([made_spectrum(0, "scan=1", 1.0)])
        endless = data.replace(b"</binary>", b"A" * (1 << 17), 1)
        with pytest.raises(FormatError, match="is longer than 65536 bytes"):
            scan(endless, 4096)


class TestOwnIndex:
    def indexed(self, shift: int = 0) -> bytes:
        data = made_mzml([made_spectrum(n, f"scan={n}", n) for n in range(3)])
        body = data.replace(b"<mzML ", b"<indexedmzML><mzML ")
        table = scan(body)
        offsets = "".join(f'<offset idRef="x">{at + shift}</offset>\n' for at in table.spectra.offset)
        place = len(body) + 1
        return (
            body
            + (
                f'\n<indexList count="1"><index name="spectrum">{offsets}</index></indexList>'
                f"<indexListOffset>{place}</indexListOffset><fileChecksum>0</fileChecksum></indexedmzML>"
            ).encode()
        )

    def test_right_and_wrong(self) -> None:
        for shift, right in ((0, True), (1, False)):
            layout = agreed(self.indexed(shift)).layout
            assert layout is not None
            assert layout.own_index_ok is right
            assert layout.indexed

    def test_none(self) -> None:
        layout = agreed(made_mzml([])).layout
        assert layout is not None
        assert layout.own_index_ok is None


@pytest.mark.parametrize(
    ("native_id", "number"),
    [
        ("controllerType=0 controllerNumber=1 scan=17", 17),
        ("controllerType=5 controllerNumber=1 scan=17", -1),
        ("scan=3", 3),
        ("Scan=3", 3),
        ("scanId=1739784", 1739784),
        ("spectrum=4", 4),
        ("function=1 process=0 scan=2", -1),
        ("sample=1 period=1 cycle=2 experiment=1", -1),
        ("merged=0 frame=1 scanStart=1 scanEnd=927", -1),
        ("ManuelsCustomID=5 diesdas1", -1),
        ("S1", -1),
        ("scan=" + "9" * 40, -1),
    ],
)
def test_scan_numbers(native_id: str, number: int) -> None:
    assert scan_number(native_id) == number


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\x01", categories=["L", "N", "P", "Zs"]), max_size=12
)
_REAL = st.floats(0, 1e6).map(lambda value: f"{value:.4f}")


@st.composite
def params(draw: st.DrawFn) -> str:
    """One cvParam in any spelling."""
    accession = draw(
        st.sampled_from(
            [
                "MS:1000511",
                "MS:1000016",
                "MS:1000285",
                "MS:1000504",
                "MS:1000512",
                "MS:1000130",
                "MS:1000129",
                "MS:1000127",
                "MS:1000744",
                "MS:1000041",
                "MS:1000827",
                "MS:1000828",
                "MS:1000633",
                "MS:1000040",
                "MS:1000045",
                "MS:1000422",
                "MS:1000133",
                "MS:1002476",
                "MS:1000927",
                "MS:9999999",
                "UO:0000031",
                "IMS:1000050",
            ]
        )
    )
    value = draw(st.one_of(_REAL, _TEXT, st.integers(-5, 99999).map(str)))
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("'", "&#39;")
    attributes = [("cvRef", "MS"), ("accession", accession), ("name", "n")]
    if draw(st.integers(0, 9)):
        attributes.append(("value", value))
    if draw(st.booleans()):
        unit = draw(st.sampled_from(("UO:0000031", "UO:0000010", "UO:0000028", "MS:1000040")))
        attributes += [("unitCvRef", "UO"), ("unitAccession", unit), ("unitName", "u")]
    if not draw(st.integers(0, 7)):
        attributes = draw(st.permutations(attributes))
    quote = "'" if not draw(st.integers(0, 15)) else '"'
    end = draw(st.sampled_from(("/>", " />", "/>", "/>", "></cvParam>")))
    return "<cvParam " + " ".join(f"{name}={quote}{text}{quote}" for name, text in attributes) + end


@st.composite
def elements(draw: st.DrawFn, name: str = "spectrum") -> str:
    """A spectrum or chromatogram with any content."""
    some = st.lists(params(), max_size=4).map("".join)
    inside = draw(some)
    if draw(st.booleans()):
        inside += f"<scanList><scan>{draw(some)}</scan></scanList>"
    for _ in range(draw(st.integers(0, 2))):
        ions = "".join(f"<selectedIon>{draw(some)}</selectedIon>" for _ in range(draw(st.integers(0, 2))))
        inside += f"<precursor><isolationWindow>{draw(some)}</isolationWindow>{ions}<activation>{draw(some)}"
        inside += "</activation></precursor>"
    inside += draw(st.sampled_from(("", "", "\n", "<!-- </spectrum> -->", "<?x <binary>?>")))
    if draw(st.booleans()):
        inside += f"<product>{draw(some)}</product>"
    arrays = ""
    for _ in range(draw(st.integers(0, 3))):
        text = draw(
            st.sampled_from(("<binary/>", "<binary></binary>", "<binary>AAAA</binary>", "<binary>\nAA==\n</binary>"))
        )
        own = draw(st.sampled_from(("", ' arrayLength="3"')))
        arrays += f'<binaryDataArray encodedLength="4"{own}>{draw(some)}{text}</binaryDataArray>'
    if arrays:
        inside += f"<binaryDataArrayList>{arrays}</binaryDataArrayList>"
    native_id = draw(_TEXT).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f'<{name} index="0" id="{native_id}" defaultArrayLength="{draw(st.integers(0, 9))}">{inside}</{name}>'


@settings(max_examples=120, deadline=None)
@given(st.lists(elements(), max_size=5), st.lists(elements("chromatogram"), max_size=2), st.integers(1, 600))
def test_any_file_reads_as_an_xml_parser_reads_it(spectra: list[str], chromatograms: list[str], size: int) -> None:
    data = made_mzml(spectra)
    if chromatograms:
        listed = f'<chromatogramList count="{len(chromatograms)}">{"".join(chromatograms)}</chromatogramList></run>'
        data = data.replace(b"</run>", listed.encode())
    table = scan(data, size)
    assert difference(table, strictly(data)) is None
    assert difference(decode_run(encode_run(table, len(data)), len(data)), table) is None


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else bz2.decompress(data) if path.suffix == ".bz2" else data


def real_files(shared_data: Path) -> list[Path]:
    files = sorted((shared_data / "massspec").glob("*mzML*"))
    return [path for path in files if path.suffix != ".mzMLb"]


def test_real_files_beside_an_xml_parser(shared_data: Path) -> None:
    for path in real_files(shared_data):
        data = contents(path)
        table = scan(data)
        assert difference(table, strictly(data)) is None, path.name
        assert difference(table, scan(data, 65_521)) is None, path.name
        for text in spans(data, table):
            assert text.startswith(b"<spectrum ")
            assert text.endswith(b"</spectrum>")
            assert text.count(b"</spectrum>") == 1


def test_real_files_beside_pyteomics(shared_data: Path) -> None:
    for path in real_files(shared_data):
        data = contents(path)
        spectra = scan(data).spectra
        headers = pyteomics_headers(data)
        assert len(headers) == len(spectra), path.name
        for row, header in enumerate(headers):
            for name, expected in header.items():
                assert _same(getattr(spectra, name)[row], expected), (path.name, row, name, expected)


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, str) or expected is None:
        absent = found is None or found in (0, -1) or (isinstance(found, float) and math.isnan(found))
        return absent if expected is None else bool(found == expected)
    return math.isclose(float(found), float(expected), rel_tol=1e-12)
