"""Put of a big BAM, with its index present and without one, against cp, sync and samtools index.

    python -m tests.benchmarks.put --bam big.bam          (big.bam.bai beside it)

Both sides are whole processes; the source is in the page cache, the disk is idle before each run, the lake is new.
A BAM of about 1 GB is meant; README.md says how to come by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    interleave,
    lake_command,
    present,
    read_through,
    run,
    scratch,
    settle,
    warm_memory,
)

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=6)
    parser.add_argument("--bam", type=Path, required=True, help="a coordinate-sorted BAM with its .bai beside it")
    parser.add_argument("--only", choices=["index", "no-index"], help="one half of the benchmark")
    arguments = parser.parse_args(argv)
    figures = []
    with scratch(arguments.work) as folder:
        if arguments.only != "no-index":
            figures += _with_index(arguments.bam, folder, arguments.turns)
        if arguments.only != "index":
            figures += _without_index(arguments.bam, folder, arguments.turns)
    return present(figures)


def _fresh_lake(folder: Path, source: Path) -> Path:
    root = folder / "lake"
    settle(root, folder / "copy")
    run(lake_command(root, "init"))
    (folder / "copy").mkdir()
    read_through(source)
    settle()
    warm_memory(source.stat().st_size * 3 // 2)
    return root


def _with_index(bam: Path, folder: Path, turns: int) -> list[Figure]:
    index = Path(f"{bam}.bai")

    def copy() -> None:
        run(["cp", bam, index, folder / "copy"])
        run(["sync"])

    lake, peer = interleave(
        [
            Contestant(
                "lake put",
                lambda: run(lake_command(folder / "lake", "put", bam, index, "runs/")),
                lambda: _fresh_lake(folder, bam),
            ),
            Contestant("cp, sync", copy, lambda: _fresh_lake(folder, bam)),
        ],
        turns,
    )
    what = f"put of {bam.stat().st_size / 1e6:,.0f} MB, index present"
    return [Figure(what, lake.median / peer.median, "x", at_most=1.2, note=f"lake {lake}; cp + sync {peer}")]


def _without_index(bam: Path, folder: Path, turns: int) -> list[Figure]:
    def copy() -> None:
        run(["cp", bam, folder / "copy"])
        run(["samtools", "index", "-@2", folder / "copy" / bam.name])

    lake, peer = interleave(
        [
            Contestant(
                "lake put",
                lambda: run(lake_command(folder / "lake", "put", bam, "runs/")),
                lambda: _fresh_lake(folder, bam),
            ),
            Contestant("cp, samtools index", copy, lambda: _fresh_lake(folder, bam)),
        ],
        turns,
    )
    what = f"put of {bam.stat().st_size / 1e6:,.0f} MB, no index"
    return [Figure(what, lake.median / peer.median, "x", at_most=1.2, note=f"lake {lake}; cp + samtools index {peer}")]


if __name__ == "__main__":
    main()
