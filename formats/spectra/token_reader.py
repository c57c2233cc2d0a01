"""Tokens of many elements at once: fast where that gives what the general reader gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.formats.spectra.tokens import FAST, GROUP, START, USER, Token, general_tokens, token_number

__all__ = ["Item", "TokenReader", "Tokens"]

I64 = NDArray[np.int64]

_SAMPLE_HEAD, _SAMPLE_EVERY = 64, 499
"""Of a file, the first elements and every so many-th after them are read by both readers of tokens."""

_PARAM = b"<cvParam"


class Item(NamedTuple):
    """One spectrum or chromatogram as it was found."""

    offset: int
    length: int
    header: int
    """Bytes ahead of its arrays."""
    text: bytes
    """The element without its base64."""
    arrays: tuple[tuple[int, int], ...]
    """Offset and length of each base64 text."""
    cuts: tuple[int, ...]
    """Where in the text they were."""


class Tokens(NamedTuple):
    """Tokens of some elements, one after the other."""

    flat: list[Token]
    numbers: NDArray[np.int32]
    """`token_number` of each."""
    counts: I64
    """How many each element has."""


class TokenReader:
    """Tokens of the elements of one file: fast where that gives what the general reader gives, else general."""

    def __init__(self, groups: Mapping[bytes, Sequence[Token]], *, general: bool = False) -> None:
        self._groups = groups
        self._pattern: int = len(FAST) if general else 0
        self._seen = 0
        self._numbers = _Numbers()

    @property
    def general(self) -> bool:
        """Whether no fast pattern fits the file."""
        return self._pattern == len(FAST)

    def read(self, items: Sequence[Item]) -> Tokens:
        """Tokens of the elements, each beginning with that of its own tag."""
        first = -self._seen % _SAMPLE_EVERY
        sample = {*range(max(_SAMPLE_HEAD - self._seen, 0)), *range(first, len(items), _SAMPLE_EVERY)}
        self._seen += len(items)
        while self._pattern < len(FAST):
            found = self._fast(items, sample)
            if found is not None:
                return found
            self._pattern += 1
        return self.numbered([general_tokens(item.text, self._groups) for item in items])

    def numbered(self, per_item: Sequence[Sequence[Token]]) -> Tokens:
        """Tokens that were read one element at a time."""
        tokens = [token for some in per_item for token in some]
        return Tokens(tokens, self._numbers_of(tokens), np.array(list(map(len, per_item)), np.int64))

    def _fast(self, items: Sequence[Item], sample: Iterable[int]) -> Tokens | None:
        text = b"\n".join([item.text for item in items])
        tokens: list[Token] = FAST[self._pattern].findall(text)
        numbers = self._numbers_of(tokens)
        starts = np.flatnonzero(numbers == START)
        if len(starts) != len(items) or (len(starts) and starts[0] != 0):
            return None
        bounds = [*starts.tolist(), len(tokens)]
        again = set(np.flatnonzero(np.logical_or.reduceat((numbers == GROUP) | (numbers == USER), starts)).tolist())
        params = np.add.reduceat(numbers > 0, starts)
        if text.count(_PARAM) != int(params.sum()):
            again.update(row for row, item in enumerate(items) if item.text.count(_PARAM) != params[row])
            if len(again) > len(items) // 2:
                return None
        for row in sample:
            if row < len(items) and row not in again:
                expected = general_tokens(items[row].text, self._groups)
                if not _same(tokens[bounds[row] : bounds[row + 1]], expected):
                    return None
        if not again:
            return Tokens(tokens, numbers, np.diff(bounds))
        return self.numbered(
            [
                general_tokens(items[row].text, self._groups) if row in again else tokens[bounds[row] : bounds[row + 1]]
                for row in range(len(items))
            ]
        )

    def _numbers_of(self, tokens: Sequence[Token]) -> NDArray[np.int32]:
        return np.fromiter(map(self._numbers.__getitem__, [token[0] or token[3] for token in tokens]), np.int32)


class _Numbers(dict[bytes, int]):
    """`token_number` by accession or tag; as many are kept as a file can well need."""

    def __missing__(self, key: bytes) -> int:
        if len(self) > 1 << 16:
            self.clear()
        number = self[key] = token_number(key)
        return number


def _same(mine: Sequence[Token], expected: Sequence[Token]) -> bool:
    return [token[:4] for token in mine] == [token[:4] for token in expected]
