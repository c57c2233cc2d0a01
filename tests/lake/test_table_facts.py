"""Facts of tables and pictures in a lake: of most files at put, of the many small ones when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import lake


@pytest.fixture
def lk(tmp_path: Path) -> lake.Lake:
    made = lake.init(tmp_path / "lake")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.json").write_text('[{"k": 1}, {"k": 2}]')
    pq.write_table(pa.table({"q": [1, 2, 3]}), tmp_path / "p.parquet")
    Image.new("RGB", (5, 6)).save(tmp_path / "i.tif")
    made.put([tmp_path / name for name in ("a.csv", "b.json", "p.parquet", "i.tif")])
    return made


def test_what_a_put_describes(lk: lake.Lake) -> None:
    assert lk.sql("SELECT path, rows, columns, column_names FROM tables").fetchall() == [("p.parquet", 3, 1, ["q"])]
    assert lk.sql("SELECT path, width, height FROM images").fetchall() == [("i.tif", 5, 6)]


def test_what_is_described_when_asked(lk: lake.Lake) -> None:
    assert lk.facts("a.csv")["tables"]["column_names"].to_pylist() == [["x", "y"]]
    assert list(lk.facts("b.json")) == ["tables", "documents"]
    asked = "SELECT path, rows FROM tables ORDER BY path"
    assert lk.sql(asked).fetchall() == [("a.csv", 1), ("b.json", 2), ("p.parquet", 3)]


def test_a_rebuild_describes_all(lk: lake.Lake) -> None:
    lk.catalog.rebuild(facts=True)
    assert lk.sql("SELECT count(*) FROM tables").fetchall() == [(3,)]
    assert lk.sql("SELECT path, kind, items FROM documents").fetchall() == [("b.json", "array", 2)]
