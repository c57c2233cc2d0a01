"""The commands ``peaks``, ``xic`` and ``plot``: points of spectra, chromatograms, pictures."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.cli.output import open_lake
from lake.cli.sql import deliver, format_for
from lake.errors import InvalidInput
from lake.transfer import replacing

if TYPE_CHECKING:
    import pyarrow as pa

    from lake.lake import Lake
    from lake.peaks import Layout
    from lake.spectrum import Spectrum

__all__ = ["peaks", "plot", "xic"]

_NAMES = {
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "list<item: double>": "DOUBLE[]",
}
"""Types of columns as DuckDB writes them, in which answers are described."""


def peaks(arguments: argparse.Namespace) -> int:
    layout: Layout = "ragged" if arguments.ragged else "long"
    with open_lake(arguments) as lk:
        reader = lk.peaks(
            arguments.path, arguments.regions, mz=arguments.mz, layout=layout, columns=arguments.columns or None
        )
        _deliver(reader.schema, reader, arguments)
    return 0


def xic(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        table = lk.xic(
            arguments.paths,
            arguments.mz,
            arguments.ppm,
            arguments.rt,
            arguments.ms_level or None,
            how="max" if arguments.max else "sum",
        )
        _deliver(table.schema, table.to_batches(), arguments)
    return 0


def _deliver(schema: pa.Schema, batches: Any, arguments: argparse.Namespace) -> None:
    from lake.results.query import Answer, ResultColumn

    columns = tuple(ResultColumn(field.name, _NAMES[str(field.type)]) for field in schema)
    deliver(
        Answer(columns, schema, iter(batches), lambda: None),
        format_for(arguments.output, arguments.format),
        arguments.output,
    )


def plot(arguments: argparse.Namespace) -> int:
    from lake.plots import picture_kind, save_figure

    draw = _DRAWN[arguments.what]
    destination = None if arguments.output == "-" else Path(arguments.output)
    kind = picture_kind(destination) if destination is not None else "svg"
    if destination is None and sys.stdout.isatty():
        raise InvalidInput("a picture is nothing for a terminal: write it to a file with -o FILE.png or FILE.svg")
    with open_lake(arguments) as lk:
        picture = save_figure(draw(lk, arguments), kind)
    if destination is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
    else:
        with replacing(destination) as descriptor, open(descriptor, "wb", closefd=False) as sink:
            sink.write(picture)
    return 0


def _plot_spectrum(lk: Lake, arguments: argparse.Namespace) -> Any:
    from lake.plots import plot_spectrum

    [chosen] = _spectra(lk, arguments.arguments, 1)
    return plot_spectrum(chosen)


def _plot_mirror(lk: Lake, arguments: argparse.Namespace) -> Any:
    from lake.plots import plot_mirror

    return plot_mirror(*_spectra(lk, arguments.arguments, 2))


def _plot_xic(lk: Lake, arguments: argparse.Namespace) -> Any:
    from lake.plots import plot_chromatograms

    if not arguments.mz:
        raise InvalidInput("which ion? Say --mz 445.12")
    table = lk.xic(arguments.arguments, arguments.mz, arguments.ppm, arguments.rt)
    masses = ", ".join(f"{value:g}" for value in arguments.mz)
    return plot_chromatograms(table, f"m/z {masses} ± {arguments.ppm:g} ppm")


def _plot_tic(lk: Lake, arguments: argparse.Namespace) -> Any:
    from lake.plots import plot_chromatograms

    return plot_chromatograms(lk.tic(arguments.arguments), "total ion current")


_DRAWN: dict[str, Callable[[Lake, argparse.Namespace], Any]] = {
    "spectrum": _plot_spectrum,
    "mirror": _plot_mirror,
    "xic": _plot_xic,
    "tic": _plot_tic,
}


def _spectra(lk: Lake, words: Sequence[str], count: int) -> list[Spectrum]:
    """The spectra that ``PATH scan=17`` or a USI name, as many as are needed.

    Raises:
        InvalidInput: other words.
    """
    found = list(_named(lk, words))
    if len(found) != count:
        raise InvalidInput(
            f"name {'two spectra' if count == 2 else 'one spectrum'}: PATH scan=17, PATH index=0, PATH id=… or a USI"
        )
    return found


def _named(lk: Lake, words: Sequence[str]) -> Iterator[Spectrum]:
    from lake.usi import is_usi

    path: str | None = None
    for word in words:
        key, equals, value = word.partition("=")
        if is_usi(word):
            yield lk.spectrum(word)
        elif path is not None and equals and key in ("scan", "index", "id"):
            number: Any = value
            if key != "id":
                with contextlib.suppress(ValueError):
                    number = int(value)
                if isinstance(number, str):
                    raise InvalidInput(f"{word}: {value!r} is no number of a spectrum")
            yield lk.spectrum(path, **{key: number})
        else:
            path = word
