"""Checksum manifests as ``md5sum``, ``sha256sum`` and ``b3sum`` write them."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from lake.errors import InvalidInput, NotFound

__all__ = ["Manifest", "read_manifest"]

# coreutils: "<hex>  name" or "<hex> *name", a backslash in front where the name is escaped; BSD: "MD5 (name) = <hex>".
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{32}|[0-9a-fA-F]{64}) [ *](.+)")
_BSD = re.compile(r"(\\?)(?:MD5|SHA256|BLAKE3) \((.+)\) = ([0-9a-fA-F]{32}|[0-9a-fA-F]{64})")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


class Manifest:
    """Expected checksums of files, found by path or, where it is the only one of that name, by name."""

    def __init__(self, expected: dict[str, str], folder: Path) -> None:
        self._by_path = {os.path.realpath(folder / name): value for name, value in expected.items()}
        names = Counter(os.path.basename(name) for name in expected)
        self._by_name = {
            os.path.basename(name): value for name, value in expected.items() if names[os.path.basename(name)] == 1
        }
        lengths = {len(value) for value in expected.values()}
        self.algorithms = tuple(name for length, name in ((32, "md5"), (64, "sha256")) if length in lengths)
        """What has to be computed to check."""

    def expected(self, source: Path) -> str | None:
        """The checksum that the manifest states for a file, lower case; None when it does not name it."""
        return self._by_path.get(os.path.realpath(source)) or self._by_name.get(source.name)


def read_manifest(path: Path) -> Manifest:
    """
    Raises:
        NotFound: no such file.
        InvalidInput: a line that is no checksum line, or no line at all.
    """
    try:
        text = os.fsdecode(path.read_bytes())
    except OSError as error:
        raise NotFound(f"cannot read the manifest {path}: {error.strerror}") from error
    expected: dict[str, str] = {}
    # Only line feeds end a line: names may hold whatever else str.splitlines takes for an end.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if "\0" in line:
            raise InvalidInput(f"{path}, line {number} holds a NUL byte: no file has such a name")
        if match := _GNU.fullmatch(line):
            expected[_name(match[1], match[3])] = match[2].lower()
        elif match := _BSD.fullmatch(line):
            expected[_name(match[1], match[2])] = match[3].lower()
        else:
            raise InvalidInput(f"{path}, line {number} is not a line of md5sum, sha256sum or b3sum: {line[:60]!r}")
    if not expected:
        raise InvalidInput(f"{path} names no files: a manifest has lines as md5sum or sha256sum print them")
    return Manifest(expected, path.absolute().parent)


def _name(escaped: str, name: str) -> str:
    return re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name) if escaped else name
