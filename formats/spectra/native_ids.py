"""Scan numbers in native spectrum identifiers (children of MS:1000767)."""

from __future__ import annotations

import re

__all__ = ["scan_number"]

_SCAN = re.compile(
    r"(?:controllerType=0 controllerNumber=1 )?[sS]can=(\d{1,18})|(?:scanId|spectrum)=(\d{1,18})", re.ASCII
)


def scan_number(native_id: str) -> int:
    """The number of a scan, or -1 where the identifier names none that is unique in its run.

    Thermo (the first controller of mass spectra alone: others count anew), ``scan=N`` alone, Agilent ``scanId=N``,
    ``spectrum=N``; as ``id::translateNativeIDToScanNumber`` of ProteoWizard. Waters, WIFF and TDF have no such number.
    """
    found = _SCAN.fullmatch(native_id)
    return int(found[1] or found[2]) if found else -1
