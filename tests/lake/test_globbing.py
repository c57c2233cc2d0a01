"""Patterns match what `glob` matches in the same tree on disk."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import NotFound
from lake.lake import Lake
from tests.lake.samples import make_tree

NAMES = ["a.txt", "b.txt", "ab", "a[1].txt", "[", "]x", "a-b", "!x", "^x", ".hidden", "x\ny", "ü.bam"]
FILES = {
    **dict.fromkeys(NAMES, "x"),
    **{f"d/{name}": "x" for name in NAMES},
    "d/e/a.txt": "x",
    "d/e/f/b.txt": "x",
    "ab/": "",
    "empty/": "",
}
del FILES["ab"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("glob") / "tree", FILES)


@pytest.fixture(scope="module")
def lk(tree: Path) -> Lake:
    found = Lake.init(tree.parent / "lake")
    found.put(f"{tree}/.", "")
    return found


def expected(tree: Path, pattern: str) -> list[str]:
    found = glob.glob(pattern, root_dir=tree, recursive=True, include_hidden=True)
    # Of "a/**" glob answers "a/" whether there is an "a" or not.
    return sorted({os.path.normpath(name) for name in found if name and (tree / name).exists()})


def expanded(lk: Lake, pattern: str) -> list[str]:
    try:
        return lk.expand(pattern)
    except NotFound:
        return []


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "*.txt", "?.txt", "d/*", "*/*", "**/*.txt", "d/**", "d/**/b.txt", "**/e/**/*.txt", "**", "**/**/a.txt"),
        *("[ab].txt", "[!a].txt", "[^a].txt", "[a-b].txt", "[z-a].txt", "[[]", "[]]x", "[!]]x", "a[[]1].txt", "x?y"),
        *("d[/]e", "d[!a]e/a.txt", "a**b", "d/**b.txt", "[", "[a", ".*"),
        *("[a&&b].txt", "[a--b].txt", "[a||b].txt", "[a~~b].txt"),
    ],
)
def test_as_glob_does(lk: Lake, tree: Path, pattern: str) -> None:
    if pattern == "[":
        assert lk.expand(pattern) == ["["]
        return
    wanted = expected(tree, pattern)
    if pattern in ("d/**",):
        wanted.remove("d")
    assert expanded(lk, pattern) == wanted


PIECES = st.sampled_from(
    ["*", "?", "**", "/", "a", "b", ".txt", "[", "]", "!", "-", "d", "e", "[ab]", "[!a]", "x", "**/"]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(PIECES, min_size=1, max_size=6).map("".join))
def test_any_pattern(lk: Lake, tree: Path, pattern: str) -> None:
    cleaned = "/".join(name for name in pattern.split("/") if name)
    if not glob.has_magic(pattern) or ("]" in pattern and "[" not in pattern) or (tree / cleaned).exists():
        return
    wanted = expected(tree, cleaned)
    if cleaned.endswith("/**"):
        # What holds the rest is listed by glob, too; here a pattern never matches what it only starts with.
        holders = {
            os.path.normpath(name)
            for name in glob.glob(cleaned[:-3], root_dir=tree, recursive=True, include_hidden=True)
        }
        assert set(expanded(lk, pattern)) <= set(wanted) <= set(expanded(lk, pattern)) | holders
    else:
        assert expanded(lk, pattern) == wanted


def test_hostile_patterns_end(lk: Lake) -> None:
    with pytest.raises(NotFound):
        lk.expand("*a" * 120 + "b")
    with pytest.raises(NotFound):
        lk.expand("**/*a/" * 60 + "b")


def test_no_match_and_no_pattern(lk: Lake) -> None:
    assert lk.expand("nothing") == ["nothing"]
    with pytest.raises(NotFound, match=r"\*\.cram"):
        lk.expand("*.cram")
    assert lk.expand("@1/d/e/*.txt") == ["@1/d/e/a.txt"]
    assert lk.expand("a[1].txt") == ["a[1].txt"]
