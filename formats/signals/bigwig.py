"""BigWig: the values of a region as bedGraph text, as pyBigWig's ``intervals()`` gives them."""

from __future__ import annotations

from lake.formats.signals.bbi import BIGWIG_MAGIC
from lake.formats.signals.bbi_format import BbiFormat, Dialect
from lake.formats.signals.bbi_items import read_wig_items

__all__ = ["BIGWIG"]

BIGWIG = BbiFormat(
    Dialect("BigWig", BIGWIG_MAGIC, "text/x-bedgraph", counts_items=False, read=read_wig_items),
    "application/octet-stream",
    (".bigwig", ".bw"),
)
