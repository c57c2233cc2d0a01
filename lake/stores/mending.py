"""Putting a whole file in the place of a damaged or missing one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable

from blake3 import blake3

from lake.crashpoints import crash_point
from lake.errors import LakeError, StorageError
from lake.stores.durable import System, write_all
from lake.stores.modes import make_folders

__all__ = ["mend"]


def mend(
    root: str,
    handle: str,
    pieces: Iterable[bytes],
    staging: str,
    system: System,
    in_part: Callable[[], bool] = lambda: False,
) -> bool:
    """Write a stored file anew; readers see the old file or the new one, never a mix.

    The old one gets a second name under ``quarantine/`` first: nothing is deleted.

    Args:
        root: the lake's directory.
        handle: the stored file, whose name ends with the digest of its bytes.
        pieces: all of its bytes, in order.
        staging: a folder on the same disk.
        system: what is written through.
        in_part: asked once all pieces are written: whether it is known that some of them are still damaged.

    Returns:
        False when the pieces, without such damage, are not what the file's name says; then nothing has changed.

    Raises:
        StorageError: the disk failed; the old file is as it was, or the new one is in its place.
    """
    fresh = f"{staging}/mend-{secrets.token_hex(8)}"
    try:
        try:
            if _write(fresh, pieces, system) != os.path.basename(handle) and not in_part():
                return False
            _replace(root, handle, fresh, system)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
    except OSError as error:
        if isinstance(error, LakeError):
            raise
        raise StorageError(f"cannot heal {root}/{handle}: {error.strerror}") from error
    return True


def _write(path: str, pieces: Iterable[bytes], system: System) -> str:
    """The digest of what is written, durably and read-only."""
    hasher = blake3()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for piece in pieces:
            hasher.update(piece)
            write_all(system, fd, piece)
        crash_point("healed-written")
        os.fchmod(fd, 0o444)
        system.fsync(fd)
    finally:
        os.close(fd)
    crash_point("healed-durable")
    return hasher.hexdigest()


def _replace(root: str, handle: str, fresh: str, system: System) -> None:
    target, folder, aside = f"{root}/{handle}", os.path.dirname(f"{root}/{handle}"), f"{root}/quarantine"
    make_folders(folder)
    make_folders(aside)
    with contextlib.suppress(FileNotFoundError):
        os.link(target, f"{aside}/{os.path.basename(handle)}.{secrets.token_hex(4)}", follow_symlinks=False)
        system.sync_directory(aside)
    crash_point("damaged-set-aside")
    system.replace(fresh, target)
    crash_point("healed-named")
    system.sync_directory(folder)
    system.sync_directory(os.path.dirname(folder))
