"""Regions of genomic files, format by format: whole contigs against the field's own tool, small ones warm.

    python -m tests.benchmarks.genomics --bam deep.bam --cram deep.cram --reference deep.fa.gz --vcf panel.vcf.gz \\
        --bcf panel.bcf --bed features.bed.gz --gvcf cells.g.vcf.gz --rna spliced.bam

Each option is a file that is sorted and has the index beside it which its peer needs; what is not given is not
measured.

Whole contig: the one with the most bytes, written to a file by both sides; `lake slice` as a process against the
peer's process, and the same inside one that is running. Warm: the lake is open, the table made, every chunk verified,
the file in the page cache; no region is asked twice. CRAM edges are encoded anew while a region is planned, so that
its regions are told apart by their number of edges.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lake
from lake.digest import Digest
from lake.formats.cram.source import walk_containers
from lake.formats.reader import BytesReader
from lake.objects import iter_chunks
from lake.segments import Literal, Slice
from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    interleave,
    lake_command,
    percentile,
    present,
    run,
    scratch,
)

__all__ = ["main"]


class Peer(NamedTuple):
    """The tool that one would use instead."""

    name: str
    command: Callable[[Path, str, Path], list[str | Path]]
    """The command that writes a region of a file to another file."""


class _Place(NamedTuple):
    """Where a file has records."""

    contig: str
    start: int
    """0-based, in bases."""
    stop: int
    length: int
    """Bytes of the file, or bases of a sequence."""


class Case(NamedTuple):
    """What is measured of a kind of file, and the bounds, in times of the peer and in milliseconds."""

    option: str
    peer: Peer
    companions: tuple[str, ...] = ()
    """Endings of the files beside it that belong in the lake too."""
    big: float | None = 5
    p50: float | None = 2
    p95: float | None = None
    plan: float | None = 1


def _cases(reference: Path | None) -> list[Case]:
    view = Peer("samtools view -b -@1", lambda file, where, out: _view("-b", file, where, out))
    given: list[str | Path] = ["-T", reference] if reference is not None else []
    cram = Peer("samtools view -C -@1", lambda file, where, out: _view("-C", file, where, out, *given))
    vcf = Peer("bcftools view -Oz", lambda file, where, out: _bcftools("-Oz", file, where, out))
    bcf = Peer("bcftools view -Ob", lambda file, where, out: _bcftools("-Ob", file, where, out))
    tabix = Peer("tabix | bgzip", _tabix)
    faidx = Peer("samtools faidx", lambda file, where, out: ["samtools", "faidx", "-o", out, file, where])
    return [
        Case("bam", view, (".bai",)),
        Case("cram", cram, (".crai",), p50=None, plan=None),
        Case("vcf", vcf),
        Case("bcf", bcf),
        Case("bed", tabix, (".tbi",)),
        Case("fasta", faidx, (".fai",), big=None),
        Case("gvcf", vcf, big=None, p95=10),
        Case("rna", view, (".bai",), big=None, p95=10),
    ]


def _view(kind: str, file: Path, region: str, out: Path, *options: str | Path) -> list[str | Path]:
    return ["samtools", "view", kind, "-@1", *options, "-o", out, file, region]


def _bcftools(kind: str, file: Path, region: str, out: Path) -> list[str | Path]:
    return ["bcftools", "view", kind, "--threads", "1", "-r", region, "-o", out, file]


def _tabix(file: Path, region: str, out: Path) -> list[str | Path]:
    return ["sh", "-c", 'tabix "$1" "$2" | bgzip -c > "$3"', "sh", file, region, out]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--reference", type=Path, help="the FASTA that the CRAM was made with, with its .fai")
    for case in _cases(None):
        parser.add_argument(f"--{case.option}", type=Path, help=f"compared with {case.peer.name}")
    parser.add_argument("--queries", type=int, default=1000, help="small regions asked for")
    parser.add_argument("--width", type=int, default=10_000, help="bases of a small region")
    arguments = parser.parse_args(argv)
    figures: list[Figure] = []
    for case in _cases(arguments.reference):
        path: Path | None = getattr(arguments, case.option)
        if path is None:
            continue
        with scratch(arguments.work) as folder:
            bench = _Bench(case, path, folder, arguments.reference)
            size = path.stat().st_size / 1e6
            made = Figure(f"{case.option}: put, index and table", bench.fill(), "s", note=f"{size:,.1f} MB")
            figures += present([made, *bench.big(arguments.turns), *bench.small(arguments.queries, arguments.width)])
    return figures


class _Bench:
    """One file in a lake of its own."""

    def __init__(self, case: Case, file: Path, folder: Path, reference: Path | None) -> None:
        self._case = case
        self._file = file
        self._folder = folder
        self._root = folder / "lake"
        self._path = f"runs/{file.name}"
        self._sources = [file, *(Path(f"{file}{suffix}") for suffix in case.companions)]
        if case.option == "cram" and reference is not None:
            self._sources.append(reference)
        self._contig = ""
        self._places: list[_Place] = []

    def fill(self) -> float:
        """Put the file into a lake and make its index and table; seconds of both."""
        start = time.perf_counter()
        with lake.init(self._root) as lk:
            lk.put(self._sources, "runs/")
            lk.index(self._path)
            taken = time.perf_counter() - start
            self._places = _places(lk, self._path)
        sizes: defaultdict[str, int] = defaultdict(int)
        for contig, _, _, length in self._places:
            sizes[contig] += length
        self._contig = max(sizes, key=lambda contig: sizes[contig])
        return taken

    def big(self, turns: int) -> list[Figure]:
        ours, theirs = self._folder / "ours", self._folder / "theirs"
        asked = lake_command(self._root, "slice", self._path, self._contig, "-o", ours)
        instead = self._case.peer.command(self._file, self._contig, theirs)

        def forget() -> None:
            ours.unlink(missing_ok=True)
            theirs.unlink(missing_ok=True)

        with lake.open(self._root) as lk:
            lk.save(lk.slice(self._path, self._contig), ours)
            size = ours.stat().st_size / 1e6
            peer, process, inside = interleave(
                [
                    Contestant(self._case.peer.name, lambda: run(instead), forget),
                    Contestant("lake slice", lambda: run(asked), forget),
                    Contestant("lk.save", lambda: lk.save(lk.slice(self._path, self._contig), ours), forget),
                ],
                turns,
            )
        what = f"{self._case.option}: contig of {size:,.1f} MB"
        note = f"{process}; {self._case.peer.name} {peer}"
        return [
            Figure(f"{what}, lake slice", peer.median / process.median, "x", at_least=self._case.big, note=note),
            Figure(f"{what}, in process", peer.median / inside.median, "x", at_least=self._case.big, note=f"{inside}"),
        ]

    def small(self, queries: int, width: int) -> Iterator[Figure]:
        with lake.open(self._root) as lk:
            for _ in iter_chunks(lk.reader(self._path)):
                pass
            regions = _regions(self._places, queries + 1, width)
            lk.slice(self._path, regions[0]).to_bytes()
            planned: dict[str, list[float]] = {}
            whole: dict[str, list[float]] = {}
            for region in regions[1:]:
                start = time.perf_counter()
                answer = lk.slice(self._path, region)
                middle = time.perf_counter()
                answer.to_bytes()
                end = time.perf_counter()
                kind = _edges(answer) if self._case.option == "cram" else ""
                planned.setdefault(kind, []).append(1000 * (middle - start))
                whole.setdefault(kind, []).append(1000 * (end - start))
        for kind in sorted(whole):
            what, bound = f"{self._case.option}: warm {width // 1000:,} kb{kind}", self._case.p50
            if kind:
                bound = _CRAM_BOUNDS.get(kind)
            note = f"{len(whole[kind]):,} regions; max {max(whole[kind]):.3g} ms"
            yield Figure(f"{what}, p50", percentile(whole[kind], 50), "ms", at_most=bound, note=note)
            yield Figure(f"{what}, p95", percentile(whole[kind], 95), "ms", at_most=self._case.p95)
            yield Figure(f"{what}, plan alone, p50", percentile(planned[kind], 50), "ms", at_most=self._case.plan)
        taken = [self._ask_peer(region) for region in regions[1:21]]
        yield Figure(
            f"{self._case.option}: the same by {self._case.peer.name}, p50",
            percentile(taken, 50),
            "ms",
            note="whole processes",
        )

    def _ask_peer(self, region: str) -> float:
        return 1000 * run(self._case.peer.command(self._file, region, self._folder / "theirs")).seconds


_ANY = Digest("0" * 64)
_CRAM_BOUNDS = {", 1 edge": 25.0, ", 2 edges": 100.0}


def _edges(answer: Slice) -> str:
    """How many containers were encoded anew; htslib writes what it gets of one as one."""
    literals = [BytesReader(segment.data, _ANY) for segment in answer.segments if isinstance(segment, Literal)]
    count = sum(1 for reader in literals for _ in walk_containers(reader, 3, 0, reader.size))
    return f", {count} edge{'s' * (count != 1)}"


def _places(lk: lake.Lake, path: str) -> list[_Place]:
    facts = lk.facts(path)
    if "sequences" in facts:
        return [_Place(row["name"], 0, row["length"], row["length"]) for row in facts["sequences"].to_pylist()]
    rows = facts["chunks"].to_pylist()
    return [
        _Place(row["contig"], row["start"], row["stop"], row["length"]) for row in rows if row["contig"] is not None
    ]


def _regions(places: list[_Place], count: int, width: int) -> list[str]:
    """Regions where records lie; the more bytes a place has, the more of them."""
    chance = random.Random(11)
    weights = [length for _, _, _, length in places]
    regions = []
    for contig, start, stop, _ in chance.choices(places, weights, k=count):
        first = chance.randrange(start, max(start + 1, stop - width))
        regions.append(f"{contig}:{first + 1}-{first + width}")
    return regions


if __name__ == "__main__":
    main()
