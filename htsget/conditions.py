"""What a request for spectra asks for: conditions as parameters of a GET, or as objects in the body of a POST.

Names and values are the words of regions of spectra (`lake.formats.spectra.query`); ``format``, ``class`` and
``inline`` are as in htsget. Unlike there, a parameter that is not known is an error: passed over, a misspelt condition
would be answered with spectra that nobody asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

from lake.errors import InvalidRegion
from lake.formats.spectra.bounds import ReversedRange
from lake.formats.spectra.query import CONDITIONS, SpectrumQuery, parse_query
from lake.htsget.errors import Problem
from lake.htsget.identifiers import SPECTRA
from lake.htsget.selections import INLINE

__all__ = ["NO_SPECTRA", "WORDS", "AskedSpectra", "parse_conditions", "parse_spectra_body", "region_query"]

WORDS = (*CONDITIONS, "chromatograms")
"""Names of conditions."""

NO_SPECTRA = SpectrumQuery((), ())
"""Selects neither spectra nor chromatograms."""

_SETTINGS = ("format", "class", "inline")
_SHOWN = 40


class AskedSpectra(NamedTuple):
    """What is asked of one run."""

    format: str | None
    """Of the answer, upper case; None: as the file is."""
    regions: tuple[str, ...]
    """As `lake.formats.spectra.query.parse_query` reads them; none: the whole run."""
    query: SpectrumQuery
    """The same, parsed."""
    header: bool = False
    """The run without its spectra."""
    inline: str = "auto"
    """One of `lake.htsget.selections.INLINE`."""


def _refuse(message: str) -> NoReturn:
    raise Problem(400, "InvalidInput", message)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def parse_conditions(query: bytes) -> AskedSpectra:
    """The query string of a GET, percent-encoded, as it was sent.

    Raises:
        Problem: 400 ``InvalidInput``, ``InvalidRange`` or ``UnsupportedFormat``.
    """
    given: dict[str, str] = {}
    for name, value in _pairs(query):
        if name in given:
            _refuse(f"the parameter {_short(name)} is given twice: its values are divided by commas")
        given[name] = value
    settings = {name: given.pop(name) for name in _SETTINGS if name in given}
    return _asked(settings, (_region(given),) if given else ())


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        items = [item.partition("=") for item in query.decode("ascii").split("&", len(WORDS) + len(_SETTINGS)) if item]
        # In forms a plus is a space; of a polarity it is what it looks like.
        return [
            (unquote(name), unquote(value if name == "polarity" else value.replace("+", " "), errors="strict"))
            for name, _, value in items
        ]
    except ValueError:
        _refuse("the query cannot be read: it is not percent-encoded UTF-8")


def parse_spectra_body(body: bytes, most: int) -> AskedSpectra:
    """The JSON body of a POST; ``most`` regions at most, of which each is an object of conditions.

    Raises:
        Problem: 400 as `parse_conditions`, 413 ``PayloadTooLarge`` for too many regions.
    """
    try:
        values = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        _refuse("the body is not JSON: send an object, {} for the whole run")
    if not isinstance(values, dict):
        _refuse("the body is no JSON object: send {} for the whole run")
    regions = values.pop("regions", None)
    for name, value in values.items():
        if name not in _SETTINGS:
            _refuse(f"{_short(name)} is not known: conditions belong into objects of the list regions")
        if not isinstance(value, str):
            _refuse(f"{name} has to be a string")
    return _asked(values, () if regions is None else _regions(regions, most))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; of a name that is given twice one value would be passed over."""
    values = dict(pairs)
    if len(values) < len(pairs):
        _refuse("a name is given twice in one object: the values of a condition are divided by commas")
    return values


def _regions(regions: object, most: int) -> tuple[str, ...]:
    if not isinstance(regions, list) or not regions:
        _refuse("regions has to be a list with at least one region; leave it away for the whole run")
    if len(regions) > most:
        raise Problem(413, "PayloadTooLarge", f"{len(regions)} regions: one request may have {most}")
    return tuple(dict.fromkeys(_region(_texts(region)) for region in regions))


def _texts(region: object) -> Mapping[str, str]:
    if not isinstance(region, dict) or not region:
        _refuse(f"a region has to be an object of conditions, not {_short(region)}")
    for name, value in region.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            _refuse(f"{_short(name)} has to be a string or a number, not {_short(value)}")
    return {name: str(value) for name, value in region.items()}


def _region(conditions: Mapping[str, Any]) -> str:
    """The text of a region, in the usual order of the words, so that the same question looks the same."""
    for name in conditions:
        if name not in WORDS:
            # The parser says what comes close; a name may hold what would end it there.
            _checked(name if name.isidentifier() else repr(name))
    return "&".join(f"{name}={conditions[name].replace('&', '%26')}" for name in WORDS if name in conditions)


def _checked(*regions: str) -> SpectrumQuery:
    try:
        return parse_query(regions)
    except ReversedRange as error:
        raise Problem(400, "InvalidRange", " ".join(str(error).split())) from error
    except InvalidRegion as error:
        raise Problem(400, "InvalidInput", " ".join(str(error).split())) from error


def _asked(settings: Mapping[str, str], regions: Sequence[str]) -> AskedSpectra:
    form = settings["format"].upper() if "format" in settings else None
    if form is not None and form not in SPECTRA.given:
        raise Problem(
            400, "UnsupportedFormat", f"no format {_short(form)} of spectra: there are {', '.join(SPECTRA.given)}"
        )
    chosen, inline = settings.get("class"), settings.get("inline", "auto")
    if chosen not in (None, "header"):
        _refuse(f"class is header, or absent for everything, not {_short(chosen)}")
    if chosen is not None and regions:
        _refuse("class=header goes with format and inline alone, not with conditions")
    if inline not in INLINE:
        _refuse(f"inline is one of {', '.join(INLINE)}, not {_short(inline)}")
    query = NO_SPECTRA if chosen is not None else _checked(*regions)
    return AskedSpectra(form, tuple(regions), query, chosen is not None, inline)


def region_query(regions: Sequence[str], *, header: bool) -> SpectrumQuery:
    """What regions that were checked before select; with ``header`` nothing."""
    return NO_SPECTRA if header else parse_query(regions)
