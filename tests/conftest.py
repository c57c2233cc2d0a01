"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

# The same examples each time, so that a run says something of the change and not of luck;
# HYPOTHESIS_PROFILE=explore looks elsewhere each time.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files; a test that needs it skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real files: {SHARED_DATA} is not there")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, where the real files are there, a test of real files that skips has failed: nothing may pass unseen."""
    report = yield
    on_real_files = "shared_data" in getattr(item, "fixturenames", ())
    if report.skipped and on_real_files and os.environ.get("CI") == "true" and SHARED_DATA.is_dir():
        report.outcome = "failed"
        report.longrepr = f"skipped in CI although the real files are there: {report.longrepr}"
    return report
