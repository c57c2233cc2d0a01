"""How long gc takes to know what may go: the mark of a journal with many objects, and a whole dry run.

    python -m tests.benchmarks.gc

Three objects in ten hold an index or a table of another one; one in a hundred is named by nothing any more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import lake
from lake.digest import digest_of
from tests.benchmarks.measuring import Figure, Series, arguments_of, present, scratch

__all__ = ["main"]

_LOOSE = 100
"""One object in so many is named by nothing."""


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--objects", type=int, default=1_000_000)
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder:
        root = folder / "lake"
        with lake.init(root) as lk:
            _fill(root / "journal.db", arguments.objects)
            times = []
            for _ in range(arguments.turns):
                start = time.perf_counter()
                found = lk.repo.journal.loose_objects()
                times.append(time.perf_counter() - start)
            assert len(found) == len(range(_LOOSE, arguments.objects + 1, _LOOSE)) + 1
    note = f"{min(times):.3g}-{max(times):.3g} s"
    bound = 2.0 if arguments.objects == 1_000_000 else None
    return present(
        [Figure(f"mark of {arguments.objects:,} objects", Series(times).median, "s", at_most=bound, note=note)]
    )


def _fill(path: Path, objects: int) -> None:
    """Rows as puts leave them. Straight into the journal: a million commits would take the most of an hour."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as sql, sql:
        for number in range(1, objects + 1):
            digest = digest_of(b"%d" % number)
            sql.execute(
                "INSERT INTO object(id, digest, size, format, handle, loc_off, loc_len) VALUES(?, ?, 9, 'x', ?, 0, 9)",
                (number, bytes.fromhex(digest), f"objects/{digest[:2]}/{digest}"),
            )
            if number % _LOOSE == 0 or number == 1:
                continue
            if number % 10 in (3, 5, 7):
                owner = number - 1 if (number - 1) % _LOOSE else number - 2
                sql.execute(
                    "INSERT INTO artifact(object, kind, code, inputs, target) VALUES(?, ?, '1', '', ?)",
                    (owner, f"k{number % 10}", number),
                )
            else:
                sql.execute(
                    "INSERT INTO entry(path, branch, seq, kind, object, size, mtime) VALUES(?, 1, 1, 1, ?, 9, 0)",
                    (f"{number % 1000:03}/{number}", number),
                )


if __name__ == "__main__":
    main()
