"""What a check found: in words for people, and with all fields for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lake.digest import Digest

__all__ = ["Bases", "Bytes", "DamagedChunk", "Finding", "FsckReport", "Hit", "Spectra"]

DamagedChunk = tuple[int, int, int]
"""Number, offset and length of a chunk that does not match its digest."""

_SHOWN = 5
"""Regions, chunks or paths in a line."""


class Bases(NamedTuple):
    """Damage in the words of alignments, variants and features: records that start here may be lost."""

    contig: str
    start: int
    """0-based."""
    stop: int
    """Exclusive."""

    def __str__(self) -> str:
        name = f"{{{self.contig}}}" if ":" in self.contig else self.contig
        return f"{name}:{self.start + 1:,}-{self.stop:,}"


class Spectra(NamedTuple):
    """Damage in the words of mass spectrometry."""

    rt_start: float | None
    """Seconds; None where the spectra have no times."""
    rt_stop: float | None
    first: int
    """Scan number where the file has such numbers, else the place in the file, from 0."""
    last: int
    numbered: bool
    """``first`` and ``last`` are scan numbers."""

    def __str__(self) -> str:
        which = f"{'scans' if self.numbered else 'spectra'} {self.first}-{self.last}"
        if self.rt_start is None or self.rt_stop is None:
            return which
        return f"rt {self.rt_start:.1f}-{self.rt_stop:.1f} s ({which})"


class Bytes(NamedTuple):
    """Damage where the format has no better words."""

    start: int
    """0-based."""
    stop: int
    """Exclusive."""

    def __str__(self) -> str:
        return f"bytes {self.start:,}-{self.stop - 1:,}"


Hit = Bases | Spectra | Bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a file of the lake, or with an object in it."""

    problem: str
    """``missing``, ``size`` or ``damaged``."""
    file: str
    """Relative to the lake: ``objects/ab/…``, ``packs/…``, ``journal.db``, ``trash/…``."""
    digest: Digest | None = None
    """Of the object that is hit; None where it is no object."""
    size: int = 0
    """Bytes of the object."""
    paths: tuple[str, ...] = ()
    """Where the object is named: ``path@branch``, or ``path@commit`` where only history has it. Derived objects have
    none."""
    commits: tuple[int, ...] = ()
    """For each of the paths the commit that named the object."""
    chunks: tuple[DamagedChunk, ...] = ()
    """Damaged chunks: number, offset, length."""
    hits: tuple[Hit, ...] = ()
    """The same in the words of the format."""
    detail: str = ""
    """What else there is to say."""
    healed: bool = False
    """It has been repaired since."""

    @property
    def good(self) -> float:
        """The share of the object's bytes that reads fine."""
        if self.problem == "missing" or not self.size:
            return 0.0
        return 1.0 - sum(length for _, _, length in self.chunks) / self.size

    def as_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "file": self.file,
            "digest": self.digest,
            "size": self.size,
            "paths": list(self.paths),
            "commits": list(self.commits),
            "chunks": [{"ord": number, "offset": offset, "length": length} for number, offset, length in self.chunks],
            "regions": [{"region": str(hit), **hit._asdict()} for hit in self.hits],
            "good": self.good,
            "detail": self.detail,
            "healed": self.healed,
        }

    def __str__(self) -> str:
        if self.digest is None:
            return f"{self._verdict}: {self.file}" + (f": {self.detail}" if self.detail else "")
        parts = [self._named, *([self.detail] if self.detail else [])]
        if self.problem != "missing" and self.chunks:
            parts.append(self._rest)
            parts += _few([f"chunk {ord_} at {start}, {length} bytes" for ord_, start, length in self.chunks])
        return f"{self._verdict}: {'; '.join([*parts, f'b3:{self.digest}'])}"

    @property
    def _verdict(self) -> str:
        return f"{self.problem}, healed" if self.healed else self.problem

    @property
    def _named(self) -> str:
        names = ", ".join(_few(self.paths)) or "no path"
        if self.problem == "missing" and self.commits:
            return f"{names} (commit {self.commits[0]})"
        return f"{names} {', '.join(_few([str(hit) for hit in self.hits]))}".rstrip()

    @property
    def _rest(self) -> str:
        # Rounded down: 100 % would be untrue.
        percent = math.floor(self.good * 10_000) / 100
        return f"the other {percent:g} % reads fine" if self.good > 0 else "nothing of it can be read"


def _few(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _SHOWN
    return [*texts[:_SHOWN], *([f"{more:,} more"] if more > 0 else [])]


@dataclass(slots=True)
class FsckReport:
    objects: int = 0
    """Objects that were looked at."""
    bytes: int = 0
    """Bytes that were read and hashed."""
    findings: list[Finding] = field(default_factory=list)
    orphans: int = 0
    """Stored files, plain ones and packs, in which no live object lies: left by a crash, of a put that is under way, or
    no longer needed. So are files of the catalog that no generation names."""
    foreign: list[str] = field(default_factory=list)
    """Names under ``objects/`` and ``packs/`` that neither objects nor packs can have."""
    generations: list[int] = field(default_factory=list)
    """Damaged generations of the catalog. No finding: nothing is lost, and they are made again from the journal."""
    packs: list[str] = field(default_factory=list)
    """Packs of which bytes are damaged that no object needs. No finding: nothing is lost. A repair lets them go."""
    resumed: int = 0
    """Objects that were not looked at, because an earlier run, which did not end, found them sound."""

    @property
    def ok(self) -> bool:
        return all(finding.healed for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "objects": self.objects,
            "bytes": self.bytes,
            "orphans": self.orphans,
            "foreign": self.foreign,
            "generations": self.generations,
            "packs": self.packs,
            "resumed": self.resumed,
            "findings": [finding.as_json() for finding in self.findings],
        }
