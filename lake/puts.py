"""What a put is asked for, and what became of each file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lake.digest import Digest
from lake.journal.values import Expect, Json
from lake.manifest import Manifest
from lake.stores.base import Method

__all__ = ["PutItem", "PutOptions"]


@dataclass(frozen=True, slots=True)
class PutOptions:
    method: Method = Method.COPY
    index: bool = True
    """Build a missing index now; False puts it off until first use."""
    strict: bool = False
    """Refuse files of unknown format, with damage, or with a name that contradicts their content."""
    all_or_nothing: bool = False
    checksums: bool = False
    """Keep md5 and sha256 beside BLAKE3."""
    manifest: Manifest | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    exclusive: bool = False
    """Refuse to replace an existing path."""
    expect: Expect | None = None
    """What every path has to be when it is replaced; `exclusive` goes before it."""


@dataclass(slots=True)
class PutItem:
    """What became of one source."""

    source: str
    path: str
    digest: Digest | None = None
    size: int = 0
    format: str | None = None
    chunks: int = 0
    new: bool = False
    """False when the lake held the same content already."""
    healed: bool = False
    """True when the lake's copy of the content was damaged, and this put replaced it."""
    index: str | None = None
    """``bai adopted``, ``csi built``, …"""
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}
