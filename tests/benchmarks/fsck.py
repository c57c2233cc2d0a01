"""A full check of a lake against b3sum of the same files, both off the disk.

    python -m tests.benchmarks.fsck --b3sum b3sum          (cargo install b3sum)

Both sides are whole processes; what memory keeps of the files is dropped before each run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    evict,
    interleave,
    lake_command,
    present,
    run,
    scratch,
)

__all__ = ["main"]

_PIECE = 1 << 20


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=4)
    parser.add_argument("--b3sum", default="b3sum", help="the program")
    parser.add_argument("--files", type=int, default=8, help="number of files (default 8)")
    parser.add_argument("--size", type=int, default=128 << 20, help="bytes of each (default 128 MiB)")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder:
        root = folder / "lake"
        run(lake_command(root, "init"))
        for number in range(arguments.files):
            source = folder / f"{number}.bin"
            with source.open("wb") as file:
                for start in range(0, arguments.size, _PIECE):
                    file.write(random.Random(f"{number} {start}").randbytes(min(_PIECE, arguments.size - start)))
            run(lake_command(root, "put", "--move", source, "d/"))
        stored = sorted(root.glob("objects/*/*"))
        total = sum(file.stat().st_size for file in stored)

        def drop() -> None:
            for file in stored:
                evict(file)

        ours, theirs = interleave(
            [
                Contestant("fsck", lambda: run(lake_command(root, "fsck", "--restart", "--quiet")), drop),
                Contestant("b3sum", lambda: run([arguments.b3sum, *_names(stored)]), drop),
            ],
            arguments.turns,
        )
    return present(
        [
            Figure(
                "fsck, speed against b3sum", theirs.median / ours.median, "x", at_least=0.8, note=f"{ours} {theirs}"
            ),
            Figure("fsck, bytes a second", total / ours.median / 1e6, "MB/s"),
        ]
    )


def _names(files: Sequence[Path]) -> list[str]:
    return [os.fspath(file) for file in files]


if __name__ == "__main__":
    main()
