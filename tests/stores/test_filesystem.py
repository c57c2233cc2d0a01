"""Which filesystem a path is on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lake.errors import StorageError
from lake.stores.filesystem import Filesystem, filesystem_of, parse_mount, parse_mountinfo, require_local

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
36 27 0:30 / /home rw,relatime shared:2 master:1 - nfs4 server:/home rw,vers=4.2
37 27 0:31 /sub /media/a\\040disc ro,nosuid - iso9660 /dev/sr0 ro
38 27 0:32 / /far rw - fuse.sshfs me@far: rw,user_id=0
39 27 0:33 / /short rw - tmpfs
"""

MOUNT = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled)
//me@server/share on /Volumes/my share (1) (smbfs, nodev, nosuid, mounted by me)
nonsense
"""


@pytest.mark.parametrize(
    ("mount", "found", "network"),
    [
        ("27", Filesystem("ext4", False), False),
        ("36", Filesystem("nfs4", False), True),
        ("37", Filesystem("iso9660", True), False),
        ("38", Filesystem("fuse.sshfs", False), True),
        ("39", Filesystem("unknown", False), False),
        ("40", Filesystem("unknown", False), False),
    ],
)
def test_mountinfo(mount: str, found: Filesystem, network: bool) -> None:
    assert parse_mountinfo(MOUNTINFO.splitlines(), mount) == found
    assert found.network is network


@pytest.mark.parametrize(
    ("path", "kind", "readonly"),
    [
        ("/usr/x", "apfs", True),
        ("/System/Volumes/Data/lake", "apfs", False),
        ("/System/Volumes/Database", "apfs", True),
        ("/Volumes/my share (1)/lake", "smbfs", False),
    ],
)
def test_mount(path: str, kind: str, readonly: bool) -> None:
    assert parse_mount(MOUNT, path) == Filesystem(kind, readonly)
    assert parse_mount("", path).kind == "unknown"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")
def test_real_places(tmp_path: Path) -> None:
    assert filesystem_of(Path("/proc/self")).kind == "proc"
    assert filesystem_of(tmp_path / "not/there/yet") == filesystem_of(tmp_path)
    assert filesystem_of(tmp_path).kind != "unknown"


def test_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "cifs")
    with pytest.raises(StorageError, match=r"network filesystem \(cifs\).*'lake serve'.*'lake backup'"):
        require_local(tmp_path)
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "xfs")
    require_local(tmp_path)
