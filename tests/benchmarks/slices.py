"""Regions of a deep BAM: small ones warm and cold, and one of 100 MB against samtools view.

    python -m tests.benchmarks.slices --bam deep.bam       (30-fold, coordinate-sorted, .bai beside it)

Warm: the lake is open, the block table made, every chunk verified, the file in the page cache; no region is asked
twice. Cold: the first query of a new process on a lake that has the index only. The big region is written to a file
by both sides; the whole processes are compared, and the same inside one that is running.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import lake
from lake.objects import iter_chunks
from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    evict,
    interleave,
    lake_command,
    percentile,
    present,
    run,
    scratch,
)

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    import pysam

    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--bam", type=Path, required=True, help="a coordinate-sorted BAM with its .bai beside it")
    parser.add_argument("--queries", type=int, default=2000, help="small regions asked for")
    parser.add_argument("--width", type=int, default=10_000, help="bases of a small region")
    parser.add_argument("--big", type=int, default=100_000_000, help="compressed bytes of the big region")
    arguments = parser.parse_args(argv)
    with pysam.AlignmentFile(str(arguments.bam)) as file:
        contigs = dict(zip(file.references, file.lengths, strict=True))
    figures = []
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.put([arguments.bam, f"{arguments.bam}.bai"], "runs/")
        path = f"runs/{arguments.bam.name}"
        small = _small_regions(contigs, arguments.width, arguments.queries)
        figures += _cold(lk, path, small[0], folder)
        lk.index(path)
        for _ in iter_chunks(lk.reader(path)):
            pass
        figures += _warm(lk, path, small, arguments.width)
        figures += _samtools_small(arguments.bam, small[:20], folder)
        figures += _big(
            lk, path, arguments.bam, _big_regions(lk, path, contigs, arguments.big), folder, arguments.turns
        )
    return present(figures)


def _small_regions(contigs: dict[str, int], width: int, count: int) -> list[str]:
    chance = random.Random(7)
    regions = []
    for _ in range(count):
        name = chance.choice(list(contigs))
        start = chance.randrange(max(1, contigs[name] - width))
        regions.append(f"{name}:{start + 1}-{start + width}")
    return regions


def _cold(lk: lake.Lake, path: str, region: str, folder: Path) -> list[Figure]:
    """The first query of a process, without a table: with the object in the page cache, and without."""
    command = lake_command(lk.root, "slice", path, region, "-o", folder / "cold.bam")
    cached = run(command).seconds
    evict(lk.local_path(path))
    uncached = run(command).seconds
    return [
        Figure("first query of a process, no table", cached, "s"),
        Figure("first query of a process, no table, disk cold", uncached, "s"),
    ]


def _warm(lk: lake.Lake, path: str, regions: list[str], width: int) -> list[Figure]:
    lk.slice(path, regions[0]).to_bytes()
    planned, whole = [], []
    for region in regions[1:]:
        start = time.perf_counter()
        answer = lk.slice(path, region)
        middle = time.perf_counter()
        answer.to_bytes()
        whole.append(1000 * (time.perf_counter() - start))
        planned.append(1000 * (middle - start))
    what = f"warm region of {width:,} bases"
    return [
        Figure(f"{what}, plan and bytes, p50", percentile(whole, 50), "ms", at_most=1),
        Figure(f"{what}, plan and bytes, p95", percentile(whole, 95), "ms", at_most=3),
        Figure(f"{what}, plan and bytes, p99", percentile(whole, 99), "ms"),
        Figure(f"{what}, plan alone, p50", percentile(planned, 50), "ms"),
        Figure(f"{what}, plan alone, p95", percentile(planned, 95), "ms"),
    ]


def _samtools_small(bam: Path, regions: list[str], folder: Path) -> list[Figure]:
    taken = [run(["samtools", "view", "-b", "-o", folder / "peer.bam", bam, region]).seconds for region in regions]
    return [Figure("the same by samtools view -b, p50", 1000 * percentile(taken, 50), "ms", note="whole processes")]


def _big_regions(lk: lake.Lake, path: str, contigs: dict[str, int], wanted: int) -> list[str]:
    """Whole contigs, and the start of one, whose slices come to ``wanted`` bytes together."""
    regions: list[str] = []
    for name, length in contigs.items():
        size = lk.slice(path, name).size or 0
        if size < wanted:
            regions.append(name)
            wanted -= size
            continue
        low, high = 1, length
        while high - low > 1:
            middle = (low + high) // 2
            if (lk.slice(path, f"{name}:1-{middle}").size or 0) < wanted:
                low = middle
            else:
                high = middle
        return [*regions, f"{name}:1-{high}"]
    return regions


def _big(lk: lake.Lake, path: str, bam: Path, regions: list[str], folder: Path, turns: int) -> list[Figure]:
    ours, peer = folder / "ours.bam", folder / "peer.bam"

    def forget() -> None:
        ours.unlink(missing_ok=True)
        peer.unlink(missing_ok=True)

    command = lake_command(lk.root, "slice", path, *regions, "-o", ours)
    samtools, process, inside = interleave(
        [
            Contestant("samtools", lambda: run(["samtools", "view", "-b", "-@1", "-o", peer, bam, *regions]), forget),
            Contestant("lake slice", lambda: run(command), forget),
            Contestant("lk.save", lambda: lk.save(lk.slice(path, regions), ours), forget),
        ],
        turns,
    )
    what = f"region of {ours.stat().st_size / 1e6:,.0f} MB"
    peer_note = f"samtools view -b -@1 {samtools}"
    return [
        Figure(
            f"{what}, lake slice", samtools.median / process.median, "x", at_least=20, note=f"{process}; {peer_note}"
        ),
        Figure(f"{what}, in process", samtools.median / inside.median, "x", at_least=20, note=f"{inside}"),
    ]


if __name__ == "__main__":
    main()
