"""What a request of htsget asks for: parameters of a GET and bodies of a POST, checked and made one form.

Source: htsget 1.3.1, "Request parameters" and "POST request". ``exact`` and ``inline`` are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

from lake.errors import InvalidInput
from lake.formats.decode_options import DecodeOptions
from lake.htsget.errors import Problem
from lake.htsget.identifiers import READS, Family

__all__ = ["EVERYTHING", "INLINE", "Asked", "Place", "parse_body", "parse_parameters"]

INLINE = ("auto", "all", "none")
"""Which made bytes stand in a ticket itself: small ones, all, or none but what has no other place."""

EVERYTHING = DecodeOptions()
"""Records as they are: what `Asked.options` is, the very same object, where nothing else is asked."""

_LARGEST = (1 << 32) - 1
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_KNOWN = frozenset(
    {"format", "class", "referenceName", "start", "end", "fields", "tags", "notags", "exact", "inline", "regions"}
)
_SHOWN = 40


class Place(NamedTuple):
    """A region: 0-based, half-open; ``stop=None`` runs to the end of the contig. ``*``: reads without a place."""

    contig: str
    start: int = 0
    stop: int | None = None

    @property
    def empty(self) -> bool:
        return self.stop is not None and self.start >= self.stop


class Asked(NamedTuple):
    """What is asked of one file."""

    format: str
    """Of the answer, upper case."""
    options: DecodeOptions
    """Parts of records; without a format."""
    places: tuple[Place, ...] | None = None
    """None: the whole file."""
    header: bool = False
    """Nothing but the header."""
    exact: bool = True
    """Whether no other records may come along."""
    inline: str = "auto"
    """One of `INLINE`."""


def _refuse(message: str) -> NoReturn:
    raise Problem(400, "InvalidInput", message)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def parse_parameters(query: bytes, family: Family, *, most: int = 1_000) -> Asked:
    """The query string of a GET. Parameters that htsget does not know are passed over, as old clients send some.

    Args:
        query: percent-encoded, as it was sent.
        family: the endpoint.
        most: parameters that are looked at.

    Raises:
        Problem: 400 ``InvalidInput``, ``InvalidRange`` or ``UnsupportedFormat``.
    """
    given: dict[str, str] = {}
    pairs = _pairs(query, most)
    for name, value in pairs:
        if name in _KNOWN:
            if name in given:
                _refuse(f"the parameter {name} is given twice: several regions are asked for by POST")
            given[name] = value
    if "regions" in given:
        _refuse("the parameter regions belongs into the body of a POST; a GET has referenceName, start and end")
    values: dict[str, Any] = dict(given)
    for name in ("fields", "tags", "notags"):
        if name in given:
            values[name] = [part for part in given[name].split(",") if part]
    if "exact" in given:
        values["exact"] = _TRUTH.get(given["exact"].lower(), given["exact"])
    contig = given.get("referenceName")
    start, stop = (_decimal(given[name], name) if name in given else None for name in ("start", "end"))
    others = [name for name, _ in pairs if name not in ("class", "format", "inline")]
    places = None
    if contig is not None:
        places = (_place(contig, start, stop, family),)
        if start is not None and stop is not None and start > stop:
            raise Problem(400, "InvalidRange", f"the region is reversed: start {start} is greater than end {stop}")
    elif start is not None or stop is not None:
        _refuse("start and end need a referenceName")
    return _asked(values, places, others, family)


def _pairs(query: bytes, most: int) -> list[tuple[str, str]]:
    """As `urllib.parse.parse_qsl` reads a query, in a third of the time."""
    try:
        items = query.decode("ascii").split("&", most)
        if len(items) > most:
            _refuse(f"more than {most} parameters")
        return [
            (_unquoted(name), _unquoted(value)) for name, _, value in (item.partition("=") for item in items if item)
        ]
    except ValueError:
        _refuse("the query cannot be read: it is not percent-encoded UTF-8")


def _unquoted(text: str) -> str:
    return unquote(text.replace("+", " "), errors="strict") if "%" in text or "+" in text else text


def parse_body(body: bytes, family: Family, most: int) -> Asked:
    """The JSON body of a POST; ``most`` regions at most.

    Raises:
        Problem: 400 as `parse_parameters`, 413 ``PayloadTooLarge`` for too many regions.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        _refuse("the body is not JSON: send an object, {} for the whole file")
    if not isinstance(values, dict):
        _refuse("the body is no JSON object: send {} for the whole file")
    for name in ("referenceName", "start", "end"):
        if name in values:  # passed over, it would be answered with the whole file
            _refuse(f"{name} belongs into an object of the list regions")
    if "encryptionScheme" in values:
        _refuse("encryption is not offered: leave encryptionScheme away")
    for name in ("fields", "tags", "notags"):
        if name in values and not _texts(values[name]):
            _refuse(f"{name} has to be a list of strings")
    for name in ("format", "class", "inline"):
        if name in values and not isinstance(values[name], str):
            _refuse(f"{name} has to be a string")
    places = _places(values["regions"], family, most) if "regions" in values else None
    others = [name for name in values if name not in ("class", "format", "inline")]
    return _asked(values, places, others, family)


def _places(regions: object, family: Family, most: int) -> tuple[Place, ...]:
    if not isinstance(regions, list) or not regions:
        _refuse("regions has to be a list with at least one region; leave it away for the whole file")
    if len(regions) > most:
        raise Problem(413, "PayloadTooLarge", f"{len(regions)} regions: one request may have {most}")
    return tuple(_region(region, family) for region in regions)


def _region(region: object, family: Family) -> Place:
    if not isinstance(region, dict) or not isinstance(region.get("referenceName"), str):
        _refuse(f"a region has to be an object with a referenceName, not {_short(region)}")
    start, stop = (_integer(region[name], name) if name in region else None for name in ("start", "end"))
    if start is not None and stop is not None and start >= stop:
        raise Problem(400, "InvalidRange", f"a region is empty or reversed: start {start}, end {stop}")
    return _place(region["referenceName"], start, stop, family)


def _place(contig: str, start: int | None, stop: int | None, family: Family) -> Place:
    if not contig or not contig.isprintable() or " " in contig:
        _refuse(f"{_short(contig)} cannot be the name of a reference")
    if contig == "*" and (start is not None or stop is not None):
        _refuse("reads without a place have no start and no end")
    if contig == "*" and family is not READS:
        raise Problem(404, "NotFound", "variants without a place do not exist: * is for reads")
    return Place(contig, start or 0, stop)


def _asked(values: Mapping[str, Any], places: tuple[Place, ...] | None, others: Sequence[str], family: Family) -> Asked:
    form = str(values.get("format", family.given[0])).upper()
    if form not in family.given:
        offered = ", ".join(family.given)
        raise Problem(400, "UnsupportedFormat", f"no format {_short(form)} of {family.name}: there are {offered}")
    chosen = values.get("class")
    if chosen not in (None, "header"):
        _refuse(f"class is header, or absent for everything, not {_short(chosen)}")
    if chosen is not None and others:
        _refuse(f"class=header goes with format alone, not with {_short(others[0])}")
    inline, exact = values.get("inline", "auto"), values.get("exact", True)
    if inline not in INLINE:
        _refuse(f"inline is one of {', '.join(INLINE)}, not {_short(inline)}")
    if not isinstance(exact, bool):
        _refuse(f"exact is true or false, not {_short(exact)}")
    return Asked(form, _options(values, family), places, chosen is not None, exact, inline)


def _options(values: Mapping[str, Any], family: Family) -> DecodeOptions:
    fields, tags, notags = (values.get(name) for name in ("fields", "tags", "notags"))
    if family is not READS or (fields is None and tags is None and not notags):
        # Of variants the specification defines none, and lets a server give more than is asked for.
        both = set(tags or ()) & set(notags or ())
        if both:
            _refuse(f"the tag {_short(min(both))} is both wanted and not wanted")
        return EVERYTHING
    try:
        return DecodeOptions(
            fields=None if fields is None else tuple(dict.fromkeys(fields)),
            tags=None if tags is None else tuple(sorted(set(tags))),
            notags=tuple(sorted(set(notags or ()))),
        )
    except InvalidInput as error:
        _refuse(str(error))


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _decimal(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        _refuse(f"{name} has to be an integer of at least 0, not {_short(text)}")
    return _bounded(int(text), name)


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(f"{name} has to be an integer of at least 0, not {_short(value)}")
    return _bounded(value, name)


def _bounded(value: int, name: str) -> int:
    if not 0 <= value <= _LARGEST:
        _refuse(f"{name} has to be from 0 to {_LARGEST}")
    return value
