"""Questions: sql, find, and points and pictures of spectra."""

from __future__ import annotations

import argparse

from lake.cli.arguments.commands import Commands, take_answer, take_ref, take_ref_and_json
from lake.cli.arguments.values import duration, memory, names, positive, span

__all__ = ["add_query_commands", "add_spectra_commands"]


def add_query_commands(commands: Commands) -> None:
    sql = commands.add("sql", "sql:sql", "ask the whole lake in SQL; without a query on a terminal: a prompt")
    query = sql.add_mutually_exclusive_group()
    query.add_argument("query", nargs="?", metavar="QUERY", help="one query; - or nothing in a pipe: standard input")
    query.add_argument("-f", "--file", metavar="FILE", help="read the query from a file")
    take_answer(sql)
    sql.add_argument("--at", metavar="REF", help="ask the lake as it is or was there: a branch, v1, 17, main~2")
    sql.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of $NAME in the query (again for more)",
    )
    sql.add_argument("--memory-limit", type=memory, metavar="SIZE", help="memory for the query: 2GB")
    sql.add_argument("--timeout", type=duration, metavar="TIME", help="stop the query after 30s, 5m, 1h")
    sql.add_argument("--threads", type=positive, metavar="N", help="processors for the query")

    find = commands.add("find", "find:find", "which files cover a region, or have to do with some words")
    find.add_argument("terms", nargs="*", metavar="REGION|TEXT", help="chr17:41196312-41277500, or words")
    find.add_argument("--sample", action="append", default=[], metavar="NAME", help="only this sample (again: or)")
    find.add_argument("--format", action="append", default=[], metavar="NAME", help="only this format (again: or)")
    find.add_argument(
        "--attribute", action="append", default=[], metavar="KEY[=VALUE]", help="only files that have it (again: and)"
    )
    find.add_argument("--under", default="", metavar="DIR", help="only below this directory")
    take_ref_and_json(find)


def add_spectra_commands(commands: Commands) -> None:
    peaks = commands.add("peaks", "spectra:peaks", "points of spectra: m/z, intensity, and whose they are")
    peaks.add_argument("path", metavar="PATH", help="a run")
    peaks.add_argument("regions", nargs="*", metavar="REGION", help="which spectra: 'rt=600-720&ms_level=2'; none: all")
    peaks.add_argument("--mz", type=span, metavar="LOW-HIGH", help="only points in this range, bounds included")
    peaks.add_argument("--columns", type=names, metavar="A,B", help="some columns, in this order")
    peaks.add_argument("--ragged", action="store_true", help="a row a spectrum, with lists of points")
    take_answer(peaks)
    take_ref(peaks)

    xic = commands.add("xic", "spectra:xic", "extracted ion chromatograms: intensity at an m/z over the retention time")
    xic.add_argument("paths", nargs="+", metavar="PATH", help="runs")
    xic.add_argument("--mz", type=float, action="append", required=True, metavar="MZ", help="the ion (again for more)")
    _chromatogram(xic)
    xic.add_argument("--ms-level", type=int, default=1, metavar="N", help="level of the spectra (1); 0: all")
    xic.add_argument("--max", action="store_true", help="the highest point of a spectrum instead of the sum")
    take_answer(xic)
    take_ref(xic)

    plot = commands.add("plot", "spectra:plot", "a picture of a spectrum, of two face to face, or of a chromatogram")
    plot.add_argument("what", choices=["spectrum", "mirror", "xic", "tic"])
    plot.add_argument(
        "arguments",
        nargs="+",
        metavar="PATH …",
        help="runs; for a spectrum PATH scan=17 (index=0, id=…) or a USI; for mirror two of these",
    )
    plot.add_argument("--mz", type=float, action="append", metavar="MZ", help="the ion of xic (again for more)")
    _chromatogram(plot)
    plot.add_argument("-o", "--output", default="-", metavar="FILE", help="FILE.png or FILE.svg (SVG in a pipe)")
    take_ref(plot)


def _chromatogram(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ppm", type=float, default=10, metavar="PPM", help="tolerance to both sides (10)")
    command.add_argument("--rt", type=span, metavar="FROM-TO", help="only spectra between these times, in seconds")
