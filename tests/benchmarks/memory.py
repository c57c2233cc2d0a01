"""Peak memory of the commands that meet big files and many files, each as a process of its own.

python -m tests.benchmarks.memory --bam big.bam        (big.bam.bai beside it)

``--also deep.cram chr1:1-100,000 --reference deep.fa.gz`` measures further files, as often as it is given.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.measuring import Figure, arguments_of, lake_command, present, run, scratch
from tests.benchmarks.small_files import make_tree

__all__ = ["main"]

_COMPANIONS = (".bai", ".crai", ".tbi")


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=1)
    parser.add_argument("--bam", type=Path, required=True, help="a coordinate-sorted BAM with its .bai beside it")
    parser.add_argument("--files", type=int, default=10_000, help="small files")
    parser.add_argument(
        "--also", nargs=2, action="append", default=[], metavar=("FILE", "REGION"), help="another file, and a region"
    )
    parser.add_argument("--reference", type=Path, help="the FASTA of a CRAM among them")
    arguments = parser.parse_args(argv)
    bam: Path = arguments.bam
    stored = f"runs/{bam.name}"
    figures = []
    with scratch(arguments.work) as folder:
        make_tree(folder / "tree", arguments.files, 4096)
        whole, bare = folder / "lake", folder / "bare"
        region = f"{_first_contig(bam)}:1-20,000,000"
        for what, command in (
            ("init", lake_command(whole, "init")),
            ("init", lake_command(bare, "init")),
            ("put, index present", lake_command(whole, "put", bam, f"{bam}.bai", "runs/")),
            ("put, index built", lake_command(bare, "put", bam, "runs/")),
            ("slice, no table", lake_command(whole, "slice", stored, region, "-o", folder / "slice.bam")),
            ("index (block table)", lake_command(whole, "index", stored)),
            ("slice, by the table", lake_command(whole, "slice", stored, region, "-o", folder / "slice.bam")),
            ("get", lake_command(whole, "get", stored, folder / "copy.bam")),
            (f"put of {arguments.files:,} files", lake_command(whole, "put", folder / "tree", "many")),
            ("ls -l -R", lake_command(whole, "ls", "-l", "-R", "many")),
            ("fsck", lake_command(whole, "fsck")),
            *_also(folder / "also", arguments.also, arguments.reference),
        ):
            usage = run(command)
            peak = usage.peak / 1e6
            figures.append(Figure(f"peak memory: {what}", peak, "MB", at_most=200, note=f"{usage.seconds:.2f} s"))
    own = Path("/proc/self/status")
    if own.exists():
        resident = next(line.split()[1] for line in own.read_text().splitlines() if line.startswith("VmHWM"))
        figures.append(Figure("floor: this script itself", int(resident) * 1024 / 1e6, "MB"))
    return present(figures)


def _also(root: Path, wanted: Sequence[tuple[str, str]], reference: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Commands that put, index and slice further files, in a lake of their own."""
    if wanted:
        yield "init", lake_command(root, "init")
    if reference is not None:
        yield f"put of {reference.name}", lake_command(root, "put", reference, "also/")
    for name, region in wanted:
        file = Path(name)
        beside = [path for suffix in _COMPANIONS if (path := Path(f"{name}{suffix}")).exists()]
        stored = f"also/{file.name}"
        yield f"put of {file.name}", lake_command(root, "put", file, *beside, "also/")
        yield f"index of {file.name}", lake_command(root, "index", stored)
        yield f"slice of {file.name}", lake_command(root, "slice", stored, region, "-o", root.with_name("slice"))


def _first_contig(bam: Path) -> str:
    header = subprocess.run(["samtools", "view", "-H", os.fspath(bam)], check=True, capture_output=True, text=True)
    line = next(line for line in header.stdout.splitlines() if line.startswith("@SQ"))
    return next(field[3:] for field in line.split("\t") if field.startswith("SN:"))


if __name__ == "__main__":
    main()
