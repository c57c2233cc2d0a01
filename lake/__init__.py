"""regionlake: a data lake for scientific files that answers a region of a file with a small, valid, exact file.

>>> import lake
>>> lk = lake.open("mylake")
>>> lk.put("s1.bam", "study1/")
>>> lk.slice("study1/s1.bam", "chr20:1,000,000-2,000,000").to_bytes()
"""

from __future__ import annotations

import os

from lake.errors import LakeError
from lake.lake import Lake

__all__ = ["Lake", "LakeError", "init", "open"]


def init(root: str | os.PathLike[str], *, shared: bool = False) -> Lake:
    """Make a new lake in a directory, for this user alone or ``shared`` with the group of the directory.

    Raises:
        lake.errors.AlreadyExists: there is one.
    """
    return Lake.init(root, shared=shared)


def open(root: str | os.PathLike[str] | None = None, *, ref: str = "main", readonly: bool = False) -> Lake:
    """Open the lake at ``root``, else that of ``LAKE_ROOT``, else the nearest one upward from the working directory.

    Raises:
        lake.errors.NotALake: there is none.
    """
    return Lake.open_at(root, ref=ref, readonly=readonly)
