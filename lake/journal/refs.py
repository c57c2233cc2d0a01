"""The grammar of refs, apart from any journal.

::

    ref      = base { "~" [ number ] | "@{" time "}" }
    base     = branch or tag name | commit number
    time     = ISO 8601 date or date and time; local where it names no zone; a date means the end of that day
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from lake.errors import InvalidRef

__all__ = ["Back", "Ref", "Until", "check_name", "parse"]

_LONGEST = 255
_FORBIDDEN = frozenset("/@~^:#?%\\")
_LAST = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = re.compile(r"~(?P<back>[0-9]*)|@\{(?P<time>[^{}]*)\}")


class Back(NamedTuple):
    """``~N``: that many commits earlier."""

    commits: int


class Until(NamedTuple):
    """``@{time}``: the newest commit made then or before."""

    last: int
    """Nanoseconds since the epoch, the last that still counts."""


class Ref(NamedTuple):
    """A ref, parsed: where to start, and the steps from there."""

    base: str | int
    """Name of a branch or tag, or a commit number."""
    steps: tuple[Back | Until, ...] = ()


def check_name(name: str) -> None:
    """Raises `InvalidRef` for what cannot be the name of a branch or a tag."""
    if not name:
        raise InvalidRef("the name of a branch or tag cannot be empty")
    if len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise InvalidRef(f"a name of {len(name)} characters is too long for a branch or tag: {_LONGEST} bytes at most")
    bad = next((sign for sign in name if sign in _FORBIDDEN or sign.isspace() or not sign.isprintable()), None)
    if bad is not None:
        raise InvalidRef(f"{name!r} cannot name a branch or tag: it contains {bad!r}")
    if name.isdigit():
        raise InvalidRef(f"{name!r} cannot name a branch or tag: digits alone are a commit number")
    if name.startswith("-"):
        raise InvalidRef(f"{name!r} cannot name a branch or tag: it would look like an option")


@lru_cache(maxsize=256)
def parse(text: str) -> Ref:
    """Parse a ref.

    Raises:
        InvalidRef: not the grammar above.
    """
    cut = min((at for at in (text.find("~"), text.find("@")) if at >= 0), default=len(text))
    base, rest = text[:cut], text[cut:]
    if not base:
        raise InvalidRef(f"not a ref: {text!r}: wanted a branch, a tag or a commit number, then ~N or @{{time}}")
    number = base.isascii() and base.isdigit()
    if not number:
        check_name(base)
    steps: list[Back | Until] = []
    at = 0
    while at < len(rest):
        match = _STEP.match(rest, at)
        if match is None:
            raise InvalidRef(f"not a ref: {text!r}: after {base!r} only ~N and @{{time}} may follow")
        back = match["back"]
        steps.append(Until(_instant(match["time"], text)) if back is None else Back(_bounded(back or "1")))
        at = match.end()
    return Ref(_bounded(base) if number else base, tuple(steps))


def _bounded(digits: str) -> int:
    """A count that SQLite can hold; no lake has that many commits. Short of converting digits without end."""
    return min(int(digits[-20:]), _LAST) if len(digits.lstrip("0")) < len(str(_LAST)) else _LAST


def _instant(text: str, ref: str) -> int:
    text = text.strip()
    try:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            # Times end at the microsecond, commits at the nanosecond: take in all of that microsecond.
            end = datetime.fromisoformat(text) + timedelta(microseconds=1)
        else:
            end = datetime.combine(day + timedelta(days=1), time())
        microseconds = (end.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError):
        raise InvalidRef(f"not a ref: {ref!r}: {text!r} is not a date or time such as 2026-11-20T14:30") from None
    return max(-_LAST, min(microseconds * 1000 - 1, _LAST))
