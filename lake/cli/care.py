"""Commands that care for a lake, and the demonstration."""

from __future__ import annotations

import argparse

from lake.cli.output import human, open_lake, print_json
from lake.progress import progress_for_terminal

__all__ = ["catalog_publish", "catalog_rebuild", "catalog_status", "demo", "fsck"]


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
    for number in report.generations:
        print(f"catalog: generation {number} is damaged: questions read the journal until the next one")
    orphans = f"; {report.orphans} stored files belong to no commit" if report.orphans else ""
    verdict = "sound" if report.ok else f"{len(report.findings)} are damaged or missing"
    print(f"{report.objects} objects, {human(report.bytes)} checked: {verdict}{orphans}")
    return 0 if report.ok else 1


def catalog_status(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        status = lk.catalog.status()
    if arguments.json:
        print_json(status._asdict())
    elif status.number is None:
        print(f"no generation: questions read {status.behind:,} commits from the journal")
    else:
        print(
            f"generation {status.number}: commit {status.seq}, {status.files} files, {human(status.bytes)};"
            f" {status.behind:,} commits since"
        )
    return 0


def catalog_publish(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        lk.catalog.publish(force=True)
    return 0


def catalog_rebuild(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        lk.catalog.rebuild(facts=arguments.facts)
    return 0


def demo(arguments: argparse.Namespace) -> int:
    from lake.demo import run_demo

    run_demo(arguments.directory, arguments.data)
    return 0
