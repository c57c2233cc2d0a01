"""A look-up of a path on a branch that is many forks away from the commit that made it.

    python -m tests.benchmarks.lookup

Each branch forks from the one before and changes a path of its own. The paths looked up come from `main`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import lake
from lake.journal.values import Put
from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, scratch

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--paths", type=int, default=10_000)
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder, lake.init(folder / "lake") as lk:
        seed = folder / "seed"
        seed.write_bytes(b"seed")
        digest = lk.put(seed, "seed").items[0].digest
        assert digest is not None
        paths = [f"runs/{number:05}.bam" for number in range(arguments.paths)]
        lk.repo.commit("main", [Put(path, digest) for path in paths], message="base")
        deepest = "main"
        for number in range(arguments.depth):
            lk.branch(f"b{number}", deepest)
            deepest = f"b{number}"
            lk.repo.commit(deepest, [Put("runs/changed-everywhere", digest), Put(f"own/{number}", digest)], message="")
        random.Random(7).shuffle(paths)
        view = lk.repo.journal.resolve(deepest)

        def look_up() -> None:
            for path in paths:
                lk.repo.journal.lookup(view, path)

        def look_up_by_name() -> None:
            for path in paths:
                lk.tree(deepest).file(path)

        def shallow() -> None:
            for path in paths:
                lk.tree("main").file(path)

        alone, named, near = interleave(
            [Contestant("deep", look_up), Contestant("by name", look_up_by_name), Contestant("main", shallow)],
            arguments.turns,
        )
    each = 1000 / len(paths)
    what = f"look-up {arguments.depth:,} branches deep"
    return present(
        [
            Figure(
                what, alone.median * each, "ms", at_most=0.1, note=f"{min(alone) * each:.3g}-{max(alone) * each:.3g}"
            ),
            Figure(f"{what}, with the branch's name", named.median * each, "ms", at_most=0.1),
            Figure("look-up on main, with its name", near.median * each, "ms"),
        ]
    )


if __name__ == "__main__":
    main()
