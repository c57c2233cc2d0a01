"""Tables of spectra and chromatograms made of a few columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from lake.formats.spectra.table import ArrayTable, ChromatogramTable, PrecursorTable, SpectrumTable

__all__ = ["made_spectra", "made_traces"]

_ABSENT = {"scan": -1, "n_points": -1, "centroided": -1, "x": -1, "y": -1, "z": -1}
_TEXTS = ("native_id", "activation", "filter_string", "type")
_WHOLE = {
    **dict.fromkeys(("scan", "n_points", "offset", "length", "row"), np.int64),
    **dict.fromkeys(("ms_level", "precursor_charge"), np.int16),
    **dict.fromkeys(("polarity", "centroided"), np.int8),
    **dict.fromkeys(("header_length", "x", "y", "z"), np.int32),
}


def _columns(kind: type, count: int, given: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        values = given.get(name)
        if name in _TEXTS:
            columns[name] = np.array([None] * count if values is None else values, object)
        elif name in _WHOLE:
            columns[name] = np.array([_ABSENT.get(name, 0)] * count if values is None else values, _WHOLE[name])
        elif name not in ("arrays", "further"):
            columns[name] = np.array([np.nan] * count if values is None else values, float)
    return columns


def _no_arrays(owners: int) -> ArrayTable:
    whole, small = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return ArrayTable(np.zeros(owners + 1, np.int64), small, whole, whole, small, small, whole)


def made_spectra(count: int, further: dict[str, Any] | None = None, **given: Any) -> SpectrumTable:
    """A table of ``count`` spectra; columns that are not given are absent in all. ``further`` has those of
    `PrecursorTable`."""
    extra = further or {"row": []}
    precursors = PrecursorTable(**_columns(PrecursorTable, len(extra["row"]), extra))
    return SpectrumTable(**_columns(SpectrumTable, count, given), arrays=_no_arrays(count), further=precursors)


def made_traces(count: int, **given: Any) -> ChromatogramTable:
    """A table of ``count`` chromatograms."""
    return ChromatogramTable(**_columns(ChromatogramTable, count, given), arrays=_no_arrays(count))
