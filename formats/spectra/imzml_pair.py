"""What ties an imzML to its .ibd: the UUID, and the checksum that the imzML states.

Source: imzML 1.1.0 (imzml.org, "Data structure"): the .ibd begins with the 16 bytes of the UUID of IMS:1000080.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.reader import ByteReader
from lake.formats.spectra.start_tags import Edit, attributes

__all__ = ["CHECKSUMS", "UUID_SIZE", "Identity", "check_ibd", "read_identity"]

UUID_SIZE = 16

CHECKSUMS: dict[bytes, str] = {b"IMS:1000091": "sha1", b"IMS:1000090": "md5", b"IMS:1000092": "sha256"}
"""Algorithms by accession, preferred one first."""

_UUID = b"IMS:1000080"
_PARAM = re.compile(rb"<cvParam\s[^<>]*?IMS:10000(?:80|9[012])[^<>]*>")
_PIECE = 1 << 20


class Identity(NamedTuple):
    """What an imzML states of its .ibd."""

    uuid: bytes
    checksums: Mapping[str, str]
    """Lower-case hexadecimal digits by the name of the algorithm."""
    places: Mapping[str, tuple[int, int]]
    """Where in the text the values stand: ``uuid``, ``sha1``, …"""

    def edits(self, values: Mapping[str, str]) -> list[Edit]:
        """What puts other values in their places."""
        return sorted(Edit(*place, values[name].encode()) for name, place in self.places.items())


def read_identity(head: bytes) -> Identity:
    """
    Args:
        head: text ahead of the first spectrum.

    Raises:
        FormatError: no UUID, or one that is none.
    """
    uuid = b""
    checksums: dict[str, str] = {}
    places: dict[str, tuple[int, int]] = {}
    for match in _PARAM.finditer(head):
        stated = {name: (match.start() + start, match.start() + stop) for name, start, stop in attributes(match[0])}
        if b"accession" not in stated or b"value" not in stated:
            continue
        accession, place = head[slice(*stated[b"accession"])], stated[b"value"]
        value = head[slice(*place)].decode("ascii", "replace").strip()
        if accession == _UUID:
            uuid, places["uuid"] = _uuid_bytes(value), place
        elif accession in CHECKSUMS and value:
            checksums[CHECKSUMS[accession]] = value.lower()
            places[CHECKSUMS[accession]] = place
    if not uuid:
        raise FormatError("no UUID (IMS:1000080): nothing says which .ibd belongs to the file")
    return Identity(uuid, checksums, places)


def _uuid_bytes(text: str) -> bytes:
    digits = re.sub(r"[{}\-]|^urn:uuid:", "", text)
    if not re.fullmatch(r"[0-9a-fA-F]{32}", digits):
        raise FormatError(f"the UUID {text[:60]!r} has not 32 hexadecimal digits")
    return bytes.fromhex(digits)


def check_ibd(identity: Identity, ibd: ByteReader) -> str | None:
    """Why an .ibd is not the one that an imzML means (one sentence), or None; everything is read for a checksum."""
    found = ibd.read(0, UUID_SIZE)
    if found != identity.uuid:
        return f"its UUID is {found.hex()}, that of the imzML {identity.uuid.hex()}"
    name = next((name for name in CHECKSUMS.values() if name in identity.checksums), None)
    if name is None:
        return None
    hasher = hashlib.new(name, usedforsecurity=False)
    for offset in range(0, ibd.size, _PIECE):
        hasher.update(ibd.read(offset, _PIECE))
    if hasher.hexdigest() == identity.checksums[name]:
        return None
    return f"its {name.upper()} is {hasher.hexdigest()}, but the imzML states {identity.checksums[name]}"
