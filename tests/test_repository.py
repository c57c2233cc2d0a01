"""What the repository promises of itself: its top level, its commands, its documentation."""

from __future__ import annotations

import inspect
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from lake import errors

ROOT = Path(__file__).resolve().parents[1]


def marked(kind: str) -> str:
    """The command of the README under the marker of that name."""
    found = re.findall(rf"<!-- {kind} -->\n```sh\n(.*?)\n```\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.mark.parametrize("kind", ["main command", "test command"])
def test_readme_commands_are_one_line(kind: str) -> None:
    command = marked(kind)
    assert "\n" not in command
    subprocess.run(["bash", "-n", "-c", command], check=True)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """The very function of `.ci/run` finds the very line."""
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"^readme_command\(\) \{\n.*?^\}\n", script, re.DOTALL | re.MULTILINE)
    assert function is not None
    bash = ["bash", "-c", function[0] + 'readme_command "test command"']
    found = subprocess.run(bash, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip() == marked("test command")
    assert 'eval "$test_command"' in script


@pytest.mark.parametrize("script", ["run", "check"])
def test_ci_scripts_parse_and_can_be_run(script: str) -> None:
    path = ROOT / ".ci" / script
    subprocess.run(["bash", "-n", path], check=True)
    assert path.stat().st_mode & 0o111


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_top_level() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in listed.splitlines()}
    folders = {"catalog", "docs", "formats", "htsget", "lake", "notebooks", "tests"}
    files = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
    assert {name for name in top if not name.startswith(".")} == folders | files


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / ".mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs')}\n" in navigation


def _builtin(cls: type) -> str:
    return next(base.__name__ for base in cls.__mro__ if base.__module__ == "builtins")


def test_every_error_is_documented_with_its_builtin() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|$", (ROOT / "docs" / "urls.md").read_text(), re.MULTILINE)
    documented = {
        name: set(re.findall(r"`(\w+)`", builtins))
        for names, builtins in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    for name, cls in inspect.getmembers(errors, inspect.isclass):
        if issubclass(cls, errors.LakeError) and cls is not errors.LakeError:
            assert _builtin(cls) in documented[name], name


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    assert errors.__doc__ is not None
    drawn = dict(re.findall(r"[├└]── (\w+) +(\w+) ", errors.__doc__))
    real = {
        name: _builtin(cls)
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.LakeError) and cls is not errors.LakeError
    }
    assert drawn == real
    codes = [getattr(errors, name).code for name in real]
    assert len(set(codes)) == len(codes)


def test_the_licence_is_the_one_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 The regionlake developers\n")
