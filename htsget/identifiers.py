"""What an id in a URL names: a path of the lake, with or without its suffix, at a ref, or an object by its digest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lake.digest import Digest, parse_digest
from lake.errors import InvalidRef, LakeError, NotFound
from lake.formats.decode_options import ALIGNMENTS
from lake.formats.registry import region_format
from lake.htsget.access import Principal, Verb, object_regions
from lake.htsget.errors import Problem, missing
from lake.journal.values import Kind
from lake.lake import Lake
from lake.paths import split_ref

__all__ = ["READS", "SPECTRA", "VARIATIONS", "Family", "Found", "Identifier", "find", "parse_identifier"]

_LONGEST = 4_500
"""Characters of the longest id that is looked at: a path of 4,096 bytes and its ref."""
_DIGEST = "b3:"


class Family(NamedTuple):
    """What one htsget endpoint serves."""

    name: str
    """As it stands in the path: ``reads`` or ``variants``."""
    stored: tuple[str, ...]
    """Formats of files that it can be asked for, the one first that is tried first."""
    given: tuple[str, ...]
    """Formats of answers; of reads and variants the first one is the default (htsget 1.3.1, "format")."""


READS = Family("reads", ALIGNMENTS, ALIGNMENTS)
VARIATIONS = Family("variants", ("VCF", "BCF"), ("VCF", "VCFTEXT", "BCF"))
SPECTRA = Family(
    "spectra", ("mzML", "MGF", "mzXML", "mzMLb", "imzML"), ("MZML", "MZXML", "MGF", "JSON", "ARROW", "PARQUET")
)


class Identifier(NamedTuple):
    """An id, taken apart."""

    ref: str | None
    path: str
    """Clean path; empty where a digest is given."""
    digest: Digest | None = None


class Found(NamedTuple):
    """The file that an id names, for somebody who may read it."""

    digest: Digest
    path: str
    """How messages and logs call it."""
    format: str
    limits: tuple[str, ...] | None
    """The only regions that may be read; None: all."""


def parse_identifier(text: str) -> Identifier:
    """``runs/s1.bam``, ``runs/s1``, ``@v1/runs/s1.bam`` or ``b3:<64 hexadecimal digits>``, percent-decoded.

    Raises:
        Problem: 400; too long, ``..``, NUL, no digest behind ``b3:``.
    """
    if len(text) > _LONGEST:
        raise Problem(400, "InvalidInput", f"an id of {len(text)} characters: no path of a lake is that long")
    try:
        if text.startswith(_DIGEST):
            return Identifier(None, "", parse_digest(text))
        ref, path = split_ref(text)
    except LakeError as error:
        raise Problem(400, "InvalidInput", str(error)) from error
    return Identifier(ref, path)


def find(lake: Lake, principal: Principal, named: Identifier, family: Family, wanted: str | None = None) -> Found:
    """The file of an id that an endpoint can serve.

    The very path wins over those that a suffix makes of it; of these the one stored in the ``wanted`` format.

    Raises:
        Problem: 404 for what is not there, may not be seen, or is of another kind; 401 where a token might help.
    """
    if named.digest is not None:
        limits = object_regions(principal, lake, named.digest)
        return _found(lake, named.digest, f"b3:{named.digest}", family, limits)
    seen = False
    try:
        tree = lake.tree(named.ref)
    except (NotFound, InvalidRef):
        tree = None
    for path in _candidates(named.path, family, wanted):
        if not principal.may(Verb.READ, path):
            continue
        seen = True
        entry = tree.find(path) if tree is not None else None
        if entry is not None and entry.kind == Kind.FILE:
            return _found(lake, entry.hex, path, family, principal.regions(path))
    if not seen:
        principal.require(Verb.READ, named.path)
    raise missing()


def _candidates(path: str, family: Family, wanted: str | None) -> Iterator[str]:
    if not path:
        return
    yield path
    for name in sorted(family.stored, key=lambda name: name != wanted):
        form = region_format(name)
        for suffix in form.suffixes if form is not None else ():
            yield path + suffix


def _found(lake: Lake, digest: Digest, path: str, family: Family, limits: tuple[str, ...] | None) -> Found:
    try:
        form = lake.repo.shelf.reader(digest).record.format
    except NotFound:
        raise missing() from None
    if form not in family.stored:
        other = next((each.name for each in (READS, VARIATIONS, SPECTRA) if form in each.stored), None)
        hint = f": ask /{other} for it" if other is not None else ""
        raise Problem(404, "NotFound", f"{path} is no file of {family.name}, but {form}{hint}")
    return Found(digest, path, form, limits)
