"""What is known of the shared genomic files: read from the two tables that lie beside them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import SHARED_DATA

__all__ = ["GENOMICS", "KNOWN", "Known", "known_files", "run"]

GENOMICS = SHARED_DATA / "genomics"

_LINE = re.compile(r"- `([^`]+)` \| .* \| (.+)")


@dataclass(slots=True)
class Known:
    """One file, and what other tools say of it."""

    name: str
    """``bam/volvox_bai_csi.bam``: folder and name below the data, and the path in the lake."""
    verdict: str
    """``ok``, ``warn`` or ``FAIL``."""
    reference: str | None
    """The FASTA that its records need."""
    values: dict[str, str] = field(default_factory=dict)
    """What was counted, ``records`` or ``region chr1:5-9``, and the result."""

    @property
    def regions(self) -> dict[str, str]:
        """Result by region: ``count md5`` of the records as their tool prints them; of FASTA the md5 of the bases."""
        return {
            what.removeprefix("region "): value for what, value in self.values.items() if what.startswith("region ")
        }


def known_files(folder: Path) -> dict[str, Known]:
    """By name; a file that only one of the two tables names is an error."""
    found = {}
    for line in (folder / "MANIFEST.md").read_text().splitlines():
        if match := _LINE.fullmatch(line):
            name, said = match.groups()
            verdict = said.strip("*").split("*")[0].split()[0].rstrip(",:")
            reference = re.search(r"with reference (\S+)", said)
            found[name] = Known(name, verdict, reference.group(1) if reference else None)
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, what, *value = line.split("\t")
            found[name].values[what] = value[0] if value else ""
    assert all(known.values for known in found.values())
    assert {known.verdict for known in found.values()} == {"ok", "warn", "FAIL"}
    return found


KNOWN = known_files(GENOMICS) if GENOMICS.is_dir() else {}
"""Empty where the files are not there: tests of them ask for `shared_data`, hence skip."""


def run(*command: str | Path) -> bytes:
    """What another tool prints; it must not fail."""
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout
