"""Commands that care for a lake, and the demonstration."""

from __future__ import annotations

import argparse

from lake.cli.output import human, open_lake, print_json
from lake.fsck import FsckReport
from lake.progress import Silent, progress_for_terminal

__all__ = ["catalog_publish", "catalog_rebuild", "catalog_status", "demo", "fsck"]


def fsck(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        report = lk.fsck(
            arguments.paths,
            fast=arguments.fast,
            percent=arguments.percent,
            older_than=arguments.older_than,
            restart=arguments.restart,
            repair=arguments.repair,
            sources=arguments.sources,
            progress=Silent() if arguments.quiet else progress_for_terminal(),
        )
    if arguments.json:
        print_json(report.as_json())
    else:
        _tell(report, quiet=arguments.quiet)
    return 0 if report.ok else 1


def _tell(report: FsckReport, *, quiet: bool) -> None:
    for finding in report.findings:
        print(finding)
    for name in report.foreign:
        print(f"foreign: {name} is not an object's name")
    for number in report.generations:
        print(f"catalog: generation {number} is damaged: questions read the journal until the next one")
    for pack in report.packs:
        print(f"{pack}: bytes that no object needs are damaged: nothing is lost")
    if quiet and report.ok:
        return
    orphans = f"; {report.orphans} stored files belong to no commit" if report.orphans else ""
    earlier = f"; {report.resumed} more were sound when the check began" if report.resumed else ""
    wrong = sum(not finding.healed for finding in report.findings)
    verdict = "sound" if report.ok else f"{wrong} {'is' if wrong == 1 else 'are'} damaged or missing"
    objects = "1 object" if report.objects == 1 else f"{report.objects} objects"
    print(f"{objects}, {human(report.bytes)} checked: {verdict}{earlier}{orphans}")


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
