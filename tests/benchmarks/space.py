"""A lake of many files: commits of many changes, usage, a first quota, and thinned history.

    python -m tests.benchmarks.space

All files have the same bytes, so that what takes time is the journal.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from functools import partial

import lake
from lake.digest import Digest, digest_of
from lake.journal.values import Put, Quota
from lake.lake import Lake
from lake.retention import Policy
from tests.benchmarks.measuring import Figure, Series, arguments_of, present, scratch

__all__ = ["main"]

_FOLDER = 1000
"""Files of one folder."""
_GROUPS = (None, "top-level", "format", "project", "branch")


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=3)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100_000, help="files of one commit")
    parser.add_argument("--commits", type=int, default=2_000, help="commits that are expired")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        seed = folder / "seed"
        seed.write_bytes(b"seed")
        digest = digest_of(b"seed")
        lk.put(seed, "seed")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        filling = []
        for start in range(0, arguments.files, arguments.changes):
            numbers = range(start, start + arguments.changes)
            filling.append(_timed(partial(_fill, lk, numbers, digest)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / arguments.changes
        figures = [
            _figure(f"commit of {arguments.changes:,} changes", filling),
            Figure("memory that it took for each change", max(grown, 0.001), "KiB"),
        ]
        for by in _GROUPS:
            times = [_timed(partial(lk.du, by=by)) for _ in range(arguments.turns)]
            figures.append(_figure(f"du by {by or 'directory'} of {arguments.files:,} files", times))
        lk.repo.journal.set_quota(Quota("", None, 1 << 40))
        first = _timed(lambda: lk.repo.commit("main", [Put("first", digest)], message=""))
        figures.append(_figure("first commit under a quota of the whole lake", [first]))
        for number in range(arguments.commits):
            lk.repo.commit("main", [Put("changing", digest, attributes={"n": number})], message="")
        figures.append(_figure(f"expire of {arguments.commits:,} commits", [_timed(lambda: _thin(lk))]))
    return present(figures)


def _timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _fill(lk: Lake, numbers: range, digest: Digest) -> None:
    made = [Put(f"study{number // _FOLDER}/{number:07}.bam", digest) for number in numbers]
    lk.repo.commit("main", made, message="")


def _thin(lk: Lake) -> None:
    lk.expire(Policy(last=1))


def _figure(what: str, times: Sequence[float]) -> Figure:
    return Figure(what, Series(times).median, "s", note=f"{min(times):.3g}-{max(times):.3g}")


if __name__ == "__main__":
    main()
