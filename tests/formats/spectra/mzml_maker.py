"""A small mzML, written by hand so that its oddities can be chosen."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

__all__ = ["NAMESPACE", "made_mzml", "made_spectrum"]

NAMESPACE = 'xmlns="http://psi.hupo.org/ms/mzml"'

_HEAD = """<cvList count="1"><cv id="MS" fullName="PSI-MS" URI="psi-ms.obo"/></cvList>
<fileDescription><fileContent/></fileDescription>
<softwareList count="1"><software id="s" version="1"/></softwareList>
<instrumentConfigurationList count="1"><instrumentConfiguration id="i"/></instrumentConfigurationList>
<dataProcessingList count="1"><dataProcessing id="d"><processingMethod order="0" softwareRef="s"/></dataProcessing>\
</dataProcessingList>
"""


def _param(accession: int, name: str, value: str = "", unit: str = "") -> str:
    return f'<cvParam cvRef="MS" accession="MS:{accession}" name="{name}" value="{value}"{unit}/>'


def _array(values: Sequence[float], accession: int, name: str) -> str:
    text = base64.b64encode(struct.pack(f"<{len(values)}d", *values)).decode()
    params = _param(1000523, "64-bit float") + _param(1000576, "no compression") + _param(accession, name)
    return f'<binaryDataArray encodedLength="{len(text)}">{params}<binary>{text}</binary></binaryDataArray>'


def made_spectrum(
    index: int, name: str, rt: float, level: int = 1, reference: str | None = None, quote: str = '"', points: int = 3
) -> str:
    """A spectrum; ``rt`` in seconds, ``reference`` the id of the spectrum of its precursor, as it is to be written."""
    second = ' unitCvRef="UO" unitAccession="UO:0000010" unitName="second"'
    start = _param(1000016, "scan start time", str(rt), second)
    precursor = ""
    if reference is not None:
        ion = _param(1000744, "selected ion m/z", str(400 + index))
        precursor = (
            f'<precursorList count="1"><precursor spectrumRef={quote}{reference}{quote}><selectedIonList count="1">'
            f"<selectedIon>{ion}</selectedIon></selectedIonList><activation/></precursor></precursorList>"
        )
    mz = [100.0 + index + point for point in range(points)]
    arrays = _array(mz, 1000514, "m/z array") + _array([value * 2 for value in mz], 1000515, "intensity array")
    return (
        f"<spectrum index={quote}{index}{quote} id={quote}{name}{quote} defaultArrayLength={quote}{points}{quote}>"
        f'{_param(1000511, "ms level", str(level))}<scanList count="1"><scan>{start}</scan></scanList>{precursor}'
        f'<binaryDataArrayList count="2">{arrays}</binaryDataArrayList></spectrum>'
    )


def made_mzml(
    spectra: Sequence[str],
    *,
    prolog: str = '<?xml version="1.0" encoding="UTF-8"?>\n',
    between: str = "\n  ",
    attributes: str = NAMESPACE,
    encoding: str = "utf-8",
) -> bytes:
    """An ``mzML`` without an index."""
    listed = "".join(between + spectrum for spectrum in spectra)
    return (
        f'{prolog}<mzML {attributes} version="1.1.0">\n{_HEAD}<run id="r" defaultInstrumentConfigurationRef="i">\n'
        f'<spectrumList count="{len(spectra)}" defaultDataProcessingRef="d">{listed}\n</spectrumList>\n</run>\n</mzML>'
    ).encode(encoding)
