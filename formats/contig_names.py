"""Other names of contigs: with and without ``chr``, the names of mitochondria, and those that a SAM header declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lake.errors import InvalidRegion
from lake.formats.lines.header_fields import sam_lines
from lake.formats.region import UNPLACED, parse_region

__all__ = ["declared_names", "other_names", "resolve_region"]

_MITOCHONDRIAL = ("M", "MT", "chrM", "chrMT")
_PREFIX = "chr"


def declared_names(text: bytes) -> dict[str, list[str]]:
    """Contigs by their alternative names: ``AN`` of @SQ, divided by commas (SAM specification, section 1.3)."""
    found: dict[str, list[str]] = {}
    for code, fields in sam_lines(text):
        if code == "SQ" and "SN" in fields:
            for name in fields.get("AN", "").split(","):
                if name and fields["SN"] not in found.setdefault(name, []):
                    found[name].append(fields["SN"])
    return {name: contigs for name, contigs in found.items() if name}


def other_names(name: str, contigs: Mapping[str, int], declared: Mapping[str, list[str]]) -> list[str]:
    """Contigs of a file that a name may mean which none of them has, in header order of the rules."""
    candidates = list(declared.get(name, ()))
    if name in _MITOCHONDRIAL:
        candidates += _MITOCHONDRIAL
    candidates.append(name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else _PREFIX + name)
    return [candidate for candidate in dict.fromkeys(candidates) if candidate in contigs]


def resolve_region(text: str, contigs: Mapping[str, int], declared: Callable[[], Mapping[str, list[str]]]) -> str:
    """A region with the file's own name of its contig; as it is where the file has the name, or nothing else fits.

    Args:
        text: samtools notation.
        contigs: those of the file.
        declared: alternative names, asked only where the name is not one of the file's.

    Raises:
        InvalidRegion: the name may mean several contigs; the message lists them.
    """
    if text == UNPLACED or text in contigs:
        return text
    try:
        parse_region(text, contigs)
    except InvalidRegion:
        pass
    else:
        return text
    for name, rest in _readings(text):
        if name in contigs:
            # The name is fine, so that something else is wrong: the planner says what.
            return text
        found = other_names(name, contigs, declared())
        if len(found) > 1:
            raise InvalidRegion(f"the contig {name!r} is ambiguous: the file has {', '.join(found)}: name one of them")
        if found:
            return (f"{{{found[0]}}}" if ":" in found[0] else found[0]) + rest
    return text


def _readings(text: str) -> list[tuple[str, str]]:
    """How a region may be divided into the name of a contig and the rest, best first."""
    if text.startswith("{"):
        name, _, rest = text[1:].partition("}")
        return [(name, rest)]
    stem, colon, tail = text.rpartition(":")
    return [(text, ""), (stem, colon + tail)] if colon else [(text, "")]
