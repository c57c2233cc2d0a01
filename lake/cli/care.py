"""Commands that care for a lake, and the demonstration."""

from __future__ import annotations

import argparse

from lake.cli.output import human, open_lake, print_json
from lake.progress import progress_for_terminal

__all__ = ["demo", "fsck"]


def fsck(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        report = lk.fsck(progress_for_terminal())
    if arguments.json:
        print_json(report.as_json())
        return 0 if report.ok else 1
    for finding in report.findings:
        print(finding)
    for name in report.foreign:
        print(f"foreign: {name} is not an object's name")
    orphans = f"; {report.orphans} stored files belong to no commit" if report.orphans else ""
    verdict = "sound" if report.ok else f"{len(report.findings)} are damaged or missing"
    print(f"{report.objects} objects, {human(report.bytes)} checked: {verdict}{orphans}")
    return 0 if report.ok else 1


def demo(arguments: argparse.Namespace) -> int:
    from lake.demo import run_demo

    run_demo(arguments.directory, arguments.data)
    return 0
