"""Libraries that read tables from URLs, by ranges where their format lets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.htsget.clients.conftest import Served, requests


def test_pandas_csv(served: Served, guarded: Served, made: Path) -> None:
    import pandas as pd

    expected = pd.read_csv(made / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(f"{served.url}/files/more/table.csv"), expected)
    with pytest.raises(OSError, match="401"):
        pd.read_csv(f"{guarded.url}/files/more/table.csv")


def test_pandas_with_a_token(guarded: Served, made: Path) -> None:
    import pandas as pd

    sent = {"Authorization": f"Bearer {guarded.token}"}
    names = ["contig", "place", "id", "ref", "alt", "qual", "filter", "info"]
    found, expected = (
        pd.read_csv(place, sep="\t", comment="#", names=names, compression="gzip", storage_options=options)
        for place, options in ((f"{guarded.url}/files/calls/calls.vcf.gz", sent), (made / "calls.vcf.gz", None))
    )
    pd.testing.assert_frame_equal(found, expected)


def test_pandas_of_a_region(served: Served, made: Path) -> None:
    import pandas as pd

    place = f"{served.url}/files/calls/calls.vcf.gz?region=chr2%3A1001-2000"
    table = pd.read_csv(place, sep="\t", comment="#", header=None, compression="gzip")
    assert table[0].unique().tolist() == ["chr2"]
    assert table[1].between(1001, 2000).all()
    assert len(table) == len(range(1025, 2001, 37))


def test_pyarrow_reads_parquet_by_ranges(served: Served, made: Path) -> None:
    import fsspec
    from pyarrow import parquet

    before = served.log.stat().st_size
    with fsspec.open(f"{served.url}/files/more/table.parquet", "rb", block_size=16 << 10) as file:
        reader = parquet.ParquetFile(file)
        assert reader.metadata.num_rows == 20_000
        assert reader.read_row_group(3).equals(parquet.ParquetFile(made / "table.parquet").read_row_group(3))
    asked = requests(served, before, lambda lines: sum(line["status"] == 206 for line in lines) >= 2)
    assert sum(line["sent"] for line in asked) < (made / "table.parquet").stat().st_size / 2


def test_polars(served: Served, made: Path) -> None:
    import polars as pl

    assert pl.read_csv(f"{served.url}/files/more/table.csv").equals(pl.read_csv(made / "table.csv"))


def test_fsspec_lists_nothing_that_is_not_there(served: Served) -> None:
    import fsspec

    files = fsspec.filesystem("http")
    assert files.exists(f"{served.url}/files/more/table.csv")
    assert not files.exists(f"{served.url}/files/more/nothing.csv")
    assert files.info(f"{served.url}/files/more/table.csv")["size"] > 0
