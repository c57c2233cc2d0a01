"""Fields of header lines: SAM (SAM specification, section 1.3) and VCF (VCF 4.3, section 1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["misread_line", "sam_lines", "structured"]

_FIELD = re.compile(r'([A-Za-z_][0-9A-Za-z_.]*)=("(?:[^"\\]|\\.)*"|[^,>]*)(?:,|$)')


def sam_lines(text: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Type and fields of every header line that has fields: ``("SQ", {"SN": "chr1", "LN": "1000"})``."""
    for line in text.decode("utf-8", "replace").rstrip("\0").splitlines():
        code, *fields = line.split("\t")
        if len(code) == 3 and code[0] == "@" and code != "@CO":
            yield code[1:], {field[:2]: field[3:] for field in fields if field[2:3] == ":"}


def misread_line(text: bytes) -> str | None:
    """The first line of a SAM header that is not a type and fields with names, or None."""
    for line in text.decode("utf-8", "replace").rstrip("\0").splitlines():
        code, *fields = line.split("\t")
        if code != "@CO" and (len(code) != 3 or code[0] != "@" or any(field[2:3] != ":" for field in fields)):
            return line
    return None


def structured(value: str) -> dict[str, str]:
    """Fields of a structured VCF line, ``<ID=DP,Number=1,Description="Depth">``; quotes and escapes taken off."""
    fields = {}
    for name, text in _FIELD.findall(value.strip().removeprefix("<").removesuffix(">")):
        quoted = len(text) > 1 and text[0] == text[-1] == '"'
        fields[name] = re.sub(r'\\(["\\])', r"\1", text[1:-1]) if quoted else text
    return fields
