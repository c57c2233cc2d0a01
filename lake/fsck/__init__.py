"""Checking a lake, and healing what is damaged from copies elsewhere. Nothing is ever deleted."""

from __future__ import annotations

from lake.fsck.checking import check_lake
from lake.fsck.findings import Finding, FsckReport
from lake.fsck.selection import CheckOptions

__all__ = ["CheckOptions", "Finding", "FsckReport", "check_lake"]
