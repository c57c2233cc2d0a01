"""Start tags of XML as they stand in a file: attributes read, replaced and renamed without touching other bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.spectra.tokens import unescaped

__all__ = [
    "Edit",
    "attributes",
    "dangling_references",
    "edited",
    "identifier",
    "numbered",
    "start_tag",
    "with_attribute",
]

_ATTRIBUTE = re.compile(rb"""\s+([\w:.\-]+)\s*=\s*("[^"]*"|'[^']*')""")
_START_TAG = re.compile(rb"""<[\w:.\-]+(?:\s+[\w:.\-]+\s*=\s*(?:"[^"]*"|'[^']*'))*+\s*/?>""")
_REFERRING = re.compile(rb"""<(?:precursor|scan|acquisition)(?:\s+[\w:.\-]+\s*=\s*(?:"[^"]*"|'[^']*'))+\s*/?>""")
_REFERENCE, _EXTERNAL = b"spectrumRef", b"externalSpectrumID"


class Edit(NamedTuple):
    """Bytes ``[start, stop)`` of a text are to become others."""

    start: int
    stop: int
    data: bytes


def start_tag(text: bytes) -> bytes:
    """The start tag at the beginning of a text.

    Raises:
        FormatError: there is none.
    """
    match = _START_TAG.match(text)
    if match is None:
        raise FormatError(f"no start tag where one was: {text[:40]!r}")
    return match[0]


def attributes(tag: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each attribute of a start tag, and where its value stands between the quotes."""
    for match in _ATTRIBUTE.finditer(tag):
        yield match[1], match.start(2) + 1, match.end(2) - 1


def with_attribute(tag: bytes, name: bytes, value: bytes) -> bytes:
    """A start tag in which an attribute has that value; it becomes the first one where there is none."""
    return edited(tag, [_set(tag, name, value)])


def numbered(tag: bytes, number: int) -> Edit | None:
    """What gives a start tag that ``index``; None where it has it."""
    value = b"%d" % number
    edit = _set(tag, b"index", value)
    return None if tag[edit.start : edit.stop] == value else edit


def identifier(tag: bytes) -> bytes:
    """The ``id`` of a start tag as it is written, fit for double quotes; empty where it has none."""
    found = next((tag[start:stop] for name, start, stop in attributes(tag) if name == b"id"), b"")
    return found.replace(b'"', b"&quot;")


def _set(tag: bytes, name: bytes, value: bytes) -> Edit:
    for known, start, stop in attributes(tag):
        if known == name:
            return Edit(start, stop, value)
    behind = re.match(rb"<[\w:.\-]+", tag)
    at = behind.end() if behind is not None else 0
    return Edit(at, at, b" " + name + b'="' + value + b'"')


def dangling_references(text: bytes, known: Collection[str], encoding: str) -> list[Edit]:
    """What makes references to spectra outside of the file of those that a header names by an id not among ``known``.

    ``spectrumRef`` is for spectra of the same document, ``externalSpectrumID`` for others (mzML 1.1, precursor).
    """
    if _REFERENCE not in text:
        return []
    return [
        Edit(tag.start() + match.start(1), tag.start() + match.end(1), _EXTERNAL)
        for tag in _REFERRING.finditer(text)
        for match in _ATTRIBUTE.finditer(tag[0])
        if match[1] == _REFERENCE and unescaped(match[2][1:-1], encoding) not in known
    ]


def edited(text: bytes, edits: list[Edit]) -> bytes:
    """A text with all edits made; they are in order."""
    parts, done = [], 0
    for start, stop, data in edits:
        parts += [text[done:start], data]
        done = stop
    return b"".join((*parts, text[done:]))
