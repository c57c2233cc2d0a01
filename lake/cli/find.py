"""``find``: which files cover a region, or have to do with a word."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lake.cli.output import human, open_lake, print_json, table
from lake.errors import InvalidInput
from lake.finding import Filters, RegionHit, TextHit

__all__ = ["find"]


def find(arguments: argparse.Namespace) -> int:
    filters = Filters(
        tuple(arguments.sample), tuple(arguments.format), tuple(map(_attribute, arguments.attribute)), arguments.under
    )
    with open_lake(arguments) as lk:
        hits = lk.find(*arguments.terms, filters=filters)
    if arguments.json:
        print_json([hit._asdict() for hit in hits])
    elif hits:
        _show(hits)
    else:
        print("lake: nothing found", file=sys.stderr)
    return 0 if hits else 1


def _attribute(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise InvalidInput(f"not an attribute: {text!r}: write KEY or KEY=VALUE")
    return key, value


def _show(hits: Sequence[RegionHit | TextHit]) -> None:
    rows = []
    taken = 0
    for hit in hits:
        if isinstance(hit, RegionHit):
            taken += hit.bytes or 0
            chunks = "?" if hit.chunks is None else f"{hit.chunks:,}"
            bytes_ = "?" if hit.bytes is None else human(hit.bytes)
            rows.append([hit.path, hit.format, human(hit.size), hit.contig, chunks, bytes_])
        else:
            rows.append([hit.path, hit.format, human(hit.size), "; ".join(hit.where)])
    head = ["path", "format", "size", "contig", "chunks", "bytes"]
    if isinstance(hits[0], TextHit):
        head = ["path", "format", "size", "found in"]
    table([head, *rows], right=frozenset([2, 4, 5]))
    total = sum(hit.size for hit in hits)
    answer = f"; an answer takes at most {human(taken)} of {human(total)}" if isinstance(hits[0], RegionHit) else ""
    print(f"{len(hits):,} {'file' if len(hits) == 1 else 'files'}{answer}")
