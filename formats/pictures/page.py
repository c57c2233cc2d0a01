"""One page of a picture."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Page"]


class Page(NamedTuple):
    """What is told of a page."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    bits: int | None
    """Of one sample."""
    samples: int | None
    """Of one pixel."""
    compression: str | None
    reduced: bool = False
    """A smaller version of another page, as of a pyramid."""
