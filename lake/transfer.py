"""Copying out of a lake: verified, atomic, or by links that copy nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from lake.errors import LakeError, StorageError, Unsupported
from lake.formats.registry import region_format
from lake.formats.sniffing import HEAD, detect
from lake.objects import ObjectReader
from lake.progress import Progress
from lake.repository import Repository
from lake.segments import Slice
from lake.stores.durable import System

__all__ = ["Link", "copy_out", "link_out", "make_directory", "replacing", "write_slice"]

_PIECE = 8 << 20
_ARCHIVE = "application/zip"
_OF_PAIRS = (".imzml",)
"""Suffixes of files that have a second one beside them."""


class Link(StrEnum):
    """How `get --link` gives a file its name outside of the lake."""

    HARD = "hard"
    """A second name of the stored file. Whoever owns it can make it writable and so change the lake's copy."""
    SYM = "sym"
    """A symbolic link into the lake; dangles when the object is collected."""
    REFLINK = "reflink"
    """A copy that shares its blocks, on filesystems that can (btrfs, XFS, APFS)."""


def copy_out(reader: ObjectReader, destination: Path, progress: Progress) -> None:
    """Copy an object to a file, verifying every chunk; the file appears whole or not at all.

    Raises:
        DamagedObject: a chunk does not match its digest; nothing is left behind.
        StorageError: the destination cannot be written.
    """
    with replacing(destination) as descriptor:
        offset = 0
        while offset < reader.size:
            piece = reader.read(offset, _PIECE)
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
            offset += len(piece)
            progress.advance(len(piece))


def link_out(repo: Repository, reader: ObjectReader, destination: Path, link: Link) -> None:
    """Give the stored file a name outside of the lake.

    Raises:
        StorageError: the filesystem cannot: other device, no reflinks, ….
        InvalidInput: the object has no file of its own, and the lake cannot be written to make one.
    """
    stored = repo.plain_file(reader.source)
    make_directory(destination.parent)
    if link is Link.REFLINK:
        with replacing(destination) as descriptor, open(stored, "rb") as source:
            if not System().clone(source.fileno(), descriptor):
                raise StorageError(f"{destination}: this filesystem has no reflinks; get it without --link")
        return
    temporary = destination.with_name(f".{destination.name[:200]}.{secrets.token_hex(6)}.lake")
    try:
        if link is Link.HARD:
            os.link(stored, temporary)
        else:
            os.symlink(stored, temporary)
        os.replace(temporary, destination)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"cannot link {destination} to {stored}: {error.strerror}; get it without --link to copy"
        ) from error


def make_directory(place: Path) -> None:
    """Make a directory, and those above it, unless it is there.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to {place}: {error.strerror}") from error


def write_slice(answer: Slice, destination: Path, *, index: bool) -> None:
    """Write a slice to a file, which appears whole or not at all; with ``index`` its index beside it.

    A slice of an imzML that is written to a name of that suffix becomes two files, the .ibd beside the other.

    Raises:
        Unsupported: the format of the slice has no index.
        FormatError: it cannot be indexed, and why; the slice itself is written.
        StorageError: the destination cannot be written.
    """
    if answer.media_type == _ARCHIVE and destination.suffix.lower() in _OF_PAIRS:
        _write_pair(answer, destination)
        if index:
            raise Unsupported(f"{destination}: its format has no index")
        return
    head = b""
    with replacing(destination) as descriptor:
        for piece in answer.iter_bytes():
            head = head or piece[:HEAD]
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
    if index:
        from lake.formats.tool_index import build_tool_index

        form = region_format(detect(head, destination.name).name)
        if form is None:
            raise Unsupported(f"{destination}: its format has no index")
        temporary = destination.with_name(f".{destination.name[:200]}.{secrets.token_hex(6)}.index")
        try:
            kind = build_tool_index(form, destination, temporary)
            os.replace(temporary, destination.with_name(f"{destination.name}.{kind}"))
        finally:
            temporary.unlink(missing_ok=True)


def _write_pair(answer: Slice, destination: Path) -> None:
    """Write the members of an archive side by side, each under the stem of ``destination``."""
    import shutil
    import zipfile

    with answer.open() as file, zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            suffix = Path(name).suffix
            same = suffix.lower() == destination.suffix.lower()
            target = destination if same else destination.with_suffix(suffix)
            with (
                replacing(target) as descriptor,
                archive.open(name) as member,
                open(descriptor, "wb", closefd=False) as out,
            ):
                shutil.copyfileobj(member, out, 1 << 20)


@contextlib.contextmanager
def replacing(destination: Path) -> Iterator[int]:
    """A descriptor of a temporary file beside ``destination``, which takes its place when the block succeeds.

    Raises:
        StorageError: it cannot be written.
    """
    temporary = destination.with_name(f".{destination.name[:200]}.{secrets.token_hex(6)}.lake")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StorageError(f"cannot write {destination}: {error.strerror}") from error
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        os.replace(temporary, destination)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, LakeError):
            raise StorageError(f"cannot write {destination}: {error.strerror}") from error
        raise
