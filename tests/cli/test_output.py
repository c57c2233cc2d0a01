"""How values are read from the command line, and how they are printed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.cli.output import attributes, human, print_json, table
from lake.errors import InvalidInput


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (10**18, "1e+03 PB"),
    ],
)
def test_human(size: int, text: str) -> None:
    assert human(size) == text


@given(st.text())
def test_text_stays_text(text: str) -> None:
    assert attributes([f"key:str={text}"]) == {"key": text}


@given(st.integers() | st.booleans() | st.none() | st.lists(st.integers()) | st.dictionaries(st.text(), st.text()))
def test_json_values(value: object) -> None:
    assert attributes([f"key:json={json.dumps(value)}"]) == {"key": value}


def test_a_colon_may_be_part_of_a_key() -> None:
    assert attributes(["a:b=1", ":int=2", "a:b:int=3"]) == {"a:b": 3, ":int": 2}
    with pytest.raises(InvalidInput, match="not of type int"):
        attributes(["x:int=1.5"])


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_numbers_that_json_has_not(text: str) -> None:
    with pytest.raises(InvalidInput, match="not of type float"):
        attributes([f"x:float={text}"])


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 100_000])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="not of type json"):
        attributes([f"x:json={text}"])


def test_names_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "bad\udcff", "good": "ü"})
    assert json.loads(capsys.readouterr().out) == {"name": "bad\udcff", "good": "ü"}


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    table([["a", "1", ""], ["long", "20", "x"]], right=frozenset([1]))
    table([])
    assert capsys.readouterr().out == "a      1\nlong  20  x\n"
