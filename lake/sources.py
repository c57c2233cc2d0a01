"""What `put` is asked to take in, spelled out file by file. Destinations behave like those of ``cp -r``."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lake.errors import InvalidInput, InvalidPath, IsDirectory, NotDirectory, NotFound
from lake.paths import clean_path, join

__all__ = ["STDIN", "Job", "Refusal", "plan_sources"]

STDIN = "-"


class Job(NamedTuple):
    """One file (or empty directory) and the path that it gets."""

    source: Path | None
    """None: standard input."""
    path: str
    directory: bool


class Refusal(NamedTuple):
    """Something that was named or met and is not taken in."""

    source: str
    error: Exception


def plan_sources(
    sources: Sequence[str | os.PathLike[str]],
    destination: str,
    *,
    is_directory: Callable[[str], bool],
    is_file: Callable[[str], bool],
    lake_root: Path,
) -> tuple[list[Job], list[Refusal]]:
    """Files to take in, in the order named, directories sorted by name.

    Args:
        sources: files, directories, glob patterns, or ``-`` for standard input.
        destination: a path in the lake. With several sources, or where it is a directory already, they go below it
            under their own names, and so does a file when the destination ends with ``/``; else it is the very path
            that the one source gets.
        is_directory: whether a path of the lake is a directory.
        is_file: whether a path of the lake is a file.
        lake_root: the lake's own directory, which is never taken in.

    Raises:
        NotDirectory: files would go below something that is a file.
        InvalidPath: the destination cannot be a path.
    """
    target = clean_path(destination)
    expanded = list(_expand(sources))
    asked = destination.endswith(("/", "/.")) and not (len(expanded) == 1 and os.path.isdir(expanded[0]))
    below = len(expanded) != 1 or asked or not target or is_directory(target)
    if below and target and is_file(target):
        raise NotDirectory(f"{target} is a file: {len(expanded)} files cannot go below it; name a directory")
    jobs: list[Job] = []
    refused: list[Refusal] = []
    forbidden = os.path.realpath(lake_root)
    for source in expanded:
        try:
            if source == STDIN:
                if below:
                    raise IsDirectory("standard input needs the name of a file to become: lake put - DIR/NAME")
                jobs.append(Job(None, target, False))
                continue
            path = Path(source)
            if not os.path.lexists(path):
                raise NotFound(f"{source}: no such file or directory")
            contents = os.path.basename(source.rstrip("/")) in (".", "..")
            base = join(target, path.name) if below and not contents else target
            _collect(path, base, jobs, refused, forbidden)
        except (OSError, ValueError) as error:
            refused.append(Refusal(source, error))
    return _once(jobs, refused), refused


def _expand(sources: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    for source in sources:
        text = os.fspath(source)
        if glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted(glob.glob(os.path.expanduser(text), recursive=True))
            if matches:
                yield from matches
                continue
        yield text


def _collect(source: Path, path: str, jobs: list[Job], refused: list[Refusal], forbidden: str) -> None:
    real = os.path.realpath(source)
    if real == forbidden or real.startswith(forbidden + os.sep):
        raise InvalidInput(f"{source} is part of the lake itself")
    if not source.is_dir():
        jobs.append(Job(source, clean_path(path), False))
        return
    count = len(jobs) + len(refused)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        try:
            if entry.is_dir(follow_symlinks=False):
                _collect(Path(entry.path), join(path, entry.name), jobs, refused, forbidden)
            elif entry.is_symlink() and entry.is_dir():
                raise InvalidInput(f"{entry.path} is a symbolic link to a directory: name it to put what it holds")
            else:
                jobs.append(Job(Path(entry.path), clean_path(join(path, entry.name)), False))
        except (OSError, ValueError) as error:
            refused.append(Refusal(entry.path, error))
    if len(jobs) + len(refused) == count and path:
        jobs.append(Job(source, clean_path(path), True))


def _once(jobs: list[Job], refused: list[Refusal]) -> list[Job]:
    seen: set[str] = set()
    kept: list[Job] = []
    for job in jobs:
        if job.path in seen:
            refused.append(
                Refusal(str(job.source), InvalidPath(f"{job.source} would overwrite {job.path}, put just before it"))
            )
        else:
            seen.add(job.path)
            kept.append(job)
    return kept
