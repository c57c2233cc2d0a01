"""Slices of mzML of which spectra cannot stay what they are, for their arrays lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.reader import ByteReader
from lake.formats.spectra.start_tags import Edit, dangling_references, edited, numbered, start_tag, with_attribute
from lake.formats.spectra.table import ChromatogramTable, ListSpan, RunTable, SpectrumTable

__all__ = ["ArrayEdits", "read_exactly", "rewrite"]

Rows = NDArray[np.int64]

ArrayEdits = Callable[[bytes, SpectrumTable | ChromatogramTable, int], list[Edit]]
"""What changes in an element, given its text, its table and its row: edits in order."""

_LONGEST_HEAD = 64 << 20
_LONGEST_ITEM = 256 << 20


def read_exactly(reader: ByteReader, start: int, stop: int) -> bytes:
    """
    Raises:
        FormatError: there are no such bytes.
    """
    data = reader.read(start, stop - start)
    if len(data) != stop - start:
        raise FormatError(f"there is no byte {stop - 1}: the file ends before what it says that it holds")
    return data


def rewrite(
    content: ByteReader,
    run: RunTable,
    spectra: Rows,
    traces: Rows,
    head_edits: Callable[[bytes], list[Edit]],
    array_edits: ArrayEdits,
) -> Iterator[bytes]:
    """An mzML (not indexed) of some spectra and chromatograms, numbered anew.

    References to spectra that are not in it become external ones.

    Args:
        content: the text to which the table refers.
        run: its table, with a layout.
        spectra: rows that are kept.
        traces: rows of chromatograms that are kept.
        head_edits: what changes in the text ahead of the first list.
        array_edits: what changes in each element.

    Raises:
        FormatError: the text is not what the table says.
    """
    layout = run.layout
    assert layout is not None
    known: frozenset[str] = frozenset(filter(None, run.spectra.native_id[spectra]))
    done = layout.mzml
    lists = (
        (layout.spectra, run.spectra, spectra),
        (layout.chromatograms, run.chromatograms, traces),
    )
    first = next((span.tag for span, _, _ in lists if span is not None), layout.run_close)
    if first - done > _LONGEST_HEAD:
        raise FormatError(f"{first - done} bytes stand ahead of the first spectrum: too many to be changed")
    prolog = read_exactly(content, 0, min(layout.root, _LONGEST_HEAD))
    head = read_exactly(content, done, first)
    yield prolog + edited(head, head_edits(head))
    done = first
    for span, table, rows in lists:
        if span is None:
            continue
        yield read_exactly(content, done, span.tag)
        if len(rows) or table is run.spectra:
            yield from _list(content, span, table, rows, known, layout.encoding, array_edits)
        done = span.stop
    yield read_exactly(content, done, layout.stop) + b"\n"


def _list(
    content: ByteReader,
    span: ListSpan,
    table: SpectrumTable | ChromatogramTable,
    rows: Rows,
    known: frozenset[str],
    encoding: str,
    array_edits: ArrayEdits,
) -> Iterator[bytes]:
    tag = with_attribute(start_tag(read_exactly(content, span.tag, span.content)), b"count", b"%d" % len(rows))
    yield tag
    for number, row in enumerate(rows.tolist()):
        start, length = int(table.offset[row]), int(table.length[row])
        if length > _LONGEST_ITEM:
            raise FormatError(f"the element at byte {start} has {length} bytes: too many to be changed")
        text = read_exactly(content, start, start + length)
        edit = numbered(text, number)
        edits = [*([edit] if edit is not None else []), *dangling_references(text, known, encoding)]
        yield b"\n" + edited(text, sorted((*edits, *array_edits(text, table, row))))
    yield b"\n"
    if span.close < span.stop:
        yield read_exactly(content, span.close, span.stop)
