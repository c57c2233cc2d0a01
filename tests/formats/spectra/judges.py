"""What independent readers make of an mzML: peaks of every spectrum by its id, as bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = [
    "Peaks",
    "pymzml_by_id",
    "pymzml_peaks",
    "pyopenms_peaks",
    "pyteomics_by_id",
    "pyteomics_headers",
    "pyteomics_ids",
    "pyteomics_indexed",
    "pyteomics_peaks",
    "pyteomics_spectra",
]

Peaks = dict[str, tuple[bytes, ...]]
"""Arrays of each spectrum, as bytes, by its id."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Readers warn of what they dislike in real files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def _vocabulary() -> Any:
    """The vocabulary that pyteomics would read anew for every file."""
    from psims.controlled_vocabulary.controlled_vocabulary import load_psims

    return load_psims()


def _arrays(spectrum: dict[str, object]) -> tuple[bytes, ...]:
    arrays = {key: value for key, value in spectrum.items() if isinstance(value, np.ndarray)}
    return tuple(arrays[key].tobytes() for key in sorted(arrays))


def pyteomics_spectra(source: Path | IO[bytes], *, peaks: bool = False) -> list[dict[str, Any]]:
    """By reading a path or an open file from the start to the end; without peaks where they are not wanted."""
    with _quietly():
        from pyteomics import mzml

        given = str(source) if isinstance(source, Path) else source
        with mzml.MzML(given, use_index=False, cv=_vocabulary(), decode_binary=peaks) as spectra:
            return list(spectra)


def pyteomics_ids(source: Path | IO[bytes]) -> list[str]:
    """Ids of all spectra in file order."""
    return [spectrum["id"] for spectrum in pyteomics_spectra(source)]


def pyteomics_peaks(source: Path | IO[bytes]) -> Peaks:
    """By reading a path or an open file from the start to the end."""
    return {spectrum["id"]: _arrays(spectrum) for spectrum in pyteomics_spectra(source, peaks=True)}


def pyteomics_indexed(path: Path) -> tuple[Peaks, list[str]]:
    """Through the index that the file has, spectra in turn from the last; and the ids of its chromatograms."""
    with _quietly():
        from pyteomics import mzml

        with mzml.PreIndexedMzML(str(path), cv=_vocabulary()) as file:
            ids = list(file.index["spectrum"])
            return {name: _arrays(file.get_by_id(name)) for name in reversed(ids)}, list(file.index["chromatogram"])


def pyteomics_by_id(path: Path, name: str) -> tuple[bytes, ...]:
    """One spectrum through the index that the file has."""
    with _quietly():
        from pyteomics import mzml

        with mzml.PreIndexedMzML(str(path), cv=_vocabulary()) as file:
            return _arrays(file.get_by_id(name))


def pymzml_peaks(path: Path) -> Peaks:
    """By reading from the start to the end."""
    with _quietly():
        import pymzml.run

        run = pymzml.run.Reader(str(path))
        try:
            return {
                spectrum.element.get("id"): (np.asarray(spectrum.peaks("raw")).tobytes(),)
                for spectrum in run
                if isinstance(spectrum, pymzml.spec.Spectrum)
            }
        finally:
            run.close()


def pymzml_by_id(path: Path, ids: list[int]) -> list[bytes]:
    """Raw peaks of spectra by scan number."""
    with _quietly():
        import pymzml.run

        run = pymzml.run.Reader(str(path))
        try:
            return [np.asarray(run[number].peaks("raw")).tobytes() for number in ids]
        finally:
            run.close()


def pyopenms_peaks(path: Path) -> tuple[Peaks, list[str]]:
    """Spectra, and the ids of chromatograms."""
    import pyopenms

    experiment = pyopenms.MSExperiment()
    pyopenms.MzMLFile().load(str(path), experiment)
    peaks = {
        spectrum.getNativeID(): tuple(
            array.tobytes() for array in (*spectrum.get_peaks(), *(a.get_data() for a in spectrum.getFloatDataArrays()))
        )
        for spectrum in experiment
    }
    return peaks, [trace.getNativeID() for trace in experiment.getChromatograms()]


def pyteomics_headers(data: bytes) -> list[dict[str, Any]]:
    """Headers of all spectra, by the names of the facts; None where the file says nothing."""
    with _quietly():
        from pyteomics import mzml

        with mzml.MzML(BytesIO(data), use_index=False, decode_binary=False, cv=_vocabulary()) as spectra:
            return [_header(spectrum) for spectrum in spectra]


def _header(spectrum: dict[str, Any]) -> dict[str, Any]:
    scan = spectrum.get("scanList", {}).get("scan", [{}])[0]
    start = scan.get("scan start time")
    if start is not None:
        start = float(start) * (60 if start.unit_info == "minute" else 1)
    precursor = (spectrum.get("precursorList", {}).get("precursor") or [{}])[0]
    ion = (precursor.get("selectedIonList", {}).get("selectedIon") or [{}])[0]
    window = precursor.get("isolationWindow", {})
    target = window.get("isolation window target m/z")
    lower, upper = (window.get(f"isolation window {side} offset") for side in ("lower", "upper"))
    return {
        "native_id": spectrum["id"],
        "n_points": spectrum["defaultArrayLength"] or None,
        "ms_level": spectrum.get("ms level") or None,
        "rt": start,
        "polarity": 1 if "positive scan" in spectrum else -1 if "negative scan" in spectrum else None,
        "centroided": 1 if "centroid spectrum" in spectrum else None,
        "tic": spectrum.get("total ion current"),
        "base_peak_mz": spectrum.get("base peak m/z"),
        "base_peak_intensity": spectrum.get("base peak intensity"),
        "low_mz": spectrum.get("lowest observed m/z"),
        "high_mz": spectrum.get("highest observed m/z"),
        "precursor_mz": ion.get("selected ion m/z"),
        "precursor_charge": ion.get("charge state"),
        "precursor_intensity": ion.get("peak intensity"),
        "isolation_mz": target,
        "isolation_low": target - lower if target is not None and lower is not None else None,
        "isolation_high": target + upper if target is not None and upper is not None else None,
        "collision_energy": precursor.get("activation", {}).get("collision energy"),
        "filter_string": scan.get("filter string", spectrum.get("filter string")),
        "injection_time": scan.get("ion injection time", spectrum.get("MS:1000927", scan.get("MS:1000927"))),
    }
