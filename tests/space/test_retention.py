"""Which commits a policy keeps: what ``restic forget`` keeps of snapshots of those times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lake.errors import InvalidInput
from lake.retention import Policy, Span, parse_span

START = datetime(2026, 3, 31, 12, tzinfo=UTC)


def commits(*ages: timedelta) -> list[tuple[int, int]]:
    """Commits of those ages, the newest first and numbered highest."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        (len(ages) - place, (START - age - epoch) // timedelta(microseconds=1) * 1000) for place, age in enumerate(ages)
    ]


def kept(policy: Policy, given: list[tuple[int, int]]) -> list[int]:
    return sorted(policy.keep(given, UTC), reverse=True)


HOURS = commits(*(timedelta(minutes=30 * n) for n in range(60)))
DAYS = commits(*(timedelta(days=n) for n in range(500)))


def test_the_last() -> None:
    assert kept(Policy(last=3), DAYS) == [500, 499, 498]
    assert kept(Policy(last=-1), DAYS) == list(range(500, 0, -1))
    assert kept(Policy(last=3), []) == []


def test_the_newest_of_every_period() -> None:
    assert kept(Policy(hourly=3), HOURS) == [60, 59, 57]  # 12:00, 11:30, 10:30
    assert kept(Policy(daily=2), HOURS) == [60, 35]  # the newest of today, and 23:30
    assert kept(Policy(weekly=2), DAYS) == [500, 498]  # a Tuesday, and the Sunday before
    assert kept(Policy(monthly=3), DAYS) == [500, 469, 441]  # 31 March, 28 February, 31 January
    assert kept(Policy(yearly=2), DAYS) == [500, 410]


def test_the_oldest_stands_for_its_period_until_there_are_enough() -> None:
    assert kept(Policy(yearly=5), DAYS) == [500, 410, 45, 1]
    assert kept(Policy(daily=2), commits(timedelta(0), timedelta(minutes=1))) == [2, 1]


def test_what_any_rule_keeps_stays_and_says_why() -> None:
    found = Policy(last=1, daily=2).keep(DAYS, UTC)
    assert found == {500: ["last", "daily"], 499: ["daily"]}


def test_a_span_counts_back_from_the_newest_commit() -> None:
    assert kept(Policy(within=parse_span("2d")), DAYS) == [500, 499, 498]
    assert kept(Policy(within=parse_span("1m")), DAYS)[-1] == 469  # 28 February
    assert len(kept(Policy(within=parse_span("9999y")), DAYS)) == 500


@pytest.mark.parametrize(
    ("text", "span"),
    [("1y6m", Span(18, 0)), ("2w", Span(0, 336)), ("30d12h", Span(0, 732)), (" 1y2m3w4d5h ", Span(14, 605))],
)
def test_spans(text: str, span: Span) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "0d", "1", "1x", "d", "-1d", "1d1y", "1.5d"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a span"):
        parse_span(text)


def test_a_policy_keeps_something() -> None:
    with pytest.raises(InvalidInput, match="what to keep"):
        Policy()
