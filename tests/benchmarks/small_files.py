"""Put of a directory of many small files against cp -r and sync.

    python -m tests.benchmarks.small_files

Both sides are whole processes; the sources are in the page cache, the disk is idle before each run, the lake is new.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    interleave,
    lake_command,
    present,
    run,
    scratch,
    settle,
)

__all__ = ["main", "make_tree"]

_IN_A_FOLDER = 100


def make_tree(top: Path, count: int, size: int) -> None:
    """``count`` files of ``size`` random bytes, a hundred to a folder."""
    for number in range(count):
        folder = top / f"{number // _IN_A_FOLDER:04}"
        if number % _IN_A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}.bin").write_bytes(os.urandom(size))


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=6)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of each")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder:
        tree, root, copy = folder / "tree", folder / "lake", folder / "copy"
        make_tree(tree, arguments.files, arguments.size)

        def prepare() -> None:
            settle(root, copy)
            run(lake_command(root, "init"))
            settle()

        def copy_tree() -> None:
            run(["cp", "-r", tree, copy])
            run(["sync"])

        lake, peer = interleave(
            [
                Contestant("lake put", lambda: run(lake_command(root, "put", tree, "many")), prepare),
                Contestant("cp -r, sync", copy_tree, prepare),
            ],
            arguments.turns,
        )
    what = f"put of {arguments.files:,} files of {arguments.size:,} bytes"
    return present(
        [Figure(what, lake.median / peer.median, "x", at_most=1.5, note=f"lake {lake}; cp -r + sync {peer}")]
    )


if __name__ == "__main__":
    main()
