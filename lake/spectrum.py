"""One spectrum: what its file says of it, and its points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.errors import NotFound
from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ
from lake.formats.spectra.source import SpectrumSource
from lake.formats.spectra.table import SpectrumTable

__all__ = ["Spectrum", "find_spectrum", "read_spectrum", "spectrum_facts"]

_ACCESSIONS = {
    "native_id": ("MS:1000767", "native spectrum identifier format"),
    "scan": ("MS:1003057", "scan number"),
    "ms_level": ("MS:1000511", "ms level"),
    "rt": ("MS:1000894", "retention time"),
    "tic": ("MS:1000285", "total ion current"),
    "base_peak_mz": ("MS:1000504", "base peak m/z"),
    "base_peak_intensity": ("MS:1000505", "base peak intensity"),
    "low_mz": ("MS:1000528", "lowest observed m/z"),
    "high_mz": ("MS:1000527", "highest observed m/z"),
    "precursor_mz": ("MS:1000744", "selected ion m/z"),
    "precursor_charge": ("MS:1000041", "charge state"),
    "precursor_intensity": ("MS:1000042", "peak intensity"),
    "isolation_mz": ("MS:1000827", "isolation window target m/z"),
    "collision_energy": ("MS:1000045", "collision energy"),
    "filter_string": ("MS:1000512", "filter string"),
    "injection_time": ("MS:1000927", "ion injection time"),
}
_POLARITIES = {"+": ("MS:1000130", "positive scan"), "-": ("MS:1000129", "negative scan")}
_SHAPES = {True: ("MS:1000127", "centroid spectrum"), False: ("MS:1000128", "profile spectrum")}
_FACTS = (*_ACCESSIONS, "polarity", "centroided", "n_points", "isolation_low", "isolation_high", "activation")
_ABSENT = {"scan": -1, "n_points": -1, "ms_level": 0, "precursor_charge": 0, "polarity": 0, "centroided": -1}


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """A spectrum of a run. Arrays have one value a point, in the order of the file."""

    path: str
    ord: int
    """Its place in the file, from 0."""
    facts: Mapping[str, Any] = field(repr=False)
    """What the file says, by the names of the facts ``spectra``; None where it says nothing."""
    mz: NDArray[Any] = field(repr=False)
    intensity: NDArray[Any] = field(repr=False)
    ion_mobility: NDArray[Any] | None = field(default=None, repr=False)
    usi: str | None = None
    """By which it was asked for."""
    interpretation: str | None = None
    """Of the USI, as written: ``VLHPLEGAVVIIFK/2``."""

    @property
    def native_id(self) -> str | None:
        found: str | None = self.facts["native_id"]
        return found

    @property
    def title(self) -> str:
        """A line for people: path, native id or place, retention time."""
        name = self.native_id or f"index={self.ord}"
        rt, precursor = self.facts["rt"], self.facts["precursor_mz"]
        parts = [f"{self.path} {name}"]
        parts += [f"{rt:.1f} s"] if rt is not None else []
        parts += [f"precursor {precursor:.4f}"] if precursor is not None else []
        return ", ".join(parts)

    def named(self, usi: str, interpretation: str | None) -> Spectrum:
        """The same, with the USI by which it was found."""
        return replace(self, usi=usi, interpretation=interpretation)

    def as_proxi(self) -> dict[str, Any]:
        """A ``Spectrum`` of PROXI 0.1 (HUPO-PSI/proxi-schemas, swagger.yaml) for JSON; values of attributes are texts.

        Points that are no finite numbers, which JSON does not have, are left out.
        """
        attributes = [
            {"accession": accession, "name": name, "value": str(self.facts[key])}
            for key, (accession, name) in _ACCESSIONS.items()
            if self.facts[key] is not None
        ]
        for key, names in (("polarity", _POLARITIES), ("centroided", _SHAPES)):
            if self.facts[key] is not None:
                accession, name = names[self.facts[key]]
                attributes.append({"accession": accession, "name": name, "value": ""})
        finite = np.isfinite(self.mz) & np.isfinite(self.intensity)
        return {
            "usi": self.usi,
            "accession": self.path,
            "status": "READABLE",
            "mzs": self.mz[finite].tolist(),
            "intensities": self.intensity[finite].tolist(),
            "interpretations": [self.interpretation] if self.interpretation is not None else [],
            "attributes": attributes,
        }


def read_spectrum(source: SpectrumSource, row: int, path: str) -> Spectrum:
    """A spectrum of a run by its row.

    Raises:
        FormatError, Unsupported: an array cannot be read.
    """
    rows = np.array([row], np.int64)
    [points] = source.points(rows, (MZ, INTENSITY, MOBILITY))
    empty = np.empty(0)
    return Spectrum(
        path,
        row,
        spectrum_facts(source.table.spectra, row),
        points.values.get(MZ, empty),
        points.values.get(INTENSITY, empty),
        points.values.get(MOBILITY),
    )


def find_spectrum(spectra: SpectrumTable, path: str, key: str, value: int | str) -> int:
    """Row of the only spectrum with this ``scan``, ``index`` (from 0), ``id`` or ``nativeId`` (its values alone).

    Raises:
        NotFound: there is none, or several.
    """
    if key == "index":
        found = np.array([value] if 0 <= int(value) < len(spectra) else [], np.int64)
    elif key == "scan":
        found = np.flatnonzero(spectra.scan == value) if int(value) >= 0 else np.empty(0, np.int64)
    else:
        ids = enumerate(spectra.native_id.tolist())
        found = np.array([row for row, name in ids if value in (name, _bare(name) if key == "nativeId" else name)], int)
    if len(found) == 1:
        return int(found[0])
    if len(found):
        rows = ", ".join(f"index={row}" for row in found[:5].tolist())
        raise NotFound(f"{path} has {len(found)} spectra with {key} {value}: ask for one of {rows}")
    raise NotFound(f"{path} has no spectrum with {key} {value} among its {len(spectra):,}")


def _bare(native_id: str | None) -> str | None:
    """The values of a native id, as a USI has them: ``0,1,17`` for ``controllerType=0 controllerNumber=1 scan=17``."""
    return native_id and ",".join(part.partition("=")[2] or part for part in native_id.split())


def spectrum_facts(spectra: SpectrumTable, row: int) -> dict[str, Any]:
    """What the file says of a spectrum, by the names of the facts ``spectra``; None where it says nothing."""
    facts: dict[str, Any] = {}
    for name in _FACTS:
        value = getattr(spectra, name)[row]
        value = value.item() if isinstance(value, np.generic) else value
        absent = (isinstance(value, float) and math.isnan(value)) or value == _ABSENT.get(name)
        facts[name] = None if absent else value
    if facts["polarity"] is not None:
        facts["polarity"] = "+" if facts["polarity"] > 0 else "-"
    if facts["centroided"] is not None:
        facts["centroided"] = bool(facts["centroided"])
    return facts
