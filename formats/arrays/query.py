"""What can be asked of a file of arrays: paths with bounds, places along named axes, and conditions on tables.

    region    = term *( "&" term )
    term      = path [ "[" bounds "]" ]         /group/dataset[20000:20200, :]
              | axis "=" items                  obs=0:200   var=GAPDH,ACTB   lat=40:60
              | axis ":" condition              obs: cell_type == "T" and n_genes > 500

Quoted text (``'`` or ``"``) is never divided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lake.errors import InvalidRegion
from lake.formats.arrays.indexing import Bounds, parse_bounds

__all__ = ["AxisTerm", "ConditionTerm", "PathTerm", "Term", "parse_region_terms", "split_outside_quotes"]

_HEAD = re.compile(r"[^\[=:]*")
_LONGEST = 1 << 20


class PathTerm(NamedTuple):
    """A group or a dataset, and what of it."""

    path: str
    """From ``/``."""
    bounds: Bounds | None

    def text(self) -> str:
        return self.path + (self.bounds.text() if self.bounds is not None else "")


class AxisTerm(NamedTuple):
    """Places along a named axis."""

    axis: str
    items: str

    def text(self) -> str:
        return f"{self.axis}={self.items}"


class ConditionTerm(NamedTuple):
    """A condition on the table that describes a named axis."""

    axis: str
    condition: str

    def text(self) -> str:
        return f"{self.axis}:{self.condition}"


Term = PathTerm | AxisTerm | ConditionTerm


def parse_region_terms(region: str) -> list[Term]:
    """The terms of one region, in the order in which they are written.

    Raises:
        InvalidRegion: empty, brackets or quotes that do not close, or too long.
    """
    if len(region) > _LONGEST:
        raise InvalidRegion(f"a region of {len(region)} characters is too long")
    return [_parse_term(part.strip(), region) for part in split_outside_quotes(region, "&", region)]


def _parse_term(text: str, region: str) -> Term:
    if not text:
        raise InvalidRegion(f"an empty term in {region!r}")
    match = _HEAD.match(text)
    head = match[0] if match is not None else ""
    if text.startswith("/"):
        head = text.partition("[")[0]
    sign, rest = text[len(head) : len(head) + 1], text[len(head) + 1 :].strip()
    if sign in ("", "["):
        path = "/" + "/".join(part for part in head.strip().split("/") if part)
        if not sign:
            return PathTerm(path, None)
        if not rest.endswith("]"):
            raise InvalidRegion(f"a bracket that does not close in {region!r}")
        return PathTerm(path, parse_bounds(list(split_outside_quotes(rest[:-1], ",", region)), region))
    axis = head.strip().strip("/")
    if not axis or not rest:
        raise InvalidRegion(f"{text!r} in {region!r}: write /path[START:STOP], axis=ITEMS, or axis: CONDITION")
    return AxisTerm(axis, rest) if sign == "=" else ConditionTerm(axis, rest)


def split_outside_quotes(text: str, mark: str, region: str) -> Iterator[str]:
    """Parts of a text between marks of one character; those inside of quotes divide nothing.

    Raises:
        InvalidRegion: a quote that does not close.
    """
    start, quote = 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == mark:
            yield text[start:at]
            start = at + 1
    if quote:
        raise InvalidRegion(f"a quote that does not close in {region!r}")
    yield text[start:]
