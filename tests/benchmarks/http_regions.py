"""Regions of a BAM over HTTP: by tickets, against samtools with range requests for the same file of the same server.

    python -m tests.benchmarks.http_regions --bam deep.bam     (coordinate-sorted, .bai beside it; samtools on the PATH)

Tickets: one client with one connection asks for a ticket, fetches all of its parts and puts them together, region by
region. samtools: a process for each region, as users have it, with the index fetched before; and one process for all
regions, which never has to start, or to read the header, again. All have to come to the same number of records. Whole
regions are what samtools counts; that it writes nothing is to its advantage.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pysam

import lake
from tests.benchmarks.htsget_tickets import queries
from tests.benchmarks.http_load import serving
from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, scratch

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=3)
    parser.add_argument("--bam", type=Path, required=True, help="a coordinate-sorted BAM with its .bai beside it")
    parser.add_argument("--regions", type=int, default=1_000, help="how many")
    parser.add_argument("--width", type=int, default=10_000, help="bases of a region")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.put([arguments.bam, f"{arguments.bam}.bai"], "runs/")
        path = f"runs/{arguments.bam.name}"
        lk.index(path)
        asked = queries(lk, path, arguments.width, arguments.regions)
        with serving(lk.root) as service:
            answers: list[bytes] = []
            turns = itertools.count()
            samtools = _Samtools(f"{service.base}/files/{quote(path)}", [_region(each) for each in asked], folder)

            def download() -> None:
                # What means nothing to the server makes it another question, whose ticket is not at hand.
                ticket = f"/reads/{quote(path)}?format=BAM&turn={next(turns)}"
                with closing(HTTPConnection(urlsplit(service.base).netloc)) as connection:
                    client = _Client(service.base, connection)
                    answers[:] = [client.region(f"{ticket}&{each}") for each in asked]

            tickets, each, together = interleave(
                [
                    Contestant("tickets", download),
                    Contestant("samtools, a process a region", samtools.one_by_one),
                    Contestant("samtools, one process", samtools.together),
                ],
                arguments.turns,
            )
            samtools.check(_records(answers, folder / "answer.bam"))
    size = sum(map(len, answers)) / len(answers)
    per_region = 1000 * tickets.median / len(asked)
    figures = [
        Figure("region by tickets", per_region, "ms", note=f"{tickets} in all, {size / 1000:.0f} kB each"),
        Figure("samtools, a process a region / tickets", each.median / tickets.median, "x", None, 3, str(each)),
        Figure("samtools, one process / tickets", together.median / tickets.median, "x", note=str(together)),
    ]
    return present(figures)


class _Client:
    """Fetches what tickets name, over one connection."""

    def __init__(self, base: str, connection: HTTPConnection) -> None:
        self._base = base
        self._connection = connection

    def region(self, target: str) -> bytes:
        ticket = json.loads(self._get(target))["htsget"]
        return b"".join(self._part(each) for each in ticket["urls"])

    def _part(self, described: dict[str, Any]) -> bytes:
        kind, _, data = described["url"].partition("data:;base64,")
        if not kind:
            return base64.b64decode(data)
        return self._get(described["url"].removeprefix(self._base), described["headers"])

    def _get(self, target: str, headers: dict[str, str] | None = None) -> bytes:
        self._connection.request("GET", target, headers=headers or {})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status} for {target}")
        return body


class _Samtools:
    """Counts records of regions behind a URL."""

    def __init__(self, url: str, regions: Sequence[str], folder: Path) -> None:
        self._url = url
        self._regions = regions
        # Indexes that come over HTTP are kept in the working directory.
        self._folder = folder / "samtools"
        self._folder.mkdir()
        self._count(regions[:1])
        self._counted: set[int] = set()

    def one_by_one(self) -> None:
        self._counted.add(sum(self._count([region]) for region in self._regions))

    def together(self) -> None:
        self._counted.add(self._count(self._regions))

    def check(self, records: int) -> None:
        if self._counted != {records}:
            raise RuntimeError(f"{records} records by tickets, {self._counted} by samtools")

    def _count(self, regions: Sequence[str]) -> int:
        command = ["samtools", "view", "-c", self._url, *regions]
        done = subprocess.run(command, cwd=self._folder, stdout=subprocess.PIPE, text=True, check=True)
        return int(done.stdout)


def _region(query: str) -> str:
    """As samtools writes it."""
    given = {name: values[0] for name, values in parse_qs(query).items()}
    return f"{given['referenceName']}:{int(given['start']) + 1}-{given['end']}"


def _records(answers: Sequence[bytes], file: Path) -> int:
    total = 0
    for answer in answers:
        file.write_bytes(answer)
        with pysam.AlignmentFile(str(file), check_sq=False) as opened:
            total += sum(1 for _ in opened)
    return total


if __name__ == "__main__":
    if shutil.which("samtools") is None:
        sys.exit("skipped: no samtools to compare with")
    main()
