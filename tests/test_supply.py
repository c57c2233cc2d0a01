"""The lock of what is developed with holds all that pyproject.toml names, at versions that it allows."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

_OWN = "regionlake"


def _named() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    found = [Requirement(line) for line in [*project["dependencies"], *extras]]
    return [each for each in found if each.name != _OWN]


def _locked() -> list[Requirement]:
    lines = (ROOT / ".ci" / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_lock_covers_what_is_named() -> None:
    versions: dict[str, list[str]] = {}
    for each in _locked():
        pinned = re.fullmatch(r"==([^*,]+)", str(each.specifier))
        assert pinned is not None, f"{each} is not at one version"
        versions.setdefault(canonicalize_name(each.name), []).append(pinned[1])
    for wanted in _named():
        found = versions.get(canonicalize_name(wanted.name))
        assert found, f"{wanted.name} is not in the lock: make it anew"
        assert all(wanted.specifier.contains(version, prereleases=True) for version in found), f"{wanted} is at {found}"
