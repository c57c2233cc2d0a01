"""How long work tells where it is: a bar on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from typing import Never, Protocol

__all__ = ["Bar", "Progress", "Silent", "progress_for_terminal"]


class Progress(Protocol):
    def start(self, total: int, what: str) -> None:
        """Begin a stretch of ``total`` bytes (0: unknown)."""
        ...

    def advance(self, count: int) -> None: ...

    def say(self, text: str) -> None:
        """A line about work that has no measure."""
        ...

    def close(self) -> None: ...


class Silent:
    def start(self, total: int, what: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class Bar:
    """A bar with rate and time left on standard error."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._make = tqdm
        self._bar: tqdm[Never] | None = None

    def start(self, total: int, what: str) -> None:
        self.close()
        self._bar = self._make(
            total=total or None,
            desc=what,
            unit="B",
            unit_scale=True,
            leave=False,
            file=sys.stderr,
            dynamic_ncols=True,
            delay=0.3,
        )

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def say(self, text: str) -> None:
        self._make.write(text, file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress_for_terminal() -> Progress:
    """A bar when standard error is a terminal, else silence."""
    return Bar() if sys.stderr.isatty() else Silent()
