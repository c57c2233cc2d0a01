"""Sequential read of a big file through lake:// against fsspec's local filesystem, on the same stored file.

    python -m tests.benchmarks.fsspec_read --file big.bam

The file is in the page cache for both, so that the software is measured and not the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, read_through, scratch

__all__ = ["main"]


def _read_all(filesystem: Any, path: str, piece: int) -> None:
    with filesystem.open(path, "rb") as file:
        while file.read(piece):
            pass


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    import lake

    parser = arguments_of(__doc__ or "", turns=9)
    parser.add_argument("--file", type=Path, required=True, help="any big file")
    parser.add_argument("--piece", type=int, default=1 << 20, help="bytes a read")
    arguments = parser.parse_args(argv)
    size = arguments.file.stat().st_size
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        lk.put(arguments.file, "big", index=False)
        stored = lk.local_path("big")
        read_through(stored)
        ours = fsspec.filesystem("lake", root=str(lk.root), skip_instance_cache=True)
        local = LocalFileSystem()
        mine, peer = interleave(
            [
                Contestant("lake", lambda: _read_all(ours, "big", arguments.piece)),
                Contestant("local", lambda: _read_all(local, str(stored), arguments.piece)),
            ],
            arguments.turns,
        )
    what = f"fsspec read of {size / 1e6:,.0f} MB, {arguments.piece:,} bytes a read"
    note = f"lake {size / mine.median / 1e9:.2f} GB/s, {mine}; local {size / peer.median / 1e9:.2f} GB/s, {peer}"
    return present([Figure(what, peer.median / mine.median, "x", at_least=0.95, note=note)])


if __name__ == "__main__":
    main()
