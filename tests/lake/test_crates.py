"""RO-Crate metadata, out and in; the reader of ro-crate-py judges what is written, and writes what is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

from lake import crates
from lake.crates import looks_like_crate
from lake.errors import FormatError, InvalidInput, NotDirectory, NotFound, Unreadable
from lake.journal.values import Json
from lake.lake import Lake
from tests.lake.samples import make_tree

FILES = {"a.txt": "a", "b.txt": "bb", "sub/c d%20#é.txt": "ccc", "sub/x:y.txt": "d", "only/deep/e.txt": "e"}

ATTRIBUTES: dict[str, dict[str, Json]] = {
    "runs": {"study": "demo", "license": "https://creativecommons.org/licenses/by/4.0/", "name": "The runs"},
    "runs/a.txt": {"n": 1, "f": 1.0, "b": True, "t": "1", "empty": "", "unit": "µ"},
    "runs/b.txt": {"list": [1, [2, None], {"x": "y"}], "one": [1], "none": [], "name": "b.txt", "license": "none"},
    "runs/sub": {"@odd key": "x", "description": "below"},
    "runs/sub/c d%20#é.txt": {"n": 1},
}


@pytest.fixture
def filled(lk: Lake, tmp_path: Path) -> Lake:
    """``runs/`` with FILES."""
    lk.put(str(make_tree(tmp_path / "runs", FILES)), "", checksums=True)
    return lk


@pytest.fixture
def other(tmp_path: Path) -> Lake:
    """Another lake, with the same files below ``copy/``."""
    made = Lake.init(tmp_path / "other")
    made.put(str(make_tree(tmp_path / "copy", FILES)), "")
    return made


def written(tmp_path: Path, document: Any, name: str = "ro-crate-metadata.json") -> Path:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def crate(*entities: dict[str, Any], root: str = "./", **properties: Any) -> dict[str, Any]:
    """A metadata document."""
    descriptor = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": root}}
    return {"@graph": [descriptor, {"@id": root, "@type": "Dataset", **properties}, *entities]}


def annotate(lk: Lake) -> None:
    for path, values in ATTRIBUTES.items():
        lk.set_meta(path, values)


def by_id(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entity["@id"]: entity for entity in document["@graph"]}


# -- out --------------------------------------------------------------------------------------------------------
def test_what_is_written(filled: Lake) -> None:
    annotate(filled)
    document = filled.export_crate("runs")
    entities = by_id(document)
    assert len(entities) == len(document["@graph"])
    assert document["@context"] == "https://w3id.org/ro/crate/1.2/context"
    assert entities["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    root = entities["./"]
    assert (root["name"], root["license"]) == ("The runs", {"@id": ATTRIBUTES["runs"]["license"]})
    assert {"description", "datePublished"} <= root.keys()
    assert [part["@id"] for part in root["hasPart"]] == ["a.txt", "b.txt", "only/", "sub/"]
    assert entities["only/"]["hasPart"] == [{"@id": "only/deep/"}]
    assert [part["@id"] for part in entities["sub/"]["hasPart"]] == ["sub/c%20d%2520%23é.txt", "sub/x%3Ay.txt"]
    entry = filled.stat("runs/b.txt")
    file = entities["b.txt"]
    assert file["@type"] == "File"
    assert (file["contentSize"], file["encodingFormat"]) == ("2", "text/plain")
    assert (file["identifier"], file["sha256"]) == (f"b3:{entry.digest}", entry.checksums["sha256"])
    stated = {entities[part["@id"]]["name"]: entities[part["@id"]] for part in entities["a.txt"]["additionalProperty"]}
    assert {name: value["value"] for name, value in stated.items()} == ATTRIBUTES["runs/a.txt"]
    assert {value["@type"] for value in stated.values()} == {"PropertyValue"}


def test_equal_attributes_are_one_entity(filled: Lake) -> None:
    filled.set_meta(["runs/a.txt", "runs/b.txt"], {"tissue": "liver", "n": 1})
    filled.set_meta("runs/only/deep/e.txt", {"n": 1.0, "tissue": True})
    document = filled.export_crate("runs")
    assert sum(entity["@type"] == "PropertyValue" for entity in document["@graph"]) == 4


def test_every_reference_has_its_entity(filled: Lake) -> None:
    annotate(filled)
    entities = by_id(filled.export_crate())
    conforms = entities["ro-crate-metadata.json"].pop("conformsTo")
    for entity in entities.values():
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                assert not isinstance(item, dict) or (item.keys() == {"@id"} and item["@id"] in entities)
    assert conforms["@id"].startswith("https://w3id.org/ro/crate/")


def test_another_reader_reads_it(filled: Lake, tmp_path: Path) -> None:
    annotate(filled)
    filled.set_meta("runs", {"description": "Runs of a day"})
    place = tmp_path / "out"
    filled.get("runs", place)
    written(place, filled.export_crate("runs"))
    read = ROCrate(place)
    assert (read.name, read.description) == ("The runs", "Runs of a day")
    assert {entity.id for entity in read.data_entities} == {
        *("a.txt", "b.txt", "only/", "only/deep/", "only/deep/e.txt"),
        *("sub/", "sub/c%20d%2520%23é.txt", "sub/x%3Ay.txt"),
    }
    file = read.dereference("a.txt")
    assert file is not None
    assert {item["name"]: item["value"] for item in file["additionalProperty"]} == ATTRIBUTES["runs/a.txt"]
    read.write(tmp_path / "again")
    assert (tmp_path / "again" / "sub" / "c d%20#é.txt").read_text() == "ccc"
    before = {path: filled.meta(path) for path in ATTRIBUTES}
    report = filled.import_crate(tmp_path / "again" / "ro-crate-metadata.json", "runs")
    assert (report.patches, report.warnings) == ({}, ())
    assert {path: filled.meta(path) for path in ATTRIBUTES} == before


def test_what_cannot_be_written(filled: Lake) -> None:
    with pytest.raises(NotDirectory, match="is a file"):
        filled.export_crate("runs/a.txt")
    with pytest.raises(NotFound, match="nothing"):
        filled.export_crate("nothing")
    assert set(by_id(filled.export_crate())) >= {"./", "runs/", "runs/a.txt"}


def test_the_past_and_an_older_document(filled: Lake, tmp_path: Path) -> None:
    filled.put(written(tmp_path, "{}"), "runs/")
    filled.set_meta("runs/a.txt", {"n": 1})
    assert by_id(filled.export_crate("runs"))["ro-crate-metadata.json"]["@type"] == "CreativeWork"
    assert "additionalProperty" not in by_id(filled.export_crate("@main~1/runs"))["a.txt"]


# -- and back ---------------------------------------------------------------------------------------------------
def test_round_trip(filled: Lake, other: Lake, tmp_path: Path) -> None:
    annotate(filled)
    document = written(tmp_path, filled.export_crate("runs"))
    with other:
        report = other.import_crate(document, "copy")
        assert report.warnings == ()
        assert (report.records, report.matched) == (9, 9)
        for path in ["runs", *(entry.path for entry in filled.ls("runs", recursive=True))]:
            there = other.meta("copy" + path.removeprefix("runs"))
            assert json.dumps(there, sort_keys=True) == json.dumps(filled.meta(path), sort_keys=True)
        commits = len(other.log())
        assert other.import_crate(document, "copy").commit is None
        assert len(other.log()) == commits


def test_what_another_tool_writes(filled: Lake, tmp_path: Path) -> None:
    made = ROCrate(version="1.1")
    made.name, made.description, made.license = "Study", "About runs", "https://spdx.org/licenses/MIT"
    ada = made.add(Person(made, "https://orcid.org/0000-0001", {"name": "Ada"}))
    bob = made.add(Person(made, "#bob", {"name": "Bob"}))
    source = tmp_path / "runs" / "a.txt"
    made.add_file(source, properties={"author": [ada, bob], "contentSize": "1", "version": 3, "keywords": ["x", "y"]})
    made.add_file(tmp_path / "runs/b.txt", properties={"name": "Second", "license": {"@id": "https://x.org/l"}})
    made.add_file("https://example.org/far.txt")
    made.write_zip(tmp_path / "crate.zip")
    made.metadata.write(tmp_path)
    report = filled.import_crate(tmp_path / "ro-crate-metadata.json", "runs")
    assert filled.meta("runs/a.txt") == {"author": ["Ada", "Bob"], "version": 3, "keywords": ["x", "y"]}
    assert filled.meta("runs/b.txt") == {"name": "Second", "license": "https://x.org/l"}
    root = filled.meta("runs")
    assert root.pop("datePublished")
    assert root == {"name": "Study", "description": "About runs", "license": "https://spdx.org/licenses/MIT"}
    assert report.warnings == (
        "ro-crate-metadata.json: 'https://example.org/far.txt' is not a path inside of the crate: skipped",
    )


def test_values(filled: Lake, tmp_path: Path) -> None:
    file = {
        "@id": "a.txt",
        "@type": ["File", "SoftwareSourceCode"],
        "typed": {"@value": "2026-11-20", "@type": "Date"},
        "listed": {"@list": [1, 2]},
        "single": ["x"],
        "nothing": None,
        "unnamed": {"@id": "https://example.org/x"},
        "inline": {"@type": "Person", "name": ["Ada", "A."]},
        "loop": {"@id": "#loop"},
        "identifier": ["b3:0", {"@id": "#doi"}],
        "odd": {"@type": "Thing"},
        "additionalProperty": [
            {"@type": "PropertyValue", "name": "temperature", "value": 37, "unitText": "°C"},
            {"@id": "#p1"},
            {"@id": "#p2"},
            {"@id": "#gone"},
            {"@type": "PropertyValue", "name": "empty"},
        ],
    }
    others: list[dict[str, Any]] = [
        {"@id": "#loop", "@type": "Thing", "name": {"@id": "#loop"}},
        {"@id": "#doi", "@type": "PropertyValue", "name": "doi", "value": "10.1/x"},
        {"@id": "#p1", "@type": "PropertyValue", "name": "p", "value": 1},
        {"@id": "#p2", "@type": "PropertyValue", "name": "p", "value": {"@id": "#p2"}},
    ]
    report = filled.import_crate(written(tmp_path, crate(file, *others)), "runs")
    assert filled.meta("runs/a.txt") == {
        "typed": "2026-11-20",
        "listed": [1, 2],
        "single": "x",
        "unnamed": "https://example.org/x",
        "inline": "Ada",
        "loop": "#loop",
        "identifier": "10.1/x",
        "temperature": 37,
        "temperature_unit": "°C",
        "p": [1, "p"],
    }
    told = [warning.removeprefix("ro-crate-metadata.json: ") for warning in report.warnings]
    assert told[0].startswith("a.txt: odd is none of")
    assert told[1:] == [
        "a.txt: an additionalProperty has no name: left out",
        "a.txt: additionalProperty empty has no value: left out",
        "runs/a.txt has another content in the lake than in the crate",
    ]


@pytest.mark.parametrize(
    ("identifier", "found"),
    [
        ("./a.txt", "runs/a.txt"),
        ("sub/c%20d%2520%23%C3%A9.txt", "runs/sub/c d%20#é.txt"),
        ("sub/x:y.txt", "runs/sub/x:y.txt"),
        ("sub", "runs/sub"),
        ("../runs/a.txt", None),
        ("%2e%2e/runs/a.txt", None),
        ("/runs/a.txt", None),
        ("file:///runs/a.txt", None),
        ("//host/a.txt", None),
        ("http://[bad", None),
        ("a.txt#part", None),
        ("_:b0", None),
        ("C:\\runs\\a.txt", None),
        ("%FF%00", None),
        ("\ud800", None),
        ("x" * 9000, None),
        ("", "runs"),
    ],
)
def test_what_an_id_names(filled: Lake, tmp_path: Path, identifier: str, found: str | None) -> None:
    document = crate({"@id": identifier, "@type": "File" if found != "runs/sub" else "Dataset", "n": 1})
    report = filled.import_crate(written(tmp_path, document), "runs")
    assert report.patches == ({found: {"n": 1}} if found is not None else {})
    assert len(report.warnings) == (found is None)
    assert all(len(warning) < 400 for warning in report.warnings)


def test_a_root_with_an_address(filled: Lake, tmp_path: Path) -> None:
    document = crate({"@id": "https://x.org/c/a.txt", "@type": "File", "n": 1}, root="https://x.org/c/", k="v")
    assert filled.import_crate(written(tmp_path, document), "runs").patches == {
        "runs": {"k": "v"},
        "runs/a.txt": {"n": 1},
    }


def test_the_top_of_a_lake(filled: Lake, tmp_path: Path) -> None:
    path = written(tmp_path, crate({"@id": "runs/a.txt", "@type": "File", "n": 1}, k="v"))
    report = filled.import_crate(path, dry_run=True)
    assert report.patches == {"runs/a.txt": {"n": 1}}
    assert "the top of the lake has no attributes" in report.warnings[0]
    with pytest.raises(InvalidInput, match="the top of the lake"):
        filled.import_crate(path, strict=True)
    assert filled.meta("runs/a.txt") == {}


def test_another_file_than_described(filled: Lake, tmp_path: Path) -> None:
    for stated in ({"contentSize": "7"}, {"contentSize": 7}, {"sha256": "0" * 64}, {"identifier": "b3:" + "0" * 64}):
        path = written(tmp_path, crate({"@id": "a.txt", "@type": "File", **stated}))
        (warning,) = filled.import_crate(path, "runs").warnings
        assert "runs/a.txt has" in warning


# -- hostile ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "it has no list @graph"),
        ({"@graph": {}}, "it has no list @graph"),
        ({"@graph": [1]}, "entity 1 of the @graph has no @id"),
        ({"@graph": [{"@id": "x"}, {"@id": 5}]}, "entity 2 of the @graph has no @id"),
        ({"@graph": [{"@id": "x"}, {"@id": "x"}]}, "two entities have the @id 'x'"),
        ({"@graph": [{"@id": "x"}]}, "is about one of its entities"),
        ({"@graph": [{"@id": "ro-crate-metadata.json", "about": {"@id": "./"}}]}, "is about one of its entities"),
        ({"@graph": [{"@id": "ro-crate-metadata.json", "about": {"@id": []}}]}, "is about one of its entities"),
    ],
)
def test_no_crate(filled: Lake, tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        filled.import_crate(written(tmp_path, document), "runs")


@pytest.mark.parametrize(
    "file",
    [
        {"n": "x" * 200_000},
        {"n": "\ud800"},
        {"\ud800": "x"},
        {"n": float("inf")},
        {"n": [{"@id": "#long"}] * 100},
        {"additionalProperty": [{"name": "n", "value": 1}] * 1001},
        {"additionalProperty": {"name": "n", "value": "[1", "additionalType": crates.JSON_TYPE}},
        {"additionalProperty": {"name": "n", "value": "[NaN]", "additionalType": crates.JSON_TYPE}},
    ],
)
def test_values_that_are_refused(filled: Lake, tmp_path: Path, file: dict[str, Any]) -> None:
    long = {"@id": "#long", "@type": "Thing", "name": "x" * 100_000}
    text = json.dumps(crate({"@id": "a.txt", "@type": "File", **file}, long)).replace("Infinity", "1e999")
    with pytest.raises(InvalidInput, match=r"ro-crate-metadata\.json"):
        filled.import_crate(written(tmp_path, text), "runs")


def test_bounds(filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, crate({"@id": "a.txt", "@type": "File", "n": "x" * 50}))
    monkeypatch.setattr(crates, "MAX_TOTAL", 40)
    with pytest.raises(InvalidInput, match="its attributes have more than"):
        filled.import_crate(path, "runs")
    monkeypatch.setattr(crates, "MAX_BYTES", 40)
    with pytest.raises(InvalidInput, match="has more than"):
        filled.import_crate(path, "runs")
    with pytest.raises(Unreadable, match="cannot read"):
        filled.import_crate(tmp_path / "none.json")


def test_lists_in_lists_end(filled: Lake, tmp_path: Path) -> None:
    deep: Any = ["x", 1]
    for _ in range(100):
        deep = [deep]
    (warning,) = filled.import_crate(
        written(tmp_path, crate({"@id": "a.txt", "@type": "File", "n": deep})), "runs"
    ).warnings
    assert "n is none of" in warning


@pytest.mark.parametrize(
    ("name", "text", "crate_like"),
    [
        ("x.json", "", True),
        ("x.csv", '{"@graph": []}', False),
        ("x.jsonl", '{"@graph": []}', False),
        ("x", ' {"@context": "", "@graph": []}', True),
        ("x", '{"path": "a"}', False),
    ],
)
def test_sheet_or_crate(tmp_path: Path, name: str, text: str, crate_like: bool) -> None:
    assert looks_like_crate(written(tmp_path, text, name)) is crate_like
