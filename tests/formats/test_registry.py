"""The registry of formats and companions."""

from __future__ import annotations

import pytest

from lake.formats.base import ColumnFormat, RegionFormat
from lake.formats.decode_options import OUTPUTS
from lake.formats.reader import BytesReader
from lake.formats.registry import COMPANION_ONLY, FORMATS, Companion, companion, get_format, region_format
from lake.formats.sniffing import Detected, media_type, suffix_problem


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_listed_format_loads_under_its_name(name: str) -> None:
    found = get_format(name)
    assert found is not None
    assert found.name == name
    assert found.media_type == media_type(name)
    assert list(found.suffixes) == sorted(found.suffixes, key=len, reverse=True)
    for suffix in found.suffixes:
        assert None in [
            suffix_problem(f"x{suffix}", Detected(name, container)) for container in (None, "gzip", "bgzf", "bzip2")
        ]


@pytest.mark.parametrize("name", ["BAM", "CRAM", "VCF", "BCF"])
def test_media_types_are_those_of_ga4gh(name: str) -> None:
    found = get_format(name)
    assert found is not None
    assert found.media_type == OUTPUTS[name] == f"application/vnd.ga4gh.{name.lower()}"


def test_formats_that_only_a_companion_explains_say_so() -> None:
    reader = BytesReader(b"a\t1\t2\n")
    explained = {
        name
        for name in FORMATS
        if isinstance(form := region_format(name), ColumnFormat) and "index says" in (form.indexable(reader) or "")
    }
    assert explained == COMPANION_ONLY


def test_bam_answers_regions() -> None:
    assert isinstance(region_format("BAM"), RegionFormat)


def test_unknown_formats_are_none() -> None:
    assert get_format("JSON") is None
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
