"""What somebody may do: a verb, the paths that it covers, and limits."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from lake.errors import InvalidInput

__all__ = ["Grant", "GrantData", "Verb", "grants_of", "region_grant"]

GrantData: TypeAlias = dict[str, str | list[str]]
"""A grant as it stands in JSON and TOML."""

_WILD = re.compile(r"[*?\[]")
_LONGEST = 4096


class Verb(StrEnum):
    READ = "read"
    WRITE = "write"
    SQL = "sql"
    """Queries; they see the whole lake, whatever paths the grant names."""
    ADMIN = "admin"
    """Looks at the server itself: its metrics."""


@dataclass(frozen=True)
class Grant:
    """Leave to do one thing with some paths, at every ref that holds them, past versions included.

    Raises:
        InvalidInput: an empty or overlong pattern, or regions for another verb than ``read``.
    """

    verb: Verb
    pattern: str = "*"
    """In the style of the shell, but ``*`` and ``?`` match ``/`` too: ``study1/*`` is all that lies below ``study1``,
    at any depth. A pattern without wildcards names a file, or a directory with all that lies below."""
    regions: tuple[str, ...] | None = None
    """In samtools notation; None: whole files. Where a grant names regions, no other grant widens them."""

    def __post_init__(self) -> None:
        if not self.pattern.strip("/") or len(self.pattern) > _LONGEST:
            raise InvalidInput(f"{self.pattern[:60]!r} is no pattern of paths: write study1/* or *")
        if self.regions is not None and (self.verb is not Verb.READ or not all(self.regions) or not self.regions):
            raise InvalidInput("regions limit what may be read: write them as study1/s1.bam=chr17")

    @cached_property
    def _match(self) -> re.Pattern[str]:
        pattern = self.pattern.strip("/")
        if _WILD.search(pattern):
            return re.compile(fnmatch.translate(pattern))
        return re.compile(rf"{re.escape(pattern)}(/.*)?\Z", re.DOTALL)

    def covers(self, verb: Verb, path: str) -> bool:
        """Whether it lets do that with a (clean) path of the lake."""
        return self.verb is verb and (self.pattern == "*" or self._match.match(path) is not None)

    def reaches(self, directory: str) -> bool:
        """Whether it may cover something below a directory; ``""`` is the top. Never wrongly False."""
        pattern = self.pattern.strip("/")
        found = _WILD.search(pattern)
        literal = pattern[: found.start()] if found else pattern
        below = f"{directory}/" if directory else ""
        return literal.startswith(below) or below.startswith(literal)

    def data(self) -> GrantData:
        """The form that `grants_of` reads."""
        written: GrantData = {"verb": self.verb.value, "pattern": self.pattern}
        if self.regions is not None:
            written["regions"] = list(self.regions)
        return written


def grants_of(data: Iterable[Mapping[str, object]]) -> tuple[Grant, ...]:
    """Grants from JSON or TOML: ``{"verb": "read", "pattern": "study1/*", "regions": ["chr17"]}``.

    Raises:
        InvalidInput: something else is there. An unknown key is refused: it might have been a limit.
    """
    grants = []
    for item in data:
        pattern, regions = item.get("pattern", "*"), item.get("regions")
        if (
            item.keys() - {"verb", "pattern", "regions"}
            or item.get("verb") not in set(Verb)
            or not isinstance(pattern, str)
            or not (regions is None or (isinstance(regions, list) and all(isinstance(r, str) for r in regions)))
        ):
            raise InvalidInput(f"not a grant: {dict(item)!r}; write verb, pattern and, for read, regions")
        grants.append(Grant(Verb(str(item["verb"])), pattern, None if regions is None else tuple(regions)))
    return tuple(grants)


def region_grant(text: str) -> Grant:
    """``study1/s1.bam=chr17`` or ``study1/*=chr17:1-1000,chrM``.

    Raises:
        InvalidInput: not of that form.
    """
    pattern, equals, regions = text.rpartition("=")
    if not equals or not regions:
        raise InvalidInput(f"{text!r} limits no region: write study1/s1.bam=chr17")
    return Grant(Verb.READ, pattern, tuple(re.split(r",(?!\d{3}(?!\d))", regions)))
