"""Sample sheets joined with the files of a lake: which row describes which paths, and what it says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lake.attributes import split_type
from lake.digest import parse_digest
from lake.errors import InvalidInput, InvalidPath, with_others
from lake.journal.values import Json
from lake.paths import clean_path, join
from lake.sheet_files import Sheet
from lake.tree import Tree

__all__ = ["JoinBy", "Joined", "SampleFinder", "find_join", "join_sheet"]

SampleFinder = Callable[[Collection[str]], Iterable[tuple[str, str]]]
"""Paths of the files that name one of some samples: pairs of path and sample."""

MAX_STATEMENTS = 20_000_000
"""Values for paths that one sheet can say, a row for each of the files of its sample."""

_MAX_COMPLAINTS = 20


class JoinBy(StrEnum):
    """What a column of a sheet finds files by."""

    PATH = "path"
    DIGEST = "digest"
    SAMPLE = "sample"


_NAMES = {
    JoinBy.PATH: ("path", "file", "filename", "file_name", "file_path", "filepath"),
    JoinBy.DIGEST: ("digest", "blake3", "b3"),
    JoinBy.SAMPLE: ("sample", "sample_id", "sample_name", "sampleid", "samplename"),
}
"""Headings that tell it, the most exact kind first; in any case, with spaces or dashes for underscores."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a sheet says of paths."""

    matched: int
    """Rows that name something in the lake."""
    wanted: Mapping[str, Mapping[str, Json]]
    """Attributes by path; None where one is to be removed."""
    warnings: Sequence[str]


def find_join(sheet: Sheet, by: JoinBy | None = None, key: str | None = None) -> tuple[JoinBy, int]:
    """What a sheet is joined by, and its column for that, where it is not said.

    Raises:
        InvalidInput: no column tells it, or several of one kind do.
    """
    columns = [split_type(column)[0] if sheet.textual else column for column in sheet.columns]
    if key is not None:
        if key not in columns:
            raise InvalidInput(f"{sheet.name} has no column {key!r}; it has {_listed(columns)}")
        kind = by or next((kind for kind, names in _NAMES.items() if _normal(key) in names), None)
        if kind is None:
            raise InvalidInput(f"column {key!r} may hold paths, digests or samples: say which with --by")
        return kind, columns.index(key)
    for kind in [by] if by is not None else list(JoinBy):
        found = [number for number, column in enumerate(columns) if _normal(column) in _NAMES[kind]]
        if len(found) > 1:
            raise InvalidInput(
                f"{sheet.name}: columns {_listed([columns[n] for n in found])} may all hold the {kind}: "
                "choose with --key"
            )
        if found:
            return kind, found[0]
    wanted = by or "path, sample or digest"
    raise InvalidInput(
        f"{sheet.name} has no column named {wanted}; it has {_listed(columns)}: say which it is with --key and --by"
    )


def _normal(heading: str) -> str:
    return re.sub(r"[\s_-]+", "_", heading.strip().lower())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "") if names else "none"


def join_sheet(
    sheet: Sheet,
    by: JoinBy,
    column: int,
    tree: Tree,
    prefix: str,
    find_samples: SampleFinder,
    *,
    clear_empty: bool = False,
    skip_conflicts: bool = False,
) -> Joined:
    """Every row becomes attributes of the paths that it names; the column of the join itself becomes none.

    Args:
        sheet: the sheet.
        by, column: what `find_join` finds.
        tree: where paths are looked up.
        prefix: the directory that paths are relative to, and outside of which nothing is touched.
        find_samples: asks the catalog.
        clear_empty: an empty cell removes the attribute, else it says nothing.
        skip_conflicts: leave paths alone of which rows contradict each other, else refuse the sheet.

    Raises:
        InvalidInput: rows contradict each other, each path as a note; or a value is not of the type of its heading.
    """
    values = [_text(value) for value in sheet.cells[column]] if sheet.cells else []
    matcher = _Matcher(tree, prefix)
    match by:
        case JoinBy.PATH:
            found = [matcher.by_path(value) for value in values]
        case JoinBy.DIGEST:
            found = matcher.by_digest(values)
        case JoinBy.SAMPLE:
            found = matcher.by_sample(values, find_samples)
    matched = sum(not isinstance(paths, str) for paths in found)
    warnings = [f"{sheet.place(row)}: {paths}" for row, paths in enumerate(found) if isinstance(paths, str)]
    named = Counter(path for paths in found if isinstance(paths, list) for path in paths)
    if named.total() * len(sheet.columns) > MAX_STATEMENTS:
        raise InvalidInput(f"{sheet.name} says more than {MAX_STATEMENTS:,} things of {len(named):,} paths: split it")
    statements = _Statements(sheet, named)
    for number in range(len(sheet.columns)):
        if number == column:
            continue
        key, cells, doubt = sheet.attribute(number)
        warnings.extend([doubt] if doubt is not None else [])
        for row, (paths, value) in enumerate(zip(found, cells, strict=True)):
            if isinstance(paths, list) and (value is not None or clear_empty):
                statements.add(paths, key, value, row)
    if statements.conflicts and not skip_conflicts:
        raise with_others([InvalidInput(conflict) for conflict in statements.conflicts.values()][:_MAX_COMPLAINTS])
    warnings.extend(statements.conflicts.values())
    wanted = {path: said for path, said in statements.wanted.items() if path not in statements.conflicts}
    return Joined(matched, wanted, warnings)


def _text(value: Json) -> str:
    return "" if value is None else str(value).strip()


@dataclass(slots=True)
class _Statements:
    """What rows say of paths, and where they contradict each other."""

    sheet: Sheet
    named: Counter[str]
    """How many rows name each path."""
    wanted: dict[str, dict[str, Json]] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    """The first one of each path."""
    _rows: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, paths: list[str], key: str, value: Json, row: int) -> None:
        for path in paths:
            said = self.wanted.setdefault(path, {})
            first = self._rows.setdefault((path, key), row) if self.named[path] > 1 else row
            if first == row:
                said[key] = value
            elif said[key] != value or isinstance(said[key], bool) != isinstance(value, bool):
                self.conflicts.setdefault(
                    path,
                    f"{self.sheet.place(row)}: {key} of {path} is {_shown(value)}, but {_shown(said[key])} "
                    f"in {self.sheet.unit} {self.sheet.lines[first]}",
                )


def _shown(value: Json) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


class _Matcher:
    """Paths that values of a sheet name: a list, or the reason why there are none."""

    def __init__(self, tree: Tree, prefix: str) -> None:
        self._tree = tree
        self._prefix = prefix

    def by_path(self, value: str) -> list[str] | str:
        """A file or a directory, by its exact path: a sheet names each, hence no patterns."""
        if not value:
            return "no path"
        try:
            path = clean_path(join(self._prefix, value.lstrip("/")))
        except InvalidPath as error:
            return str(error)
        if path and (self._tree.find(path) is not None or self._tree.is_directory(path)):
            return [path]
        return f"no such file or directory in the lake: {path or '/'}"

    def by_digest(self, values: Sequence[str]) -> list[list[str] | str]:
        paths: dict[str, list[str]] = {}
        for entry in self._tree.walk(self._prefix):
            if entry.digest is not None:
                paths.setdefault(entry.digest.hex(), []).append(entry.path)
        found: list[list[str] | str] = []
        for value in values:
            try:
                digest = parse_digest(value)
            except InvalidInput as error:
                found.append(str(error) if value else "no digest")
            else:
                found.append(paths.get(digest) or f"no file has the digest {value}")
        return found

    def by_sample(self, values: Sequence[str], find_samples: SampleFinder) -> list[list[str] | str]:
        paths: dict[str, set[str]] = {}
        below = f"{self._prefix}/" if self._prefix else ""
        for path, sample in find_samples({value for value in values if value}):
            if path.startswith(below) and self._tree.is_file(path):
                paths.setdefault(sample, set()).add(path)
        return [
            sorted(paths[value]) if value in paths else f"no file names the sample {value!r}" if value else "no sample"
            for value in values
        ]
