"""Dates as numbers of a coordinate in CF units: ``hours since 1800-01-01`` (CF conventions 1.11, section 4.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lake.errors import InvalidRegion, Unsupported

__all__ = ["TimeUnits", "parse_units"]

_UNITS = re.compile(r"\s*([A-Za-z]+)\s+since\s+(.+?)\s*")
_MICROSECONDS = {
    **dict.fromkeys(("microsecond", "microseconds", "us"), 1),
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs", "ms"), 1_000),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), 1_000_000),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60_000_000),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 3_600_000_000),
    **dict.fromkeys(("day", "days", "d"), 86_400_000_000),
}
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_DATE = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ]+(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?)?)?)?)?"
    r"\s*(?:Z|UTC|\+?0?0:?00)?",
    re.ASCII,
)
_REFORM = datetime(1582, 10, 15, tzinfo=UTC)
"""Before this day the standard calendar is the Julian one."""


class TimeUnits(NamedTuple):
    """Units of a time coordinate."""

    step: int
    """Microseconds of one unit."""
    origin: datetime
    calendar: str

    def span(self, text: str, region: str) -> tuple[int, int]:
        """Microseconds from the origin of the first moment that a date covers, and of the first one behind it.

        ``2013-01`` covers a month, ``2013-01-02`` a day, as in xarray.

        Raises:
            InvalidRegion: not a date.
        """
        first, behind = _moments(text, region)
        if self.calendar != "proleptic_gregorian" and first < _REFORM:
            raise InvalidRegion(f"{text!r} in {region!r} lies before 1582-10-15: ask by places along the axis")
        return tuple((moment - self.origin) // timedelta(microseconds=1) for moment in (first, behind))  # type: ignore[return-value]


def parse_units(units: str, calendar: str) -> TimeUnits | None:
    """Units of a coordinate, or None where they are none of time.

    Raises:
        Unsupported: units of time whose dates cannot be told: months, years, another calendar, an odd origin.
    """
    match = _UNITS.fullmatch(units)
    if match is None:
        return None
    step = _MICROSECONDS.get(match[1].lower())
    word = calendar.lower() or "standard"
    origin = None
    if step is not None and word in _CALENDARS:
        try:
            origin = _moments(match[2], units)[0]
        except InvalidRegion:
            origin = None
    if step is None or origin is None or (origin < _REFORM and word != "proleptic_gregorian"):
        raise Unsupported(f"dates in {units!r} of the calendar {word} cannot be told: ask by places along the axis")
    return TimeUnits(step, origin, word)


def _moments(text: str, region: str) -> tuple[datetime, datetime]:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise InvalidRegion(f"{text!r} in {region!r} is not a date: write 2013-01-31 or 2013-01-31T12:00:00")
    year, month, day, hour, minute, second = (int(part) if part is not None else None for part in match.groups()[:6])
    try:
        first = datetime(
            year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, _fraction(match[7]), tzinfo=UTC
        )
        if month is None:
            return first, first.replace(year=first.year + 1)
        if day is None:
            return first, first.replace(year=first.year + month // 12, month=month % 12 + 1)
    except (ValueError, OverflowError) as error:
        raise InvalidRegion(f"{text!r} in {region!r} is no day of the calendar: {error}") from None
    if hour is None:
        return first, first + timedelta(days=1)
    if minute is None:
        return first, first + timedelta(hours=1)
    if second is None:
        return first, first + timedelta(minutes=1)
    return first, first + timedelta(microseconds=1 if match[7] else 1_000_000)


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(6, "0")[:6])
