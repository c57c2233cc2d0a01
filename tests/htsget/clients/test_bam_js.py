"""@gmod/bam, which JBrowse 2 reads with: it inflates what each URL of a ticket gives for itself."""

from __future__ import annotations

import json
from pathlib import Path

import pysam
import pytest

from tests.htsget.clients.conftest import Served, succeed

pytestmark = [pytest.mark.network, pytest.mark.clients]


def check(served: Served, node_clients: Path, id: str, file: Path, regions: list[tuple[str, int, int]]) -> None:
    said = succeed("node", node_clients / "records.mjs", f"{served.url}/reads", id, json.dumps(regions))
    with pysam.AlignmentFile(str(file)) as bam:
        expected = [
            [[read.query_name, read.reference_start, read.flag] for read in bam.fetch(*region)] for region in regions
        ]
    assert json.loads(said) == expected
    assert any(expected)


def test_regions(served: Served, made: Path, node_clients: Path) -> None:
    regions = [("chr1", 0, 50_000), ("chr1", 10_000, 10_001), ("chr2", 29_000, 30_000), ("chr2", 0, 30_000)]
    check(served, node_clients, "runs/s1.bam", made / "s1.bam", regions)


def test_real_regions(served: Served, real: Path, node_clients: Path) -> None:
    regions = [("11", 4_900_000, 5_000_000), ("20", 9_999_999, 10_050_000), ("20", 0, 60_000_000)]
    name = "na12878_wgs_b37_unplaced.bam"
    check(served, node_clients, f"real/{name}", real / "bam" / name, regions)
