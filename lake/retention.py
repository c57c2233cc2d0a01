"""Which commits of a branch to keep: the rules of ``restic forget``, on times alone."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from lake.errors import InvalidInput

__all__ = ["Policy", "Span", "parse_span"]

_SPAN = re.compile(r"(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?")


class Span(NamedTuple):
    """A length of time as people mean it: a month before 31 March is the end of February."""

    months: int = 0
    hours: int = 0

    def before(self, time: datetime) -> datetime:
        month = time.year * 12 + time.month - 1 - self.months
        if month < 12:
            return datetime.min.replace(tzinfo=time.tzinfo)
        day = min(time.day, calendar.monthrange(month // 12, month % 12 + 1)[1])
        try:
            return time.replace(year=month // 12, month=month % 12 + 1, day=day) - timedelta(hours=self.hours)
        except OverflowError:
            return datetime.min.replace(tzinfo=time.tzinfo)


def parse_span(text: str) -> Span:
    """``1y6m``, ``2w``, ``30d12h``: years, months, weeks, days and hours, in that order.

    Raises:
        InvalidInput: no such span, or one of nothing.
    """
    match = _SPAN.fullmatch(text.strip())
    years, months, weeks, days, hours = (int(part or 0) for part in match.groups()) if match else (0,) * 5
    span = Span(12 * years + months, 168 * weeks + 24 * days + hours)
    if span == Span():
        raise InvalidInput(f"not a span of time: {text[:60]!r}: write 1y6m, 2w or 30d12h (m: months)")
    return span


_PERIODS: dict[str, Callable[[datetime], object]] = {
    "hourly": lambda time: (time.date(), time.hour),
    "daily": lambda time: time.date(),
    "weekly": lambda time: time.isocalendar()[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: time.year,
}
"""What two commits of one period have in common."""


@dataclass(frozen=True)
class Policy:
    """How much to keep of every branch; what any rule keeps stays. A negative number keeps one of every period."""

    last: int = 0
    """The newest commits."""
    hourly: int = 0
    """The newest commit of each of the newest so many hours in which there is any."""
    daily: int = 0
    weekly: int = 0
    """Weeks begin on Monday."""
    monthly: int = 0
    yearly: int = 0
    within: Span | None = None
    """All that are no older than that before the newest commit of the branch."""

    def __post_init__(self) -> None:
        """Raises InvalidInput: it would keep nothing."""
        if not (self.last or self.within or any(getattr(self, period) for period in _PERIODS)):
            raise InvalidInput("nothing says what to keep: give --keep-last, --keep-daily, --keep-within or the like")

    def keep(self, commits: Sequence[tuple[int, int]], zone: tzinfo | None = None) -> dict[int, list[str]]:
        """Numbers of the commits to keep, each with the rules that keep it.

        Args:
            commits: number and time (nanoseconds since the epoch, UTC) of each, newest first.
            zone: where hours and days begin; None: here.
        """
        kept: dict[int, list[str]] = {}
        times = [_moment(created, zone) for _, created in commits]
        for place, (seq, _) in enumerate(commits):
            if self.last < 0 or place < self.last:
                kept.setdefault(seq, []).append("last")
            if self.within is not None and times[place] >= self.within.before(times[0]):
                kept.setdefault(seq, []).append("within")
        for period, of in _PERIODS.items():
            left = getattr(self, period)
            previous: object = None
            for place, (seq, _) in enumerate(commits):
                # The oldest commit stands for its period until there are enough newer ones.
                this = of(times[place])
                if left and (this != previous or place == len(commits) - 1):
                    kept.setdefault(seq, []).append(period)
                    previous = this
                    left -= 1
        return kept


def _moment(nanoseconds: int, zone: tzinfo | None) -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    return moment.astimezone(zone)
