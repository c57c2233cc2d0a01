"""Paths inside a lake, and the URLs that carry them. Pure text.

A path is relative, ``/``-separated UTF-8. Where a person or a URL names one, ``@ref/`` in front chooses a ref, and in
URLs and fsspec paths ``#region`` behind chooses a region; ``#`` in a name is therefore written ``%23`` there.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple
from urllib.parse import unquote

from lake.errors import InvalidPath

__all__ = [
    "PROTOCOL",
    "Target",
    "clean_path",
    "decode_name",
    "encode_name",
    "join",
    "parent",
    "parse_target",
    "split_ref",
]

PROTOCOL = "lake://"

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
"""Limits of the filesystems that `get` writes to."""

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


class Target(NamedTuple):
    """What a URL or an fsspec path names."""

    ref: str | None
    path: str
    region: str | None


def clean_path(path: str) -> str:
    """The normal form of a path: no leading, trailing or doubled slashes, no ``.``; the root is ``""``.

    Raises:
        InvalidPath: ``..``, NUL, a leading ``@``, not UTF-8, or too long.
    """
    if "\0" in path:
        raise InvalidPath(f"path {path!r} holds a NUL byte")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise InvalidPath(f"path {path!r} holds '..': name files from the top of the lake")
    if names and names[0].startswith("@"):
        raise InvalidPath(f"path {path!r} starts with '@', which chooses a ref (@v1/path): no name at the top may")
    cleaned = "/".join(names)
    try:
        encoded = cleaned.encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"path {path!r} is not valid UTF-8: rename the file") from None
    if len(encoded) > MAX_PATH_BYTES:
        raise InvalidPath(f"path {cleaned[:60]!r}… has {len(encoded)} bytes; the limit is {MAX_PATH_BYTES}")
    if len(encoded) > MAX_NAME_BYTES:
        for name in names:
            if len(name.encode()) > MAX_NAME_BYTES:
                raise InvalidPath(f"name {name[:60]!r}… has {len(name.encode())} bytes; the limit is {MAX_NAME_BYTES}")
    return cleaned


def split_ref(path: str) -> tuple[str | None, str]:
    """``@v1/runs/s1.bam`` → ``("v1", "runs/s1.bam")``; without ``@`` the ref is None. The path is cleaned.

    Raises:
        InvalidPath: no ref after the ``@``; see also `clean_path`.
    """
    stripped = path.lstrip("/")
    if not stripped.startswith("@"):
        return None, clean_path(path)
    # A timestamp may hold a slash only inside braces, so the ref ends at the first slash outside of them.
    if stripped[1:2] in ("", "/"):
        raise InvalidPath(f"path {path!r} starts with '@', but names no ref: write @REF/path")
    depth = 0
    for index, character in enumerate(stripped):
        depth += (character == "{") - (character == "}")
        if character == "/" and depth <= 0:
            return stripped[1:index], clean_path(stripped[index:])
    return stripped[1:], ""


def decode_name(text: str) -> str:
    """Undo `encode_name`; a ``%`` that starts no escape stands for itself.

    Raises:
        InvalidPath: the escapes are not UTF-8.
    """
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidPath(f"path {text!r} has escapes that are not UTF-8") from None


def encode_name(path: str) -> str:
    """A path as it stands in URLs: ``#`` becomes ``%23``, and a ``%`` that would read as an escape ``%25``."""
    if "%" not in path and "#" not in path:
        return path
    return _ESCAPE.sub(r"%25\1", path).replace("#", "%23")


def parse_target(url: str) -> Target:
    """``lake://[@ref/]path[#region]``, with or without the protocol.

    Raises:
        InvalidPath: see `clean_path`.
    """
    text = url.removeprefix(PROTOCOL)
    text, hash_sign, region = text.partition("#")
    ref, path = split_ref(decode_name(text))
    return Target(ref, path, decode_name(region) if hash_sign and region else None)


def parent(path: str) -> str:
    """The directory that holds a path; of a name at the top, the root ``""``."""
    return posixpath.dirname(path)


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
