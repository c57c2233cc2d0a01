"""Commands that move bytes: ``init``, ``put``, ``get``, ``cat``, ``slice``, ``index``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lake.cli.messages import complain
from lake.cli.output import attributes, human, open_lake, print_json
from lake.errors import FormatError, InvalidInput, InvalidPath, LakeError, NotDirectory, NotFound, with_others
from lake.lake import Lake, PutReport
from lake.objects import iter_chunks
from lake.progress import progress_for_terminal
from lake.segments import Slice
from lake.transfer import make_directory

__all__ = ["cat", "cut", "get", "index", "init", "put"]

_LISTED = 20
"""Files up to which `put` prints a line each without being asked."""


def init(arguments: argparse.Namespace) -> int:
    if arguments.root and arguments.directory:
        raise InvalidInput(f"init makes one lake: at {arguments.root} (-C) or at {arguments.directory}?")
    with Lake.init(arguments.root or arguments.directory or ".", shared=arguments.shared) as lk:
        print(f"made a lake at {lk.root}")
    return 0


def put(arguments: argparse.Namespace) -> int:
    sources, destination = arguments.paths[:-1], arguments.paths[-1]
    if not sources:
        sources, destination = [destination], ""
    with open_lake(arguments) as lk:
        report = lk.put(
            sources,
            destination,
            meta=attributes(arguments.meta),
            method=arguments.method or "copy",
            index=not arguments.no_index,
            strict=arguments.strict,
            all_or_nothing=arguments.all_or_nothing,
            checksums=arguments.checksums,
            manifest=arguments.manifest,
            message=arguments.message,
            progress=progress_for_terminal(),
            raise_failure=False,
        )
        if arguments.points:
            _make_points(lk, report)
    if arguments.json:
        print_json(
            {
                "commit": report.commit.seq if report.commit is not None else None,
                "items": [item.as_json() for item in report.items],
            }
        )
    elif report.stored:
        _print_report(report, arguments.verbose)
    for item in report.stored:
        for warning in item.warnings:
            complain(f"{item.path}: {warning}", "warning")
    for item in report.failed:
        complain(item.error or "")
    return 1 if report.failed else 0


def _make_points(lk: Lake, report: PutReport) -> None:
    from lake.formats.spectra.source import RUN_FORMATS

    for item in report.stored:
        if item.format in RUN_FORMATS:
            try:
                lk.index(item.path, points=True)
            except FormatError as error:
                item.warnings.append(f"no points: {error}")


def _print_report(report: PutReport, verbose: bool) -> None:
    stored = report.stored
    if verbose or len(stored) <= _LISTED:
        for item in stored:
            state = "healed" if item.healed else "stored" if item.new else "known already, no second copy"
            index = f", {item.index}" if item.index else ""
            print(f"{item.path}  {item.format}  {human(item.size)}  {state}{index}")
    known = sum(not item.new for item in stored)
    commit = f"commit {report.commit.seq}" if report.commit is not None else "nothing committed"
    repeated = f", {known} of them known already" if known else ""
    print(f"{len(stored)} files, {human(sum(item.size for item in stored))}{repeated}: {commit}")


def get(arguments: argparse.Namespace) -> int:
    *given, destination = arguments.paths
    if not given:
        given, destination = [destination], "."
    with open_lake(arguments) as lk:
        paths = [path for name in given for path in lk.expand(name)]
        if len(paths) > 1 and not destination.endswith("/"):
            if Path(destination).exists() and not Path(destination).is_dir():
                raise NotDirectory(f"{destination} is not a directory: {len(paths)} files need one")
            destination += "/"
        if len(paths) > 1:
            make_directory(Path(destination))
        bar = progress_for_terminal()
        written = [file for path in paths for file in lk.get(path, destination, link=arguments.link, progress=bar)]
    if arguments.json:
        print_json([str(file) for file in written])
    return 0


def cat(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        for path in (path for name in arguments.paths for path in lk.expand(name)):
            for piece in iter_chunks(lk.reader(path)):
                sys.stdout.buffer.write(piece)
    return 0


def cut(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        paths, regions = _paths_and_regions(lk, arguments.arguments)
        folder = arguments.output.endswith("/") or (arguments.output != "-" and Path(arguments.output).is_dir())
        if len(paths) > 1 and not folder:
            raise InvalidInput(f"{len(paths)} files need a directory: -o DIR/")
        if arguments.output == "-" and arguments.write_index:
            raise InvalidInput("--write-index needs a file: -o FILE or -o DIR/")
        if arguments.output == "-" and sys.stdout.isatty() and arguments.output_format not in ("SAM", "VCFTEXT"):
            raise InvalidInput("the slice is binary and standard output is a terminal: write it to a file with -o FILE")
        if arguments.output == "-":
            for piece in _sliced(lk, paths[0], regions, arguments).iter_bytes():
                sys.stdout.buffer.write(piece)
            return 0
        names = _output_names(paths)
        failures = []
        for path in paths:
            target = Path(arguments.output, names[path]) if folder else Path(arguments.output)
            try:
                lk.save(_sliced(lk, path, regions, arguments), target, write_index=arguments.write_index)
            except LakeError as error:
                # One damaged file must not keep back the slices of all others.
                failures.append(error)
    if failures:
        raise with_others(failures)
    return 0


def _sliced(lk: Lake, path: str, regions: list[str], arguments: argparse.Namespace) -> Slice:
    return lk.slice(
        path,
        regions,
        targets=arguments.targets,
        include_flags=arguments.include_flags,
        exclude_flags=arguments.exclude_flags,
        min_quality=arguments.min_quality,
        mates=arguments.mates,
        samples=arguments.samples,
        fields=arguments.fields,
        tags=arguments.tags,
        notags=arguments.notags,
        format=arguments.output_format,
        reference=arguments.reference,
    )


def _paths_and_regions(lk: Lake, arguments: list[str]) -> tuple[list[str], list[str]]:
    """Arguments are files as long as they name files of the lake; regions begin with the first that does not."""
    paths = lk.expand(arguments[0])
    count = 1
    while count < len(arguments):
        more = _named_files(lk, arguments[count])
        if not more:
            break
        paths.extend(more)
        count += 1
    return list(dict.fromkeys(paths)), arguments[count:]


def _named_files(lk: Lake, argument: str) -> list[str]:
    """The files that an argument names; none where it must be a region, such as ``*``, ``.`` or ``HLA-A*01:01``."""
    if argument == "*":
        return []
    try:
        return [path for path in lk.expand(argument) if lk.exists(path) and lk.stat(path).kind == "file"]
    except (NotFound, InvalidPath):
        return []


def _output_names(paths: list[str]) -> dict[str, str]:
    """Names in the output directory: the files' own, with as much of their paths as keeps them apart."""
    for depth in range(1, max(path.count("/") for path in paths) + 2):
        names = {path: "/".join(path.split("/")[-depth:]).lstrip("@") for path in paths}
        if len(set(names.values())) == len(paths):
            return names
    raise InvalidInput("the same file was named twice")


def index(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        for path in (path for name in arguments.paths for path in lk.expand(name)):
            kinds = lk.index(path, names=arguments.names, points=arguments.points)
            print(f"{path}: {', '.join(kinds) or 'no regions in this format'}")
    return 0
