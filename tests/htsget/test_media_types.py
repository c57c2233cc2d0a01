"""What a client accepts."""

from __future__ import annotations

import pytest

from lake.htsget.media_types import accepted

NEW, OLD = "text/vnd.x.v2+plain; charset=us-ascii", "text/vnd.x.v1+plain"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, NEW),
        ("", NEW),
        ("*/*", NEW),
        ("text/*", NEW),
        ("text/plain", NEW),
        ("TEXT/VND.X.V1+PLAIN", OLD),
        ("text/vnd.x.v1+plain, text/vnd.x.v2+plain", NEW),
        ("text/vnd.x.v2+plain;q=0.5, text/vnd.x.v1+plain", OLD),
        ("text/vnd.x.v2+plain;q=0, */*", OLD),
        ("text/vnd.x.v2+plain; charset=utf-8; q=0.3", NEW),
        ("text/html", None),
        ("text/plain;q=0", None),
        ("text/plain;q=much", None),
        ("," * 100_000, None),
        ("plain", None),
    ],
)
def test_the_best_type_that_a_client_accepts(header: str | None, found: str | None) -> None:
    assert accepted(header, (NEW, OLD)) == found
