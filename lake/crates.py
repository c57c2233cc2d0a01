"""RO-Crate metadata read: what a crate says of its files and directories, as attributes.

https://www.researchobject.org/ro-crate/specification/1.2/ (1.1 differs in nothing that is read here)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lake.attributes import MAX_VALUE, checked
from lake.documents import decode_document, read_document
from lake.errors import FormatError, InvalidInput, InvalidPath
from lake.journal.values import Entry, Json
from lake.paths import clean_path, join
from lake.tree import Tree

__all__ = [
    "DESCRIPTOR",
    "JSON_TYPE",
    "NO_DESCRIPTION",
    "NO_LICENSE",
    "NO_NAME",
    "Crate",
    "CrateStatements",
    "join_crate",
    "looks_like_crate",
    "read_crate",
]

MAX_BYTES = 256 << 20
MAX_PROPERTIES = 1_000
"""Bounds of a document, and of the additional properties of one entity of it."""
MAX_TOTAL = 256 << 20
"""Characters of all attributes together: many entities can refer to one long value."""

DESCRIPTOR = "ro-crate-metadata.json"

JSON_TYPE = "https://www.iana.org/assignments/media-types/application/json"
"""``additionalType`` of a PropertyValue whose value is JSON in a text: lists and objects, which JSON-LD changes."""

NO_NAME = ": a directory of a data lake"
"""End of the name of a root that has none of its own."""
NO_DESCRIPTION = "Files of a directory of a data lake, with their attributes."
NO_LICENSE = "No license is stated."
"""What stands where a crate must say something and the lake knows nothing; never read as attributes."""

_Entity = Mapping[str, Any]

# What the lake knows by itself, the structure of the crate, and what is about the document.
_NOT_ATTRIBUTES = frozenset(
    (
        "additionalProperty",
        "contentSize",
        "dateModified",
        "encodingFormat",
        "hasPart",
        "isPartOf",
        "sdDatePublished",
        "sha256",
    )
)
_DEPTH = 8
"""Levels of lists in lists that are looked into."""


@dataclass(frozen=True, slots=True)
class Crate:
    """The entities of a metadata document by their ``@id``."""

    name: str
    root: str
    """``@id`` of the root data entity."""
    entities: Mapping[str, _Entity]


@dataclass(slots=True)
class CrateStatements:
    """What a crate says of paths."""

    entities: int = 0
    """Data entities of the crate: files and datasets."""
    matched: int = 0
    """Those of them that are in the lake."""
    wanted: dict[str, dict[str, Json]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def looks_like_crate(path: Path) -> bool:
    """Whether a document is RO-Crate metadata rather than a sample sheet, by its suffix, else by its start."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonld"):
        return True
    if suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq"):
        return False
    head = read_document(path, MAX_BYTES)[: 1 << 20].lstrip()
    return head.startswith(b"{") and b'"@graph"' in head


def read_crate(path: Path) -> Crate:
    """Read a metadata document: JSON-LD in the flattened form that RO-Crate demands.

    Raises:
        Unreadable: it cannot be read.
        FormatError: it is no JSON, or not the metadata of a crate.
        InvalidInput: it has more than `MAX_BYTES`.
    """
    name = path.name
    text = decode_document(read_document(path, MAX_BYTES), name)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is no JSON: {error}") from None
    graph = document.get("@graph") if isinstance(document, dict) else None
    if not isinstance(graph, list):
        raise FormatError(f"{name} is no RO-Crate metadata: it has no list @graph")
    entities: dict[str, _Entity] = {}
    for number, entity in enumerate(graph, 1):
        identifier = entity.get("@id") if isinstance(entity, dict) else None
        if not isinstance(identifier, str):
            raise FormatError(f"{name}: entity {number} of the @graph has no @id")
        if identifier in entities:
            raise FormatError(f"{name}: two entities have the @id {identifier!r}")
        entities[identifier] = entity
    return Crate(name, _find_root(name, entities), entities)


def _find_root(name: str, entities: Mapping[str, _Entity]) -> str:
    """The root is what the descriptor is about (RO-Crate 1.2, "Finding the Root Data Entity")."""
    for identifier, entity in entities.items():
        about = entity.get("about")
        # .jsonld is the name of version 1.0.
        if identifier.endswith((DESCRIPTOR, f"{DESCRIPTOR}ld")) and isinstance(about, dict):
            root = about.get("@id")
            if isinstance(root, str) and root in entities:
                return root
    raise FormatError(f"{name} is no RO-Crate metadata: no entity {DESCRIPTOR} is about one of its entities")


def join_crate(
    crate: Crate, tree: Tree, prefix: str, checksums: Callable[[Entry], Mapping[str, str]]
) -> CrateStatements:
    """What a crate says of the files and directories below ``prefix``, which its root stands for.

    Text, numbers and booleans are taken as they are, lists of them as lists, and what refers to another entity as the
    name of that. PropertyValues of ``additionalProperty`` come by their own names, and win over properties.

    Args:
        crate: the crate.
        tree: where paths are looked up.
        prefix: a directory.
        checksums: further checksums that are kept of a file, to compare with those in the crate.

    Raises:
        InvalidInput: attributes beyond the bounds of this module, or of `lake.attributes`.
    """
    found = CrateStatements()
    total = 0
    for identifier, entity in crate.entities.items():
        if identifier.endswith(DESCRIPTOR) or not {"File", "Dataset", "MediaObject"} & set(_texts(entity.get("@type"))):
            continue
        found.entities += 1
        path = _locate(crate, identifier, tree, prefix)
        if path is None:
            found.warnings.append(_missing(crate, identifier, prefix))
            continue
        found.matched += 1
        values = _Values(crate, path, entity)
        attributes = values.attributes()
        total += len(json.dumps(attributes))
        if total > MAX_TOTAL:
            raise InvalidInput(f"{crate.name}: its attributes have more than {MAX_TOTAL >> 20} MiB: split it")
        found.warnings.extend(values.warnings)
        entry = tree.find(path) if path else None
        if entry is not None and entry.digest is not None:
            found.warnings.extend(_contradictions(crate, entity, entry, checksums(entry)))
        if path:
            found.wanted.setdefault(path, {}).update(attributes)
        elif attributes:
            found.warnings.append(
                f"{crate.name}: {len(attributes)} properties of the crate as a whole are left out: "
                "the top of the lake has no attributes: choose a directory with --prefix"
            )
    return found


def _locate(crate: Crate, identifier: str, tree: Tree, prefix: str) -> str | None:
    """The path that an entity stands for; None where it is not in the lake, or nothing that could be."""
    relative = _relative(crate, identifier)
    if relative is None:
        return None
    # Some write names as they are, without the escapes that the specification demands.
    for name in (unquote(relative, errors="replace"), relative):
        try:
            path = clean_path(join(prefix, name))
        except InvalidPath:
            continue
        if not path or tree.find(path) is not None or tree.is_directory(path):
            return path
    return None


def _relative(crate: Crate, identifier: str) -> str | None:
    """An ``@id`` relative to the root; None for what lies elsewhere: on the web, or outside of the crate."""
    if identifier == crate.root:
        return ""
    try:
        absolute = bool(urlsplit(crate.root).scheme)
    except ValueError:
        return None
    root = crate.root.rstrip("/") + "/"
    if absolute and identifier.startswith(root):
        return identifier[len(root) :]
    try:
        parts = urlsplit(identifier)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or parts.fragment or identifier.startswith(("/", "#", "_:")):
        return None
    return identifier


def _missing(crate: Crate, identifier: str, prefix: str) -> str:
    shown = repr(identifier if len(identifier) <= 200 else identifier[:200] + "…")
    if _relative(crate, identifier) is None:
        return f"{crate.name}: {shown} is not a path inside of the crate: skipped"
    return f"{crate.name}: {shown} is not in the lake{f' below {prefix}' if prefix else ''}: skipped"


def _contradictions(crate: Crate, entity: _Entity, entry: Entry, checksums: Mapping[str, str]) -> Iterator[str]:
    """Where the file in the lake is not the one that the crate was written for."""
    size = str(entity.get("contentSize", entry.size)).strip()
    stated = [text for text in _texts(entity.get("identifier")) if text.startswith("b3:")]
    sha256 = entity.get("sha256")
    kept = checksums.get("sha256")
    if size.isdecimal() and size.lstrip("0") != str(entry.size).lstrip("0"):
        yield f"{crate.name}: {entry.path} has {entry.size} bytes in the lake, {size[:20]} in the crate"
    elif (stated and f"b3:{entry.hex}" not in stated) or (
        isinstance(sha256, str) and kept is not None and sha256.lower() != kept
    ):
        yield f"{crate.name}: {entry.path} has another content in the lake than in the crate"


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


@dataclass(slots=True)
class _Values:
    """The attributes of one entity."""

    crate: Crate
    path: str
    entity: _Entity
    warnings: list[str] = field(default_factory=list)

    def attributes(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for key, value in self.entity.items():
            if key.startswith("@") or key in _NOT_ATTRIBUTES or self._is_filled(key, value):
                continue
            plain = self._without_digests(value) if key == "identifier" else self._plain(value)
            if plain is not None:
                found[key] = self._kept(key, plain)
            elif value not in (None, []) and key != "identifier":
                self._warn(f"{key} is none of text, number, boolean, or reference: left out")
        found.update(self._additional())
        return found

    def _kept(self, key: str, value: Json) -> Json:
        where = f"{self.crate.name}, {self.entity['@id'][:200]}, {key[:200]!r}"
        checked(key, where)
        return checked(value, where)

    def _is_filled(self, key: str, value: object) -> bool:
        """Whether a property is there for the sake of the form."""
        match key:
            case "name":
                return isinstance(value, str) and (
                    value.endswith(NO_NAME) or value.rstrip("/") == self.path.rpartition("/")[2]
                )
            case "description":
                return value == NO_DESCRIPTION
            case "license":
                return value == NO_LICENSE
            case "datePublished":
                return value == self.entity.get("dateModified")
        return False

    def _without_digests(self, value: object) -> Json:
        """Identifiers but for the digest, which the lake knows."""
        values = value if isinstance(value, list) else [value]
        return self._plain([each for each in values if not (isinstance(each, str) and each.startswith("b3:"))])

    def _additional(self) -> dict[str, Json]:
        """Properties that are PropertyValues; of several of one name a list."""
        found: dict[str, list[Json]] = {}
        given = self.entity.get("additionalProperty", [])
        items = given if isinstance(given, list) else [given]
        if len(items) > MAX_PROPERTIES:
            raise InvalidInput(
                f"{self.crate.name}: {self.entity['@id'][:200]} has {len(items):,} properties; "
                f"the limit is {MAX_PROPERTIES:,}"
            )
        for item in items:
            stated = self._entity_of(item)
            name = stated.get("name") if stated is not None else None
            if stated is None or not isinstance(name, str) or not name:
                self._warn("an additionalProperty has no name: left out")
                continue
            value = self._value_of(stated)
            if value is None:
                self._warn(f"additionalProperty {name} has no value: left out")
                continue
            found.setdefault(name, []).append(value)
            unit = stated.get("unitText", stated.get("unitCode"))
            if isinstance(unit, str):
                found.setdefault(f"{name}_unit", []).append(unit)
        return {key: self._kept(key, values[0] if len(values) == 1 else values) for key, values in found.items()}

    def _value_of(self, stated: _Entity) -> Json:
        value = stated.get("value")
        if stated.get("additionalType") == JSON_TYPE and isinstance(value, str) and len(value) <= MAX_VALUE:
            try:
                loaded: Json = json.loads(value)
            except (ValueError, RecursionError):
                raise InvalidInput(
                    f"{self.crate.name}: the value of {stated.get('name')} of {self.entity['@id'][:200]} is no JSON"
                ) from None
            return loaded
        return self._plain(value)

    def _entity_of(self, reference: object) -> _Entity | None:
        if not isinstance(reference, dict):
            return None
        identifier = reference.get("@id")
        found = self.crate.entities.get(identifier) if isinstance(identifier, str) else None
        return found if found is not None else reference

    def _plain(self, value: object, depth: int = 0) -> Json:
        """A value of JSON-LD as an attribute; None for what has no such form. Follows a reference only once."""
        if isinstance(value, (str, int, float)):
            return value
        if isinstance(value, list) and depth < _DEPTH:
            plain: list[Json] = [found for each in value if (found := self._plain(each, depth + 1)) is not None]
            if len(plain) < 2:
                return plain[0] if plain else None
            return plain
        if not isinstance(value, dict):
            return None
        for keyword in ("@value", "@list", "@set"):
            if keyword in value:
                return self._plain(value[keyword], depth + 1) if depth < _DEPTH else None
        entity = self._entity_of(value) or value
        for key in ("value", "name") if "PropertyValue" in _texts(entity.get("@type")) else ("name",):
            stated = entity.get(key)
            if isinstance(stated, list) and stated:
                stated = stated[0]
            if isinstance(stated, (str, int, float)):
                return stated
        identifier = value.get("@id")
        return identifier if isinstance(identifier, str) else None

    def _warn(self, message: str) -> None:
        self.warnings.append(f"{self.crate.name}: {self.entity['@id'][:200]}: {message[:300]}")
