"""Regions of spectra, in the words of ProteoWizard's filters: ``rt=600-720&ms_level=2``.

Conditions are joined by ``&`` and all must hold; the values of one are divided by commas, and one must hold. Bounds
are closed, times in seconds. Several regions are a union: every spectrum once, in the order of the file.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from lake.errors import InvalidRegion
from lake.formats.region import EVERYTHING
from lake.formats.spectra.activations import activation_accessions
from lake.formats.spectra.bounds import (
    Bounds,
    Range,
    parse_integers,
    parse_masses,
    parse_reals,
    parse_seconds,
    parse_words,
)
from lake.formats.spectra.table import ChromatogramTable, PrecursorTable, SpectrumTable

__all__ = ["CONDITIONS", "Conditions", "SpectrumQuery", "Trace", "parse_query"]

Mask = NDArray[np.bool_]
Value = Bounds | tuple[str, ...]


def _polarities(value: str, region: str) -> tuple[str, ...]:
    words = {"+": "+", "1": "+", "positive": "+", "-": "-", "-1": "-", "negative": "-"}
    found = set()
    for word in parse_words(value, region):
        if word.lower() not in words:
            raise InvalidRegion(f"{word!r} in {region!r} is no polarity: write + or -")
        found.add(words[word.lower()])
    return tuple(sorted(found))


def _activations(value: str, region: str) -> tuple[str, ...]:
    found = {name for word in parse_words(value, region) for name in activation_accessions(word, region)}
    return tuple(sorted(found))


def _points(parse: Callable[..., Bounds]) -> Callable[[str, str], Bounds]:
    return lambda value, region: parse(value, region, points=True)


CONDITIONS: dict[str, Callable[[str, str], Value]] = {
    "scan": parse_integers,
    "index": parse_integers,
    "id": parse_words,
    "rt": parse_seconds,
    "ms_level": parse_integers,
    "precursor_mz": parse_masses,
    "charge": parse_integers,
    "polarity": _polarities,
    "im": parse_reals,
    "activation": _activations,
    "isolation": _points(parse_masses),
    "x": parse_integers,
    "y": parse_integers,
    "z": parse_integers,
}
"""How the value of each condition on spectra is read; in the order of the canonical text."""

_OF_PRECURSORS = frozenset(("precursor_mz", "charge", "isolation", "activation"))
_CHROMATOGRAMS = "chromatograms"
_ALL, _NONE = "all", "no"
_MASS = re.compile(r"\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}", re.ASCII)
_ANY = Range(-math.inf, math.inf)


class Trace(NamedTuple):
    """Chromatograms of a transition: bounds of the m/z of precursor and product."""

    precursor: Range
    product: Range

    def __str__(self) -> str:
        return "~".join("" if side == _ANY else str(Bounds((side,))) for side in self)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions that a spectrum must all meet; without any, every spectrum does."""

    values: Mapping[str, Value]
    """By the name of the condition, in the order of `CONDITIONS`."""

    def __str__(self) -> str:
        return "&".join(f"{name}={_text(value)}" for name, value in self.values.items())

    def mask(self, table: SpectrumTable) -> Mask:
        """Which rows meet them.

        Raises:
            InvalidRegion: no spectrum has an id that is asked for.
        """
        met = np.ones(len(table), np.bool_)
        for name, value in self.values.items():
            if name not in _OF_PRECURSORS:
                met &= _of_spectra(table, name, value)
        wanted = {name: value for name, value in self.values.items() if name in _OF_PRECURSORS}
        if wanted:
            # One and the same precursor has to meet them all.
            any_precursor = _of_precursors(table, wanted)
            further = table.further.row[_of_precursors(table.further, wanted)]
            any_precursor[further] = True
            met &= any_precursor
        return met


def _text(value: Value) -> str:
    return (
        str(value)
        if isinstance(value, Bounds)
        else ",".join(quote(word, "=+:", errors="surrogatepass") for word in value)
    )


def _of_spectra(table: SpectrumTable, name: str, value: Value) -> Mask:
    if isinstance(value, Bounds):
        if name == "index":
            return value.holds(np.arange(len(table)))
        column: NDArray[Any] = getattr(table, "ion_mobility" if name == "im" else name)
        # What a spectrum does not state is 0 for levels, -1 for other whole numbers, nan for reals.
        return value.holds(column) & (column > (0 if name == "ms_level" else -1))
    if name == "polarity":
        return np.isin(table.polarity, [1 if sign == "+" else -1 for sign in value])
    found: Mask = np.fromiter(map(frozenset(value).__contains__, table.native_id), np.bool_, len(table))
    if int(found.sum()) < len(value):
        lost = set(value).difference(table.native_id[found])
        if lost:
            raise InvalidRegion(f"no spectrum of the file has the id {min(lost)!r}")
    return found


def _of_precursors(table: SpectrumTable | PrecursorTable, wanted: Mapping[str, Value]) -> Mask:
    met = np.ones(len(table.precursor_mz), np.bool_)
    for name, value in wanted.items():
        if not isinstance(value, Bounds):
            names = {text: not set(value).isdisjoint(text.split(",")) for text in set(table.activation) if text}
            met &= np.fromiter((names.get(text, False) for text in table.activation), np.bool_, len(met))
        elif name == "precursor_mz":
            met &= value.holds(table.precursor_mz)
        elif name == "charge":
            met &= _charges(table, value)
        else:
            target = table.isolation_mz
            low = np.where(np.isnan(table.isolation_low), target, table.isolation_low)
            high = np.where(np.isnan(table.isolation_high), target, table.isolation_high)
            met &= value.meets(low, high)
    return met


def _charges(table: SpectrumTable | PrecursorTable, value: Bounds) -> Mask:
    known = table.precursor_charge != 0
    met: Mask = known & value.holds(table.precursor_charge)
    if any(0 in pair for pair in value):
        # 0 asks for precursors that state no charge, as in ProteoWizard.
        met |= ~known & ~(np.isnan(table.precursor_mz) & np.isnan(table.isolation_mz))
    return met


@dataclass(frozen=True, slots=True)
class SpectrumQuery:
    """Regions of one file of spectra, parsed."""

    regions: tuple[Conditions, ...]
    """A spectrum is selected that meets one of them; in the order of their text."""
    traces: tuple[Trace, ...] | None
    """Chromatograms are selected that fit one of them; None for all."""

    @property
    def everything(self) -> bool:
        """Whether the whole file is asked for."""
        return self.traces is None and self.all_spectra

    @property
    def all_spectra(self) -> bool:
        return any(not conditions.values for conditions in self.regions)

    def __str__(self) -> str:
        """The canonical text: the same for every spelling of the same question."""
        if self.everything:
            return EVERYTHING
        spectra = [EVERYTHING] if self.all_spectra else [str(conditions) for conditions in self.regions]
        if self.traces is None:
            return ";".join(spectra)
        return ";".join((*spectra, f"{_CHROMATOGRAMS}={','.join(map(str, self.traces)) or _NONE}"))

    def rows(self, table: SpectrumTable) -> NDArray[np.int64]:
        """Rows of the spectra that are selected, ascending.

        Raises:
            InvalidRegion: no spectrum has an id that is asked for.
        """
        met = np.zeros(len(table), np.bool_)
        for conditions in self.regions:
            met |= conditions.mask(table)
        return np.flatnonzero(met)

    def chromatograms(self, table: ChromatogramTable) -> NDArray[np.int64]:
        """Rows of the chromatograms that are selected, ascending."""
        if self.traces is None:
            return np.arange(len(table))
        met = np.zeros(len(table), np.bool_)
        for trace in self.traces:
            fits = np.ones(len(table), np.bool_)
            for side, masses in zip(trace, (table.precursor_mz, table.product_mz), strict=True):
                if side != _ANY:
                    fits &= Bounds((side,)).holds(masses)
            met |= fits
        return np.flatnonzero(met)


def parse_query(regions: Sequence[str]) -> SpectrumQuery:
    """Regions of spectra; none, ``.`` or an empty text select the whole file.

    ``chromatograms=`` is ``all`` (the default), ``no``, or transitions ``PRECURSOR~PRODUCT``; of several regions,
    those count that say it. A region of nothing but transitions selects no spectra.

    Raises:
        InvalidRegion: an unknown condition, one that is given twice, or a value that cannot be.
    """
    parsed: dict[str, Conditions] = {}
    traces: set[Trace] = set()
    stated = every_trace = False
    for region in regions or (EVERYTHING,):
        fields = _fields(region)
        chosen = fields.pop(_CHROMATOGRAMS, None)
        found = _traces(chosen, region) if chosen is not None else None
        stated = stated or chosen is not None
        every_trace = every_trace or (chosen is not None and found is None)
        traces.update(found or ())
        if fields or not found:
            conditions = Conditions(
                {name: read(fields[name], region) for name, read in CONDITIONS.items() if name in fields}
            )
            parsed[str(conditions)] = conditions
    ordered = tuple(parsed[text] for text in sorted(parsed))
    return SpectrumQuery(ordered, tuple(sorted(traces)) if stated and not every_trace else None)


def _fields(region: str) -> dict[str, str]:
    """Texts of the conditions of a region by their names."""
    fields: dict[str, str] = {}
    if region.strip() in ("", EVERYTHING):
        return fields
    for part in region.split("&"):
        name, equals, value = part.partition("=")
        name = unquote(name).strip()
        if not equals or (name not in CONDITIONS and name != _CHROMATOGRAMS):
            raise _unknown(name, region)
        if name in fields:
            raise InvalidRegion(f"{name} is given twice in {region!r}: divide its values by commas")
        if not value.strip():
            raise InvalidRegion(f"{name} has no value in {region!r}")
        fields[name] = value
    return fields


def _unknown(name: str, region: str) -> InvalidRegion:
    known = (*CONDITIONS, _CHROMATOGRAMS)
    if name in known:
        return InvalidRegion(f"{name} has no value in {region!r}: write {name}=VALUE")
    plain = {word.replace("_", ""): word for word in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), plain, 1)
    hint = f" (was {plain[close[0]]} meant?)" if close else ""
    return InvalidRegion(f"{name!r} in {region!r} is not a condition on spectra{hint}: there are {', '.join(known)}")


def _traces(value: str, region: str) -> list[Trace] | None:
    """Transitions, none of them for ``no``; None for ``all``."""
    word = unquote(value).strip().lower()
    if word in (_ALL, _NONE):
        return None if word == _ALL else []
    return [_trace(part, region) for part in parse_words(value, region)]


def _trace(part: str, region: str) -> Trace:
    precursor, *rest = part.split("~")
    if not 1 <= len(rest) <= 2 or not (precursor or rest[0]):
        raise InvalidRegion(f"{part!r} in {region!r} is no transition: write PRECURSOR~PRODUCT, all or no")
    tolerance = rest[1] if len(rest) == 2 else ""
    return Trace(_side(precursor, tolerance, region), _side(rest[0], tolerance, region))


def _side(text: str, tolerance: str, region: str) -> Range:
    if not text:
        return _ANY
    if not _MASS.fullmatch(text):
        return parse_masses(text, region)[0]
    # A mass without a tolerance fits what would be rounded to it.
    decimals = len(text.partition(".")[2])
    return parse_masses(f"{text}~{tolerance or '0.' + '0' * decimals + '5'}", region)[0]
