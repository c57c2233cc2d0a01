"""Regions: samtools' grammar, BED targets, merging."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import InvalidInput, InvalidRegion
from lake.formats.region import (
    UNBOUNDED,
    Interval,
    Region,
    Selection,
    intersect,
    merge_regions,
    parse_region,
    read_targets,
)

CONTIGS = {"chr1": 1000, "chr2": 500, "HLA-DRB1*16:02:01": 12_000, "a": 10, "a:1-5": 10, "20": 63_025_520}


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("chr1", Region("chr1")),
        ("chr1:100", Region("chr1", 99)),
        ("chr1:100-200", Region("chr1", 99, 200)),
        ("chr1:-200", Region("chr1", 0, 200)),
        ("chr1:100-", Region("chr1", 99)),
        ("chr1:", Region("chr1")),
        ("20:1,000,100-10,001,000", Region("20", 1_000_099, 10_001_000)),
        ("20:1.5k-2M", Region("20", 1_499, 2_000_000)),
        ("20:1e3-1G", Region("20", 999, 1_000_000_000)),
        ("chr1:7-7", Region("chr1", 6, 7)),
        ("HLA-DRB1*16:02:01", Region("HLA-DRB1*16:02:01")),
        ("HLA-DRB1*16:02:01:1-100", Region("HLA-DRB1*16:02:01", 0, 100)),
        ("chr1:0-5", Region("chr1", 0, 5)),
        ("chr1:0", Region("chr1", 0, None)),
        ("{HLA-DRB1*16:02:01}:1-5", Region("HLA-DRB1*16:02:01", 0, 5)),
        ("{chr1}", Region("chr1")),
        ("{a:1-5}", Region("a:1-5")),
        ("{a}:1-5", Region("a", 0, 5)),
        ("*", Region("*")),
        (".", Region(".")),
    ],
)
def test_grammar(text: str, region: Region) -> None:
    assert parse_region(text, CONTIGS) == region


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1:200-100", "reversed"),
        ("chr1:5-0", "reversed"),
        ("chr1:-5-10", "not a position"),
        ("chr1:5x", "not a position"),
        ("chr1:1-+20", "not a position"),
        ("chr1: 5", "not a position"),
        ("chr1:-", "no position"),
        ("chr1:99999999999999999999", "too large"),
        ("chr1:1e99", "too large"),
        ("chr1:1e999999999", "not a position"),
        ("chr1:" + "9" * 5000, "not a position"),
        ("a:1-5", "ambiguous"),
        ("{chr1:5", "not closed"),
        ("{chr1}5", "after the brace"),
        ("1", "did you mean chr1?"),
        ("chr20", "did you mean 20?"),
        ("chr11", "did you mean chr1"),
        ("zzz", "the file has chr1, chr2"),
        ("", "no contig"),
        ("zz:1-5", "no contig 'zz'"),
        ("chr1:\u0661", "not a position"),
    ],
)
def test_what_is_no_region_is_told(text: str, message: str) -> None:
    with pytest.raises(InvalidRegion, match=message.replace("?", r"\?")):
        parse_region(text, CONTIGS)


def test_the_message_of_a_file_without_contigs() -> None:
    with pytest.raises(InvalidRegion, match="no contigs"):
        parse_region("chr1", {})


@given(
    st.sampled_from(list(CONTIGS)),
    st.integers(0, 1 << 40),
    st.one_of(st.none(), st.integers(1, 1 << 40)),
)
def test_printed_regions_parse_to_themselves(contig: str, start: int, length: int | None) -> None:
    region = Region(contig, start, None if length is None else start + length)
    contigs = {name: length for name, length in CONTIGS.items() if name != "a:1-5" or contig == name}
    assert parse_region(str(region), contigs) == region


@given(st.text(alphabet="achr12:-,{}*.0kMe+ ", max_size=20))
def test_any_text_is_a_region_or_an_error(text: str) -> None:
    try:
        region = parse_region(text, CONTIGS)
    except InvalidRegion:
        return
    assert region.start >= 0
    assert region.stop is None or region.stop > region.start


def test_targets() -> None:
    lines = [
        "# comment",
        "track name=x",
        "browser position chr1:1-5",
        "",
        "chr1\t10\t20\tname",
        "chr2 5",
        "elsewhere\t1\t2",
        "chr1\t30\t30",
    ]
    assert read_targets(lines, CONTIGS) == [Region("chr1", 10, 20), Region("chr2", 4, 5)]


@pytest.mark.parametrize("line", ["chr1", "chr1\tx\ty", "chr1\t9\t5"])
def test_bad_targets_are_told_with_their_line(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"t\.bed, line 2"):
        read_targets(["chr1\t1\t2", line], CONTIGS, "t.bed")


def test_merging_is_in_header_order_and_joins_what_touches() -> None:
    regions = [Region("chr2", 5, 9), Region("chr1", 50), Region("chr1", 0, 10), Region("chr1", 10, 20), Region("*")]
    merged = merge_regions(regions, CONTIGS)
    assert merged.intervals == (Interval(0, 0, 20), Interval(0, 50, UNBOUNDED), Interval(1, 5, 9))
    assert merged.unplaced
    assert merge_regions([*regions, Region(".")], CONTIGS) == Selection((), everything=True)


def _bases(selection: Selection) -> set[tuple[int, int]]:
    return {(tid, base) for tid, start, stop in selection.intervals for base in range(start, min(stop, 40))}


_regions = st.lists(
    st.builds(
        lambda contig, start, length: Region(contig, start, start + length),
        st.sampled_from(["chr1", "chr2"]),
        st.integers(0, 25),
        st.integers(1, 12),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(_regions, _regions)
def test_merge_and_intersect_are_those_of_sets_of_bases(left: list[Region], right: list[Region]) -> None:
    a, b = merge_regions(left, CONTIGS), merge_regions(right, CONTIGS)
    wanted = {(list(CONTIGS).index(r.contig), base) for r in left for base in range(r.start, r.stop or 0)}
    assert _bases(a) == wanted
    assert _bases(intersect(a, b)) == _bases(a) & _bases(b)
    assert all(x.tid < y.tid or x.stop < y.start for x, y in pairwise(a.intervals))
