"""Makes small mzML files of given points, with any codec: written by hand, so that nothing judges itself."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MadeSpectrum", "make_mzml", "some_spectra"]

_TYPES = {"<f4": 1000521, "<f8": 1000523, "<i4": 1000519, "<i8": 1000522}
_KINDS = {"mz": 1000514, "intensity": 1000515, "mobility": 1003006, "wavelength": 1000617}


class MadeSpectrum(NamedTuple):
    rt: float
    mz: NDArray[Any]
    intensity: NDArray[Any]
    level: int = 1
    precursor: float | None = None
    mobility: NDArray[Any] | None = None
    scan: int | None = None


def make_mzml(
    spectra: Sequence[MadeSpectrum],
    *,
    code: int = 1000574,
    pack: Callable[[bytes], bytes] = zlib.compress,
    tic: bool = False,
    horizontal: str = "mz",
) -> bytes:
    """An mzML without index. ``code`` and ``pack`` say how arrays are compressed, ``horizontal`` what goes with m/z."""
    items = "".join(_spectrum(place, each, code, pack, tic, horizontal) for place, each in enumerate(spectra))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1.0"><cvList count="1">'
        '<cv id="MS" fullName="PSI-MS" URI="x"/></cvList><fileDescription><fileContent/></fileDescription>'
        '<softwareList count="1"><software id="s" version="1"/></softwareList>'
        '<instrumentConfigurationList count="1"><instrumentConfiguration id="i"/></instrumentConfigurationList>'
        '<dataProcessingList count="1"><dataProcessing id="d"/></dataProcessingList>'
        '<run id="made" defaultInstrumentConfigurationRef="i">'
        f'<spectrumList count="{len(spectra)}" defaultDataProcessingRef="d">{items}</spectrumList></run></mzML>\n'
    ).encode()


def _term(accession: int, name: str, value: object = "", unit: str = "") -> str:
    return f'<cvParam cvRef="MS" accession="MS:{accession}" name="{name}" value="{value}"{unit}/>'


def _spectrum(
    place: int, each: MadeSpectrum, code: int, pack: Callable[[bytes], bytes], tic: bool, horizontal: str
) -> str:
    arrays = [_array(horizontal, each.mz, code, pack), _array("intensity", each.intensity, code, pack)]
    arrays += [_array("mobility", each.mobility, code, pack)] if each.mobility is not None else []
    seconds = ' unitCvRef="UO" unitAccession="UO:0000010" unitName="second"'
    precursor = ""
    if each.precursor is not None:
        ion = _term(1000744, "selected ion m/z", each.precursor)
        precursor = (
            f'<precursorList count="1"><precursor><selectedIonList count="1"><selectedIon>{ion}</selectedIon>'
            "</selectedIonList><activation/></precursor></precursorList>"
        )
    return (
        f'<spectrum index="{place}" id="scan={each.scan if each.scan is not None else place + 1}" '
        f'defaultArrayLength="{len(each.mz)}">{_term(1000511, "ms level", each.level)}'
        f"{_term(1000127, 'centroid spectrum')}"
        f"{_term(1000285, 'total ion current', float(each.intensity.sum())) if tic else ''}"
        f'<scanList count="1"><scan>{_term(1000016, "scan start time", each.rt, seconds)}</scan></scanList>{precursor}'
        f'<binaryDataArrayList count="{len(arrays)}">{"".join(arrays)}</binaryDataArrayList></spectrum>'
    )


def _array(kind: str, values: NDArray[Any], code: int, pack: Callable[[bytes], bytes]) -> str:
    text = base64.b64encode(pack(values.tobytes())).decode()
    return (
        f'<binaryDataArray encodedLength="{len(text)}">{_term(_TYPES[values.dtype.str], "type")}'
        f"{_term(code, 'compression')}{_term(_KINDS[kind], f'{kind} array')}<binary>{text}</binary></binaryDataArray>"
    )


def some_spectra(count: int, seed: int = 0, *, most: int = 40) -> list[MadeSpectrum]:
    """Spectra at random, every third one of MS2; m/z ascend, and some occur in many spectra."""
    random = np.random.default_rng(seed)
    common = np.round(random.uniform(300, 900, 12), 4)
    made = []
    for place in range(count):
        mz = np.sort(
            np.concatenate((random.uniform(200, 1000, random.integers(0, most)), common[random.random(12) < 0.7]))
        )
        second = place % 3 == 2
        made.append(
            MadeSpectrum(
                round(place * 0.5, 3),
                mz,
                random.exponential(1e4, len(mz)).astype("<f4"),
                2 if second else 1,
                float(common[place % 12]) if second else None,
            )
        )
    return made
