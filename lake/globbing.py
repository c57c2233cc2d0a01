"""Shell patterns over the paths of a lake: ``*`` and ``?`` stay inside a name, ``**`` crosses directories."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from lake.paths import parent
from lake.tree import Tree

__all__ = ["has_pattern", "match_paths"]

_SPECIAL = re.compile(r"[*?\[]")

_Names = Sequence["re.Pattern[str] | None"]
"""One expression for each name of a path; None stands for ``**``, any number of names."""


def has_pattern(text: str) -> bool:
    return _SPECIAL.search(text) is not None


def match_paths(tree: Tree, pattern: str) -> list[str]:
    """Files and directories whose path matches, sorted; a directory matches through what it holds, too.

    As in `glob.glob`, ``**`` is special only where it is a whole name, and no match of ``a/**`` is ``a`` itself.
    """
    names = _compile(pattern)
    fixed = pattern[: match.start()] if (match := _SPECIAL.search(pattern)) else pattern
    seen: set[str] = set()
    found = []
    for entry in tree.walk(parent(fixed)):
        path = entry.path
        while path and path not in seen:
            seen.add(path)
            if _matches(names, path.split("/")):
                found.append(path)
            path = parent(path)
    return sorted(found)


def _compile(pattern: str) -> _Names:
    names: list[re.Pattern[str] | None] = []
    for name in pattern.split("/"):
        if name != "**":
            # fnmatch knows ranges that are none, classes that do not end, and patterns that would backtrack for ever.
            names.append(re.compile(fnmatch.translate(name)))
        elif not names or names[-1] is not None:
            names.append(None)
    if names[-1] is None:
        names.append(re.compile("(?s:.*)"))
    return names


def _matches(names: _Names, path: Sequence[str]) -> bool:
    # Every number of names of the path that the pattern so far can have taken: no backtracking, whatever the pattern.
    taken = {0}
    for name in names:
        if name is None:
            taken = set(range(min(taken), len(path) + 1))
        else:
            taken = {count + 1 for count in taken if count < len(path) and name.match(path[count])}
        if not taken:
            return False
    return len(path) in taken
