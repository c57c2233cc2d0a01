"""Named steps of what writes to a lake at which a test can kill the process, to see that a crash there loses nothing.

`REGIONLAKE_CRASHPOINT=<name>` in the environment makes the process kill itself (SIGKILL, so that no clean-up
runs) when it first comes to that step. Without the variable a step costs one comparison.
"""

from __future__ import annotations

import os
import signal

__all__ = ["CRASH_POINTS", "crash_point"]

CRASH_POINTS: dict[str, str] = {
    "staging-made": "the batch's staging directory exists, nothing is in it",
    "staging-written": "a staging file has bytes that are not registered with the batch",
    "staged": "a file is staged and hashed",
    "source-linked": "a moved source has its second name in staging",
    "data-synced": "the bytes of every staged file and pack are durable, no name is",
    "renamed": "the first file or pack has its name, the others have not",
    "names-made": "every file and pack has its name, directories are not durable",
    "published": "objects and names are durable, no commit names them",
    "source-removed": "after the commit: the first moved source is gone",
}
"""Every step, in the order in which a put, and whatever comes below it, gets to them."""

_armed = os.environ.get("REGIONLAKE_CRASHPOINT")


def crash_point(name: str) -> None:
    """Kill this process if it was told to die at the step ``name``."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
