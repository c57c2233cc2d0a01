"""The time of day, as leases, tokens and trash know it: one place, so that a test can move it.

`REGIONLAKE_CLOCK` in the environment is a number of seconds that is added to the system's clock. It says what a
machine with a wrong clock would do; nothing of safety may rest on the time (docs/reliability.md).
"""

from __future__ import annotations

import os
import time

__all__ = ["now"]


def now() -> int:
    """Nanoseconds since the epoch, UTC."""
    moved = os.environ.get("REGIONLAKE_CLOCK")
    return time.time_ns() if moved is None else time.time_ns() + round(float(moved) * 1_000_000_000)
