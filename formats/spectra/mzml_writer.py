"""Spectra of any format written as mzML 1.1.0 (HUPO-PSI), a batch of points at a time; no index, no chromatograms."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np

from lake.formats.spectra.activations import ACTIVATIONS
from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ, Values
from lake.formats.spectra.source import Points, Rows, SpectrumSource
from lake.formats.spectra.table import PrecursorTable, SpectrumTable

__all__ = ["write_mzml"]

_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<mzML xmlns="http://psi.hupo.org/ms/mzml" xmlns:xsd="http://www.w3.org/2001/XMLSchema" version="1.1.0">
<cvList count="2">
<cv id="MS" fullName="Proteomics Standards Initiative Mass Spectrometry Ontology" \
URI="https://raw.githubusercontent.com/HUPO-PSI/psi-ms-CV/master/psi-ms.obo"/>
<cv id="UO" fullName="Unit Ontology" \
URI="https://raw.githubusercontent.com/bio-ontology-research-group/unit-ontology/master/unit.obo"/>
</cvList>
<fileDescription><fileContent>\
<cvParam cvRef="MS" accession="MS:1000294" name="mass spectrum" value=""/></fileContent></fileDescription>
<softwareList count="1"><software id="regionlake" version="1">\
<cvParam cvRef="MS" accession="MS:1000799" name="custom unreleased software tool" value="regionlake"/>\
</software></softwareList>
<instrumentConfigurationList count="1"><instrumentConfiguration id="IC">\
<cvParam cvRef="MS" accession="MS:1000031" name="instrument model" value=""/>\
</instrumentConfiguration></instrumentConfigurationList>
<dataProcessingList count="1"><dataProcessing id="DP"><processingMethod order="0" softwareRef="regionlake">\
<cvParam cvRef="MS" accession="MS:1000544" name="Conversion to mzML" value=""/>\
</processingMethod></dataProcessing></dataProcessingList>
<run id="run" defaultInstrumentConfigurationRef="IC">
"""
_TAIL = "</spectrumList>\n</run>\n</mzML>\n"
_SECOND = ' unitCvRef="UO" unitAccession="UO:0000010" unitName="second"'
_MASS = ' unitCvRef="MS" unitAccession="MS:1000040" unitName="m/z"'
_COUNTS = ' unitCvRef="MS" unitAccession="MS:1000131" unitName="number of detector counts"'
_VOLTS = ' unitCvRef="UO" unitAccession="UO:0000266" unitName="electronvolt"'
_ARRAYS = {
    MZ: ("m/z array", _MASS),
    INTENSITY: ("intensity array", _COUNTS),
    MOBILITY: ("ion mobility array", ""),
}
_NATIVE_ID = re.compile(r"\S+=\S+( \S+=\S+)*")
"""What the schema takes as the id of a spectrum."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 can hold, not even escaped."""


class _Param(NamedTuple):
    accession: int
    name: str
    value: str = ""
    unit: str = ""

    def __str__(self) -> str:
        value = quoteattr(_NOT_XML.sub("\ufffd", self.value))
        return f'<cvParam cvRef="MS" accession="MS:{self.accession:07}" name="{self.name}" value={value}{self.unit}/>'


def write_mzml(source: SpectrumSource, rows: Rows) -> Iterator[bytes]:
    """Spectra of a run in the order of ``rows``; arrays are compressed with zlib, in the precision that they have.

    Raises:
        FormatError, Unsupported: an array cannot be read; names the spectrum.
    """
    spectra = source.table.spectra
    yield f'{_HEAD}<spectrumList count="{len(rows)}" defaultDataProcessingRef="DP">\n'.encode()
    number = 0
    for points in source.points(rows, (MZ, INTENSITY, MOBILITY)):
        edges = points.first.tolist()
        for row, start, stop in zip(points.rows.tolist(), edges[:-1], edges[1:], strict=True):
            yield "".join(_spectrum(spectra, row, number, points, start, stop)).encode()
            number += 1
    yield _TAIL.encode()


def _spectrum(spectra: SpectrumTable, row: int, number: int, points: Points, start: int, stop: int) -> Iterator[str]:
    name = _NOT_XML.sub("\ufffd", spectra.native_id[row] or "")
    known = name if _NATIVE_ID.fullmatch(name) else f"index={row}"
    yield f'<spectrum index="{number}" id={quoteattr(known)} defaultArrayLength="{stop - start}">'
    yield from map(str, _described(spectra, row))
    if name and name != known:
        yield str(_Param(1000796, "spectrum title", name))
    yield '<scanList count="1">' + str(_Param(1000795, "no combination")) + "<scan>"
    yield from map(str, _scanned(spectra, row))
    for axis, places in (("x", spectra.x), ("y", spectra.y), ("z", spectra.z)):
        if places[row] > 0:
            # Terms for pixels are of the vocabulary of imzML, which mzML does not have.
            yield f'<userParam name="position {axis}" type="xsd:integer" value="{int(places[row])}"/>'
    yield "</scan></scanList>"
    yield from _precursors(spectra, row)
    yield from _arrays(points, start, stop)
    yield "</spectrum>\n"


def _described(spectra: SpectrumTable, row: int) -> Iterator[_Param]:
    level = int(spectra.ms_level[row])
    if level:
        yield _Param(1000511, "ms level", str(level))
    if spectra.polarity[row]:
        yield _Param(1000130, "positive scan") if spectra.polarity[row] > 0 else _Param(1000129, "negative scan")
    if spectra.centroided[row] >= 0:
        yield _Param(1000127, "centroid spectrum") if spectra.centroided[row] else _Param(1000128, "profile spectrum")
    for accession, name, values, unit in (
        (1000285, "total ion current", spectra.tic, ""),
        (1000504, "base peak m/z", spectra.base_peak_mz, _MASS),
        (1000505, "base peak intensity", spectra.base_peak_intensity, _COUNTS),
        (1000528, "lowest observed m/z", spectra.low_mz, _MASS),
        (1000527, "highest observed m/z", spectra.high_mz, _MASS),
    ):
        yield from _real(accession, name, float(values[row]), unit)


def _scanned(spectra: SpectrumTable, row: int) -> Iterator[_Param]:
    yield from _real(1000016, "scan start time", float(spectra.rt[row]), _SECOND)
    if spectra.filter_string[row]:
        yield _Param(1000512, "filter string", spectra.filter_string[row])


def _precursors(spectra: SpectrumTable, row: int) -> Iterator[str]:
    further = np.flatnonzero(spectra.further.row == row).tolist() if len(spectra.further.row) else []
    stated: list[tuple[SpectrumTable | PrecursorTable, int]] = [(spectra, row)]
    stated += [(spectra.further, each) for each in further]
    stated = [(table, at) for table, at in stated if _says_something(table, at)]
    if stated:
        yield f'<precursorList count="{len(stated)}">'
        for table, at in stated:
            yield from _precursor(table, at)
        yield "</precursorList>"


def _says_something(table: SpectrumTable | PrecursorTable, row: int) -> bool:
    return not (np.isnan(table.precursor_mz[row]) and np.isnan(table.isolation_mz[row]))


def _precursor(table: SpectrumTable | PrecursorTable, row: int) -> Iterator[str]:
    yield "<precursor>"
    target, low, high = (float(each[row]) for each in (table.isolation_mz, table.isolation_low, table.isolation_high))
    if target == target:
        yield "<isolationWindow>"
        yield from map(str, _real(1000827, "isolation window target m/z", target, _MASS))
        yield from map(str, _real(1000828, "isolation window lower offset", target - low, _MASS))
        yield from map(str, _real(1000829, "isolation window upper offset", high - target, _MASS))
        yield "</isolationWindow>"
    if not np.isnan(table.precursor_mz[row]):
        yield '<selectedIonList count="1"><selectedIon>'
        yield from map(str, _real(1000744, "selected ion m/z", float(table.precursor_mz[row]), _MASS))
        if table.precursor_charge[row]:
            yield str(_Param(1000041, "charge state", str(abs(int(table.precursor_charge[row])))))
        yield from map(str, _real(1000042, "peak intensity", float(table.precursor_intensity[row]), _COUNTS))
        yield "</selectedIon></selectedIonList>"
    yield "<activation>"
    for accession in filter(None, (table.activation[row] or "").split(",")):
        yield str(_Param(int(accession[3:]), _dissociation(accession)))
    yield from map(str, _real(1000045, "collision energy", float(table.collision_energy[row]), _VOLTS))
    yield "</activation></precursor>"


def _dissociation(accession: str) -> str:
    return next((name for name, known in ACTIVATIONS.items() if known == (accession,)), "dissociation method")


def _real(accession: int, name: str, value: float, unit: str) -> Iterator[_Param]:
    if np.isfinite(value):
        yield _Param(accession, name, repr(value), unit)


def _arrays(points: Points, start: int, stop: int) -> Iterator[str]:
    found: Sequence[tuple[int, Values]] = [
        (kind, points.values[kind][start:stop]) for kind in _ARRAYS if kind in points.values
    ]
    # In a batch the spectra that lack a mobility have NaN.
    found = [(kind, values) for kind, values in found if kind != MOBILITY or not np.isnan(values).all()]
    if not found:
        return
    yield f'<binaryDataArrayList count="{len(found)}">'
    for kind, values in found:
        narrow = values.dtype == np.float32
        data = values.astype("<f4" if narrow else "<f8", copy=False).tobytes()
        text = base64.b64encode(zlib.compress(data, 1)).decode()
        name, unit = _ARRAYS[kind]
        yield f'<binaryDataArray encodedLength="{len(text)}">'
        yield str(_Param(1000521, "32-bit float") if narrow else _Param(1000523, "64-bit float"))
        yield str(_Param(1000574, "zlib compression"))
        yield f"{_Param(kind, name, '', unit)}<binary>{text}</binary></binaryDataArray>"
    yield "</binaryDataArrayList>"
