"""The grammar of refs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidRef
from lake.journal.refs import Back, Ref, Until, check_name, parse


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time two hours and a half ahead of UTC."""
    monkeypatch.setenv("TZ", "XXX-02:30")
    time.tzset()
    parse.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    parse.cache_clear()


def nanoseconds(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("main", Ref("main")),
        ("v1.0-β", Ref("v1.0-β")),
        ("17", Ref(17)),
        ("007", Ref(7)),
        ("main~2", Ref("main", (Back(2),))),
        ("main~", Ref("main", (Back(1),))),
        ("main~~3", Ref("main", (Back(1), Back(3)))),
        ("17~1", Ref(17, (Back(1),))),
        ("9" * 4000, Ref((1 << 63) - 1)),
        ("0" * 4000 + "5", Ref(5)),
    ],
)
def test_refs(text: str, parsed: Ref) -> None:
    assert parse(text) == parsed


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-20", nanoseconds(2026, 11, 20, 21, 30)),
        ("2026-12-31", nanoseconds(2026, 12, 31, 21, 30)),
        ("2026-11-20T10:00", nanoseconds(2026, 11, 20, 7, 30) + 1000),
        ("2026-11-20 10:00:05", nanoseconds(2026, 11, 20, 7, 30, 5) + 1000),
        ("2026-11-20T10:00:00.000007Z", nanoseconds(2026, 11, 20, 10) + 8000),
        ("2026-11-20T10:00:00+01:00", nanoseconds(2026, 11, 20, 9) + 1000),
        (" 1970-01-01T00:00Z ", 1000),
    ],
)
def test_times_are_local_unless_they_say_otherwise(text: str, end: int) -> None:
    assert parse(f"main@{{{text}}}") == Ref("main", (Until(end - 1),))
    assert parse(f"main@{{{text}}}~1") == Ref("main", (Until(end - 1), Back(1)))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "~1",
            "@{2026-11-20}",
            "@",
            "main^",
            "main~x",
            "main~-1",
            "main@",
            "main@{",
            "main@{}",
            "main@{yesterday}",
        ),
        *("main@{2026-13-01}", "main@{9999-12-31}", "main@{2026-11-20}x", "main~1x", "a/b", "a b", "-x", "a:b", "a\nb"),
        *("main@{0001-01-01}~a", "main@{2026-11-20", "x" * 300, "\udcff", "²"),
    ],
)
def test_what_is_no_ref(text: str) -> None:
    with pytest.raises(InvalidRef) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        ref = parse(text)
    except InvalidRef:
        return
    assert isinstance(ref.base, int) or text.startswith(ref.base)


@given(st.text(max_size=20))
def test_what_may_be_named_is_a_ref_of_that_name(name: str) -> None:
    try:
        check_name(name)
    except InvalidRef:
        return
    assert parse(name) == Ref(name)
    assert os.fsencode(name)
