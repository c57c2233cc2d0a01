"""What of the XML of a spectrum or chromatogram matters, as flat tokens, by two readers that must agree.

A fast reader takes tags that are written in one of the usual orders of attributes; a general one takes any tag. Both
read an element without its base64, in which nothing but the arrays is missing. Source: mzML 1.1.1 schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "ARRAY",
    "FAST",
    "GROUP",
    "PRECURSOR",
    "PRODUCT",
    "SELECTED_ION",
    "START",
    "USER",
    "Tag",
    "Token",
    "general_tokens",
    "param_token",
    "read_tags",
    "tag_token",
    "token_number",
    "unescaped",
]

START, PRECURSOR, SELECTED_ION, ARRAY, PRODUCT, GROUP, USER = range(-1, -8, -1)
"""Numbers of tags, for `token_number`."""

Token = tuple[bytes, bytes, bytes, bytes, bytes]
"""Accession, value and unit accession of a cvParam; or tag and, of the element itself, its attributes. As written."""

_TAGS = {
    b"spectrum": START,
    b"chromatogram": START,
    b"precursor": PRECURSOR,
    b"selectedIon": SELECTED_ION,
    b"binaryDataArray": ARRAY,
    b"product": PRODUCT,
    b"referenceableParamGroupRef": GROUP,
}

_USER_PARAMS = {
    b"total ion current": b"MS:1000285",
    b"TIC": b"MS:1000285",
    b"base peak m/z": b"MS:1000504",
    b"base peak intensity": b"MS:1000505",
    b"lowest observed m/z": b"MS:1000528",
    b"highest observed m/z": b"MS:1000527",
    b"filter string": b"MS:1000512",
    b"MS:1000927": b"MS:1000927",
}
"""What old versions of OpenMS write as userParam, by name."""

_ELEMENT = (
    rb"((?:spectrum|chromatogram|binaryDataArray|precursor|selectedIon|product)(?=[\s>])"
    rb"|referenceableParamGroupRef|userParam(?= name=\"(?:"
    + b"|".join(map(re.escape, sorted(_USER_PARAMS)))
    + rb")\"))((?: [\w:.-]+=\"[^\"]*+\")*+)"
)
_CV = rb"<(?:cvParam cvRef=\"[^\"]*+\" accession=\"(I?MS:\d{7})\""
_UNIT = rb"unitAccession=\"([^\"]*+)\" unitName=\"[^\"]*+\""

FAST = tuple(
    # To the very end of a cvParam: one in which anything stands in another place does not match, hence is missed.
    re.compile(_CV + values + rb")?\s*+/>|" + _ELEMENT + rb")")
    for values in (
        # ProteoWizard, OpenMS, ThermoRawFileParser.
        rb" name=\"[^\"]*+\"(?: value=\"([^\"]*+)\")?(?: unitCvRef=\"[^\"]*+\" " + _UNIT,
        rb" name=\"[^\"]*+\"(?: value=\"([^\"]*+)\")?(?: " + _UNIT + rb" unitCvRef=\"[^\"]*+\"",
        rb" value=\"([^\"]*+)\" name=\"[^\"]*+\"(?: " + _UNIT + rb" unitCvRef=\"[^\"]*+\"",
    )
)
"""Patterns for ``findall``, which gives tokens; one of them fits the writers of most files."""

_TAG = re.compile(rb"<([/A-Za-z_][^\s<>/=\"']*)((?:\s+[^\s<>/=\"']+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(/?)>", re.DOTALL)
_ATTRIBUTE = re.compile(rb"([^\s<>/=\"']+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.DOTALL)
_ACCESSION = re.compile(rb"I?MS:\d{7}")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ENTITY = re.compile(r"&(#x[0-9A-Fa-f]{1,6}|#[0-9]{1,7}|\w+);")


class Tag(NamedTuple):
    """One tag of XML."""

    name: bytes
    """With a leading ``/`` where it closes."""
    attributes: dict[bytes, bytes]
    start: int
    stop: int
    empty: bool
    """Whether it closes itself."""


def read_tags(text: bytes, start: int = 0) -> Iterator[Tag]:
    """All tags of XML without comments, whatever their order of attributes, quotes and blanks."""
    for found in _TAG.finditer(text, start):
        attributes = {name: double or single for name, double, single in _ATTRIBUTE.findall(found[2])}
        yield Tag(found[1], attributes, found.start(), found.end(), bool(found[3]))


def general_tokens(text: bytes, groups: Mapping[bytes, Sequence[Token]]) -> list[Token]:
    """Tokens of an element by a reader of any XML; references to ``groups`` of parameters are resolved."""
    tokens: list[Token] = []
    for tag in read_tags(text):
        if tag.name == b"referenceableParamGroupRef":
            tokens += groups.get(tag.attributes.get(b"ref", b""), ())
        elif (token := param_token(tag.name, tag.attributes) or tag_token(tag.name, tag.attributes)) is not None:
            tokens.append(token)
    return tokens


def param_token(name: bytes, attributes: Mapping[bytes, bytes]) -> Token | None:
    """The token of a cvParam, or of a userParam that stands for one."""
    get = attributes.get
    if name == b"cvParam" and _ACCESSION.fullmatch(get(b"accession", b"")):
        return get(b"accession", b""), get(b"value", b""), get(b"unitAccession", b""), b"", b""
    if name == b"userParam" and get(b"name", b"") in _USER_PARAMS:
        return _USER_PARAMS[get(b"name", b"")], get(b"value", b""), get(b"unitAccession", b""), b"", b""
    return None


def tag_token(name: bytes, attributes: Mapping[bytes, bytes]) -> Token | None:
    """The token of an element that tells what parameters belong to."""
    if name not in _TAGS:
        return None
    return (
        b"",
        b"",
        b"",
        name,
        b"".join(b' %s="%s"' % (key, value.replace(b'"', b"&quot;")) for key, value in attributes.items()),
    )


def token_number(key: bytes) -> int:
    """The number of a PSI-MS accession, of an IMS accession plus 10,000,000, or of a tag."""
    if key[:3] == b"MS:":
        return int(key[3:])
    return int(key[4:]) + 10_000_000 if key[:4] == b"IMS:" else _TAGS.get(key, USER)


def unescaped(value: bytes, encoding: str) -> str:
    """The text of an attribute's value as written."""
    text = value.decode(encoding, "replace")
    return _ENTITY.sub(_entity, text) if "&" in text else text


def _entity(found: re.Match[str]) -> str:
    name = found[1]
    if name[0] != "#":
        return _ENTITIES.get(name, found[0])
    number = int(name[2:], 16) if name[1] == "x" else int(name[1:])
    return chr(number) if 0 < number < 0x110000 else found[0]
