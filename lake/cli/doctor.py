"""What is well and what is not, in words."""

from __future__ import annotations

import argparse

from lake.cli.output import print_json

__all__ = ["doctor"]


def doctor(arguments: argparse.Namespace) -> int:
    if arguments.rebuild_journal:
        return _rebuild_journal(arguments)
    from lake.doctor.examining import examine

    report = examine(arguments.directory or arguments.root, storage=arguments.storage)
    if arguments.json:
        print_json(report.as_json())
        return 0 if report.ok else 1
    print(report.root)
    for check in report.checks:
        print(f"{check.state:<4}  {check.name}: {check.found}")
        if check.advice:
            print(f"      → {check.advice}")
    return 0 if report.ok else 1


def _rebuild_journal(arguments: argparse.Namespace) -> int:
    from lake.lake import Lake

    made = Lake.rebuild_journal(arguments.directory or arguments.root)
    if arguments.json:
        print_json(made.as_json())
        return 1 if made.missing else 0
    print(f"journal.db is made again: {made.commits} commits, {made.objects} objects; tokens have to be made anew")
    if made.aside is not None:
        print(f"the old one is in {made.aside}")
    for lost in made.missing:
        named = ", ".join(f"{path}@{branch}" for path, branch, _ in lost.paths) or "named nowhere"
        print(f"missing: b3:{lost.digest} ({named})")
    return 1 if made.missing else 0
