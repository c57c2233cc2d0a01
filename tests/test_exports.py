"""`__all__` is exact: it names what exists, and modules take from each other only what it names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"lake": "lake", "formats": "lake.formats", "catalog": "lake.catalog", "htsget": "lake.htsget"}
SOURCES = {
    ".".join((package, *path.relative_to(ROOT / folder).with_suffix("").parts)).removesuffix(".__init__"): path
    for folder, package in PACKAGES.items()
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.resolve() == path  # not through lake/formats -> ../formats
}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def exported(name: str) -> list[str] | None:
    for node in TREES[name].body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            value: list[str] = ast.literal_eval(node.value)
            return value
    return None


def taken(name: str) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a module imports from another of the project."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.module in SOURCES:
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("name", [name for name, path in SOURCES.items() if not path.name.startswith("__")])
def test_a_module_says_what_is_public(name: str) -> None:
    listed = exported(name)
    assert listed is not None
    assert len(listed) == len(set(listed))
    assert not [public for public in listed if public.startswith("_")]


@pytest.mark.parametrize("name", SOURCES)
def test_only_public_names_are_taken(name: str) -> None:
    private = [
        f"{module}.{what}"
        for module, what in taken(name)
        if f"{module}.{what}" not in SOURCES and what not in (exported(module) or ())
    ]
    assert not private


def test_what_lake_exports_exists() -> None:
    import lake

    names: list[str] = getattr(lake, "__all__", [])
    assert all(getattr(lake, name) is not None for name in names)
