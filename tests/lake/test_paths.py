"""Paths and URLs: what they mean, and what none is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidPath
from lake.paths import (
    PROTOCOL,
    Target,
    clean_path,
    decode_name,
    encode_name,
    join,
    parent,
    parse_target,
    split_ref,
)

NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
PATH = (
    st.lists(NAME.filter(lambda name: name not in (".", "..")), min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda path: not path.startswith("@"))
)


@given(PATH)
def test_clean_paths_stay(path: str) -> None:
    assert clean_path(path) == path
    assert clean_path(f"/./{path}//") == path
    assert split_ref(path) == (None, path)
    assert split_ref(f"@v1/{path}") == ("v1", path)
    assert join(parent(path), path.rsplit("/", 1)[-1]) == path


@given(PATH)
def test_urls_name_every_path(path: str) -> None:
    encoded = encode_name(path)
    assert "#" not in encoded
    assert decode_name(encoded) == path
    for url in (encoded, PROTOCOL + encoded):
        assert parse_target(url) == Target(None, path, None)
        assert parse_target(f"{url}#chr1:1-5") == Target(None, path, "chr1:1-5")


@pytest.mark.parametrize(
    ("text", "ref", "path"),
    [
        ("@v1", "v1", ""),
        ("@v1/", "v1", ""),
        ("/@v1/a", "v1", "a"),
        ("@main~1/a/b", "main~1", "a/b"),
        ("@main@{2026-11-20}~1/a", "main@{2026-11-20}~1", "a"),
        ("@main@{2026/11/20 10:00}/a", "main@{2026/11/20 10:00}", "a"),
        ("a/@b", None, "a/@b"),
        ("", None, ""),
        ("/", None, ""),
    ],
)
def test_refs_in_paths(text: str, ref: str | None, path: str) -> None:
    assert split_ref(text) == (ref, path)


@pytest.mark.parametrize(
    "text", ["@", "@/", "@/a", "//@/a", "@v1/../a", "@v1/@v2/a", "..", "a/..", "nul\0", "n" * 256, "\udcff"]
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        split_ref(text)
    assert "\n" not in str(caught.value)


def test_the_longest() -> None:
    assert clean_path("/".join(["ü" * 127] * 16))
    with pytest.raises(InvalidPath, match="limit is 4096"):
        clean_path("/".join(["ü" * 127] * 17))
    with pytest.raises(InvalidPath, match="limit is 255"):
        clean_path("ü" * 128)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("lake://a.vcf.gz#chr20:1-1,000,000", Target(None, "a.vcf.gz", "chr20:1-1,000,000")),
        ("lake://@v1/run.mzML#rt=600-720&ms_level=2", Target("v1", "run.mzML", "rt=600-720&ms_level=2")),
        ("lake://odd%23name#chr1;chr2", Target(None, "odd#name", "chr1;chr2")),
        ("lake://100%", Target(None, "100%", None)),
        ("lake://a#", Target(None, "a", None)),
        ("a#{HLA-A%2A01:01}:1-5", Target(None, "a", "{HLA-A*01:01}:1-5")),
    ],
)
def test_urls(url: str, target: Target) -> None:
    assert parse_target(url) == target


def test_escapes_that_are_no_text() -> None:
    with pytest.raises(InvalidPath, match="UTF-8"):
        parse_target("lake://bad%ff")
