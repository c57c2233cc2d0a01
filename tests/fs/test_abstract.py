"""fsspec's own suite for filesystems."""

from __future__ import annotations

from collections.abc import Callable

import fsspec.tests.abstract as abstract
import pytest

from lake.fs import LakeFileSystem


class _LakeFixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, fs: LakeFileSystem) -> LakeFileSystem:
        return fs  # that of conftest, instead of the one that the suite leaves to be overridden

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *names: "/".join(names)

    @pytest.fixture
    def fs_path(self) -> str:
        return "top"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return True


class TestCopy(abstract.AbstractCopyTests, _LakeFixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, _LakeFixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, _LakeFixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, _LakeFixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, _LakeFixtures):  # type: ignore[misc]
    pass
