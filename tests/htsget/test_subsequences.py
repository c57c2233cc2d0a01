"""Parts of sequences, against slices of a string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lake.htsget.subsequences import Part, Unreadable, Unsatisfiable, by_positions, by_range

NUMBERS = st.integers(0, 12)


def taken(part: Part, text: str) -> str:
    return "".join(text[start:stop] for start, stop in part.intervals(len(text)))


@given(st.integers(0, 9), st.none() | NUMBERS, st.none() | NUMBERS)
def test_positions(length: int, start: int | None, end: int | None) -> None:
    text = "ABCDEFGHI"[:length]
    first, last = start or 0, length if end is None else end
    try:
        part = by_positions(None if start is None else str(start), None if end is None else str(end), length)
    except Unsatisfiable:
        assert first >= length or last > length
        return
    expected = text[first:last] if first <= last else text[first:] + text[:last]
    assert taken(part, text) == expected
    assert part.size(length) == len(expected)
    assert not part.partial


@given(st.integers(0, 9), st.none() | NUMBERS, st.none() | NUMBERS)
def test_ranges(length: int, first: int | None, last: int | None) -> None:
    text = "ABCDEFGHI"[:length]
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        expected = text[-last:] if last else ""
    else:
        expected = text[first:] if last is None else text[first : last + 1]
    try:
        part = by_range(header, length)
    except Unreadable:
        assert first is None
        assert last is None
    except Unsatisfiable:
        assert expected == ""
    else:
        assert taken(part, text) == expected != ""
        assert part.partial
