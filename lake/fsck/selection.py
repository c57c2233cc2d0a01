"""Which stored files a check looks at, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lake.clock import now
from lake.digest import Digest
from lake.errors import InvalidInput
from lake.journal.base import Journal
from lake.journal.values import Scrubbed
from lake.repository import Repository
from lake.stores.local import StoredFile
from lake.stores.places import is_pack

__all__ = ["CheckOptions", "CheckedFile", "Selection", "select"]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is to be checked.

    Raises:
        InvalidInput: a combination that means nothing.
    """

    fast: bool = False
    """Presence and sizes only: no bytes are read."""
    percent: float | None = None
    """Only so many percent of all bytes: those unchecked for longest."""
    older_than: float | None = None
    """Only what has not been checked for so many seconds."""
    restart: bool = False
    """Begin anew, whatever an earlier check has seen that did not end."""

    def __post_init__(self) -> None:
        if self.percent is not None and not 0 < self.percent <= 100:
            raise InvalidInput(f"cannot check {self.percent} percent: name a number above 0, up to 100")
        if self.older_than is not None and self.older_than < 0:
            raise InvalidInput(f"cannot look {self.older_than} seconds back: name a time of 0 or more")
        if self.fast and (self.percent is not None or self.older_than is not None):
            raise InvalidInput("a fast check reads no bytes: it goes without a percentage or an age")

    @property
    def everything(self) -> bool:
        return self.percent is None and self.older_than is None


class CheckedFile(NamedTuple):
    """A stored file in which live objects lie."""

    handle: str
    length: int
    """Bytes of these objects."""
    checked: int
    """When the one of them that was unchecked for longest was checked, nanoseconds since the epoch; 0: never."""
    sound: bool
    """Nothing was wrong with any of them then."""
    objects: int
    """How many they are."""

    def with_object(self, other: Scrubbed) -> CheckedFile:
        checked = min(self.checked, other.checked)
        return CheckedFile(
            self.handle, self.length + other.length, checked, self.sound and other.sound, self.objects + 1
        )


class Selection(NamedTuple):
    files: list[CheckedFile]
    """In the order in which they are read."""
    bytes: int
    """Bytes of these files, as far as they are there."""
    skipped: int
    """Objects that an earlier run has found sound."""
    orphans: int
    """Stored files in which no live object lies; 0 where only some objects were asked for."""


def select(
    repo: Repository, options: CheckOptions, wanted: Collection[Digest] | None, started: int | None
) -> Selection:
    """
    Args:
        repo: the lake.
        options: what is to be checked.
        wanted: only these objects, and what was derived from them; None: all.
        started: what has been found sound since this moment is not looked at again; None: everything is.
    """
    # The folders first: what comes in afterwards is asked for by name.
    if wanted is None:
        stored = {file.handle: file for file in repo.store.files()}
        files = list(_all_files(repo.journal))
        orphans = len(stored.keys() - {file.handle for file in files})
    else:
        handles = _handles(repo.journal, wanted)
        stored = {file.handle: file for file in map(repo.store.file, handles) if file is not None}
        files, orphans = [file for file in _all_files(repo.journal) if file.handle in handles], 0
    present = now()
    skipped = 0
    if started is not None:
        fresh = [file for file in files if not (file.sound and started <= file.checked <= present)]
        skipped = sum(file.objects for file in files) - sum(file.objects for file in fresh)
        files = fresh
    if options.older_than is not None:
        bound = present - round(options.older_than * 1e9)
        files = [file for file in files if not bound < file.checked <= present]
    if options.percent is not None:
        files = _oldest(files, options.percent)
    absent = StoredFile("", 0, 0)
    ordered = sorted(files, key=lambda file: (stored.get(file.handle, absent).inode, file.handle))
    total = sum(stored.get(file.handle, absent).size for file in ordered)
    return Selection(ordered, total, skipped, orphans)


def _all_files(journal: Journal) -> Iterator[CheckedFile]:
    packs: dict[str, CheckedFile] = {}
    for item in journal.scrubbed():
        if is_pack(item.handle):
            known = packs.get(item.handle)
            packs[item.handle] = known.with_object(item) if known is not None else CheckedFile(*item, 1)
        else:
            yield CheckedFile(*item, 1)
    yield from packs.values()


def _handles(journal: Journal, wanted: Collection[Digest]) -> set[str]:
    """Files in which these objects lie, and what was derived from them."""
    derived = (artifact.target for digest in wanted for artifact in journal.artifacts(digest))
    digests = {*wanted, *(target for target in derived if target is not None)}
    return {location.handle for location in journal.locations(list(digests)).values()}


def _oldest(files: list[CheckedFile], percent: float) -> list[CheckedFile]:
    """Files of at least so many percent of all bytes, those first that were unchecked for longest."""
    left = sum(file.length for file in files) * percent / 100
    chosen: list[CheckedFile] = []
    for file in sorted(files, key=lambda file: (file.checked, file.handle)):
        if left <= 0 and chosen:
            break
        chosen.append(file)
        left -= file.length
    return chosen
