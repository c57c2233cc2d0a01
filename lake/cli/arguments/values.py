"""What the values of options mean. Each raises ValueError; argparse then says what it wanted by the name here."""

from __future__ import annotations

import re

__all__ = ["duration", "flags", "memory", "names", "period", "positive", "span"]


def flags(text: str) -> int:
    """A number as samtools takes it: decimal, 0x…, 0…."""
    return int(text, 8) if text.startswith("0") and text.isdigit() else int(text, 0)


def names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "positive number"


def span(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    if not dash:
        raise ValueError
    return float(low), float(high)


span.__name__ = "range, such as 400-410.5"


def memory(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B", text, re.IGNORECASE) is None:
        raise ValueError
    return text


memory.__name__ = "amount of memory, such as 2GB"


def duration(text: str) -> float:
    """Seconds."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|min|h)?", text)
    if found is None or float(found[1]) == 0:
        raise ValueError
    return float(found[1]) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[found[2]]


duration.__name__ = "duration, such as 30s"


def period(text: str) -> float:
    """Seconds; 0 is one."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|min|h|d|w|y)?", text)
    if found is None or (found[2] is None and float(found[1])):
        raise ValueError
    days = {None: 0, "s": 1 / 86_400, "m": 1 / 1440, "min": 1 / 1440, "h": 1 / 24, "d": 1, "w": 7, "y": 365.25}
    return float(found[1]) * days[found[2]] * 86_400


period.__name__ = "time, such as 12h or 14d"
