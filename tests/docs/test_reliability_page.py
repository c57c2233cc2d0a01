"""Every test that the page on reliability names exists."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text("utf-8"))))


def defined(path: str) -> set[str]:
    """Names of the tests of a file, and of what stands for tests there."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return names


def test_every_test_that_the_page_names_exists() -> None:
    assert len(NAMED) > 50
    names = {path: defined(path) for path in {path for path, _ in NAMED}}
    assert [(path, name) for path, name in NAMED if name not in names[path]] == []
