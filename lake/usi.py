"""Universal Spectrum Identifiers: ``mzspec:COLLECTION:RUN:scan:17555`` for runs of a lake.

Source: Deutsch et al. 2021, doi:10.1038/s41592-021-01184-6, and HUPO-PSI/usi, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from lake.errors import InvalidInput, NotFound, Unsupported

__all__ = ["RUN_SUFFIXES", "Usi", "find_run", "is_usi", "parse_usi"]

RUN_SUFFIXES = (".mzml", ".mzxml", ".mgf", ".imzml", ".mzmlb", ".mzpeak")
"""What the name of a run may end in, lower case; and behind it `_PACKED`."""
_PACKED = ("", ".gz", ".bz2", ".idx.gz")

_PREFIX = "mzspec:"
_KINDS = {"scan": "scan", "index": "index", "nativeid": "nativeId"}
_SHOWN = 5


class Usi(NamedTuple):
    """A parsed USI."""

    collection: str
    """``PXD000561``, ``USI000000``, a directory of the lake, or any other word."""
    folder: str
    """What is written in brackets before the run to tell runs of one name apart; empty where nothing is."""
    run: str
    """Name of the file, usually without its suffix."""
    kind: str
    """``scan``, ``index`` (from 0) or ``nativeId``."""
    value: int | str
    interpretation: str | None = None
    """Peptidoform and charge, as written."""


def is_usi(text: str) -> bool:
    return text[: len(_PREFIX)].lower() == _PREFIX


def parse_usi(text: str) -> Usi:
    """
    Raises:
        InvalidInput: not a USI of a spectrum.
        Unsupported: it names a chromatogram.
    """
    parts = text.split(":", 5)
    if parts[0].lower() != "mzspec" or len(parts) < 5:
        raise InvalidInput(f"{text!r} is no USI: write mzspec:COLLECTION:RUN:scan:NUMBER")
    _, collection, run, kind, value, *rest = parts
    folder, name = "", run
    bracketed = re.fullmatch(r"\[([^\]]*)\](.*)", run)
    if bracketed:
        folder, name = bracketed[1].strip("/"), bracketed[2]
    if not name:
        raise InvalidInput(f"{text!r} names no run")
    if kind.lower() == "trace":
        raise Unsupported(f"{text!r} names a chromatogram: only spectra can be asked for by USI")
    known = _KINDS.get(kind.lower())
    if known is None:
        raise InvalidInput(f"{kind!r} in {text!r} says no way to name a spectrum: write scan, index or nativeId")
    if known != "nativeId" and not re.fullmatch(r"[0-9]{1,18}", value, re.ASCII):
        raise InvalidInput(f"{value!r} in {text!r} is no number of a spectrum")
    if not value:
        raise InvalidInput(f"{text!r} names no spectrum")
    number: int | str = value if known == "nativeId" else int(value)
    return Usi(collection, folder, name, known, number, rest[0] if rest else None)


def find_run(usi: Usi, paths: Iterable[str]) -> str:
    """The one path whose file the USI means.

    A collection that is a directory of the lake is where to look; any other name says nothing about the place.

    Raises:
        NotFound: no run of the name, or several, which are listed.
    """
    named = [path for path in paths if _is_run(path.rsplit("/", 1)[-1], usi.run)]
    within = [path for path in named if f"/{path}".startswith(f"/{usi.collection.strip('/')}/")]
    found = within or named
    if usi.folder:
        found = [path for path in found if f"/{usi.folder}/" in f"/{path}"]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"no run {usi.run!r} in the lake: the name is that of its file without the suffix")
    some = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    raise NotFound(f"{len(found)} runs are named {usi.run!r}: {some}; write [DIRECTORY]{usi.run} for one of them")


def _is_run(name: str, run: str) -> bool:
    if not name.startswith(run):
        return False
    rest = name[len(run) :].lower()
    if not rest:
        return any(name.lower().endswith(suffix + packed) for suffix in RUN_SUFFIXES for packed in _PACKED)
    return any(rest == suffix + packed for suffix in RUN_SUFFIXES for packed in _PACKED)
