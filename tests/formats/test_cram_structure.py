"""The structures of CRAM: integers, containers, counters."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.digest import Digest
from lake.formats.cram.counters import renumber
from lake.formats.cram.source import CramSource
from lake.formats.cram.structure import (
    EOF_MARKERS,
    Fields,
    Nonsense,
    Short,
    header_container,
    is_end_marker,
    itf8,
    ltf8,
    read_block,
    read_container,
    read_slice,
    reference_required,
)
from lake.formats.reader import BytesReader


@given(st.integers(0, (1 << 32) - 1))
def test_itf8_comes_back(value: int) -> None:
    data = itf8(value)
    fields = Fields(data + b"\xff")
    assert (fields.itf8(), fields.at) == (value, len(data))
    assert Fields(data).signed() == (value if value < 1 << 31 else value - (1 << 32))


@given(st.integers(0, (1 << 64) - 1))
def test_ltf8_comes_back(value: int) -> None:
    data = ltf8(value)
    fields = Fields(data + b"\xff")
    assert (fields.ltf8(), fields.at) == (value, len(data))


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    # CRAM specification 3.1, section 2.3.
    [(0, "00"), (127, "7f"), (128, "8080"), (16383, "bfff"), (16384, "c04000"), (1 << 28, "f100000000")],
)
def test_itf8_of_the_specification(value: int, hexadecimal: str) -> None:
    assert itf8(value).hex() == hexadecimal


@given(st.binary(max_size=200), st.sampled_from([2, 3]))
def test_any_bytes_are_a_structure_too_short_or_nonsense(data: bytes, major: int) -> None:
    for parse in (partial(read_container, major=major), read_block, partial(read_slice, major=major)):
        with suppress(Short, Nonsense):
            parse(Fields(data))
    assert reference_required(data) in (True, False)


@pytest.mark.parametrize(("major", "minor"), [(2, 1), (3, 0), (3, 1)])
def test_a_made_beginning_is_read_by_htslib_and_by_us(tmp_path: Path, major: int, minor: int) -> None:
    text = b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:10\n" + b"@CO\tlong\n" * 5000
    data = header_container(text, major, minor) + EOF_MARKERS[major]
    source = CramSource(BytesReader(data))
    assert (source.text, source.contigs, list(source.containers())) == (text, {"a": 10}, [])
    path = tmp_path / "made.cram"
    path.write_bytes(data)
    before = pysam.set_verbosity(0)
    with pysam.AlignmentFile(str(path), "rc") as made:
        assert str(made.header).encode() == text
        assert list(made) == []
    pysam.set_verbosity(before)


def test_end_markers_with_other_meaningless_bits_count() -> None:
    for major, marker in EOF_MARKERS.items():
        assert is_end_marker(marker, major)
        # htsjdk sets all bits of an itf8 of which only four mean something.
        assert is_end_marker(marker[:8] + b"\xff" + marker[9:], major)
        assert not is_end_marker(marker[:-1], major)
        assert not is_end_marker(marker[:9] + b"\xe1" + marker[10:], major)


@pytest.mark.parametrize("major", [2, 3])
def test_renumbering_changes_nothing_but_counters(tmp_path: Path, major: int) -> None:
    header = pysam.AlignmentHeader.from_dict({"SQ": [{"SN": "a", "LN": 10_000}]})
    path = tmp_path / "made.cram"
    options = [f"version={major}.{3 - major}", "no_ref=1", "seqs_per_slice=10", "slices_per_container=3"]
    with pysam.AlignmentFile(str(path), "wc", header=header, format_options=options) as file:
        for position in range(100):
            file.write(pysam.AlignedSegment.fromstring(f"r\t0\ta\t{position + 1}\t9\t4M\t*\t0\t0\tACGT\t*", header))
    data = path.read_bytes()
    source = CramSource(BytesReader(data))
    body = source.reader.read(source.body, source.end - source.body)
    assert renumber(body, major, 0) == body
    moved = BytesReader(data[: source.body] + renumber(body, major, 1_000_000) + EOF_MARKERS[major], Digest("0" * 64))
    counters = [container.header.counter for container in CramSource(moved).containers()]
    assert counters == [1_000_000, 1_000_030, 1_000_060, 1_000_090]
    path.write_bytes(moved.read(0, moved.size))
    before = pysam.set_verbosity(0)
    with pysam.AlignmentFile(str(path), "rc") as again:
        assert [record.reference_start for record in again] == list(range(100))
    pysam.set_verbosity(before)
