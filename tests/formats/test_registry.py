"""The registry of formats and companions."""

from __future__ import annotations

import pytest

from lake.formats.base import RegionFormat
from lake.formats.registry import FORMATS, Companion, companion, get_format, region_format
from lake.formats.sniffing import Detected, media_type, suffix_problem


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_listed_format_loads_under_its_name(name: str) -> None:
    found = get_format(name)
    assert found is not None
    assert found.name == name
    assert found.media_type == media_type(name)
    assert list(found.suffixes) == sorted(found.suffixes, key=len, reverse=True)
    for suffix in found.suffixes:
        assert None in [suffix_problem(f"x{suffix}", Detected(name, container)) for container in (None, "gzip", "bgzf")]


def test_bam_answers_regions() -> None:
    assert isinstance(region_format("BAM"), RegionFormat)


def test_unknown_formats_are_none() -> None:
    assert get_format("text") is None
    assert region_format("binary") is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/s1.bam.bai", Companion("bai", ("a/s1.bam",))),
        ("a/s1.bai", Companion("bai", ("a/s1", "a/s1.bam"))),
        ("s1.CRAM.CRAI", Companion("crai", ("s1.CRAM",))),
        ("x.fa.gz.fai", Companion("fai", ("x.fa.gz",))),
        ("x.vcf.gz.tbi", Companion("tbi", ("x.vcf.gz",))),
        ("s1.bam", None),
        ("bai", None),
        ("a/.bai", None),
    ],
)
def test_companions(path: str, found: Companion | None) -> None:
    assert companion(path) == found
