"""Names that a file does not have are resolved where only one contig can be meant."""

from __future__ import annotations

import pytest

from lake.errors import InvalidRegion
from lake.formats.contig_names import declared_names, other_names, resolve_region

B37 = {"1": 1000, "MT": 16569, "GL000191.1": 500, "HLA-A*01:01": 90}
HG19 = {"chr1": 1000, "chrM": 16571, "chr1:5": 7}


def resolve(text: str, contigs: dict[str, int], header: bytes = b"") -> str:
    return resolve_region(text, contigs, lambda: declared_names(header))


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("chr1", "1"),
        ("chr1:1,000-2,000", "1:1,000-2,000"),
        ("{chr1}:5", "1:5"),
        ("chrM:1-5", "MT:1-5"),
        ("M", "MT"),
        ("1:5", "1:5"),
        ("*", "*"),
        (".", "."),
        ("chr2", "chr2"),
        ("1:9-5", "1:9-5"),
        ("chrHLA-A*01:01:3-4", "{HLA-A*01:01}:3-4"),
    ],
)
def test_names_of_another_style(text: str, resolved: str) -> None:
    assert resolve(text, B37) == resolved


def test_the_prefix_is_put_on() -> None:
    assert resolve("1:7-9", HG19) == "chr1:7-9"
    assert resolve("MT", HG19) == "chrM"
    assert resolve("chrMT:3", HG19) == "chrM:3"


def test_names_that_the_header_declares() -> None:
    header = b"@SQ\tSN:1\tLN:1000\tAN:CM000663.1,NC_000001.10\n"
    header += b"@SQ\tSN:MT\tLN:16569\tAN:both\n@SQ\tSN:GL000191.1\tLN:5\tAN:both\n"
    assert resolve("NC_000001.10:5-6", B37, header) == "1:5-6"
    with pytest.raises(InvalidRegion, match=r"MT, GL000191\.1"):
        resolve("both", B37, header)


def test_two_mitochondria_are_ambiguous() -> None:
    with pytest.raises(InvalidRegion, match="'M' is ambiguous: the file has MT, chrM"):
        resolve("M:1-5", {"MT": 5, "chrM": 6})
    assert resolve("chrM", {"MT": 5, "chrM": 6}) == "chrM"
    assert other_names("nothing", HG19, {}) == []
