"""How far the catalog has read."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reach"]


class Reach(NamedTuple):
    """How far somebody has read of what happened in a lake; every item only grows."""

    seq: int = 0
    """Newest commit of any branch."""
    object: int = 0
    """Number of the newest object."""
    change: int = 0
    """Newest change of an object that was there already."""
    fact: int = 0
    """Newest facts table."""
