"""Bulk copies of fsspec: which source goes where, and how their callbacks are told of progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

from fsspec.callbacks import Callback
from fsspec.utils import other_paths

__all__ = ["FileProgress", "FilesProgress", "plan_pairs"]


def plan_pairs(
    source: Any,
    sources: str | os.PathLike[str] | Sequence[str],
    destination: str | Sequence[str],
    *,
    is_pattern: Callable[[str], bool],
    is_directory: Callable[[str], bool],
    rename: Callable[[str], str],
    recursive: bool,
    maxdepth: int | None,
) -> list[tuple[str, str]]:
    """Sources and destinations by the rules that fsspec documents ("Copying files and directories").

    Args:
        source: the filesystem that the sources lie in.
        sources: one path or glob pattern, or a list; a list with a list of destinations pairs them off as they are.
        destination: with a ``/`` at its end, or where it is a directory, sources go below it.
        is_pattern: whether a source is a glob pattern.
        is_directory: whether a destination is a directory.
        rename: spells a source's name as the destination's filesystem does.

    Raises:
        FileNotFoundError: there is no source.
    """
    if not isinstance(sources, (str, os.PathLike)) and not isinstance(destination, (str, os.PathLike)):
        return list(zip(sources, destination, strict=True))
    one = isinstance(sources, (str, os.PathLike))
    named = os.fspath(sources) if isinstance(sources, (str, os.PathLike)) else list(sources)
    expanded = source.expand_path(named, recursive=recursive, maxdepth=maxdepth)
    if one and (not recursive or maxdepth is not None):
        expanded = [path for path in expanded if not (path.endswith("/") or source.isdir(path))]
    if not expanded:
        return []
    below = isinstance(destination, str) and (destination.endswith("/") or is_directory(destination))
    # A pattern that matched one file, and a source that is not "all that is in it", keep their last name.
    keeps_name = isinstance(named, str) and (
        len(expanded) == 1 if is_pattern(named) else below and not named.endswith("/")
    )
    targets = other_paths([rename(path) for path in expanded], destination, exists=keeps_name, flatten=not one)
    return list(zip(expanded, targets, strict=True))


class FileProgress:
    """A `lake.progress.Progress` that tells the callback of one file."""

    def __init__(self, callback: Callback, size: int | None) -> None:
        self._callback = callback
        callback.set_size(size)

    def start(self, total: int, what: str) -> None:
        pass

    def advance(self, count: int) -> None:
        self._callback.relative_update(count)

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class FilesProgress:
    """A `lake.progress.Progress` over files stored one after another: each gets its branch of the callback."""

    def __init__(self, callback: Callback, files: Sequence[tuple[str, str, int]]) -> None:
        """``files`` are (source, destination, bytes), in the order in which they are stored."""
        self._pending = 0
        self._steps = self._tell(callback, files)
        next(self._steps, None)

    def start(self, total: int, what: str) -> None:
        pass

    def advance(self, count: int) -> None:
        self._pending += count
        next(self._steps, None)

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        self._steps.close()

    def _tell(self, callback: Callback, files: Sequence[tuple[str, str, int]]) -> Generator[None, None, None]:
        callback.set_size(len(files))
        for source, destination, size in files:
            with callback.branched(source, destination) as child:
                child.set_size(size)
                left = size
                while left > 0:
                    if self._pending == 0:
                        yield
                    step = min(left, self._pending)
                    child.relative_update(step)
                    self._pending -= step
                    left -= step
            callback.relative_update(1)
