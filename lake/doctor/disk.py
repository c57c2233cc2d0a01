"""The disk under a lake, tried out in a scratch folder on it: what a lake relies on must really work there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lake.clock import now
from lake.doctor.report import Check, fail, ok, warn
from lake.stores.durable import System
from lake.stores.filesystem import WAY_OUT, filesystem_of

__all__ = ["disk_checks", "filesystem_checks", "nearest_folder"]

_ROUNDS = 20
_SLOW_SYNC = 0.1
_SECOND = 1_000_000_000
_SKEW = 2 * _SECOND
_MUCH_SKEW = 3600 * _SECOND
_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20
_NAME = 255
"""Bytes of a name that filesystems of Unix take (NAME_MAX); a lake's own names have up to 100."""

_TRY_LOCK = """
import fcntl, os, sys
with open(sys.argv[2], "r+b") as file:
    try:
        (fcntl.flock if sys.argv[1] == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("held")
    else:
        print("free")
"""
"""For another process: whether it gets a lock."""


def nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.parents) if os.path.isdir(place))


def filesystem_checks(root: Path) -> Iterator[Check]:
    """What can be told without writing."""
    place = nearest_folder(root)
    found = filesystem_of(place)
    where = f"{found.kind}{', read-only' if found.readonly else ''}"
    if found.network:
        yield fail("filesystem", f"{where}: a network filesystem, where no journal can be written", WAY_OUT)
    elif found.kind == "unknown" or found.kind.startswith("fuse") or found.kind in ("virtiofs", "overlay"):
        advice = "be sure that no other machine has it, and keep backups elsewhere; 'lake doctor --storage' tries it"
        yield warn("filesystem", f"{where}: cannot tell what is behind it", advice)
    elif found.kind in ("tmpfs", "ramfs"):
        yield warn("filesystem", f"{where}: gone when the machine stops", "keep a lake that matters on a disk")
    else:
        yield ok("filesystem", where)
    yield _space(place)
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < max(1000, inodes.f_files // 100):
        yield warn("inodes", f"{inodes.f_favail:,} files can still be made", "free some, or make the filesystem anew")


def _space(place: Path) -> Check:
    usage = shutil.disk_usage(place)
    said = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
    if usage.free < _TOO_LITTLE:
        return fail("free space", said, "free some: nothing can be put, and SQLite needs room even to read")
    if usage.free < _LITTLE:
        return warn("free space", said, "free some before the next big put")
    return ok("free space", said)


def disk_checks(root: Path, system: System | None = None) -> Iterator[Check]:
    """What only trying can tell. Makes a scratch folder at the path, or in the nearest folder above, and removes it."""
    place = nearest_folder(root)
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".lake-doctor-", dir=place)
    except OSError as error:
        advice = "the lake can be read; writing needs write permission there, and a disk that is not read-only"
        yield warn("writing", f"{place} cannot be written ({error.strerror})", advice)
        return
    with scratch as name:
        folder = Path(name)
        for check in (_locks, _rename_new, _links, _syncs, _names, _clock):
            try:
                yield from check(folder, system or System())
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    yield fail("writing", f"no space left at {place}", "free some, then run the doctor again")
                    return
                advice = "a lake needs this: keep it on another disk"
                yield fail(check.__name__.strip("_").replace("_", " "), f"failed: {error}", advice)


def _locks(folder: Path, _: System) -> Iterator[Check]:
    advice = f"processes would overwrite each other here: {WAY_OUT}"
    kinds: tuple[tuple[str, Callable[[int, int], None]], ...] = (("flock", fcntl.flock), ("fcntl", fcntl.lockf))
    for kind, lock in kinds:
        path = folder / kind
        path.touch()
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock(descriptor, fcntl.LOCK_EX)
            held = _other_process(kind, path)
            lock(descriptor, fcntl.LOCK_UN)
            free = _other_process(kind, path)
        finally:
            os.close(descriptor)
        if (held, free) == ("held", "free"):
            yield ok(f"{kind} locks", "work between processes")
        else:
            yield fail(f"{kind} locks", f"do not work: held it is {held!r}, released {free!r} to others", advice)


def _other_process(kind: str, path: Path) -> str:
    asked = [sys.executable, "-I", "-S", "-c", _TRY_LOCK, kind, os.fspath(path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def _rename_new(folder: Path, system: System) -> Iterator[Check]:
    old, new = folder / "old", folder / "new"
    old.write_bytes(b"1")
    new.write_bytes(b"2")
    try:
        system.rename_new(os.fspath(old), os.fspath(new))
    except FileExistsError:
        kept = new.read_bytes() == b"2" and old.exists()
    else:
        kept = False
    if kept:
        yield ok("rename", "never replaces what is there")
    else:
        yield fail("rename", "replaces what it must not", "a lake cannot be kept here: use another disk")


def _links(folder: Path, system: System) -> Iterator[Check]:
    file = folder / "file"
    file.write_bytes(bytes(4096))
    try:
        os.link(file, folder / "link")
    except OSError:
        yield warn("hard links", "there are none", "'put --move' and 'get --link hard' copy instead")
    else:
        yield ok("hard links", "work")
    with open(file, "rb") as source, open(folder / "clone", "wb") as target:
        shared = system.clone(source.fileno(), target.fileno())
    yield ok("reflinks", "work: 'put --reflink' takes no space" if shared else "there are none: copies are copies")


def _syncs(folder: Path, system: System) -> Iterator[Check]:
    times = []
    with open(folder / "synced", "wb", buffering=0) as file:
        for _ in range(_ROUNDS):
            file.write(bytes(4096))
            before = time.perf_counter()
            system.fsync(file.fileno())
            times.append(time.perf_counter() - before)
    system.sync_directory(folder)
    median = statistics.median(times)
    said = f"{median * 1000:.2f} ms, median of {_ROUNDS}"
    if median > _SLOW_SYNC:
        yield warn("fsync", said, "every commit waits for it: a disk of this machine is faster")
    else:
        yield ok("fsync", said)


def _names(folder: Path, _: System) -> Iterator[Check]:
    (folder / "case").touch()
    if (folder / "CASE").exists():
        yield ok("case", "not told apart in names: nothing in a lake's directory needs that, 'get' of A and a does")
    else:
        yield ok("case", "told apart in names")
    try:
        (folder / ("n" * _NAME)).touch()
    except OSError:
        yield warn("long names", f"names of {_NAME} bytes are refused", "'get' cannot write files of such names here")


def _clock(folder: Path, _: System) -> Iterator[Check]:
    before = now()
    file = folder / "clock"
    file.write_bytes(b"now")
    after, told = now(), file.stat().st_mtime_ns
    # Timestamps of files are those of the kernel's last tick, some even full seconds.
    skew = max(before - told, told - after, 0)
    if skew > _MUCH_SKEW:
        yield fail(
            "clock", f"{skew / _SECOND:,.0f} s from the disk's", "set it: gc refuses to work, tokens and leases err"
        )
    elif skew > _SKEW:
        yield warn("clock", f"{skew / _SECOND:,.1f} s from the disk's", "let NTP set the clocks of both machines")
    else:
        yield ok("clock", "as the disk's")
