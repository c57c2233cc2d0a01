"""New commits, told to many who wait: one task looks at the journal for all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from lake.errors import LakeError, NotFound
from lake.htsget.access import Principal, Verb
from lake.journal.base import Journal
from lake.journal.values import Commit, Difference, Json, View

__all__ = ["Feed", "Happening", "commit_json", "newest", "read_happening"]

_POLL_SECONDS = 0.25
_KEPT = 64
"""Recent commits that are remembered for those who hear of them next."""
_MOST_CHANGES = 1_000
"""Changes of one commit that are spelled out."""

Run = Callable[[Callable[[], int]], Awaitable[int]]


class Happening(NamedTuple):
    """A commit, and the paths that it changed, sorted."""

    commit: Commit
    changes: tuple[Difference, ...]


def newest(journal: Journal) -> int:
    """Sequence number of the newest commit of any branch; 0 in an empty lake."""
    return max((branch.head for branch in journal.branches()), default=0)


def read_happening(journal: Journal, seq: int) -> Happening | None:
    """A commit by its number; None where there is none. Blocking."""
    try:
        view = journal.resolve(str(seq))
    except NotFound:
        return None
    (commit,) = journal.log(view, 1)
    # What the branch showed until then: numbers are those of the lake, so the one before is on it or seen from it.
    before = View(view.branch, seq - 1, None)
    return Happening(commit, tuple(journal.diff(before, view)))


class Feed:
    """The commits of one lake as they come. Lives on one event loop.

    Args:
        journal: is asked for its newest commit a few times a second, while somebody waits.
        run: calls something that blocks on a thread.
        stopping: set when the server ends; whoever waits is woken.
    """

    def __init__(self, journal: Journal, run: Run, stopping: asyncio.Event) -> None:
        self._journal = journal
        self._run = run
        self._stopping = stopping
        self._head = 0
        self._news = asyncio.Event()
        self._watchers = 0
        self._poll: asyncio.Task[None] | None = None
        self._recent: OrderedDict[int, Happening] = OrderedDict()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """While somebody is inside, the journal is looked at."""
        self._watchers += 1
        if self._poll is None:
            self._poll = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._poll.cancel()
                self._poll = None

    @property
    def ended(self) -> bool:
        return self._stopping.is_set()

    async def newer(self, seq: int, seconds: float) -> int:
        """The newest commit once it is newer than ``seq``; ``seq`` when the time is up or the server ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._head <= seq and not self.ended:
                    await self._news.wait()
        return max(self._head, seq)

    def happening(self, seq: int) -> Happening | None:
        """`read_happening`, remembered for the next who asks. Blocking; for any thread."""
        known = self._recent.get(seq)
        if known is None:
            known = read_happening(self._journal, seq)
            if known is not None and len(known.changes) <= _MOST_CHANGES:
                self._recent[seq] = known
                while len(self._recent) > _KEPT:
                    with contextlib.suppress(KeyError):  # another thread was faster
                        self._recent.popitem(last=False)
        return known

    async def _look(self) -> None:
        while not self.ended:
            # A journal that is locked or unreachable for a moment has news all the same, later.
            with contextlib.suppress(LakeError):
                head = await self._run(lambda: newest(self._journal))
                if head != self._head:
                    self._head = head
                    self._wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._stopping.wait()
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def commit_json(happening: Happening, principal: Principal, prefix: str, branch: str | None) -> dict[str, Json] | None:
    """What somebody may know of a commit; None when it is not for them.

    Args:
        happening: the commit.
        principal: they are told of the paths that they may read, and of the message, which may name any path, only
            where that is all of them.
        prefix: text that paths must begin with.
        branch: name of the only branch of interest; None: any.
    """
    commit, changes = happening
    if branch is not None and commit.branch != branch:
        return None
    seen = [change for change in changes if principal.may(Verb.READ, change.path)]
    wanted = [change for change in seen if change.path.startswith(prefix)]
    if not wanted:
        return None
    whole = len(seen) == len(changes)
    told: dict[str, Json] = {
        "seq": commit.seq,
        "id": commit.id,
        "branch": commit.branch,
        "created": datetime.fromtimestamp(commit.created / 1e9, UTC).isoformat(),
        "author": commit.author if whole else None,
        "message": commit.message if whole else None,
        "changes": [_change_json(change) for change in wanted[:_MOST_CHANGES]],
        "omitted": max(0, len(wanted) - _MOST_CHANGES),
    }
    return told


def _change_json(change: Difference) -> dict[str, Json]:
    new = change.new
    return {
        "path": change.path,
        "change": change.change,
        "size": new.size if new is not None else None,
        "format": new.format if new is not None else None,
        "digest": new.hex if new is not None and new.digest is not None else None,
    }
