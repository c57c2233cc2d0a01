"""What instruments and users call the ways to break ions, and the accessions of PSI-MS that mean them."""

from __future__ import annotations

import re

from lake.errors import InvalidRegion

__all__ = ["ACTIVATIONS", "activation_accessions"]

ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "BIRD": ("MS:1000242",),
    "CID": ("MS:1000133", "MS:1002472"),
    "EAD": ("MS:1003294",),
    "ECD": ("MS:1000250",),
    "ETCID": ("MS:1003182",),
    "ETD": ("MS:1000598",),
    "ETHCD": ("MS:1002631",),
    "HCD": ("MS:1000422", "MS:1002481"),
    "IN-SOURCE": ("MS:1001880",),
    "IRMPD": ("MS:1000262",),
    "LE-CID": ("MS:1000433",),
    "LIFT": ("MS:1002000",),
    "NETD": ("MS:1003247",),
    "PD": ("MS:1000435",),
    "PQD": ("MS:1000599",),
    "PSD": ("MS:1000135",),
    "SID": ("MS:1000136",),
    "SORI": ("MS:1000282",),
    "UVPD": ("MS:1003246",),
}
"""Accessions below MS:1000044 (dissociation method) by the short name in upper case. ``HCD`` is beam-type CID, under
its old and its new term; ``CID`` is that term and trap-type CID, but not HCD."""

_ACCESSION = re.compile(r"MS:\d{7}", re.ASCII)


def activation_accessions(name: str, region: str) -> tuple[str, ...]:
    """Accessions for a short name in any case, or for an accession.

    Raises:
        InvalidRegion: neither; the message lists the names.
    """
    upper = name.upper()
    if _ACCESSION.fullmatch(upper):
        return (upper,)
    found = ACTIVATIONS.get(upper)
    if found is None:
        known = ", ".join(ACTIVATIONS)
        raise InvalidRegion(
            f"{name!r} in {region!r} is no way to break ions: write {known}, or an accession MS:NNNNNNN"
        )
    return found
