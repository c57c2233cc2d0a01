"""Thinning the history of a lake: what to let go of, and letting go of it while others read and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lake.crashpoints import crash_point
from lake.errors import NotFound
from lake.journal.base import Journal
from lake.journal.values import Kept
from lake.retention import Policy

__all__ = ["ExpiryReport", "Thinned", "expire", "plan"]

_BATCH = 500
"""Commits that go in one transaction."""


@dataclass(frozen=True)
class Thinned:
    """What becomes of the history of one branch."""

    branch: str
    deleted: bool
    """A branch that was deleted; others may still see some of it."""
    kept: Mapping[int, tuple[str, ...]]
    """Commits that stay, newest first, each with what keeps it."""
    expired: tuple[int, ...]
    """Commits that go, newest first."""


@dataclass(frozen=True)
class ExpiryReport:
    branches: tuple[Thinned, ...]
    expired: int
    """Commits that are gone, or would be in a dry run."""
    versions: int = 0
    """Versions of paths that went with them; 0 in a dry run."""
    dropped: tuple[str, ...] = ()
    """Deleted branches of which nothing is left."""
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "expired": self.expired,
            "versions": self.versions,
            "dropped": list(self.dropped),
            "branches": [
                {
                    "branch": one.branch,
                    "deleted": one.deleted,
                    "kept": [{"commit": seq, "why": list(why)} for seq, why in one.kept.items()],
                    "expired": list(one.expired),
                }
                for one in self.branches
            ],
        }


def plan(histories: list[Kept], policy: Policy, branch: str | None = None) -> list[Thinned]:
    """Apply a policy to every branch, or to one; what is held stays whatever the policy says.

    Raises:
        NotFound: no such branch.
    """
    chosen = [one for one in histories if branch is None or (one.branch == branch and not one.deleted)]
    if not chosen:
        raise NotFound(f"no branch {branch!r}: `lake branch` lists them")
    return [_thinned(one, policy) for one in chosen]


def _thinned(history: Kept, policy: Policy) -> Thinned:
    commits = history.commits
    if history.deleted:
        # Nobody names its head any more: it ends with the last commit that somebody else sees.
        newest_held = max(history.held, default=0)
        commits = tuple(commit for commit in commits if commit[0] <= newest_held)
    kept = policy.keep(commits)
    why = {
        seq: (*kept.get(seq, ()), *history.held.get(seq, ()))
        for seq, _ in history.commits
        if seq in kept or seq in history.held
    }
    return Thinned(history.branch, history.deleted, why, tuple(seq for seq, _ in history.commits if seq not in why))


def expire(journal: Journal, policy: Policy, branch: str | None = None, *, dry_run: bool = False) -> ExpiryReport:
    """Let go of the commits that a policy does not keep, then of the versions of paths that no commit left sees.

    Heads, tags and the commits at which branches begin always stay. What was committed, tagged or forked since the
    policy was applied is safe: every transaction looks again at what holds a commit. One that is interrupted is
    finished by the next.

    Raises:
        NotFound: no such branch.
        ReadOnly: the lake is open for reading only.
    """
    thinned = plan(journal.histories(branch), policy, branch)
    # Children first: what begins at a commit of another branch goes before it.
    going = [seq for one in reversed(thinned) for seq in one.expired]
    if dry_run:
        return ExpiryReport(tuple(thinned), len(going), dry_run=True)
    gone: list[int] = []
    for start in range(0, len(going), _BATCH):
        gone += journal.expire(going[start : start + _BATCH])
        crash_point("commits-expired")
    versions = journal.sweep_history()
    crash_point("history-swept")
    dropped = () if branch is not None else tuple(journal.drop_branches())
    crash_point("branches-dropped")
    return ExpiryReport(tuple(thinned), len(gone), versions, dropped)
