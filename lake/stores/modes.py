"""Permissions of what a lake makes: those of the folder in which it is made, whatever the umask says.

A lake is its owner's alone (folders 0700, files 0600), or a group's: folders 2770, whose set-group-id bit hands the
group on to what is made in them (chmod(2), inode(7)), and files 0660. As each thing takes after its folder, nobody who
writes has to know which it is, and a lake that was given other permissions on purpose keeps them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from lake.errors import StorageError

__all__ = ["PRIVATE", "SHARED", "file_mode", "is_shared", "make_file", "make_folder", "make_folders", "set_root_mode"]

PRIVATE = 0o700
"""Mode of the folders of a lake that is its owner's."""
SHARED = 0o2770
"""Mode of the folders of a lake that is a group's."""

_FOLDER_BITS = 0o2777
_FILE_BITS = 0o666


def set_root_mode(root: Path, mode: int) -> None:
    """Give the directory of a lake its permissions.

    Raises:
        StorageError: it is another user's, or the group is none of this user's.
    """
    if stat.S_IMODE(root.stat().st_mode) == mode:
        return
    try:
        root.chmod(mode)
    except OSError as error:
        raise StorageError(
            f"cannot set the permissions of {root} to {mode:o}: {error.strerror}; its owner has to ('chmod {mode:o}')"
        ) from error
    if stat.S_IMODE(root.stat().st_mode) != mode:
        raise StorageError(f"{root} does not take the permissions {mode:o}: are you a member of its group?")


def is_shared(folder: Path) -> bool:
    """Whether what is made in a folder is a group's."""
    return folder.stat().st_mode & 0o2020 == 0o2020


def file_mode(folder: str | Path) -> int:
    """Mode of a file that is made in a folder and may be written again."""
    return os.stat(folder).st_mode & _FILE_BITS


def make_folder(path: str | Path) -> None:
    """Make a folder with the permissions of the one that it lies in. Raises OSError as `os.mkdir`."""
    mode = os.stat(os.path.dirname(os.path.abspath(path))).st_mode & _FOLDER_BITS
    os.mkdir(path, mode)
    if stat.S_IMODE(os.stat(path).st_mode) != mode:
        os.chmod(path, mode)


def make_folders(path: str | Path) -> None:
    """Make a folder and those above it, as far as they are not there. Raises OSError as `os.makedirs`."""
    if os.path.isdir(path):
        return
    make_folders(os.path.dirname(os.path.abspath(path)))
    with contextlib.suppress(FileExistsError):
        make_folder(path)


def make_file(path: str | Path, flags: int) -> int:
    """Open a file, made with the permissions of its folder where it is not there; returns the descriptor.

    Args:
        path: the file.
        flags: of open(2); ``O_CREAT`` and ``O_CLOEXEC`` are implied. With ``O_EXCL`` it must not be there.

    Raises:
        OSError: as `os.open`.
    """
    flags |= os.O_CLOEXEC
    if not flags & os.O_EXCL:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
    mode = file_mode(os.path.dirname(os.path.abspath(path)))
    descriptor = os.open(path, flags | os.O_CREAT, mode)
    try:
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) != mode and status.st_uid == os.geteuid():
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
