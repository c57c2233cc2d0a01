"""How long `import lake` takes beyond starting Python.

python -m tests.benchmarks.import_time
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, run

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    arguments = arguments_of(__doc__ or "", turns=15).parse_args(argv)
    python, importing = interleave(
        [
            Contestant("python", lambda: run([sys.executable, "-c", "pass"])),
            Contestant("import lake", lambda: run([sys.executable, "-c", "import lake"])),
        ],
        arguments.turns,
    )
    note = f"python -c 'import lake' {importing}; python -c pass {python}"
    return present([Figure("import lake", importing.median - python.median, "s", at_most=0.2, note=note)])


if __name__ == "__main__":
    main()
