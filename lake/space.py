"""How much lies in a lake, how much may, and letting go of its history."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lake.catalogs import CatalogDesk
from lake.errors import InvalidInput
from lake.journal.values import Quota, Share, View
from lake.paths import clean_path
from lake.repository import Repository
from lake.sources import Job
from lake.tree import Tree

if TYPE_CHECKING:
    from lake.expiry import ExpiryReport
    from lake.retention import Policy

__all__ = ["QuotaUse", "Space", "Usage"]

_DEEPEST = 100


class Usage(NamedTuple):
    """What lies below a path."""

    shares: list[Share]
    """By name."""
    total: Share
    """Objects that several shares have count once."""


class QuotaUse(NamedTuple):
    """A quota and what it bounds, at the head of one branch."""

    prefix: str
    branch: str
    used: int
    """Bytes."""
    soft: int | None
    hard: int | None


class Space(ABC):
    """The verbs about space of a lake."""

    repo: Repository
    catalog: CatalogDesk

    @abstractmethod
    def _at(self, path: str | os.PathLike[str], ref: str | None) -> tuple[Tree, str]: ...

    @abstractmethod
    def _must_write(self) -> None: ...

    def du(
        self,
        path: str | os.PathLike[str] = "",
        *,
        by: str | None = None,
        depth: int = 1,
        history: bool = False,
        ref: str | None = None,
    ) -> Usage:
        """How many bytes the files below a path have, and how many are stored for them: the same bytes only once.

        Args:
            by: ``project`` (the attribute of files), ``format``, ``top-level`` or ``branch`` (the head of each);
                None: directories, each with all that lies below it.
            depth: how many levels of directories.
            history: every version that history keeps, on all branches, instead of the files at the ref.

        Raises:
            NotFound: nothing is there.
            InvalidInput: no such grouping.
        """
        if not 0 <= depth <= _DEEPEST:
            raise InvalidInput(f"a depth of {depth}: it goes from 0 to {_DEEPEST}")
        tree, cleaned = self._at(path, ref)
        everywhere = history or by == "branch"
        if not everywhere and tree.find(cleaned) is None and not tree.is_directory(cleaned):
            raise tree.missing(cleaned)
        journal = self.repo.journal
        if by is not None:
            shares, total = journal.shares(tree.view, cleaned, by, history=history)
            return Usage(shares, total._replace(name=cleaned))
        found: list[Share] = []
        total = journal.shares(tree.view, cleaned, "0", history=history)[1] if not depth else Share("", 0, 0, 0)
        for level in range(1, depth + 1):
            shares, total = journal.shares(tree.view, cleaned, str(level), history=history)
            if not shares:
                break
            found += [share._replace(name=f"{cleaned}/{share.name}".lstrip("/")) for share in shares]
        return Usage(sorted(found), total._replace(name=cleaned))

    def quotas(self) -> list[QuotaUse]:
        """Every quota, with what it bounds on each branch."""
        journal = self.repo.journal
        views = [View(journal.resolve(branch.name).branch, branch.head, branch.name) for branch in journal.branches()]
        return [
            QuotaUse(quota.prefix, view.name or "", journal.used(quota.prefix, view), quota.soft, quota.hard)
            for quota in journal.quotas()
            for view in views
        ]

    def set_quota(self, prefix: str = "", *, soft: int | None = None, hard: int | None = None) -> Quota:
        """Bound the bytes of the files at or below a path, at the head of each branch by itself.

        Commits that would let them grow beyond ``hard`` raise `QuotaExceeded`; those that let them grow beyond
        ``soft`` warn (logger ``lake.quotas``). Commits that shrink them always go. Replaces the path's quota.

        Raises:
            InvalidInput: no bound, or a soft one above the hard one.
        """
        self._must_write()
        if soft is None and hard is None:
            raise InvalidInput("a quota needs a bound: --soft, --hard or both")
        if min(bound for bound in (soft, hard) if bound is not None) < 0:
            raise InvalidInput("a quota cannot be less than nothing")
        if soft is not None and hard is not None and soft > hard:
            raise InvalidInput("the soft bound of a quota comes before the hard one: it has to be smaller")
        quota = Quota(clean_path(prefix), soft, hard)
        self.repo.journal.set_quota(quota)
        return quota

    def remove_quota(self, prefix: str = "") -> None:
        """Raises NotFound where there is none."""
        self._must_write()
        self.repo.journal.remove_quota(clean_path(prefix))

    def expire(self, policy: Policy, *, branch: str | None = None, dry_run: bool = False) -> ExpiryReport:
        """Let go of the history that a policy does not keep, of every branch or of one.

        Heads, tags and the commits at which branches begin always stay. What is gone cannot be read any more, and
        `gc` gives its bytes back.

        Raises:
            NotFound: no such branch.
            ReadOnly: the lake is open for reading only.
        """
        if not dry_run:
            self._must_write()
        from lake.expiry import expire

        report = expire(self.repo.journal, policy, branch, dry_run=dry_run)
        if report.expired and not dry_run:
            # The last generation tells of what is gone: it is out of use.
            self.catalog.publish_quietly()
        return report

    def _check_room(self, tree: Tree, jobs: Sequence[Job]) -> None:
        """Raise QuotaExceeded before bytes are copied that cannot become a commit."""
        if self.repo.journal.quotas():
            self.repo.journal.check_quotas(tree.view, {job.path: _size(job) for job in jobs if not job.directory})


def _size(job: Job) -> int:
    try:
        return 0 if job.source is None else job.source.stat().st_size
    except OSError:
        # What cannot be read is refused where it is read.
        return 0
