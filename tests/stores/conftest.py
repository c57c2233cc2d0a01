"""A local store and a look at its files that goes round it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.digest import digest_of
from lake.stores.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    folder.mkdir()
    LocalStore.create(folder)
    return folder


def objects(root: Path) -> dict[str, bytes]:
    """Every file under ``objects/`` by name; each has to hash to its name."""
    found = {path.name: path.read_bytes() for path in (root / "objects").glob("*/*")}
    for name, content in found.items():
        assert digest_of(content) == name
    return found


def staging(root: Path) -> list[Path]:
    return list((root / "staging").rglob("*"))
