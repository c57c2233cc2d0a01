"""Values of a query of spectra: whole numbers, reals with units and tolerances, words. Bounds are closed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from lake.errors import InvalidRegion

__all__ = [
    "Bounds",
    "Range",
    "ReversedRange",
    "parse_integers",
    "parse_masses",
    "parse_reals",
    "parse_seconds",
    "parse_words",
]


class ReversedRange(InvalidRegion):
    """A range whose first number is the greater one."""


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, both included; infinite where a side is open."""

    low: float
    high: float


class Bounds(tuple[Range, ...]):
    """Ranges in order, none touching the next: the same numbers, the same bounds."""

    __slots__ = ()

    @classmethod
    def of(cls, ranges: Iterable[Range], step: float = 0.0) -> Bounds:
        """Join ranges that overlap, or lie no further apart than ``step`` (1 for whole numbers)."""
        joined: list[Range] = []
        for low, high in sorted(ranges):
            if joined and low <= joined[-1].high + step:
                joined[-1] = Range(joined[-1].low, max(joined[-1].high, high))
            else:
                joined.append(Range(low, high))
        return cls(joined)

    def holds(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which values lie in one of the ranges; nan lies in none. Shape of ``values``."""
        return self.meets(values, values)

    def meets(self, lows: NDArray[Any], highs: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the closed intervals have a number in common with one of the ranges; those with nan have none."""
        begun = np.searchsorted([low for low, _ in self], highs, side="right")
        ended = np.searchsorted([high for _, high in self], lows, side="left")
        # A nan is greater than everything to a search.
        met: NDArray[np.bool_] = (begun > ended) & ~np.isnan(lows) & ~np.isnan(highs)
        return met

    def __str__(self) -> str:
        return ",".join(f"{_number(low)}-{_number(high)}" for low, high in self)


def _number(value: float) -> str:
    if math.isinf(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


_BRACKETS = re.compile(r"\[\s*([^\s,\[\]]+)\s*,\s*([^\s,\[\]]+)\s*\]")
"""``[a,b]`` of ProteoWizard's filters."""
_DIVIDER = re.compile(r"[,\s]+")
_INTEGER = re.compile(r"(\d{1,15})?(?:(-)(\d{1,15})?)?", re.ASCII)
_DIGITS = r"(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?"
_REAL = re.compile(rf"(?:({_DIGITS})([a-zA-Z/]*))?(?:(-)(?:({_DIGITS})([a-zA-Z/]*))?)?", re.ASCII)
_NEAR = re.compile(rf"({_DIGITS})([a-zA-Z/]*)~({_DIGITS})([a-zA-Z/]*)", re.ASCII)

_SECONDS = {"": 1, "s": 1, "sec": 1, "min": 60, "h": 3600}
_MASS_UNITS = ("", "da", "th", "mz", "m/z")


def _parts(value: str, region: str) -> list[str]:
    parts = [part for part in _DIVIDER.split(_BRACKETS.sub(r"\1-\2", unquote(value))) if part]
    if not parts:
        raise InvalidRegion(f"a value is missing in {region!r}")
    return parts


def _ordered(low: float, high: float, part: str, region: str) -> Range:
    if low > high:
        raise ReversedRange(f"{part!r} in {region!r} is reversed: write the smaller number first")
    return Range(low, high)


def parse_integers(value: str, region: str) -> Bounds:
    """``5``, ``5-9``, ``5-``, ``-9``, ``-`` (any that is stated), ``[5,9]``; divided by commas or spaces.

    Raises:
        InvalidRegion: not that, or reversed.
    """
    ranges = []
    for part in _parts(value, region):
        match = _INTEGER.fullmatch(part)
        if match is None or not (match[1] or match[2]):
            raise InvalidRegion(f"{part!r} in {region!r} is not a whole number or a range of them: write 5, 5-9 or 5-")
        low = float(match[1]) if match[1] else -math.inf
        high = float(match[3]) if match[3] else (math.inf if match[2] else low)
        ranges.append(_ordered(low, high, part, region))
    return Bounds.of(ranges, 1.0)


def parse_reals(value: str, region: str, *, points: bool = False) -> Bounds:
    """``0.8-1.2``, ``0.8-``, ``-1.2``, ``-`` (any that is stated), ``1.0~0.05``; divided by commas or spaces.

    Args:
        value: the text, percent-encoded where it must be.
        region: what it is part of, for messages.
        points: a single number is a value, too; else it must say how near.

    Raises:
        InvalidRegion: not that, or reversed.
    """
    return _reals(value, region, {"": 1}, (), points=points)


def parse_masses(value: str, region: str, *, points: bool = False) -> Bounds:
    """m/z: as `parse_reals`, and ``445.12~10ppm``."""
    return _reals(value, region, dict.fromkeys(_MASS_UNITS, 1), ("ppm",), points=points)


def parse_seconds(value: str, region: str) -> Bounds:
    """Times: as `parse_reals`, each number with the unit ``s`` (which is meant without one), ``min`` or ``h``.

    Products are decimal: ``0.1min`` is 6 s and not nearly so.
    """
    return _reals(value, region, _SECONDS, (), points=False)


def _reals(value: str, region: str, units: dict[str, int], relative: Sequence[str], *, points: bool) -> Bounds:
    ranges = []
    for part in _parts(value, region):
        near, match = _NEAR.fullmatch(part), _REAL.fullmatch(part)
        if near is not None and near[4].lower() in relative:
            center = _scaled(near[1], near[2], part, region, units)
            ranges.append(_around(center, center * Decimal(near[3]) / 1_000_000))
        elif near is not None:
            ranges.append(_around(*_pair(near.groups(), part, region, units)))
        elif match is None or not (match[1] or match[3]):
            raise InvalidRegion(
                f"{part!r} in {region!r} is not a range: write LOW-HIGH, LOW-, -HIGH or VALUE~TOLERANCE"
            )
        elif match[1] and match[4]:
            ends = _pair((match[1], match[2], match[4], match[5]), part, region, units)
            ranges.append(_ordered(float(ends[0]), float(ends[1]), part, region))
        elif match[3]:
            low = float(_scaled(match[1], match[2], part, region, units)) if match[1] else -math.inf
            high = float(_scaled(match[4], match[5], part, region, units)) if match[4] else math.inf
            ranges.append(Range(low, high))
        elif points:
            exact = float(_scaled(match[1], match[2], part, region, units))
            ranges.append(Range(exact, exact))
        else:
            raise InvalidRegion(f"{part!r} in {region!r} is a single value: say how near, as {part}~0.01")
    return Bounds.of(ranges)


def _around(center: Decimal, tolerance: Decimal) -> Range:
    return Range(float(center - tolerance), float(center + tolerance))


def _pair(texts: Sequence[str], part: str, region: str, units: dict[str, int]) -> tuple[Decimal, Decimal]:
    first, first_unit, second, second_unit = texts
    if bool(first_unit) != bool(second_unit) and units.get((first_unit or second_unit).lower(), 1) != 1:
        raise InvalidRegion(f"{part!r} in {region!r} has a unit at one number only: write it at both")
    return _scaled(first, first_unit, part, region, units), _scaled(second, second_unit, part, region, units)


def _scaled(number: str, unit: str, part: str, region: str, units: dict[str, int]) -> Decimal:
    scale = units.get(unit.lower())
    if scale is None:
        known = ", ".join(known for known in units if known)
        hint = f"units are {known}" if known else "there are no units here"
        raise InvalidRegion(f"{unit!r} in {part!r} of {region!r} is not a unit: {hint}")
    value = Decimal(number) * scale
    if math.isinf(float(value)):
        raise InvalidRegion(f"{part!r} in {region!r} is too large a number")
    return value


def parse_words(value: str, region: str) -> tuple[str, ...]:
    """Texts divided by commas, each percent-decoded, in order, each once: spaces belong to them.

    Raises:
        InvalidRegion: one is empty.
    """
    words = [unquote(part.strip()) for part in value.split(",")]
    if not all(words):
        raise InvalidRegion(f"a value is missing in {region!r}")
    return tuple(sorted(set(words)))
