"""Pages of what lies in a lake, for somebody who may see some of it, in the order of the paths."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from lake.htsget.access import Principal, Verb
from lake.journal.values import Entry, Json, Kind
from lake.paths import clean_path
from lake.tree import Tree

__all__ = ["Page", "entry_json", "is_visible", "list_page"]


class Page(NamedTuple):
    entries: list[Entry]
    after: str | None
    """What to go on after; None at the end."""


def list_page(
    tree: Tree, principal: Principal, prefix: str = "", *, recursive: bool = False, after: str = "", limit: int = 1000
) -> Page:
    """Entries whose path begins with ``prefix``, as of a ref. Blocking.

    Args:
        tree: the ref.
        principal: who asks; what they may not see is left out, and so are directories in which they see nothing.
        prefix: text that paths begin with: ``runs/`` is what lies in a directory, ``runs/s1`` some of it.
        recursive: all that lies below, at any depth, instead of directories.
        after: the mark of the page before.
        limit: most entries of a page.

    Raises:
        InvalidPath: ``prefix`` can begin no path.
    """
    directory, _, name = prefix.lstrip("/").rpartition("/")
    directory = clean_path(directory)
    start = f"{directory}/{name}" if directory else name
    found = _entries(tree, principal, directory, start, recursive, after)
    entries = list(islice(found, limit + 1))
    if len(entries) <= limit:
        return Page(entries, None)
    return Page(entries[:limit], _mark(entries[limit - 1]))


def _mark(entry: Entry) -> str:
    """Orders directories as what lies in them: ``a-b`` comes before all of ``a/``."""
    return f"{entry.path}/" if entry.kind == Kind.DIRECTORY else entry.path


def _entries(
    tree: Tree, principal: Principal, directory: str, start: str, recursive: bool, after: str
) -> Iterator[Entry]:
    for entry in sorted(tree.children(directory), key=_mark):
        mark = _mark(entry)
        if not (mark.startswith(start) or start.startswith(mark)):
            continue
        if entry.kind == Kind.FILE:
            if mark > after and principal.may(Verb.READ, entry.path):
                yield entry
            continue
        told = mark > after and mark.startswith(start) and (not recursive or entry.commit)
        if told and is_visible(tree, principal, entry.path):
            yield entry
        if recursive and (mark > after or after.startswith(mark)) and principal.sees_below(entry.path):
            yield from _entries(tree, principal, entry.path, start, recursive, after)


def is_visible(tree: Tree, principal: Principal, directory: str) -> bool:
    """Whether somebody may know of a directory: they may read it, or something that lies below."""
    if principal.may(Verb.READ, directory):
        return True
    return principal.sees_below(directory) and any(_files(tree, principal, directory))


def _files(tree: Tree, principal: Principal, directory: str) -> Iterator[bool]:
    for entry in tree.children(directory):
        if entry.kind == Kind.FILE:
            yield principal.may(Verb.READ, entry.path)
        else:
            yield is_visible(tree, principal, entry.path)


def entry_json(entry: Entry) -> dict[str, Json]:
    """An entry for programs."""
    return {
        "path": entry.path,
        "type": "file" if entry.kind == Kind.FILE else "directory",
        "size": entry.size if entry.kind == Kind.FILE else None,
        "format": entry.format,
        "digest": entry.hex if entry.digest is not None else None,
        "modified": datetime.fromtimestamp(entry.modified / 1e9, UTC).isoformat() if entry.modified else None,
        "commit": entry.commit or None,
        "attributes": entry.attributes,
    }
