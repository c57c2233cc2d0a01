"""How answers look on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lake.attributes import guessed, split_type, typed
from lake.errors import InvalidInput
from lake.journal.values import Entry, Json, Kind
from lake.lake import Lake
from lake.sizes import human

__all__ = ["attributes", "digest_text", "entry_json", "human", "open_lake", "print_json", "table", "when"]


def open_lake(arguments: argparse.Namespace) -> Lake:
    """The lake that the command line chooses, at the ref that it chooses."""
    return Lake.open_at(arguments.root, ref=getattr(arguments, "ref", None) or "main")


def print_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    # Names of local files need not be text; their stray bytes become escapes that JSON has, too.
    print(text.encode("utf-8", "backslashreplace").decode())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def attributes(pairs: Sequence[str]) -> dict[str, Json]:
    """``KEY=VALUE`` pairs. What looks like a number, ``true`` or ``false`` is one; ``KEY:TYPE=VALUE`` says the type.

    Raises:
        InvalidInput: no ``=``, no key, or a value that is not of its type.
    """
    parsed: dict[str, Json] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"not an attribute: {pair!r}: write KEY=VALUE")
        name, kind = split_type(key)
        parsed[name] = guessed(text) if kind is None else typed(name, kind, text)
    return parsed


def entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "type": "file" if entry.kind == Kind.FILE else "directory",
        "size": entry.size,
        "format": entry.format,
        "digest": entry.digest.hex() if entry.digest is not None else None,
        "modified": when(entry.modified) if entry.modified else None,
        "commit": entry.commit or None,
        "attributes": entry.attributes,
    }


def digest_text(digest: str) -> str:
    """Short on a terminal, whole in a pipe."""
    return digest[:12] if sys.stdout.isatty() else digest


def when(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print rows in columns; those in ``right`` are flush right."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
