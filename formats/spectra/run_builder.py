"""A `RunTable` from batches of elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.formats.spectra.items import Batch, read_items
from lake.formats.spectra.table import (
    ArrayTable,
    ChromatogramTable,
    Layout,
    PrecursorTable,
    RunFacts,
    RunTable,
    SpectrumTable,
)
from lake.formats.spectra.token_reader import Item, TokenReader
from lake.formats.spectra.tokens import Token

__all__ = ["RunBuilder"]

_Parts = dict[str, list[NDArray[Any]]]


class RunBuilder:
    """Gathers the columns of spectra and of chromatograms, each in file order."""

    def __init__(self, reader: TokenReader, encoding: str) -> None:
        self._reader = reader
        self._encoding = encoding
        self._spectra: list[Batch] = []
        self._chromatograms: list[Batch] = []
        self.count = 0
        """Elements so far."""

    @property
    def general(self) -> bool:
        """Whether the headers needed the general reader."""
        return self._reader.general

    def add(self, items: Sequence[Item], *, spectra: bool, tokens: list[list[Token]] | None = None) -> None:
        """The next elements, all of them spectra or all of them chromatograms."""
        batch = read_items(items, self._reader, self._encoding, tokens=tokens)
        (self._spectra if spectra else self._chromatograms).append(batch)
        self.count += len(items)

    def finish(self, run: RunFacts, layout: Layout | None) -> RunTable:
        """Everything."""
        empty = read_items([], TokenReader({}, general=True), self._encoding)
        spectra = [empty, *self._spectra]
        rows = _joined([batch.rows for batch in spectra], SpectrumTable)
        first = np.cumsum([0, *(len(batch.counts) for batch in spectra)])
        further = _joined([batch.further for batch in spectra], PrecursorTable)
        further["row"] = np.concatenate(
            [batch.further["row"] + start for batch, start in zip(spectra, first, strict=False)]
        ).astype(np.int64)
        traces = [empty, *self._chromatograms]
        trace_rows = _joined(
            [batch.rows for batch in traces if batch is not empty] or [_no_traces()], ChromatogramTable
        )
        return RunTable(
            run,
            SpectrumTable(**rows, arrays=_arrays(spectra), further=PrecursorTable(**further)),
            ChromatogramTable(**trace_rows, arrays=_arrays(traces)),
            layout,
        )


def _arrays(batches: Sequence[Batch]) -> ArrayTable:
    columns = _joined([batch.arrays for batch in batches], ArrayTable)
    counts = np.concatenate([batch.counts for batch in batches])
    return ArrayTable(first=np.cumsum(np.r_[0, counts]).astype(np.int64), **columns)


def _joined(parts: Sequence[dict[str, NDArray[Any]]], kind: type[Any]) -> dict[str, Any]:
    """The columns of a kind of table that the parts have."""
    names = [field.name for field in fields(kind) if field.name in parts[0]]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _no_traces() -> dict[str, NDArray[Any]]:
    reals, whole = np.empty(0), np.empty(0, np.int64)
    texts: NDArray[Any] = np.empty(0, object)
    return {
        "native_id": texts,
        "type": texts,
        "n_points": whole,
        "polarity": np.empty(0, np.int8),
        "precursor_mz": reals,
        "product_mz": reals,
        "collision_energy": reals,
        "offset": whole,
        "length": whole,
    }
