"""Facts of files of spectra: all of them come from the table that is their index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.columns import column, number_column
from lake.formats.compression.inflated import container_of
from lake.formats.facts.kinds import FACT_KINDS, fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.reader import ByteReader
from lake.formats.spectra.table import ChromatogramTable, RunTable, SpectrumTable
from lake.formats.spectra.table_codec import TABLE_KIND, decode_run

__all__ = ["INNER_SPECTRA_FACTS", "SPECTRA_FACTS", "SpectraFacts", "run_facts"]

_ABSENT = {
    "scan": -1,
    "n_points": -1,
    "ms_level": 0,
    "precursor_charge": 0,
    "centroided": -1,
    "polarity": 0,
    "x": -1,
    "y": -1,
    "z": -1,
}
"""What stands for null in the numbers of the tables."""

_NONE = np.iinfo(np.int64).min
_SIGNS = {1: "+", -1: "-", 0: None}


class SpectraFacts:
    """Facts of any format whose index is a `RunTable`."""

    code = "facts/1"
    reads_all = False
    located_kinds = ("runs",)

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """Nothing: what a header says of the run is in the table, too."""
        return {}

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Run, spectra, chromatograms; of a file that is not compressed also what each chunk holds."""
        if at_hand.kind != TABLE_KIND or at_hand.body is None:
            return {}
        table = decode_run(at_hand.body, reader.size)
        found = run_facts(table)
        plain = container_of(reader) == "plain" and reader.read(0, 3) != b"BZh"
        return found | (_chunks(table.spectra, at_hand.bounds) if plain else {})


def run_facts(table: RunTable) -> dict[str, pa.Table]:
    """``runs``, ``spectra`` and ``chromatograms``."""
    found = fact_table("runs", [_run(table)])
    if len(table.spectra):
        found["spectra"] = _rows("spectra", table.spectra)
    if len(table.chromatograms):
        found["chromatograms"] = _rows("chromatograms", table.chromatograms)
    return found


def _rows(kind: str, table: SpectrumTable | ChromatogramTable) -> pa.Table:
    schema = FACT_KINDS[kind].schema
    columns = {field.name: getattr(table, field.name) for field in fields(table) if field.name in schema.names}
    columns["ord"] = np.arange(len(table), dtype=np.int32)
    return pa.Table.from_arrays([_column(field, columns[field.name]) for field in schema], schema=schema)


def _column(field: pa.Field, values: NDArray[Any]) -> pa.Array:
    if values.dtype.hasobject:
        return column(values.tolist(), field.type)
    present = ~np.isnan(values) if values.dtype.kind == "f" else values != _ABSENT.get(field.name, _NONE)
    if field.name == "polarity":
        return column([_SIGNS[value] for value in values.tolist()], field.type)
    if pa.types.is_boolean(field.type):
        return column([value == 1 if value >= 0 else None for value in values.tolist()], field.type)
    numbers = values.astype(field.type.to_pandas_dtype(), copy=False)
    if present.all():
        return number_column(np.ascontiguousarray(numbers))
    validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(field.type, len(numbers), [validity, pa.py_buffer(np.where(present, numbers, 0))])


def _run(table: RunTable) -> Sequence[Any]:
    spectra, run = table.spectra, table.run
    signs = [sign for number, sign in ((1, "+"), (-1, "-")) if bool((spectra.polarity == number).any())]
    return (
        run.run_id,
        run.started,
        run.instrument,
        run.serial_number,
        run.software,
        run.native_id_format,
        len(spectra),
        len(table.chromatograms),
        _bound(spectra.rt, np.min),
        _bound(spectra.rt, np.max),
        _bound(spectra.low_mz, np.min),
        _bound(spectra.high_mz, np.max),
        _levels(spectra.ms_level),
        ",".join(signs) or None,
        table.layout.own_index_ok if table.layout is not None else None,
    )


def _bound(values: NDArray[np.float64], choose: Any) -> float | None:
    known = values[~np.isnan(values)]
    return float(choose(known)) if len(known) else None


def _levels(levels: NDArray[np.int16]) -> str | None:
    return ",".join(map(str, np.unique(levels[levels > 0]).tolist())) or None


def _chunks(spectra: SpectrumTable, bounds: Sequence[int]) -> dict[str, pa.Table]:
    """``chunks``: retention times and MS levels of the spectra that begin in each."""
    # Spectra of some formats lie inside of others, hence not by ascending offset.
    order = np.argsort(spectra.offset, kind="stable")
    edges = np.searchsorted(spectra.offset[order], np.array(bounds, np.int64))

    def rows() -> Iterator[Sequence[Any]]:
        for number in range(len(bounds) - 1):
            mine = order[edges[number] : edges[number + 1]]
            rt = spectra.rt[mine]
            place = number, bounds[number], bounds[number + 1] - bounds[number]
            held = _bound(rt, np.min), _bound(rt, np.max), _levels(spectra.ms_level[mine])
            yield *place, None, None, None, None, *held

    return fact_table("chunks", rows())


SPECTRA_FACTS = SpectraFacts()


class InnerSpectraFacts(SpectraFacts):
    """Facts of files that hold the text of their spectra inside, where chunks of the file say nothing of it."""

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Run, spectra, chromatograms."""
        if at_hand.kind != TABLE_KIND or at_hand.body is None:
            return {}
        return run_facts(decode_run(at_hand.body, reader.size))


INNER_SPECTRA_FACTS = InnerSpectraFacts()
