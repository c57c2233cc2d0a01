"""Rows and columns of tables, judged by pandas, pyarrow and json."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.facts.sources import WHEN_ASKED, IndexFile, fact_source
from lake.formats.reader import BytesReader
from lake.formats.tabular import delimited, json_text
from tests.formats.bam_maker import blocked

_FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8) | st.integers().map(str)


def facts(form: str, data: bytes) -> dict[str, list[dict[str, Any]]]:
    source = fact_source(form)
    assert source is not None
    assert source.located(BytesReader(data), IndexFile(None, None, None, None, (0,), {})) == {}
    return {kind: table.to_pylist() for kind, table in source.header(BytesReader(data)).items()}


def table(form: str, data: bytes) -> dict[str, Any]:
    (row,) = facts(form, data)["tables"]
    return row


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_as_pandas_writes_and_reads_it(separator: str, end: str) -> None:
    frame = pd.DataFrame(
        {"name": ["a", 'b "q"', "c,;|\td"], "n": [1, 2, 3], "x": [0.5, None, 1e-9], "none": [None] * 3}
    )
    data = frame.to_csv(index=False, sep=separator, lineterminator=end).encode()
    assert table("CSV", data) == {
        "rows": 3,
        "columns": 4,
        "column_names": list(frame.columns),
        "column_types": ["string", "int64", "double", "null"],
        "delimiter": separator,
    }
    for packed in (gzip.compress(data), blocked(data, [20])):
        assert table("CSV", packed) == table("CSV", data)
    assert facts("CSV", bz2.compress(data)) == {}


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 5), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9))
def test_rows_are_those_of_any_reader(data: st.DataObject, width: int, end: str, step: int) -> None:
    rows = data.draw(st.lists(st.lists(_FIELD, min_size=width, max_size=width), min_size=1, max_size=20))
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows([[f"c{n}" for n in range(width)], *rows])
    text = out.getvalue().encode()
    pieces = iter([text[at : at + step] for at in range(0, len(text), step)])
    found = delimited.delimited_shape(pieces, len(text), ",")
    assert found is not None
    assert (found.rows, found.columns) == (len(rows), width)
    assert found.names == [f"c{n}" for n in range(width)]


@given(st.lists(st.sampled_from(["1,a", "2,b", "", "3,c"]), max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_empty_lines_are_no_rows(lines: list[str], end: str) -> None:
    text = end.join(["n,t", *lines])
    want = len(pd.read_csv(io.StringIO(text)))
    for size in (1, 7, 1 << 16):
        pieces = iter([text.encode()[at : at + size] for at in range(0, len(text), size)])
        found = delimited.delimited_shape(pieces, len(text), ",")
        assert found is not None
        assert found.rows == want


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_an_error(data: bytes) -> None:
    for form in ("CSV", "TSV", "JSON", "Parquet"):
        try:
            facts(form, data)
        except FormatError:
            continue


def test_what_stands_before_a_table_and_what_has_no_header() -> None:
    assert table("TSV", b"## made by\n# hand\n#chrom\tstart\nchr1\t5\nchr2\t6") == {
        "rows": 2,
        "columns": 2,
        "column_names": ["#chrom", "start"],
        "column_types": ["string", "int64"],
        "delimiter": "\t",
    }
    bare = table("CSV", b"1,a\n2,b\n")
    assert (bare["rows"], bare["column_names"], bare["column_types"]) == (2, None, ["int64", "string"])
    assert table("TSV", b'length\tsize\n5"\tx\n6"\ty\n')["rows"] == 2
    assert facts("CSV", b"\n\n") == {}
    assert facts("CSV", "a,b\n1,2\n".encode("utf-16")) == {}
    assert table("CSV", b"\xef\xbb\xbfa,b\n1,2\n")["column_names"] == ["a", "b"]


def test_what_would_be_dear_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, quoted = b"a,b\n" + b"1,2\n" * 50_000, b"a,b\n" + b'1,"2"\n' * 50_000
    assert (table("CSV", plain)["rows"], table("CSV", quoted)["rows"]) == (50_000, 50_000)
    assert table("CSV", b'a,b\n1,"' + b"x" * 200_000)["rows"] is None
    monkeypatch.setattr(delimited, "_MOST_QUOTED", 1000)
    assert table("CSV", quoted)["rows"] is None
    monkeypatch.setattr(delimited, "_MOST", 1000)
    assert table("CSV", plain) == {**table("CSV", plain[:500]), "rows": None}
    assert table("CSV", gzip.compress(plain))["rows"] is None


def test_a_great_many_columns_have_no_names() -> None:
    found = table("CSV", ",".join(f"c{n}" for n in range(10_001)).encode() + b"\n")
    assert (found["columns"], found["column_names"], found["column_types"]) == (10_001, None, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.sampled_from(["none", "zstd"]))
def test_parquet_by_its_footer(rows: int, compression: str) -> None:
    made = pa.table({"a": pa.array(range(rows), pa.int32()), "l": pa.array([["x"]] * rows, pa.list_(pa.string()))})
    out = io.BytesIO()
    pq.write_table(made, out, compression=compression, row_group_size=7)
    assert table("Parquet", out.getvalue()) == {
        "rows": rows,
        "columns": 2,
        "column_names": ["a", "l"],
        "column_types": [str(kind) for kind in pq.read_schema(io.BytesIO(out.getvalue())).types],
        "delimiter": None,
    }
    with pytest.raises(FormatError):
        facts("Parquet", out.getvalue()[:-3])


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_JSON)
def test_json_by_its_top(value: Any) -> None:
    found = facts("JSON", json.dumps(value).encode())
    (top,) = found["documents"]
    assert top["items"] == (len(value) if isinstance(value, list | dict) else None)
    assert ("tables" in found) == bool(isinstance(value, list) and value and all(isinstance(v, dict) for v in value))


def test_json_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"a": 1, "b": 2}, {"b": 3, "c": 4}]
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    for data, kind in ((json.dumps(records).encode(), "array"), (lines, "lines"), (gzip.compress(lines), "lines")):
        found = facts("JSON", data)
        assert found["documents"] == [{"kind": kind, "items": 2}]
        assert (found["tables"][0]["rows"], found["tables"][0]["column_names"]) == (2, ["a", "b", "c"])
    for bad in (b'{"a": 1', b"[" * 100_000, b"{} x", b'"\xff"', b"[" + b"9" * 5000 + b"]"):
        with pytest.raises(FormatError, match="not JSON"):
            facts("JSON", bad)
    monkeypatch.setattr(json_text, "_MOST", 10)
    assert facts("JSON", lines)["documents"] == [{"kind": "lines", "items": None}]
    assert facts("JSON", b'\n{\n"a": [\n{}, 1, 2]}')["documents"] == [{"kind": "object", "items": None}]
    assert facts("JSON", b"[1,\n[2],\n[3]]")["documents"] == [{"kind": "array", "items": None}]


def test_what_is_made_when_asked_has_a_source() -> None:
    assert all(fact_source(form) for form in WHEN_ASKED)
