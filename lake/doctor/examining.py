"""The doctor's round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lake.config import find_root
from lake.doctor.battery import battery_checks
from lake.doctor.disk import disk_checks, filesystem_checks, nearest_folder
from lake.doctor.health import health_checks, permission_checks
from lake.doctor.machine import machine_checks
from lake.doctor.report import Check, DoctorReport, State, fail
from lake.errors import NotALake

__all__ = ["examine"]

_SECONDS = 10.0


def examine(root: str | os.PathLike[str] | None = None, *, storage: bool = False) -> DoctorReport:
    """Look at a lake and what it stands on. Nothing of the lake changes; a scratch folder comes and goes beside it.

    Works as well where the lake does not open, and where there is none yet: then the place is looked at.

    Args:
        root: the lake; None: that of ``LAKE_ROOT``, else the nearest one upward from here, else this directory.
        storage: try the disk for ten seconds with several processes at once.
    """
    try:
        place = Path(root).expanduser().absolute() if root is not None else find_root().absolute()
    except NotALake:
        place = Path.cwd()
    return DoctorReport(os.fspath(place), tuple(_checks(place, storage=storage)))


def _checks(place: Path, *, storage: bool) -> Iterator[Check]:
    yield from machine_checks()
    folder = nearest_folder(place)
    if not os.access(folder, os.R_OK | os.X_OK):
        advice = f"it is of user {folder.stat().st_uid} and group {folder.stat().st_gid}: ask them"
        yield fail("permissions", f"you may not look into {folder}", advice)
        return
    on_disk = list(filesystem_checks(place))
    yield from on_disk
    if not any(check.name == "filesystem" and check.state is State.FAIL for check in on_disk):
        yield from disk_checks(place)
        if storage:
            yield from battery_checks(place, _SECONDS)
    if (place / "lake.toml").exists():
        yield from permission_checks(place)
        yield from health_checks(place)
    elif (place / "journal.db").exists() or (place / "log").exists():
        advice = "copy it from a backup; 'lake init' writes another, whose id no backup of this lake has"
        yield fail("lake", f"{place} has no lake.toml, but what belongs to a lake", advice)
    else:
        yield fail("lake", f"there is none at {place}", f"'lake init {place}' makes one; -C DIR names another")
