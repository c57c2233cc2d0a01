"""The half of the journal's contract that keeps a lake healthy and tells the catalog what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from lake.digest import Digest
from lake.journal.values import (
    Checked,
    Claim,
    Dead,
    Kept,
    Mark,
    ObjectRecord,
    PackUse,
    Probe,
    Quota,
    Scrubbed,
    Share,
    View,
)
from lake.stores.base import Location

__all__ = ["CareJournal"]


class CareJournal(Protocol):
    """Checks, the catalog's feed, gc, space and expiry. Every method is one transaction that ends before it returns."""

    # -- checks -------------------------------------------------------------------------------------------------
    def objects_in(self, handle: str) -> list[ObjectRecord]:
        """Live objects that lie in a stored file, by their offset in it."""
        ...

    def derived_from(self, digest: Digest) -> list[tuple[Digest, str]]:
        """What an object was derived from that holds artifacts: (object, kind of the artifact)."""
        ...

    def scrubbed(self) -> Iterator[Scrubbed]:
        """Where every live object lies and when its bytes were checked (pages of bounded size, each a transaction)."""
        ...

    def begin_scrub(self, *, restart: bool = False) -> int:
        """When the check of all objects began: now, or when one began that has not ended, unless it is to restart."""
        ...

    def end_scrub(self) -> None:
        """The check of all objects has come to its end."""
        ...

    def record_scrub(self, found: Sequence[Checked]) -> None:
        """Remember what was found of objects; known damage of theirs becomes what was found now."""
        ...

    def verify(self, *, rows: bool = True) -> list[str]:
        """What is wrong with the journal itself, a sentence each: its file and, with ``rows``, each row's digest.

        Reads the disk, not what this process remembers of it.
        """
        ...

    # -- feed of the catalog: rows as tuples, a page at once, so that a million need no million objects ---------
    def identity(self) -> str:
        """Tells this journal from any other, also from one made again for the same lake."""
        ...

    def tip(self) -> Mark:
        """The newest of everything."""
        ...

    def feed_files(self, view: View, after: str, limit: int) -> tuple[list[tuple[Any, ...]], str | None]:
        """The next files behind a path (object id, digest, size, format, modified, commit, attributes behind it).

        And the path to go on behind; None at the end.
        """
        ...

    def feed_changed_files(self, old: View, new: View) -> list[tuple[str, tuple[Any, ...] | None]]:
        """Paths that may differ between views, sorted, each with its row as `feed_files` has it in the new one."""
        ...

    def feed_objects(self, since: Mark, until: Mark, after: int, limit: int) -> list[tuple[Any, ...]]:
        """The next objects behind an id.

        (id, digest, size, format, problems, checksums, map, state, damaged chunks: ``3,7`` or None, handle, offset)

        Of those registered since a mark; the first page, ``after`` = 0, begins with older ones that have changed.
        """
        ...

    def feed_commits(self, after: int, until: int, limit: int) -> list[tuple[Any, ...]]:
        """The next commits of all branches: (seq, id, branch, created, author, message, changes)."""
        ...

    def feed_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        """The next artifacts whose kind begins so, by id: (id, object id, kind, body, digest of the target).

        Of objects up to the id ``newest``; those that replace others while pages are read are told, too.
        """
        ...

    def feed_other_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        """The next artifacts of other kinds: (id, object id, kind, code, inputs, target's digest, body)."""
        ...

    def feed_directories(self, view: View) -> list[tuple[Any, ...]]:
        """Directories that were made on purpose, by path: (path, modified, commit, attributes)."""
        ...

    # -- gc: an object is dead in the journal before its file moves, forgotten there before the file goes -------
    def probe(self, handles: Sequence[str]) -> Probe:
        """What a writer asks before files get these names: the newest claim, and claims that have to be settled."""
        ...

    def claims(self, handles: Sequence[str] | None = None) -> list[Claim]:
        """Claims on these files; None: all whose file may not have moved yet."""
        ...

    def due_claims(self, deadline: int | None) -> list[Claim]:
        """Claims on files in the trash whose deadline is not later than that; None: all of them."""
        ...

    def loose_objects(self) -> list[int]:
        """Numbers of live objects that no entry of any branch and commit names, nor anything that is kept.

        Owners come before what is derived from them.
        """
        ...

    def described(self, numbers: Sequence[int]) -> list[Dead]:
        """Those of the numbered objects that are live."""
        ...

    def set_aside(self, numbers: Sequence[int], deadline: int) -> tuple[list[Dead], list[str]]:
        """Let objects go to the trash that are still loose, and claim files in which nothing live is left.

        Returns:
            the objects that went, and the handles of the claimed files.
        """
        ...

    def unnamed_files(self, handles: Sequence[str]) -> list[str]:
        """Those of the files in which no live object lies, and that nobody has claimed."""
        ...

    def claim_files(self, handles: Sequence[str], deadline: int) -> list[str]:
        """Claim those of the files that are still unnamed; returns them."""
        ...

    def claims_moved(self, files: Sequence[tuple[str, int]]) -> None:
        """Claimed files lie in the trash now: handle and size in bytes of each."""
        ...

    def trashed(self, digests: Sequence[Digest] | None = None) -> dict[Digest, Location]:
        """Where objects in the trash lay before, with what was derived from them; all of them for None."""
        ...

    def restore(self, digests: Sequence[Digest], handles: Sequence[str]) -> int:
        """Files are in their places again: their claims go, and objects in the trash are live; the newest claim."""
        ...

    def forget_claims(self, wanted: Sequence[Claim]) -> tuple[list[Claim], int]:
        """Let claims go, and the dead objects of their files, before the files are deleted.

        Returns:
            the claims that were still there as given, and the number of objects.
        """
        ...

    def dead_members(self, before: int | None) -> list[int]:
        """Numbers of objects in the trash since that time or longer whose file stays; of all for None."""
        ...

    def forget_members(self, numbers: Sequence[int]) -> int:
        """Forget those of `dead_members` that still are; returns how many."""
        ...

    def pack_uses(self) -> list[PackUse]:
        """Packs that hold live objects."""
        ...

    def pack_members(self, pack: str) -> dict[Digest, Location]:
        """The live objects of a pack, by offset."""
        ...

    # -- space --------------------------------------------------------------------------------------------------
    def shares(self, view: View, directory: str, by: str, *, history: bool = False) -> tuple[list[Share], Share]:
        """How much lies below a directory, in groups by name, and all in all.

        Args:
            by: ``project`` (the attribute of files), ``format``, ``top-level`` (names directly below the directory),
                ``branch`` (at the head of each), or a depth: directories so many levels below.
            history: count every version that history keeps, of all branches, instead of what the view sees.
        """
        ...

    def quotas(self) -> list[Quota]:
        """All quotas, by path."""
        ...

    def set_quota(self, quota: Quota) -> None:
        """Make or replace the quota of a path. What lies there already stays, however much it is."""
        ...

    def remove_quota(self, prefix: str) -> None:
        """Raises NotFound."""
        ...

    def used(self, prefix: str, view: View) -> int:
        """Bytes of the files at or below a path that the head of a branch sees."""
        ...

    def check_quotas(self, view: View, sizes: Mapping[str, int]) -> None:
        """Raise QuotaExceeded where a commit that makes the files at those paths so large would."""
        ...

    # -- expiry -------------------------------------------------------------------------------------------------
    def histories(self, alone: str | None = None) -> list[Kept]:
        """The commits of every branch, those of deleted branches too, as long as there are any.

        What a deleted branch begins at is held as long as it has commits, unless these can go as well: where no branch
        is to be thinned ``alone``.
        """
        ...

    def expire(self, seqs: Sequence[int]) -> list[int]:
        """Let those of the commits go that nothing holds, for good; returns their numbers.

        They are no refs any more, and no number is given again. `sweep_history` removes what only they saw.
        """
        ...

    def sweep_history(self) -> int:
        """Remove every version of a path that no commit sees any more; returns how many there were.

        Pages of bounded size, each its own transaction: others read and write meanwhile.
        """
        ...

    def drop_branches(self) -> list[str]:
        """Forget deleted branches that have no commit, no child and no tag left; returns their names."""
        ...

    def expirations(self) -> int:
        """Grows whenever commits are let go of; what was read of history before does not go on after it."""
        ...
