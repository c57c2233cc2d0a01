"""The DuckDB catalog of a lake."""

from __future__ import annotations

if __name__ != "lake.catalog":  # pragma: no cover
    raise ImportError("import lake.catalog, not catalog")
