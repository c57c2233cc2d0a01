"""Backups: made, checked, and made a lake again."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from lake.cli.output import human, open_lake, print_json, when
from lake.progress import Progress, Silent, progress_for_terminal

__all__ = ["backup", "restore_lake", "verify_backup"]


def backup(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        report = lk.backup(
            arguments.directory,
            prune=arguments.prune,
            verify=arguments.verify,
            progress=Silent() if arguments.quiet else progress_for_terminal(),
        )
    moment = report.moment
    if arguments.json:
        print_json(report.as_json())
        return 0 if report.ok else 1
    _print_all(f"missing in the lake: {name}" for name in moment.missing)
    _print_all(f"damaged in the lake, copied as it is: {name}" for name in moment.damaged)
    if not arguments.quiet or not report.ok:
        removed = f"; {report.removed:,} removed, {human(report.removed_bytes)}" if report.removed else ""
        print(
            f"commit {moment.seq}: {moment.files:,} files, {human(moment.bytes)};"
            f" {report.copied:,} copied, {human(report.copied_bytes)}{removed}"
        )
    if not report.ok:
        print("'lake fsck' tells what that hits")
    return 0 if report.ok else 1


def restore_lake(arguments: argparse.Namespace) -> int:
    from lake.backup.restoring import restore_lake as restored

    report = restored(Path(arguments.backup).expanduser(), Path(arguments.directory).expanduser(), _progress(arguments))
    if arguments.json:
        print_json(report.as_json())
        return 0 if report.ok else 1
    _print_all(map(str, report.findings))
    verdict = "" if report.ok else f"; {len(report.findings)} of them damaged or missing"
    print(f"{report.root}: {report.files:,} files, {human(report.bytes)}{verdict}")
    return 0 if report.ok else 1


def verify_backup(arguments: argparse.Namespace) -> int:
    from lake.backup.checking import verify_backup as verified

    check = verified(Path(arguments.directory).expanduser(), _progress(arguments), fast=arguments.fast)
    if arguments.json:
        print_json(check.as_json())
        return 0 if check.ok else 1
    _print_all(map(str, check.findings))
    moment = "an unknown moment" if check.moment is None else f"commit {check.moment.seq} of {when(check.moment.made)}"
    verdict = "sound" if check.ok else f"{len(check.findings)} findings; 'lake backup DIR --verify' mends what it can"
    print(f"{moment}: {check.files:,} files, {human(check.bytes)} read: {verdict}")
    return 0 if check.ok else 1


def _progress(arguments: argparse.Namespace) -> Progress:
    return Silent() if arguments.json else progress_for_terminal()


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
