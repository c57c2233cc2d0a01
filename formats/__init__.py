"""What bytes mean: pure readers and planners of file formats. Knows nothing of lakes, catalogs or servers."""

from __future__ import annotations

if __name__ != "lake.formats":  # pragma: no cover
    raise ImportError("import lake.formats, not formats")
