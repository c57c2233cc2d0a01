"""What a command says on standard error: one line a message."""

from __future__ import annotations

import sys

__all__ = ["complain"]


def complain(message: str, kind: str = "error") -> None:
    """``lake: error: …``, on one line whatever the names in the message hold."""
    # Python has no stream where the descriptor is closed, and print would then choose standard output.
    if sys.stderr is not None:
        print(f"lake: {kind}: {' '.join(message.split())}", file=sys.stderr)
