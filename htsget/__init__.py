"""HTTP surfaces of a lake."""

from __future__ import annotations

if __name__ != "lake.htsget":  # pragma: no cover
    raise ImportError("import lake.htsget, not htsget")
