"""Commands that exchange attributes with other tools: ``meta import`` and ``meta export``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from lake.attributes import ImportReport
from lake.cli.messages import complain
from lake.cli.output import open_lake, print_json
from lake.crates import looks_like_crate
from lake.errors import InvalidInput
from lake.journal.values import Json
from lake.lake import Lake
from lake.transfer import replacing

__all__ = ["meta_export", "meta_import"]

_SHOWN_WARNINGS = 20


def meta_import(arguments: argparse.Namespace) -> int:
    source = Path(arguments.file)
    crate = looks_like_crate(source)
    with open_lake(arguments) as lk:
        report = _import_crate(lk, source, arguments) if crate else _import_sheet(lk, source, arguments)
    if arguments.json:
        print_json(_report_json(report))
        return 0
    for warning in report.warnings[:_SHOWN_WARNINGS]:
        complain(warning, "warning")
    if len(report.warnings) > _SHOWN_WARNINGS:
        complain(f"and {len(report.warnings) - _SHOWN_WARNINGS:,} more (--json tells all)", "warning")
    if arguments.dry_run:
        for path, patch in report.patches.items():
            for key, value in patch.items():
                print(f"{path}: {key}{f'={_shown(value)}' if value is not None else ' goes'}")
    kind = "entities" if crate else "rows"
    verb = "would change" if arguments.dry_run else "changed"
    print(
        f"{report.records:,} {kind}, {report.matched:,} of them in the lake: "
        f"{_count(report.attributes, 'attribute')} of {_count(len(report.patches), 'path')} {verb}"
    )
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _import_sheet(lk: Lake, source: Path, arguments: argparse.Namespace) -> ImportReport:
    return lk.import_sheet(
        source,
        arguments.prefix,
        by=arguments.by,
        key=arguments.key,
        empty=arguments.na,
        clear_empty=arguments.clear_empty,
        skip_conflicts=arguments.skip_conflicts,
        strict=arguments.strict,
        dry_run=arguments.dry_run,
        message=arguments.message,
    )


def _import_crate(lk: Lake, source: Path, arguments: argparse.Namespace) -> ImportReport:
    if arguments.by or arguments.key or arguments.na or arguments.clear_empty or arguments.skip_conflicts:
        raise InvalidInput(f"{source} is metadata of a crate: --by, --key, --na, … are for sample sheets")
    return lk.import_crate(
        source, arguments.prefix, strict=arguments.strict, dry_run=arguments.dry_run, message=arguments.message
    )


def _report_json(report: ImportReport) -> dict[str, object]:
    return {
        "records": report.records,
        "matched": report.matched,
        "attributes": report.attributes,
        "changes": report.patches,
        "warnings": report.warnings,
        "commit": report.commit.seq if report.commit is not None else None,
    }


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def meta_export(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        document = lk.export_crate(arguments.path)
    data = json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace") + b"\n"
    if arguments.output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        with replacing(Path(arguments.output)) as descriptor:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
    return 0
