"""Commands about space: ``du``, ``quota``, ``expire``."""

from __future__ import annotations

import argparse

from lake.cli.output import human, open_lake, print_json, table
from lake.expiry import ExpiryReport
from lake.journal.values import Share
from lake.retention import Policy, parse_span
from lake.sizes import parse_size

__all__ = ["du", "expire", "quota_list", "quota_remove", "quota_set"]

_SHOWN = 20
"""Commits of a branch that a dry run shows."""


def du(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        found = lk.du(arguments.path, by=arguments.by, depth=arguments.depth, history=arguments.history)
    if arguments.json:
        shares = [share._asdict() for share in found.shares]
        print_json({"shares": shares, "total": found.total._asdict()})
        return 0
    rows = [_row(share, share.name) for share in found.shares]
    total = found.total
    table([["bytes", "stored", "files", ""], *rows, _row(total, total.name or "total")], right=frozenset([0, 1, 2]))
    return 0


def _row(share: Share, name: str) -> list[str]:
    return [human(share.bytes), human(share.stored), f"{share.files:,}", name]


def quota_set(arguments: argparse.Namespace) -> int:
    soft, hard = (None if text is None else parse_size(text) for text in (arguments.soft, arguments.hard))
    with open_lake(arguments) as lk:
        lk.set_quota(arguments.prefix, soft=soft, hard=hard)
    return 0


def quota_remove(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        lk.remove_quota(arguments.prefix)
    return 0


def quota_list(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        found = lk.quotas()
    if arguments.json:
        print_json([use._asdict() for use in found])
        return 0
    rows = []
    for use in found:
        bound = use.hard if use.hard is not None else use.soft
        percent = f"{100 * use.used / bound:.0f} %" if bound else ""
        bounds = [human(one) if one is not None else "-" for one in (use.soft, use.hard)]
        rows.append([use.prefix or "/", use.branch, human(use.used), *bounds, percent])
    if rows:
        table([["path", "branch", "used", "soft", "hard", ""], *rows], right=frozenset([2, 3, 4, 5]))
    return 0


def expire(arguments: argparse.Namespace) -> int:
    policy = Policy(
        arguments.keep_last,
        arguments.keep_hourly,
        arguments.keep_daily,
        arguments.keep_weekly,
        arguments.keep_monthly,
        arguments.keep_yearly,
        parse_span(arguments.keep_within) if arguments.keep_within is not None else None,
    )
    with open_lake(arguments) as lk:
        report = lk.expire(policy, branch=arguments.branch, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(report.as_json())
    else:
        _print_report(report)
    return 0


def _print_report(report: ExpiryReport) -> None:
    for one in report.branches:
        name = f"{one.branch} (deleted)" if one.deleted else one.branch
        print(f"{name}: {len(one.kept):,} commits kept, {len(one.expired):,} expired")
        if report.dry_run:
            rows = [[str(seq), ", ".join(why)] for seq, why in list(one.kept.items())[:_SHOWN]]
            table([["", *row] for row in rows], right=frozenset([1]))
            if len(one.kept) > _SHOWN:
                print(f"  and {len(one.kept) - _SHOWN:,} more")
    dropped = f", {len(report.dropped)} deleted branches with them" if report.dropped else ""
    if report.dry_run:
        print(f"{report.expired:,} commits would expire; nothing was changed")
    else:
        print(
            f"{report.expired:,} commits and {report.versions:,} versions expired{dropped}: `lake gc` frees their bytes"
        )
