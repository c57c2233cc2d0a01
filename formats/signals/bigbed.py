"""BigBed: the features of a region as BED text, as pyBigWig's ``entries()`` gives them."""

from __future__ import annotations

from lake.formats.signals.bbi import BIGBED_MAGIC
from lake.formats.signals.bbi_format import BbiFormat, Dialect
from lake.formats.signals.bbi_items import read_bed_items

__all__ = ["BIGBED"]

BIGBED = BbiFormat(
    Dialect("BigBed", BIGBED_MAGIC, "text/x-bed", counts_items=True, read=read_bed_items),
    "application/octet-stream",
    (".bigbed", ".bb"),
)
