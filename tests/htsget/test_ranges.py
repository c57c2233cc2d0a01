"""Which bytes a Range header names, held against sets of positions; conditions, held against examples of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.htsget.ranges import MAX_RANGES, ByteRange, condition_of, parse_ranges, wanted_ranges

_TAG = '"b3-1"'
_SIZES = st.integers(0, 40)
_POSITIONS = st.integers(0, 60)
_SPECS = st.one_of(
    st.tuples(_POSITIONS, _POSITIONS | st.none()).filter(lambda spec: spec[1] is None or spec[1] >= spec[0]),
    st.tuples(st.none(), _POSITIONS),
)
_Spec = tuple[int | None, int | None]


def _positions(spec: _Spec, size: int) -> list[int]:
    """The model: positions that a range names, one by one."""
    first, last = spec
    if first is None:
        assert last is not None
        return [position for position in range(size) if position >= size - last]
    return [position for position in range(size) if first <= position and (last is None or position <= last)]


def _text(spec: _Spec) -> str:
    return "-".join("" if number is None else str(number) for number in spec)


@given(st.lists(_SPECS, min_size=1, max_size=6), _SIZES, st.sampled_from([",", ", ", " ,\t", ",,", ", ,"]))
def test_ranges_agree_with_the_model(specs: list[_Spec], size: int, comma: str) -> None:
    named = [positions for spec in specs if (positions := _positions(spec, size))]
    found = parse_ranges("bytes=" + comma.join(map(_text, specs)), size)
    if len(named) > 1 and sum(map(len, named)) > size:
        assert found is None
    else:
        assert found is not None
        assert [list(range(*each)) for each in found] == named


@given(st.text() | st.text(alphabet="bytes=0123456789-, \t").map("bytes={}".format), _SIZES)
def test_any_header_is_understood_or_ignored(header: str, size: int) -> None:
    found = parse_ranges(header, size)
    if found is not None:
        assert len(found) <= MAX_RANGES
        assert all(0 <= each.start < each.stop <= size for each in found)
        assert sum(each.length for each in found) <= max(size, 0)


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes= , ", "bytes=a-b", "bytes=5-2", "bytes=1-2-3", "bytes=--1",
        "bytes=+1-2", "bytes=1 -2", "bytes=0x1-2", "bytes=١-٢", "items=0-1", "0-1", "bytes 0-1", "bytes=0-1;2-3",
    ],
)  # fmt: skip
def test_malformed_ranges_are_ignored(header: str) -> None:
    assert parse_ranges(header, 10) is None


def test_the_unit_has_no_case() -> None:
    assert parse_ranges("Bytes=0-0", 10) == (ByteRange(0, 1),)


def test_nothing_satisfiable_is_empty() -> None:
    assert parse_ranges("bytes=10-", 10) == ()
    assert parse_ranges("bytes=-0", 10) == ()
    assert parse_ranges("bytes=0-", 0) == ()
    assert parse_ranges(f"bytes={'9' * 5000}-", 10) == ()


def test_positions_of_any_length_are_clamped() -> None:
    assert parse_ranges(f"bytes=3-{'9' * 5000}", 10) == (ByteRange(3, 10),)
    assert parse_ranges(f"bytes=-{'9' * 5000}", 10) == (ByteRange(0, 10),)
    assert parse_ranges(f"bytes={'0' * 5000}1-2", 10) == (ByteRange(1, 3),)


def test_floods_are_answered_with_the_whole() -> None:
    many = [f"{2 * number}-{2 * number}" for number in range(MAX_RANGES)]
    assert len(parse_ranges("bytes=" + ",".join(many), 1000) or ()) == MAX_RANGES
    assert parse_ranges("bytes=" + ",".join([*many, "999-"]), 1000) is None
    assert parse_ranges("bytes=" + "," * 100_000 + "0-0", 1000) is None
    assert parse_ranges("bytes=0-,0-", 1000) is None  # the parts would be more than the whole
    assert parse_ranges("bytes=0-99,0-99", 1000) == (ByteRange(0, 100), ByteRange(0, 100))


@pytest.mark.parametrize(
    ("condition", "honoured"),
    [(None, True), (_TAG, True), ('"b3-2"', False), (f"W/{_TAG}", False), ("Sat, 29 Oct 1994 19:43:31 GMT", False)],
)
def test_if_range(condition: str | None, honoured: bool) -> None:
    headers = {"range": "bytes=1-2"} | ({"if-range": condition} if condition is not None else {})
    assert wanted_ranges(headers, _TAG, 10) == ((ByteRange(1, 3),) if honoured else None)


@pytest.mark.parametrize(
    ("headers", "failed", "known"),
    [
        ({}, False, False),
        ({"if-none-match": _TAG}, False, True),
        ({"if-none-match": f"W/{_TAG}"}, False, True),
        ({"if-none-match": f'"other, one" , {_TAG}'}, False, True),
        ({"if-none-match": "*"}, False, True),
        ({"if-none-match": "b3-1"}, False, False),
        ({"if-none-match": '"b3-12"'}, False, False),
        ({"if-match": _TAG}, False, False),
        ({"if-match": "*"}, False, False),
        ({"if-match": f'"x", {_TAG}'}, False, False),
        ({"if-match": f"W/{_TAG}"}, True, False),
        ({"if-match": '"x"'}, True, False),
        ({"if-match": ""}, True, False),
        ({"if-match": '"x"', "if-none-match": _TAG}, True, False),
    ],
)
def test_conditions(headers: dict[str, str], failed: bool, known: bool) -> None:
    assert condition_of(headers, _TAG) == (failed, known)
