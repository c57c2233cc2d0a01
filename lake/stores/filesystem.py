"""Which filesystem a path is on. SQLite's write-ahead log needs memory that all who open it share: one machine's.

The kind is the kernel's own word: ``/proc/self/mountinfo`` on Linux (proc(5)), where the magic number of statfs(2)
could not tell one FUSE filesystem from another; what ``mount`` prints on macOS.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lake.errors import StorageError

__all__ = ["WAY_OUT", "Filesystem", "filesystem_of", "parse_mount", "parse_mountinfo", "require_local"]

_NETWORK = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cephfs", "cifs", "coda", "davfs", "ftp", "gfs2", "glusterfs"),
        *("gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2", "smb3"),
        *("smbfs", "vboxsf", "vmhgfs", "webdav"),
    }
)
"""Kinds whose files are another machine's, or several machines' at once."""
_NETWORK_FUSE = frozenset(
    {
        *("afp", "blobfuse", "blobfuse2", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "goofys", "gpfs"),
        *("httpfs", "juicefs", "mount-s3", "mountpoint-s3", "quobyte", "rclone", "s3fs", "seaweedfs", "smbnetfs"),
        *("sshfs", "weed"),
    }
)
"""The same behind FUSE, as ``fuse.<name>``."""

WAY_OUT = (
    "keep the lake on a local disk: serve it from the machine that has the disk ('lake serve'), or copy it to one here "
    "('lake backup' there, 'lake restore-lake' here)"
)
"""For errors: what to do where a lake cannot be written because of its filesystem."""

_OVERRIDE = "REGIONLAKE_FILESYSTEM"


class Filesystem(NamedTuple):
    kind: str
    """``ext4``, ``nfs4``, ``fuse.sshfs``, …; ``unknown`` where nothing tells."""
    readonly: bool
    """Whether it is mounted for reading only."""

    @property
    def network(self) -> bool:
        """Whether other machines may have it, too: there SQLite cannot be written, nor locks be trusted."""
        kind = self.kind.lower()
        return kind in _NETWORK or (kind.startswith("fuse.") and kind[5:] in _NETWORK_FUSE)


_UNKNOWN = Filesystem("unknown", False)


def filesystem_of(path: Path) -> Filesystem:
    """The filesystem of a path, or of the nearest directory above it where there is nothing yet.

    `REGIONLAKE_FILESYSTEM` in the environment names the kind instead: for tests, and for those who know better.
    """
    named = os.environ.get(_OVERRIDE)
    if named:
        return Filesystem(named, False)
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        if sys.platform == "darwin":
            return parse_mount(_mounted(), os.path.realpath(place))
        return _of_linux(place)
    except OSError:
        return _UNKNOWN


def _mounted() -> str:
    """What mount(8) prints. Raises OSError."""
    import subprocess

    try:
        return os.fsdecode(subprocess.run(["/sbin/mount"], capture_output=True, timeout=5, check=True).stdout)
    except subprocess.SubprocessError as error:
        raise OSError(f"/sbin/mount: {error}") from error


def require_local(path: Path) -> None:
    """Raises StorageError where a path is, or would be, on a network filesystem."""
    found = filesystem_of(path)
    if found.network:
        raise StorageError(f"{path} is on a network filesystem ({found.kind}), where no journal can be kept: {WAY_OUT}")


def _of_linux(place: Path) -> Filesystem:
    # The kernel says in which mount a descriptor lies; device numbers do not, where a filesystem has subvolumes.
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as told:
            mount = next((line.split()[1] for line in told if line.startswith("mnt_id:")), "")
    finally:
        os.close(descriptor)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return parse_mountinfo(mounts, mount)


def parse_mountinfo(lines: Iterable[str], mount: str) -> Filesystem:
    """The filesystem of the mount of that number, among the lines of ``mountinfo`` (proc(5), 3.5 of its table)."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) > 5 and len(rest) > 1 and fields[0] == mount:
            options = {*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ())}
            return Filesystem(rest[0], "ro" in options)
    return _UNKNOWN


def parse_mount(printed: str, path: str) -> Filesystem:
    """The filesystem of an absolute path by what ``mount`` prints on macOS: ``/dev/disk3 on / (apfs, local)``."""
    found, depth = _UNKNOWN, -1
    for line in printed.splitlines():
        match = re.fullmatch(r".+? on (/.*) \(([^()]+)\)", line)
        if match is None:
            continue
        place, options = match[1].rstrip("/"), match[2].split(", ")
        if len(place) > depth and (path == place or path.startswith(f"{place}/")):
            found, depth = Filesystem(options[0], "read-only" in options), len(place)
    return found
