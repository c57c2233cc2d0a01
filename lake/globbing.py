"""Shell patterns over the paths of a lake: ``*`` and ``?`` stay inside a name, ``**`` crosses directories."""

from __future__ import annotations

import re

from lake.paths import parent
from lake.tree import Tree

__all__ = ["has_pattern", "match_paths"]

_SPECIAL = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def has_pattern(text: str) -> bool:
    return _SPECIAL.search(text) is not None


def match_paths(tree: Tree, pattern: str) -> list[str]:
    """Files and directories whose path matches, sorted; a directory matches through what it holds, too."""
    expression = re.compile("".join(_translate(token) for token in _TOKEN.findall(pattern)))
    fixed = pattern[: match.start()] if (match := _SPECIAL.search(pattern)) else pattern
    found = set()
    for entry in tree.walk(parent(fixed)):
        path = entry.path
        while path and path not in found and len(path) >= len(fixed):
            if expression.fullmatch(path):
                found.add(path)
            path = parent(path)
    return sorted(found)


def _translate(token: str) -> str:
    match token:
        case "**/":
            return "(?:.*/)?"
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(token)
