"""Conditions on the columns of a table: ``cell_type == "T" and n_genes > 500``, in the words of ``DataFrame.query``.

    condition = any-of;  any-of = all-of *( "or" all-of );  all-of = one *( "and" one )
    one       = "not" one | "(" condition ")" | column [ operator value | ["not"] "in" list ]
    operator  = "==" | "!=" | "<" | "<=" | ">" | ">="
    list      = "(" value *( "," value ) ")" | "[" … "]"

A column alone is a column of booleans. Backticks quote names of columns that are no words, quotes quote text; a bare
word that stands for a value is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import InvalidRegion

__all__ = ["Column", "evaluate"]

_TOKEN = re.compile(
    r"\s*(?:(?P<operator>==|!=|<=|>=|<|>)|(?P<mark>[()\[\],])|(?P<text>\"[^\"]*\"|'[^']*')|`(?P<name>[^`]+)`"
    r"|(?P<word>[^\s()\[\],<>=!\"'`]+))"
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_DEEPEST = 50

Mask = npt.NDArray[np.bool_]
Value = str | float | int | bool


class Column(NamedTuple):
    """One column of a table."""

    values: npt.NDArray[Any]
    """A value a row; or, with ``codes``, the categories."""
    codes: npt.NDArray[Any] | None = None
    """The category of each row, negative where there is none."""
    ordered: bool = False
    missing: Mask | None = None
    """Rows without a value."""


class _Token(NamedTuple):
    kind: str
    text: str


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def evaluate(condition: str, rows: int, column: Callable[[str], Column | None]) -> Mask:
    """Which rows of a table meet a condition.

    As in pandas, a missing value equals nothing, is unequal to everything, and is neither less nor greater.

    Args:
        condition: see above.
        rows: of the table.
        column: a column by name; None where there is none of that name.

    Raises:
        InvalidRegion: not a condition, an unknown column, or a comparison that makes no sense.
    """
    parser = _Parser(condition, rows, column)
    mask = parser.any_of(0)
    if parser.peek().kind != "end":
        raise InvalidRegion(f"{parser.peek().text!r} is one word too many in the condition {condition!r}")
    return mask


class _Parser:
    def __init__(self, condition: str, rows: int, column: Callable[[str], Column | None]) -> None:
        self._condition, self._rows, self._column = condition, rows, column
        self._tokens: list[_Token] = []
        at = 0
        text = condition.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise InvalidRegion(f"{text[at:]!r} in the condition {condition!r} makes no sense")
            self._tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._tokens.append(_Token("end", "the end"))
        self._at = 0

    def peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _takes(self, *texts: str) -> bool:
        found = self.peek().kind in ("word", "mark") and self.peek().text in texts
        if found:
            self._at += 1
        return found

    def any_of(self, depth: int) -> Mask:
        mask = self._all_of(depth)
        while self._takes("or", "|"):
            mask = mask | self._all_of(depth)
        return mask

    def _all_of(self, depth: int) -> Mask:
        mask = self._one(depth)
        while self._takes("and"):
            mask = mask & self._one(depth)
        return mask

    def _one(self, depth: int) -> Mask:
        if depth > _DEEPEST:
            raise InvalidRegion("a condition with more than 50 brackets inside each other")
        if self._takes("not"):
            return ~self._one(depth + 1)
        if self._takes("("):
            mask = self.any_of(depth + 1)
            self._expect(")")
            return mask
        token = self._next()
        if token.kind not in ("word", "name"):
            raise InvalidRegion(f"{token.text!r} in the condition {self._condition!r}: a column was expected")
        column = self._column(token.text)
        if column is None:
            raise InvalidRegion(f"no column {token.text!r} for the condition {self._condition!r}")
        return self._compared(token.text, column)

    def _compared(self, name: str, column: Column) -> Mask:
        if self.peek().kind == "operator":
            operator = self._next().text
            return _compare(column, operator, self._value(), name)
        if self._takes("not"):
            self._expect("in")
            return ~self._within(column, name)
        if self._takes("in"):
            return self._within(column, name)
        return _compare(column, "==", True, name)

    def _within(self, column: Column, name: str) -> Mask:
        closing = {"(": ")", "[": "]"}.get(self._next().text)
        if closing is None:
            raise InvalidRegion(f"'in' without a list in the condition {self._condition!r}: write in (A, B)")
        mask = np.zeros(self._rows, np.bool_)
        while not self._takes(closing):
            mask |= _compare(column, "==", self._value(), name)
            if not self._takes(","):
                self._expect(closing)
                break
        return mask

    def _value(self) -> Value:
        token = self._next()
        if token.kind == "text":
            return token.text[1:-1]
        if token.kind != "word":
            raise InvalidRegion(f"{token.text!r} in the condition {self._condition!r}: a value was expected")
        if _NUMBER.fullmatch(token.text):
            return float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        return {"true": True, "false": False}.get(token.text.lower(), token.text)

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise InvalidRegion(f"{self.peek().text!r} in the condition {self._condition!r}: {text!r} was expected")


def _compare(column: Column, operator: str, value: Value, name: str) -> Mask:
    if column.codes is None:
        mask = _compare_values(column.values, operator, value, name)
        if column.missing is not None:
            mask = mask | column.missing if operator == "!=" else mask & ~column.missing
        return mask
    if operator in ("==", "!="):
        wanted = _compare_values(column.values, "==", value, name)
    elif column.ordered:
        place = np.flatnonzero(_compare_values(column.values, "==", value, name))
        if len(place) == 0:
            raise InvalidRegion(f"{value!r} is no category of {name}, whose order would tell")
        wanted = np.asarray(_OPERATORS[operator](np.arange(len(column.values)), place[0]), np.bool_)
    else:
        raise InvalidRegion(f"the categories of {name} have no order: ask for == or !=")
    known = (column.codes >= 0) & (column.codes < len(wanted))
    mask = np.zeros(len(column.codes), np.bool_)
    mask[known] = wanted[column.codes[known]]
    return ~mask if operator == "!=" else mask


def _compare_values(values: npt.NDArray[Any], operator: str, value: Value, name: str) -> Mask:
    textual = values.dtype.kind in "OSUT"
    if textual != isinstance(value, str):
        kind, other = ("text", "a number") if textual else ("numbers", "text")
        raise InvalidRegion(f"the column {name} has {kind}, {value!r} is {other}")
    return np.asarray(_OPERATORS[operator](values, value), np.bool_)
