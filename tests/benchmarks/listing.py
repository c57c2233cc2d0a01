"""fsspec `info` and `ls(detail=True)` in a directory of many entries; the local filesystem for comparison.

    python -m tests.benchmarks.listing

Every `info` asks for another path, in random order, so that no answer is repeated.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, scratch

__all__ = ["main"]


def _ask_all(filesystem: Any, paths: list[str]) -> None:
    for path in paths:
        filesystem.info(path)


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    import lake

    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=20_000, help="paths that `info` is asked for")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        names = _fill(lk, folder, arguments.entries)
        asked = random.Random(7).sample(names, min(arguments.asked, len(names)))
        plain = folder / "plain"
        plain.mkdir()
        for name in names:
            (plain / name).touch()
        ours = fsspec.filesystem("lake", root=str(lk.root), skip_instance_cache=True, use_listings_cache=False)
        local = LocalFileSystem()
        info, peer_info, ls, peer_ls = interleave(
            [
                Contestant("info", lambda: _ask_all(ours, [f"many/{name}" for name in asked])),
                Contestant("local info", lambda: _ask_all(local, [str(plain / name) for name in asked])),
                Contestant("ls", lambda: ours.ls("many", detail=True)),
                Contestant("local ls", lambda: local.ls(str(plain), detail=True)),
            ],
            arguments.turns,
        )
        listed = len(ours.ls("many", detail=True))
    assert listed == arguments.entries
    rate, peer_rate = len(asked) / info.median, len(asked) / peer_info.median
    spread = f"{len(asked) / max(info):,.0f}-{len(asked) / min(info):,.0f}"
    return present(
        [
            Figure("fsspec info", rate, "/s", at_least=20_000, note=f"{spread}; local {peer_rate:,.0f}/s"),
            Figure(f"fsspec ls of {listed:,} entries", ls.median, "s", at_most=0.2, note=f"{ls}; local {peer_ls}"),
        ]
    )


def _fill(lk: Any, folder: Path, count: int) -> list[str]:
    """Many entries of one small object, in one commit."""
    from lake.journal.values import Put

    seed = folder / "seed"
    seed.write_bytes(b"seed")
    digest = lk.put(seed, "seed").items[0].digest
    names = [f"sample_{number:06}.bam" for number in range(count)]
    lk.repo.commit("main", [Put(f"many/{name}", digest) for name in names], message="many entries")
    return names


if __name__ == "__main__":
    main()
