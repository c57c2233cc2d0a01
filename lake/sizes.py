"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from lake.errors import InvalidInput

__all__ = ["human", "parse_size"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(?:([kmgtp])(i)?)?b?", re.IGNORECASE)
_LARGEST = 1 << 60


def human(size: int) -> str:
    """Bytes in decimal units, three significant digits."""
    value = float(size)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def parse_size(text: str) -> int:
    """``500``, ``1.5T``, ``2 TB`` (decimal), ``1TiB`` (binary): bytes.

    Raises:
        InvalidInput: not a size, or one of more than an exbibyte.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"not a size: {text[:60]!r}: write 500G, 1.5T or 2TiB")
    number, unit, binary = match.groups()
    power: int = "kmgtp".index(unit.lower()) + 1 if unit else 0
    scale: int = (1024 if binary else 1000) ** power
    size = int(number) * scale if number.isdigit() else round(float(number) * scale)
    if size > _LARGEST:
        raise InvalidInput(f"{text.strip()} is more than any lake holds")
    return size
