"""Files that come in twos: which second file holds the data of the first, told by their names, proven by the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from lake.artifacts import ADOPTED
from lake.formats.base import PairedFormat
from lake.formats.registry import PARTNERS, get_format
from lake.journal.values import Artifact, ObjectRecord
from lake.repository import Repository

__all__ = ["Half", "PairDesk"]


class Half(NamedTuple):
    """A file that is being stored and may be one of two."""

    path: str
    record: ObjectRecord
    warnings: list[str]
    """Takes what is wrong with the pair."""


class PairDesk:
    """Finds pairs among the files of one put, and of those with the files that are there already."""

    def __init__(self, repo: Repository, lookup: Callable[[str], ObjectRecord | None]) -> None:
        """``lookup`` knows the object of a path before the put."""
        self._repo = repo
        self._lookup = lookup
        self._here: dict[str, Half] = {}

    def add(self, halves: Sequence[Half]) -> list[Artifact]:
        """The artifacts that tie the pairs together of which a half has just been stored."""
        new = {half.path: half for half in halves if _is_half(half.record.format)}
        self._here |= new
        owners: dict[str, Half] = {}
        for half in new.values():
            owner = half if half.record.format not in PARTNERS else self._owner(half)
            if owner is not None:
                owners[owner.path] = owner
        return [tie for owner in owners.values() if (tie := self._tie(owner)) is not None]

    def _owner(self, half: Half) -> Half | None:
        form = get_format(PARTNERS[half.record.format])
        assert form is not None
        for path in (path for suffix in form.suffixes for path in _siblings(half.path, suffix)):
            found = self._find(path, half.warnings)
            if found is not None and found.record.format == form.name:
                return found
        return None

    def _tie(self, owner: Half) -> Artifact | None:
        form = get_format(owner.record.format)
        assert isinstance(form, PairedFormat)
        if owner.record.problems:
            return None
        for path in _siblings(owner.path, form.partner_suffix):
            partner = self._find(path, owner.warnings)
            if partner is None:
                continue
            refusal = form.check_partner(self._repo.shelf.add(owner.record), self._repo.shelf.add(partner.record))
            if refusal is None:
                return Artifact(owner.record.digest, form.partner_kind, ADOPTED, target=partner.record.digest)
            owner.warnings.append(f"{path} is not used: {refusal}")
            return None
        if not any(known.kind == form.partner_kind for known in self._repo.journal.artifacts(owner.record.digest)):
            owner.warnings.append(f"no {form.partner_suffix} beside it: regions and peaks need that file, too")
        return None

    def _find(self, path: str, warnings: list[str]) -> Half | None:
        half = self._here.get(path)
        if half is not None:
            return half
        record = self._lookup(path)
        return Half(path, record, warnings) if record is not None else None


def _is_half(name: str) -> bool:
    return name in PARTNERS or name in PARTNERS.values()


def _siblings(path: str, suffix: str) -> Iterator[str]:
    """Paths with another suffix, in the cases in which it is written."""
    yield from dict.fromkeys(
        str(PurePosixPath(path).with_suffix(written)) for written in (suffix, suffix.lower(), suffix.upper())
    )
