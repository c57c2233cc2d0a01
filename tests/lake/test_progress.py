"""A bar on a terminal, silence in a pipe."""

from __future__ import annotations

import io
import sys

import pytest

from lake.progress import Bar, Silent, progress_for_terminal


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silence_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = progress_for_terminal()
    assert isinstance(progress, Silent)
    progress.start(100, "put")
    progress.advance(100)
    progress.say("nothing")
    progress.close()
    assert stream.getvalue() == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = progress_for_terminal()
    assert isinstance(progress, Bar)
    progress.start(100, "put")
    progress.say("halfway there")
    progress.advance(50)
    progress.start(0, "index")
    progress.advance(7)
    progress.close()
    progress.close()
    progress.advance(1)
    assert "halfway there" in stream.getvalue()
