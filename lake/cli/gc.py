"""The command that takes away what nothing names, and brings it back."""

from __future__ import annotations

import argparse

from lake.cli.output import human, open_lake, print_json
from lake.errors import InvalidInput
from lake.gc import GcReport
from lake.trash import GRACE, TRASH

__all__ = ["gc"]


def gc(arguments: argparse.Namespace) -> int:
    if arguments.untrash is not None:
        return _untrash(arguments)
    with open_lake(arguments) as lk:
        report = lk.gc(
            grace=GRACE if arguments.grace is None else arguments.grace,
            trash=TRASH if arguments.trash is None else arguments.trash,
            dry_run=arguments.dry_run,
            empty_trash=arguments.empty_trash,
        )
    if arguments.json:
        print_json(report.as_json())
    else:
        _tell(report)
    return 0


def _tell(report: GcReport) -> None:
    for name, why in report.examples:
        print(f"{name}: {why}")
    more = report.objects + report.orphans - len(report.examples)
    if more > 0 and report.examples:
        print(f"and {more:,} more")
    would = "would go" if report.dry_run else "went"
    print(
        f"{report.objects:,} objects ({human(report.bytes)}) and {report.orphans:,} stray files"
        f" ({human(report.orphan_bytes)}) {would} to the trash"
    )
    if report.packs:
        print(f"{report.packs:,} packs {'would be' if report.dry_run else 'were'} packed anew")
    deleted = "would be deleted" if report.dry_run else "deleted"
    print(
        f"{report.purged:,} files {deleted}, {human(report.freed)} freed;"
        f" the trash holds {report.waiting:,} files, {human(report.waiting_bytes)}"
    )


def _untrash(arguments: argparse.Namespace) -> int:
    if arguments.dry_run or arguments.empty_trash or arguments.grace is not None or arguments.trash is not None:
        raise InvalidInput("--untrash stands alone: bring back first, then collect")
    with open_lake(arguments) as lk:
        commit = lk.untrash(arguments.untrash)
    count = 0 if commit is None else commit.changes
    if arguments.json:
        print_json({"commit": None if commit is None else commit.seq, "files": count})
    else:
        print(f"{count:,} files are back, below lost+found" if count else "nothing was in the trash")
    return 0
