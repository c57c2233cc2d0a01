"""What an mzML says ahead of its spectra: encoding, groups of parameters, instrument and software of the run."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.spectra.table import RunFacts
from lake.formats.spectra.tokens import Tag, Token, param_token, read_tags, unescaped

__all__ = ["MzmlHead", "read_head"]

_ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"']")
_HIDDEN = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)
_ACCESSION = re.compile(rb"MS:\d{7}")
# fmt: off
_NATIVE_ID_FORMATS = frozenset((
    *range(1000768, 1000778), 1000823, 1000824, 1000929, 1001186, 1001480, 1001508, 1001526, 1001528, 1001531,
    1001532, 1001559, 1001562, 1002532, 1002818, 1002898, 1003282,
))
"""Children of MS:1000767."""
# fmt: on
_INSTRUMENT, _SERIAL = b"MS:1000031", b"MS:1000529"


class MzmlHead(NamedTuple):
    """Everything up to the start tag of the run."""

    encoding: str
    version: str
    """Of the mzML: ``1.1.0``."""
    groups: dict[bytes, list[Token]]
    """Parameters by the id of their group."""
    run: RunFacts


def read_head(text: bytes) -> MzmlHead:
    """
    Args:
        text: from the first byte of the file to the end of the start tag ``<run …>``.

    Raises:
        FormatError: of an encoding that is not a superset of ASCII, or unknown.
    """
    encoding = _encoding(text)
    blanked = _HIDDEN.sub(lambda found: b" " * len(found[0]), text)
    reader = _Reader(encoding)
    for tag in read_tags(blanked):
        reader.take(tag)
    return MzmlHead(encoding, reader.version, reader.groups, reader.facts())


def _encoding(text: bytes) -> str:
    found = _ENCODING.match(text.removeprefix(codecs.BOM_UTF8))
    if found is None:
        return "utf-8"
    name = found[1].decode("ascii", "replace")
    try:
        if bytes(range(32, 127)).decode(name) != bytes(range(32, 127)).decode("ascii"):
            raise LookupError
        return codecs.lookup(name).name
    except (LookupError, UnicodeError):
        raise FormatError(f"the encoding {name} of the file is not known: mzML is UTF-8 or ISO-8859-1") from None


class _Reader:
    """Takes the tags of a head in order."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._path: list[bytes] = []
        self._group = b""
        self._run: dict[bytes, bytes] = {}
        self._software: list[tuple[bytes, bytes]] = []
        self._models: list[str] = []
        self._serials: list[str] = []
        self._formats: list[str] = []
        self._referenced: list[bytes] = []
        self._names: dict[bytes, list[tuple[bytes, bytes, bytes]]] = {}
        """Accession, name and value of the parameters of each group."""
        self.groups: dict[bytes, list[Token]] = {}
        self.version = ""

    def take(self, tag: Tag) -> None:
        """The next tag."""
        name, attributes = tag.name, tag.attributes
        if name[:1] == b"/":
            if name[1:] in self._path:
                while self._path.pop() != name[1:]:
                    pass
            return
        if name == b"mzML":
            self.version = self._text(attributes.get(b"version", b""))
        elif name == b"run":
            self._run = attributes
        elif name == b"referenceableParamGroup":
            self._group = attributes.get(b"id", b"")
        elif name == b"software" and b"softwareList" in self._path:
            self._software.append((attributes.get(b"id", b""), attributes.get(b"version", b"")))
        elif name == b"referenceableParamGroupRef" and self._path[-1:] == [b"instrumentConfiguration"]:
            self._referenced.append(attributes.get(b"ref", b""))
        elif name in (b"cvParam", b"userParam"):
            self._param(tag)
        if not tag.empty:
            self._path.append(name)

    def _param(self, tag: Tag) -> None:
        attributes = tag.attributes
        accession, name = attributes.get(b"accession", b""), attributes.get(b"name", b"")
        value = attributes.get(b"value", b"")
        inside = self._path[-1] if self._path else b""
        if inside == b"referenceableParamGroup":
            self._names.setdefault(self._group, []).append((accession, name, value))
            if (token := param_token(tag.name, attributes)) is not None:
                self.groups.setdefault(self._group, []).append(token)
        elif inside == b"instrumentConfiguration":
            self._instrument(accession, name, value)
        elif _ACCESSION.fullmatch(accession) and int(accession[3:]) in _NATIVE_ID_FORMATS:
            self._formats.append(accession.decode("ascii"))

    def _instrument(self, accession: bytes, name: bytes, value: bytes) -> None:
        if accession == _SERIAL:
            self._serials.append(self._text(value))
        elif _ACCESSION.fullmatch(accession) and accession != _INSTRUMENT and not value:
            self._models.append(self._text(name))

    def facts(self) -> RunFacts:
        """What is known at the end."""
        for reference in self._referenced:
            for param in self._names.get(reference, ()):
                self._instrument(*param)
        software = dict.fromkeys(self._text(b" ".join(filter(None, pair))) for pair in self._software)
        return RunFacts(
            self._text(self._run.get(b"id", b"")) or None,
            self._text(self._run.get(b"startTimeStamp", b"")) or None,
            next(filter(None, self._models), None),
            next(filter(None, self._serials), None),
            "; ".join(software) or None,
            next(iter(self._formats), None),
        )

    def _text(self, value: bytes) -> str:
        return unescaped(value, self._encoding)
