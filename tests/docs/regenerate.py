"""Write the answers of today into docs/catalog.md: ``python -m tests.docs.regenerate``; look at the difference."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.docs.cohort import make_cohort
from tests.docs.page import PAGE, renewed

__all__: list[str] = []

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, make_cohort(Path(folder)) as lk:
        PAGE.write_text(renewed(PAGE.read_text(), lk))
