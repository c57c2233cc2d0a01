"""The command ``lake``: arguments in, one public call, an answer out."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from lake.cli.arguments import make_parser
from lake.cli.messages import complain
from lake.errors import LakeError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 after an error, 2 after wrong usage."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("lake: %(levelname)s: %(message)s"))
    logging.addLevelName(logging.WARNING, "warning")
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    parsed = make_parser().parse_args(arguments)
    if sys.stdout is None:  # as Python has it where the descriptor is closed
        return _fail("standard output is closed")
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except LakeError as error:
        status = _fail(str(error))
        for note in getattr(error, "__notes__", ()):
            complain(note)
        return status
    except BrokenPipeError:
        # The reader of our output has seen enough. Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return status


def _fail(message: str, status: int = 1) -> int:
    complain(message)
    return status
