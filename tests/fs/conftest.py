"""A lake, and its filesystem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.fs import LakeFileSystem
from lake.lake import Lake


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    """The lake at ``tmp_path/lake``, as seen beside the filesystem."""
    with Lake.init(tmp_path / "lake") as lake:
        yield lake


@pytest.fixture
def fs(lk: Lake) -> Iterator[LakeFileSystem]:
    LakeFileSystem.clear_instance_cache()
    filesystem = LakeFileSystem(lk.root)
    yield filesystem
    filesystem.lake.close()
    LakeFileSystem.clear_instance_cache()


@pytest.fixture
def options(lk: Lake) -> dict[str, str]:
    """``storage_options`` of libraries."""
    return {"root": str(lk.root)}
