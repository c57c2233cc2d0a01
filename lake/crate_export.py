"""A directory of a lake as RO-Crate metadata, one flattened JSON-LD document.

https://www.researchobject.org/ro-crate/specification/1.2/: "Root Data Entity", "Data Entities", "RO-Crate JSON-LD"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from lake.crates import DESCRIPTOR, JSON_TYPE, NO_DESCRIPTION, NO_LICENSE, NO_NAME
from lake.errors import NotDirectory
from lake.formats.sniffing import media_type
from lake.journal.values import Entry, Json, Kind
from lake.paths import parent
from lake.tree import Tree

__all__ = ["describe_directory"]

_PROFILE = "https://w3id.org/ro/crate/1.2"

_Entity = dict[str, Any]

_TERMS = ("name", "description", "license", "datePublished", "keywords")
"""Attributes that are, as text, properties of schema.org with the same meaning, next to their PropertyValue."""

_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"#%:<>?[\\]^`{|}')
"""ASCII that a relative IRI holds as it is; a colon in its first name would end a scheme."""


def describe_directory(
    tree: Tree, directory: str, committed: int, checksums: Callable[[Entry], Mapping[str, str]]
) -> dict[str, Any]:
    """The metadata document of a directory and everything below it.

    Attributes are PropertyValues of ``additionalProperty``: text, numbers and booleans as such, other JSON as a text.
    Those with equal name and value are one entity.

    Args:
        tree: where entries are looked up.
        directory: its path; ``""`` is the whole lake.
        committed: when it was changed last, nanoseconds since the epoch: publication date unless an attribute has it.
        checksums: further checksums kept of a file; ``sha256`` is told.

    Raises:
        NotFound: nothing is there.
        NotDirectory: it is a file.
    """
    if tree.is_file(directory):
        raise NotDirectory(f"{directory} is a file: the metadata of a crate describe a directory")
    if not tree.is_directory(directory):
        raise tree.missing(directory)
    graph = _Graph(directory)
    graph.add_root(tree.find(directory) if directory else None, committed)
    for entry in tree.walk(directory):
        if graph.relative(entry.path) != DESCRIPTOR:
            graph.add(entry, checksums(entry) if entry.kind == Kind.FILE else {})
    return {"@context": f"{_PROFILE}/context", "@graph": graph.entities()}


class _Graph:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._data: dict[str, _Entity] = {}
        """Entities of files and directories, by path in the lake."""
        self._properties: dict[tuple[str, str], _Entity] = {}
        self._licenses: dict[str, _Entity] = {}

    def entities(self) -> list[_Entity]:
        descriptor = {
            "@id": DESCRIPTOR,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": _PROFILE},
        }
        return [descriptor, *self._data.values(), *self._licenses.values(), *self._properties.values()]

    def relative(self, path: str) -> str:
        return path[len(self._directory) + 1 :] if self._directory else path

    def add_root(self, entry: Entry | None, committed: int) -> None:
        moment = _moment(committed)
        self._data[self._directory] = {
            "@id": "./",
            "@type": "Dataset",
            "name": (self._directory.rpartition("/")[2] or "lake") + NO_NAME,
            "description": NO_DESCRIPTION,
            "license": NO_LICENSE,
            "datePublished": moment,
            "dateModified": moment,
            "hasPart": [],
        }
        self._annotate(self._data[self._directory], entry.attributes if entry is not None else {})

    def add(self, entry: Entry, checksums: Mapping[str, str]) -> None:
        if entry.kind == Kind.DIRECTORY:
            entity = self._dataset(entry.path)
            entity["dateModified"] = _moment(entry.modified)
        else:
            entity = self._linked(
                entry.path,
                {
                    "@id": _identifier(self.relative(entry.path)),
                    "@type": "File",
                    "name": entry.path.rpartition("/")[2],
                    "contentSize": str(entry.size),
                    "encodingFormat": media_type(entry.format or ""),
                    "dateModified": _moment(entry.modified),
                    "identifier": f"b3:{entry.hex}",
                },
            )
            if "sha256" in checksums:
                entity["sha256"] = checksums["sha256"]
        self._annotate(entity, entry.attributes)

    def _dataset(self, path: str) -> _Entity:
        known = self._data.get(path)
        if known is not None:
            return known
        identifier = _identifier(self.relative(path)) + "/"
        name = path.rpartition("/")[2]
        return self._linked(path, {"@id": identifier, "@type": "Dataset", "name": name, "hasPart": []})

    def _linked(self, path: str, entity: _Entity) -> _Entity:
        """A new entity, as a part of its directory: all have to be reached from the root."""
        self._dataset(parent(path))["hasPart"].append({"@id": entity["@id"]})
        self._data[path] = entity
        return entity

    def _annotate(self, entity: _Entity, attributes: Mapping[str, Json]) -> None:
        for key in _TERMS:
            value = attributes.get(key)
            if isinstance(value, str) and value:
                entity[key] = self._license(value) if key == "license" else value
        if attributes:
            entity["additionalProperty"] = self._stated(attributes)

    def _license(self, text: str) -> str | _Entity:
        """A license that is a URL is an entity of its own."""
        if not text.startswith(("https://", "http://")):
            return text
        self._licenses.setdefault(text, {"@id": text, "@type": "CreativeWork", "name": text})
        return {"@id": text}

    def _stated(self, attributes: Mapping[str, Json]) -> Sequence[_Entity]:
        references = []
        for name, value in sorted(attributes.items()):
            plain = isinstance(value, (str, int, float))
            text = json.dumps(value, ensure_ascii=False, sort_keys=True)
            entity = self._properties.get((name, text))
            if entity is None:
                identifier = f"#attribute-{len(self._properties) + 1}"
                entity = {"@id": identifier, "@type": "PropertyValue", "name": name, "value": value if plain else text}
                if not plain:
                    entity["additionalType"] = JSON_TYPE
                self._properties[name, text] = entity
            references.append({"@id": entity["@id"]})
        return references


def _identifier(path: str) -> str:
    """A relative IRI: escapes as in URLs, but characters beyond ASCII as they are, which RO-Crate prefers."""
    return "".join(character if character > "\x7f" else quote(character, safe=_PLAIN) for character in path)


def _moment(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")
