"""VCF whose header declares no contigs: fine as VCF, impossible as BCF, which names contigs by their number there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.errors import FormatError
from lake.lake import Lake

TEXT = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t10\t.\tA\tC\t.\tPASS\t.\n"


def test_no_bcf_without_contigs(tmp_path: Path) -> None:
    (tmp_path / "a.vcf").write_text(TEXT)
    with Lake.init(tmp_path / "lake") as lake:
        lake.put(str(tmp_path / "a.vcf"), "a.vcf")
        assert b"".join(lake.slice("a.vcf", "chr1").iter_bytes()).decode() == TEXT
        with pytest.raises(FormatError, match=r"declares no contig 'chr1'"):
            b"".join(lake.slice("a.vcf", "chr1", format="BCF").iter_bytes())
