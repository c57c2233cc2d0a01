"""Sequence collections: digests of what a reference is made of, and how two references compare.

Source: refget Sequence Collections 1.0.0, "Encoding", "Comparison" and "Custom and recommended ancillary attributes".
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from lake.errors import InvalidInput

__all__ = ["ATTRIBUTES", "SCHEMA", "TRANSIENT", "Collection", "canonical", "compare", "sha512t24u"]

INHERENT = ("names", "sequences")
"""Attributes that make up the identity of a collection."""

TRANSIENT = ("sorted_name_length_pairs",)
"""Attributes of which only the digest is given."""

_ITEMS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "lengths": ("Number of elements in each sequence.", {"type": "integer"}, True),
    "names": ("Labels of the sequences, such as names of chromosomes.", {"type": "string"}, True),
    "sequences": ("Refget identifiers of the sequences.", {"type": "string"}, True),
    "name_length_pairs": (
        "Names paired with lengths: the ordered coordinate system.",
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "length": {"type": "integer"}},
            "required": ["name", "length"],
        },
        True,
    ),
    "sorted_name_length_pairs": (
        "Digests of the pairs of name and length, sorted: the coordinate system whatever its order.",
        {"type": "string"},
        False,
    ),
    "sorted_sequences": ("Refget identifiers of the sequences, sorted.", {"type": "string"}, False),
}

ATTRIBUTES = tuple(_ITEMS)

SCHEMA: dict[str, Any] = {
    "description": "A collection of biological sequences.",
    "type": "object",
    "properties": {
        name: {"type": "array", "collated": collated, "description": description, "items": items}
        for name, (description, items, collated) in _ITEMS.items()
    },
    "required": ["names", "lengths", "sequences"],
    "ga4gh": {"inherent": list(INHERENT), "transient": list(TRANSIENT)},
}
"""What a collection is, as JSON Schema with the qualifiers of the specification."""

_TYPES: dict[str, type] = {"lengths": int, "names": str, "sequences": str}


def canonical(value: object) -> bytes:
    """JSON in canonical form (RFC 8785), of values without floating point and with keys in ASCII.

    Raises:
        InvalidInput: text that UTF-8 does not hold.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True)
        return text.encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise InvalidInput("a name is not valid Unicode, or a number is none") from error


def sha512t24u(data: bytes) -> str:
    """The digest of GA4GH: 24 bytes of SHA-512 as 32 characters of base64url."""
    return base64.urlsafe_b64encode(hashlib.sha512(data).digest()[:24]).decode()


class Collection:
    """Named sequences in order. Attributes that are not known are absent.

    Args:
        known: ``names``, ``lengths`` and ``sequences``, or some of them, equally long.
    """

    def __init__(self, known: Mapping[str, Sequence[Any]]) -> None:
        self._known = known

    @classmethod
    def read(cls, document: object) -> Collection:
        """A collection as somebody states it (level 2); what can be derived is, whatever they state of it.

        Raises:
            InvalidInput: not lists of equal length of what the schema says.
        """
        if not isinstance(document, dict):
            raise InvalidInput("a collection is an object with names, lengths and sequences")
        known = {name: document[name] for name in _TYPES if name in document}
        if not known:
            raise InvalidInput(f"a collection has one of {', '.join(_TYPES)}")
        for name, values in known.items():
            # bool is an int, and no length.
            if not isinstance(values, list) or any(type(value) is not _TYPES[name] for value in values):
                raise InvalidInput(f"{name} has to be a list of {_ITEMS[name][1]['type']}s")
        if len({len(values) for values in known.values()}) > 1:
            raise InvalidInput("names, lengths and sequences have to be equally long")
        return cls(known)

    @cached_property
    def arrays(self) -> dict[str, list[Any]]:
        """Every attribute with its values, the transient ones too."""
        arrays: dict[str, list[Any]] = {name: list(values) for name, values in self._known.items()}
        if "names" in arrays and "lengths" in arrays:
            pairs = zip(arrays["names"], arrays["lengths"], strict=True)
            arrays["name_length_pairs"] = [{"name": name, "length": length} for name, length in pairs]
            digests = map(sha512t24u, map(canonical, arrays["name_length_pairs"]))
            arrays["sorted_name_length_pairs"] = sorted(digests)
        if "sequences" in arrays:
            arrays["sorted_sequences"] = sorted(arrays["sequences"])
        return arrays

    @cached_property
    def digests(self) -> dict[str, str]:
        """Level 1: the digest of each attribute."""
        return {name: sha512t24u(canonical(values)) for name, values in self.arrays.items()}

    @cached_property
    def digest(self) -> str | None:
        """Level 0: the identity; None where an inherent attribute is not known."""
        if any(name not in self.digests for name in INHERENT):
            return None
        return sha512t24u(canonical({name: self.digests[name] for name in INHERENT}))

    @property
    def values(self) -> dict[str, list[Any]]:
        """Level 2: the values of each attribute that is not transient."""
        return {name: values for name, values in self.arrays.items() if name not in TRANSIENT}


def compare(a: Collection, b: Collection) -> dict[str, Any]:
    """What two collections have in common, in the form of the specification."""
    both = [name for name in a.arrays if name in b.arrays]
    left, right = _counted(a), _counted(b)
    shared = [name for name in both if name in left]
    return {
        "digests": {"a": a.digest, "b": b.digest},
        "attributes": {
            "a_only": sorted(a.arrays.keys() - b.arrays.keys()),
            "b_only": sorted(b.arrays.keys() - a.arrays.keys()),
            "a_and_b": sorted(both),
        },
        "array_elements": {
            "a_count": {name: len(values) for name, values in left.items()},
            "b_count": {name: len(values) for name, values in right.items()},
            "a_and_b_count": {name: (Counter(left[name]) & Counter(right[name])).total() for name in shared},
            "a_and_b_same_order": {name: _same_order(left[name], right[name]) for name in shared},
        },
    }


def _counted(collection: Collection) -> dict[str, list[Any]]:
    """Values by attribute, in a form that can be compared and counted."""
    return {
        name: [canonical(value) if isinstance(value, dict) else value for value in values]
        for name, values in collection.values.items()
    }


def _same_order(a: list[Any], b: list[Any]) -> bool | None:
    """Whether what two arrays share stands in the same order; None for fewer than two, or unbalanced duplicates."""
    in_a, in_b = Counter(a), Counter(b)
    shared = in_a.keys() & in_b.keys()
    if any(in_a[value] != in_b[value] for value in shared) or sum(in_a[value] for value in shared) < 2:
        return None
    return [value for value in a if value in shared] == [value for value in b if value in shared]
