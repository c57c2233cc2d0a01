"""docs/catalog.md shows what the catalog answers. After a change on purpose: ``python -m tests.docs.regenerate``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.lake import Lake
from tests.docs.cohort import make_cohort
from tests.docs.page import PAGE, Example, answer, described_views, examples, written_views

TEXT = PAGE.read_text()
EXAMPLES = examples(TEXT)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake of the page."""
    with make_cohort(tmp_path_factory.mktemp("cohort")) as lk:
        yield lk


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.heading for example in EXAMPLES])
def test_an_example_answers_what_the_page_shows(cohort: Lake, example: Example) -> None:
    found = answer(cohort, example.language, example.code)
    if example.output is not None:
        assert found == example.output


def test_no_answer_of_a_question_is_empty() -> None:
    shown = [example.output for example in EXAMPLES if example.output is not None]
    assert len(shown) >= 20
    assert not [output for output in shown if not output or "(0 rows)" in output]


def test_every_view_and_column_is_described_as_the_catalog_does(cohort: Lake) -> None:
    described = described_views(cohort)
    assert written_views(TEXT) == described
    assert "None" not in described
    assert "|  |" not in described


def test_a_published_catalog_answers_the_same(tmp_path: Path) -> None:
    with make_cohort(tmp_path) as lk:
        lk.catalog.publish(force=True)
        shown = [example for example in EXAMPLES if example.output is not None]
        assert [answer(lk, example.language, example.code) for example in shown] == [
            example.output for example in shown
        ]
