"""Attributes from sample sheets: what is read, what is joined, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import sheet_files, sheets
from lake.attributes import checked, guessed
from lake.errors import FormatError, InvalidInput, LakeError, NotDirectory, NotFound, Unreadable
from lake.journal.values import Json
from lake.lake import Lake
from tests.lake.samples import make_tree


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    """``runs/s1.txt`` to ``runs/s4.txt``, of which the last two are equal."""
    source = make_tree(tmp_path / "source", {"s1.txt": "1", "s2.txt": "2", "s3.txt": "3", "s4.txt": "3"})
    lk.put(sorted(source.iterdir()), "runs/")
    return lk


def sheet(tmp_path: Path, text: str | bytes, name: str = "sheet.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def of(lk: Lake, name: str) -> Mapping[str, Json]:
    return lk.meta(f"runs/{name}.txt")


def typed(values: Mapping[str, Json]) -> dict[str, tuple[type, Json]]:
    """Values that are told apart by their types, since True == 1 == 1.0."""
    return {key: (type(value), value) for key, value in values.items()}


# -- values -----------------------------------------------------------------------------------------------------
def test_a_column_has_one_type(filled: Lake, tmp_path: Path) -> None:
    text = (
        "path,int,mixed,code,exponent,flag,maybe,date,quoted\n"
        'runs/s1.txt,41,1,007,1E5,TRUE,true,2026-11-20," a, ""b"""\n'
        "runs/s2.txt,-5,2.5,12,3,false,1,2026-11-21,\n"
    )
    report = filled.import_sheet(sheet(tmp_path, text))
    assert (report.records, report.matched, report.attributes, report.warnings) == (2, 2, 15, ())
    first: dict[str, Json] = {"int": 41, "mixed": 1, "code": "007", "exponent": "1E5", "flag": True, "maybe": "true"}
    assert typed(of(filled, "s1")) == typed({**first, "date": "2026-11-20", "quoted": 'a, "b"'})
    second: dict[str, Json] = {"int": -5, "mixed": 2.5, "code": "12", "exponent": "3", "flag": False, "maybe": "1"}
    assert typed(of(filled, "s2")) == typed({**second, "date": "2026-11-21"})


def test_a_heading_says_the_type(filled: Lake, tmp_path: Path) -> None:
    filled.import_sheet(sheet(tmp_path, "path,n:str,f:float,l:json\nruns/s1.txt,7,1,[1]\n"))
    assert typed(of(filled, "s1")) == typed({"n": "7", "f": 1.0, "l": [1]})
    with pytest.raises(InvalidInput, match=r"sheet\.csv, line 3: attribute n: 'x' is not of type int"):
        filled.import_sheet(sheet(tmp_path, "path,n:int\nruns/s1.txt,7\nruns/s2.txt,x\n"))


@pytest.mark.parametrize("text", ["9" * 19, "1" * 400 + ".5", "1.", ".5", "+1", "1e5", "00", "nan", "1_000"])
def test_what_a_number_would_change_stays_text(text: str) -> None:
    assert guessed(text) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": [float("nan")]}, b"x", "x" * 200_000])
def test_values_that_cannot_be_kept(value: object) -> None:
    with pytest.raises(InvalidInput, match="here: "):
        checked(value, "here")


def test_missing_values(filled: Lake, tmp_path: Path) -> None:
    path = sheet(tmp_path, "path,age\nruns/s1.txt,41\nruns/s2.txt,NA\n")
    report = filled.import_sheet(path, dry_run=True)
    assert report.warnings == (
        "sheet.csv, line 3: age is kept as text because of 'NA': --na NA takes it for an empty cell",
    )
    filled.import_sheet(path, empty=["NA"])
    assert (of(filled, "s1"), of(filled, "s2")) == ({"age": 41}, {})


def test_an_empty_cell_says_nothing_unless_it_clears(filled: Lake, tmp_path: Path) -> None:
    filled.set_meta("runs/s1.txt", {"age": 1, "kept": True})
    path = sheet(tmp_path, "path,age,new\nruns/s1.txt, ,2\n")
    filled.import_sheet(path)
    assert of(filled, "s1") == {"age": 1, "kept": True, "new": 2}
    report = filled.import_sheet(path, clear_empty=True)
    assert report.patches == {"runs/s1.txt": {"age": None}}
    assert of(filled, "s1") == {"kept": True, "new": 2}


# -- commits ----------------------------------------------------------------------------------------------------
def test_one_commit_and_none_for_nothing(filled: Lake, tmp_path: Path) -> None:
    path = sheet(tmp_path, "path,n,one\nruns/s1.txt,1,1\nruns/s2.txt,2,1\nruns/none.txt,3,1\n")
    before = len(filled.log())
    dry = filled.import_sheet(path, dry_run=True)
    assert (dry.commit, len(filled.log())) == (None, before)
    report = filled.import_sheet(path)
    assert report.commit is not None
    assert (report.commit.changes, report.commit.message, len(filled.log())) == (2, "meta import sheet.csv", before + 1)
    assert report.patches == dry.patches
    again = filled.import_sheet(path)
    assert (again.commit, again.attributes, len(filled.log())) == (None, 0, before + 1)
    other = filled.import_sheet(sheet(tmp_path, '{"path": "runs/s1.txt", "n": 1.0, "one": true}\n', "s.jsonl"))
    assert typed(other.patches["runs/s1.txt"]) == typed({"n": 1.0, "one": True})


def test_in_a_transaction_and_on_a_branch(filled: Lake, tmp_path: Path) -> None:
    path = sheet(tmp_path, "path,n\ns1.txt,1\n")
    filled.branch("exp")
    filled.import_sheet(path, "@exp/runs")
    assert (of(filled, "s1"), filled.meta("@exp/runs/s1.txt")) == ({}, {"n": 1})
    with filled.commit("both"):
        assert filled.import_sheet(path, "runs").commit is None
        assert of(filled, "s1") == {"n": 1}
    assert filled.log(limit=1)[0].message == "both"


def test_a_directory_has_attributes(filled: Lake, tmp_path: Path) -> None:
    filled.import_sheet(sheet(tmp_path, "path,n\nruns/,1\n"))
    assert filled.meta("runs") == {"n": 1}
    assert [entry.path for entry in filled.ls("")] == ["runs"]


def test_strict_changes_nothing(filled: Lake, tmp_path: Path) -> None:
    path = sheet(tmp_path, "path,n\nruns/s1.txt,1\nx.txt,2\n,3\n")
    with pytest.raises(InvalidInput, match=r"line 3: no such file or directory in the lake: x\.txt") as caught:
        filled.import_sheet(path, strict=True)
    assert caught.value.__notes__ == ["sheet.csv, line 4: no path"]
    assert of(filled, "s1") == {}


# -- joins ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("heading", ["path", "File", "FILE NAME", "file-path", "filename"])
def test_the_heading_tells_the_join(filled: Lake, tmp_path: Path, heading: str) -> None:
    filled.import_sheet(sheet(tmp_path, f"sample,{heading}\nNA1,./runs//s1.txt\n"))
    assert of(filled, "s1") == {"sample": "NA1"}


def test_by_digest(filled: Lake, tmp_path: Path) -> None:
    digest = filled.stat("runs/s3.txt").digest
    assert digest is not None
    text = f"digest,n\nb3:{digest.upper()},1\n{'0' * 64},2\nxyz,3\n,4\n"
    report = filled.import_sheet(sheet(tmp_path, text))
    assert (of(filled, "s3"), of(filled, "s4")) == ({"n": 1}, {"n": 1})
    assert [warning.split(":")[0] for warning in report.warnings] == [f"sheet.csv, line {n}" for n in (3, 4, 5)]
    filled.mkdir("other")
    assert filled.import_sheet(sheet(tmp_path, f"blake3,n\n{digest},9\n"), "other").matched == 0


def test_by_sample(bare: Lake, bams: Path, tmp_path: Path) -> None:
    for name, samples in (("a", "S1"), ("b", "S1,S2"), ("c", "007")):
        bare.put(_vcf(tmp_path / f"{name}.vcf", samples.split(",")), "calls/")
    bare.put(bams / "c.bam", "")
    report = bare.import_sheet(sheet(tmp_path, "Sample_ID,sex\nS1,f\n007,m\nS9,x\n,y\n"))
    assert report.patches == {"calls/a.vcf": {"sex": "f"}, "calls/b.vcf": {"sex": "f"}, "calls/c.vcf": {"sex": "m"}}
    assert report.warnings == (
        "sheet.csv, line 4: no file names the sample 'S9'",
        "sheet.csv, line 5: no sample",
    )
    both = sheet(tmp_path, "sample,age\nS1,1\nS2,2\n")
    with pytest.raises(InvalidInput, match=r"line 3: age of calls/b\.vcf is 2, but 1 in line 2"):
        bare.import_sheet(both)
    report = bare.import_sheet(both, skip_conflicts=True)
    assert report.patches == {"calls/a.vcf": {"age": 1}}
    assert "calls/b.vcf" in report.warnings[0]
    bare.branch("exp")
    bare.mv("@exp/calls/c.vcf", "@exp/moved.vcf")
    assert list(bare.import_sheet(sheet(tmp_path, "sample,x\n007,1\n"), "@exp/").patches) == ["moved.vcf"]


def _vcf(path: Path, samples: list[str]) -> Path:
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples])
    record = "\t".join(["chr1", "5", ".", "A", "C", "9", "PASS", ".", "GT", *("0/1" for _ in samples)])
    gt = '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">'
    path.write_text(f"##fileformat=VCFv4.2\n##contig=<ID=chr1,length=9>\n{gt}\n{columns}\n{record}\n")
    return path


def test_what_the_join_is_may_be_said(filled: Lake, tmp_path: Path) -> None:
    path = sheet(tmp_path, "where,file,path\nruns/s1.txt,a,b\n")
    filled.import_sheet(path, by="path", key="where")
    assert of(filled, "s1") == {"file": "a", "path": "b"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "columns file, path may all hold the path: choose with --key"),
        ({"key": "where"}, "say which with --by"),
        ({"key": "nothing"}, "has no column 'nothing'; it has where, file, path"),
        ({"by": "sample"}, "no column named sample"),
        ({"by": "name"}, "joined by path, digest or sample, not by 'name'"),
    ]
    for options, message in wrong:
        with pytest.raises(InvalidInput, match=message):
            filled.import_sheet(path, **options)


def test_paths_stay_below_the_prefix(filled: Lake, tmp_path: Path) -> None:
    report = filled.import_sheet(sheet(tmp_path, "path,n\n../x,1\n/s1.txt,2\n@v1/a,3\nruns/s2.txt,4\n*,5\n"), "runs")
    assert report.patches == {"runs/s1.txt": {"n": 2}}
    assert len(report.warnings) == 4
    with pytest.raises(NotFound, match="nothing"):
        filled.import_sheet(sheet(tmp_path, "path,n\n"), "nothing")
    with pytest.raises(NotDirectory):
        filled.import_sheet(sheet(tmp_path, "path,n\n"), "runs/s1.txt")


def test_rows_that_contradict_each_other(filled: Lake, tmp_path: Path) -> None:
    text = "path,n,t\nruns/s1.txt,1,x\nruns/s1.txt,1,\nruns/s2.txt,1,x\nruns/s2.txt,2,x\nruns/s3.txt,5,x\n"
    path = sheet(tmp_path, text)
    with pytest.raises(InvalidInput, match=r"line 5: n of runs/s2\.txt is 2, but 1 in line 4"):
        filled.import_sheet(path)
    assert of(filled, "s3") == {}
    with pytest.raises(InvalidInput, match=r"line 3: t of runs/s1\.txt is empty, but 'x' in line 2"):
        filled.import_sheet(sheet(tmp_path, "path,t\nruns/s1.txt,x\nruns/s1.txt,\n", "t.csv"), clear_empty=True)
    report = filled.import_sheet(path, skip_conflicts=True)
    assert sorted(report.patches) == ["runs/s1.txt", "runs/s3.txt"]


# -- files ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_as_spreadsheets_write_them(filled: Lake, tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    lines = ["path;Größe;", "runs/s1.txt;größer;", ";;", "runs/s2.txt;2;", ""]
    path = sheet(tmp_path, end.join(lines).replace(";", delimiter).encode(encoding))
    report = filled.import_sheet(path)
    assert report.patches == {"runs/s1.txt": {"Größe": "größer"}, "runs/s2.txt": {"Größe": "2"}}
    assert (report.records, report.warnings) == (2, ())


def test_lines_are_those_of_the_file(filled: Lake, tmp_path: Path) -> None:
    report = filled.import_sheet(sheet(tmp_path, '\npath,n\n\nruns/s1.txt,"a\nb"\nx,1\n'))
    assert report.warnings == ("sheet.csv, line 6: no such file or directory in the lake: x",)
    assert of(filled, "s1") == {"n": "a\nb"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"path,n\na,1,2\n", "line 2: 3 cells, but 2 columns"),
        (b"path,n\na,1\nb\n", "line 3: 1 cells, but 2 columns"),
        (b"path,n,n\na,1,2\n", "two columns are named 'n'"),
        (b"path,n,n:int\na,1,2\n", "two columns are named 'n'"),
        (b"path,,n\na,1,2\n", "line 2: column 2 has a value, but no name"),
        (b'path,n\na,"1\n', "line 2: .*a quote that does not end"),
        (b'path,n\na,"1"2\n', "line 2: "),
        (b"path,n\na,Gr\xf6\xdfe\n", "line 2: byte 0xF6 is not UTF-8"),
        (b"\xff\xfep\0a\0t", "line 1: .* is not UTF-16"),
        (b"p\0a\0t\0h\0", "line 1: a NUL character"),
        (b"PK\x03\x04...", "save the sheet as CSV"),
        (b"path,n\na," + b"x" * 200_000, "line 2: field larger"),
        (b'{"path": "a"}\n{"path": ', r"line 2 is no JSON"),
        (b'{"path": "a"}\n[1]\n', r"line 2: '\[1\]' is no JSON object"),
        (b'{"path": "a", "n": 1e999}\n', "line 1, n: "),
        (b'{"path": "a", "\\ud800": 1}\n', "line 1: "),
        (b'{"": "a"}\n', "a key is empty"),
        (b'{"a":' + b"[" * 100_000, "line 1 is no JSON"),
        (b"PAR1 and no more", "Parquet|damaged"),
    ],
)
def test_malformed(filled: Lake, tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises((FormatError, InvalidInput), match=message) as caught:
        filled.import_sheet(sheet(tmp_path, text, "sheet"))
    assert "\n" not in str(caught.value)


def test_every_ragged_row_is_told(filled: Lake, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="line 2") as caught:
        filled.import_sheet(sheet(tmp_path, "path,n\na\nb,1\nc\n"))
    assert caught.value.__notes__ == ["sheet.csv, line 4: 1 cells, but 2 columns"]


def test_unreadable(filled: Lake, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv", tmp_path / "none.parquet"):
        with pytest.raises((Unreadable, LakeError), match="cannot read"):
            filled.import_sheet(path)


@pytest.mark.parametrize("bound", ["MAX_BYTES", "MAX_ROWS", "MAX_CELLS", "MAX_COLUMNS"])
@pytest.mark.parametrize("name", ["s.csv", "s.jsonl", "s.parquet"])
def test_bounds(filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, name: str) -> None:
    rows = [{"path": "a", "n": 1}, {"path": "b", "n": 2}]
    path = sheet(tmp_path, "path,n\na,1\nb,2\n" if name == "s.csv" else "\n".join(map(json.dumps, rows)), name)
    if name == "s.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    monkeypatch.setattr(sheet_files, bound, 1)
    with pytest.raises(InvalidInput, match=r"limit|more than"):
        filled.import_sheet(path)


def test_a_bound_of_what_is_said(filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_STATEMENTS", 3)
    with pytest.raises(InvalidInput, match="says more than 3 things of 2 paths"):
        filled.import_sheet(sheet(tmp_path, "path,n\nruns/s1.txt,1\nruns/s2.txt,1\n"))


def test_json_lines_have_types(filled: Lake, tmp_path: Path) -> None:
    text = '{"path": "runs/s1.txt", "a": "7", "b": null}\n\n{"c": [1, {"x": true}], "path": "runs/s2.txt"}\n'
    filled.import_sheet(sheet(tmp_path, text, "s.jsonl"))
    assert (of(filled, "s1"), of(filled, "s2")) == ({"a": "7"}, {"c": [1, {"x": True}]})


def test_parquet_has_types(filled: Lake, tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["runs/s1.txt", "runs/s2.txt", "x"],
            "n": pa.array([1, None, 3], pa.int8()),
            "f": [float("nan"), 2.5, 1.0],
            "d": pa.array([Decimal("1.5"), Decimal("2"), None]),
            "t": pa.array([0, 86_400_000, None], pa.timestamp("ms", "UTC")),
            "s": pa.array(["007", "x", "x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "s.parquet")
    report = filled.import_sheet(tmp_path / "s.parquet")
    assert report.warnings == ("s.parquet, row 3: no such file or directory in the lake: x",)
    assert typed(of(filled, "s1")) == typed({"n": 1, "d": 1.5, "t": "1970-01-01T00:00:00+00:00", "s": "007"})
    assert typed(of(filled, "s2")) == typed({"f": 2.5, "d": 2, "t": "1970-01-02T00:00:00+00:00", "s": "x"})
    pq.write_table(pa.table({"path": ["runs/s1.txt"], "b": [b"x"]}), tmp_path / "s.parquet")
    with pytest.raises(InvalidInput, match="row 1, b"):
        filled.import_sheet(tmp_path / "s.parquet")
