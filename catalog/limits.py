"""What a query may take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """None: DuckDB's own choice."""

    memory: str | None = None
    """As DuckDB writes it: ``2GB``."""
    threads: int | None = None
    seconds: float | None = None
    """For one query; kept by whoever runs it (`lake.results.query.ask`)."""
