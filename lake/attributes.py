"""Values of attributes: how text becomes typed ones, which can be kept, and what setting many of them changes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from lake.errors import InvalidInput
from lake.journal.values import Annotate, Change, Commit, Json, MakeDirectory
from lake.tree import Tree

__all__ = ["MAX_VALUE", "ImportReport", "checked", "guessed", "plan_annotations", "split_type", "typed"]

MAX_VALUE = 128 << 10
"""Characters of the longest value that an import takes."""

# Leading zeros and exponents stay text: sample barcodes such as 007 and 1E5 are no numbers. So do numbers of more
# digits than a 64-bit integer or a double keeps, which are identifiers, too.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,16})\.[0-9]{1,17}")
_TYPES = ("str", "int", "float", "bool", "json")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a sample sheet or the metadata of a crate did to the attributes of a lake."""

    records: int
    """Rows of the sheet, or data entities of the crate."""
    matched: int
    """Those of them that name something in the lake."""
    patches: Mapping[str, Mapping[str, Json]]
    """What changes, by path; a None value removes an attribute."""
    warnings: tuple[str, ...] = ()
    commit: Commit | None = None
    """None of a dry run, inside a transaction, and when nothing changes."""

    @property
    def attributes(self) -> int:
        """Number of attributes that are set or removed."""
        return sum(len(patch) for patch in self.patches.values())


def guessed(text: str) -> Json:
    """What a text looks like: an integer, a decimal, ``true`` or ``false``; else itself."""
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def split_type(key: str) -> tuple[str, str | None]:
    """``age:int`` → ``("age", "int")``; a key that says no type has None."""
    name, colon, kind = key.rpartition(":")
    return (name, kind) if colon and kind in _TYPES and name else (key, None)


def typed(key: str, kind: str, text: str) -> Json:
    """A value of the type that the user says: ``str``, ``int``, ``float``, ``bool`` or ``json``.

    Raises:
        InvalidInput: the text is not of that type.
    """
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return _finite(text)
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "json":
                value: Json = json.loads(text, parse_constant=_finite)
                return value
    except (ValueError, KeyError, RecursionError):
        raise InvalidInput(f"attribute {key}: {text!r} is not of type {kind}") from None
    return text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} has no JSON form")
    return number


def checked(value: object, what: str) -> Json:
    """The value, which an attribute can have.

    Raises:
        InvalidInput: it has no JSON form, is not valid Unicode, or is longer than `MAX_VALUE`; ``what`` names it.
    """
    try:
        length = _length(value)
        if length <= MAX_VALUE:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput(f"{what}: {str(value)[:40]!r} is no text, number, true, false, or JSON of these") from None
    if length > MAX_VALUE:
        raise InvalidInput(f"{what}: {length:,} characters are too many for an attribute; the limit is {MAX_VALUE:,}")
    return cast("Json", value)


def _length(value: object) -> int:
    """Characters of all texts, counted before they are copied: one text may be there many times."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _length(each) for key, each in value.items())
    return 1 + sum(map(_length, value)) if isinstance(value, list) else 1


def plan_annotations(tree: Tree, wanted: Mapping[str, Mapping[str, Json]]) -> list[Change]:
    """The changes that give existing files and directories the attributes wanted; none for what they have already.

    A None value removes an attribute.
    """
    changes: list[Change] = []
    for path, values in wanted.items():
        entry = tree.find(path)
        present = entry.attributes if entry is not None else {}
        patch = {key: value for key, value in values.items() if not _is(present.get(key), value)}
        if patch and entry is None:
            # The directory exists through its files only: what has attributes needs an entry of its own.
            changes.append(MakeDirectory(path))
        if patch:
            changes.append(Annotate(path, patch))
    return changes


def _is(old: Json, new: Json) -> bool:
    # In Python True == 1 == 1.0, also inside of lists; as attributes they differ.
    if isinstance(new, (list, dict)):
        return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    return type(old) is type(new) and old == new
