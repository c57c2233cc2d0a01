"""Numbers and columns of lines as arrays, against Python's own reading of the same text."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from lake.digest import Digest
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.compression.containers import BgzfContainer
from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.columns import Lines, first_columns, integers, starts_of_runs
from lake.formats.lines.text_source import TextSource
from lake.formats.reader import BytesReader
from lake.formats.variants.vcf_dialect import VcfDialect

_ODD = (b"", b"-3", b"+3", b"12a", b"a12", b"1 2", b"1/2", b"9:9", b"\xff9", b"1" * 19, b"0x10", b".")


def _column(words: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    lengths = np.array([len(word) for word in words], np.int64)
    stop = np.cumsum(lengths + 1) - 1
    return b"\t".join(words) + b"\n", stop - lengths, stop


@pytest.mark.parametrize("count", [1, 7, 4096, 4097, 10_000])
def test_integers_are_those_of_python(count: int) -> None:
    chance = random.Random(count)
    words = [
        chance.choice(_ODD) if chance.random() < 0.1 else b"%d" % chance.randrange(10 ** chance.randint(1, 18))
        for _ in range(count)
    ]
    value, good = integers(*_column(words))
    plain = [re.fullmatch(rb"[0-9]{1,18}", word) is not None for word in words]
    assert good.tolist() == plain
    assert value.tolist() == [int(word) if fine else 0 for word, fine in zip(words, plain, strict=True)]


def test_no_numbers_at_all() -> None:
    value, good = integers(b"abc\n", np.array([0]), np.array([3]))
    assert (value.tolist(), good.tolist()) == ([0], [False])
    value, good = integers(b"", np.empty(0, np.int64), np.empty(0, np.int64))
    assert (len(value), len(good), value.dtype) == (0, 0, np.dtype(np.int64))


def test_runs_of_equal_fields() -> None:
    words = [b"a", b"a", b"ab", b"ab", b"b", b"b", b"", b"", b"a"]
    assert starts_of_runs(*_column(words)).tolist() == [0, 2, 4, 6, 8]
    assert starts_of_runs(*_column([b"a"])).tolist() == [0]


def test_columns_that_lines_lack_are_empty() -> None:
    lines = Lines.of(b"a\tbc\td\ne\n\tf\r\n", 0, final=True)
    columns = first_columns(lines, 3)
    assert [[columns.text(line, number) for number in range(3)] for line in range(3)] == [
        [b"a", b"bc", b"d"],
        [b"e", b"", b""],
        [b"", b"f", b""],
    ]
    assert columns.present.tolist() == [3, 1, 2]


def test_records_up_to_a_place_whatever_the_blocks() -> None:
    """Lines that end blocks, that straddle one end, and that straddle several."""
    lines = [b"1\t%d\t%s\tA\tC\t.\t.\t.\n" % (at + 1, b"n" * (200_000 if at == 40 else 7 * at)) for at in range(80)]
    text = b"##fileformat=VCFv4.3\n" + b"".join(lines)
    for size in (300, 5_000, 65_280):
        data = b"".join(compress(text[at : at + size]) for at in range(0, len(text), size)) + EOF_BLOCK
        source = TextSource(
            BgzfContainer(BytesReader(data, Digest("0" * 64))), VcfDialect(), Numbering([b"1"], fixed=True)
        )
        places = np.concatenate([batch.first for batch in source.walk(source.start)]).tolist()
        assert len(places) == len(lines)
        for first, last in ((0, 1), (0, 30), (3, 5), (39, 41), (40, 41), (41, 79), (0, 79)):
            found = [pos for batch in source.walk(places[first], places[last]) for pos in batch.pos.tolist()]
            assert found == list(range(first, last))
