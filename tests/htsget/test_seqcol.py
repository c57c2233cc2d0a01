"""Sequence collections 1.0: digests of the specification, and its endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidInput
from lake.grants import Grant, Verb
from lake.htsget.access import Principal
from lake.htsget.seqcol import SCHEMA, Collection, canonical, compare, sha512t24u
from lake.htsget.sight import readable_whole
from lake.lake import Lake
from tests.htsget.conftest import Client, running
from tests.htsget.references import bases, ga4gh_of, md5_of, write_fasta

HG38: dict[str, Any] = {
    "lengths": [248956422, 242193529, 198295559],
    "names": ["chr1", "chr2", "chr3"],
    "sequences": [
        "SQ.2YnepKM7OkBoOrKmvHbGqguVfF9amCST",
        "SQ.lwDyBi432Py-7xnAISyQlnlhWDEaBPv2",
        "SQ.Eqk6_SvMMDCc6C-uEfickOUWTatLMDQZ",
    ],
}
ABC: dict[str, Any] = {
    "lengths": [1216, 970, 1788],
    "names": ["A", "B", "C"],
    "sequences": [
        "SQ.OL3sVAcd_5IZaDxUkH-yQkLmBz2iwY0s",
        "SQ.kny8cdhEEPHXoNlXmps8NQapGtUKZlM9",
        "SQ.DA-GLdXVihnYKs-fBS5MMgMqi7tVMJbt",
    ],
}


def test_the_digests_of_the_specification() -> None:
    collection = Collection.read(HG38)
    assert collection.digests["lengths"] == "5K4odB173rjao1Cnbk5BnvLt9V7aPAa2"
    assert collection.digests["names"] == "g04lKdxiYtG3dOGeUC5AdKEifw65G0Wp"
    assert collection.digests["sequences"] == "rD29ZKmEqwwHRXjiQ36p6UMZQ5hemmsb"
    assert collection.digest == "sjNNwm4zov3Dl0FRWbRTcZwzqrTQKIqL"
    assert sha512t24u(b"ACGT") == "aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"


def test_attributes_of_the_specification_that_are_derived() -> None:
    arrays = Collection.read(ABC).arrays
    assert arrays["name_length_pairs"][0] == {"name": "A", "length": 1216}
    assert arrays["sorted_name_length_pairs"] == sorted(
        sha512t24u(b'{"length":%d,"name":"%b"}' % (length, name.encode()))
        for name, length in zip(ABC["names"], ABC["lengths"], strict=True)
    )
    assert arrays["sorted_sequences"] == sorted(ABC["sequences"])
    assert "sorted_name_length_pairs" not in Collection.read(ABC).values


def test_only_names_and_sequences_make_the_identity() -> None:
    assert Collection.read({**ABC, "lengths": [1, 2, 3]}).digest == Collection.read(ABC).digest
    assert Collection.read({**ABC, "names": ["A", "C", "B"]}).digest != Collection.read(ABC).digest
    assert Collection.read({"names": ["A"]}).digest is None


def test_canonical_json() -> None:
    assert canonical(["é", "\x7f", '"\\\n\x01', "€😀"]) == '["é","\x7f","\\"\\\\\\n\\u0001","€😀"]'.encode()
    assert canonical({"b": 1, "a": [2]}) == b'{"a":[2],"b":1}'
    with pytest.raises(InvalidInput):
        canonical(["\udc80"])


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        None,
        {"names": "A"},
        {"names": [1]},
        {"lengths": ["1"]},
        {"lengths": [True]},
        {"lengths": [1.5]},
        {"names": ["A"], "lengths": [1, 2]},
    ],
)
def test_what_is_no_collection_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        Collection.read(document)


@pytest.mark.parametrize(
    ("a", "b", "shared", "same_order"),
    [
        (["A", "B", "C"], ["A", "B", "C"], 3, True),
        (["A", "B", "C"], ["X", "A", "Y", "C"], 2, True),
        (["A", "B", "C"], ["C", "A"], 2, False),
        (["A", "B"], ["B"], 1, None),
        (["A"], ["B"], 0, None),
        (["A", "A", "B"], ["A", "B"], 2, None),
        (["A", "A", "B"], ["A", "A", "B"], 3, True),
        (["A", "B", "A"], ["A", "A", "B"], 3, False),
        (["A", "A"], ["A", "A"], 2, True),
    ],
)
def test_what_two_collections_share(a: list[str], b: list[str], shared: int, same_order: bool | None) -> None:
    found = compare(Collection({"names": a}), Collection({"names": b}))["array_elements"]
    assert found["a_and_b_count"]["names"] == shared
    assert found["a_and_b_same_order"]["names"] is same_order


@given(st.lists(st.sampled_from("ABCD"), max_size=8), st.lists(st.sampled_from("ABCD"), max_size=8))
def test_comparing_does_not_depend_on_who_is_first(a: list[str], b: list[str]) -> None:
    left, right = Collection({"names": a}), Collection({"names": b})
    there, back = compare(left, right)["array_elements"], compare(right, left)["array_elements"]
    assert there["a_and_b_count"] == back["a_and_b_count"]
    assert there["a_and_b_same_order"] == back["a_and_b_same_order"]


MADE = {"chr1": bases(500, 1), "chr2": bases(300, 2)}
OTHER = {"1": MADE["chr1"], "2": bases(300, 3)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("seqcol")
    write_fasta(folder / "made.fa", MADE)
    write_fasta(folder / "again.bgz.fa.gz", MADE, 50)
    write_fasta(folder / "other.fa", OTHER)
    with Lake.init(folder / "lake") as lk:
        lk.put([str(folder / name) for name in ("made.fa", "again.bgz.fa.gz", "other.fa")])
        with running(lk.root) as url, httpx.Client(base_url=f"{url}/seqcol", trust_env=False, timeout=20) as client:
            yield client


def stated(sequences: dict[str, str]) -> dict[str, Any]:
    return {
        "lengths": [len(sequence) for sequence in sequences.values()],
        "names": list(sequences),
        "sequences": [ga4gh_of(sequence) for sequence in sequences.values()],
    }


def test_service_info_has_the_schema(server: httpx.Client) -> None:
    info = server.get("/service-info").json()
    assert info["type"]["artifact"] == "refget-seqcol"
    assert info["seqcol"]["schema"] == SCHEMA


def test_collections_are_had_by_digest(server: httpx.Client) -> None:
    made = Collection.read(stated(MADE))
    assert server.get(f"/collection/{made.digest}").json() == made.values
    assert server.get(f"/collection/{made.digest}?level=2").json() == made.values
    assert server.get(f"/collection/{made.digest}?level=1").json() == made.digests
    assert server.get(f"/collection/{made.digest}?level=3").status_code == 400
    assert server.get("/collection/unknown").status_code == 404


def test_collections_are_listed_once_by_pages(server: httpx.Client) -> None:
    digests = sorted(str(Collection.read(stated(each)).digest) for each in (MADE, OTHER))
    assert server.get("/list/collection").json() == {
        "results": digests,
        "pagination": {"page": 0, "page_size": 100, "total": 2},
    }
    second = server.get("/list/collection?page=1&page_size=1").json()
    assert second == {"results": digests[1:], "pagination": {"page": 1, "page_size": 1, "total": 2}}
    assert server.get("/list/collection?page=9").json()["results"] == []
    assert server.get("/list/collection?page=-1").status_code == 400
    assert server.get("/list/genome").status_code == 404


@pytest.mark.parametrize("name", ["names", "lengths", "sequences", "name_length_pairs", "sorted_name_length_pairs"])
def test_lists_are_filtered_by_attributes(server: httpx.Client, name: str) -> None:
    made = Collection.read(stated(MADE))
    found = server.get("/list/collection", params={name: made.digests[name]}).json()["results"]
    assert made.digest in found
    assert len(found) == (2 if name == "lengths" else 1)
    both = {"names": made.digests["names"], name: "x"}
    assert server.get("/list/collection", params=both).json()["results"] == []
    assert server.get("/list/collection?colour=red").status_code == 400


def test_attributes_are_had_by_digest(server: httpx.Client) -> None:
    made = Collection.read(stated(MADE))
    for name, values in made.values.items():
        assert server.get(f"/attribute/collection/{name}/{made.digests[name]}").json() == values
    transient = made.digests["sorted_name_length_pairs"]
    assert server.get(f"/attribute/collection/sorted_name_length_pairs/{transient}").status_code == 404
    assert server.get("/attribute/collection/names/unknown").status_code == 404
    assert server.get("/attribute/collection/colour/unknown").status_code == 404


def test_two_collections_are_compared(server: httpx.Client) -> None:
    made, other = Collection.read(stated(MADE)), Collection.read(stated(OTHER))
    found = server.get(f"/comparison/{made.digest}/{other.digest}").json()
    assert set(found) == {"digests", "attributes", "array_elements"}
    assert found["digests"] == {"a": made.digest, "b": other.digest}
    assert found["array_elements"]["a_and_b_count"] == {
        "lengths": 2,
        "names": 0,
        "sequences": 1,
        "name_length_pairs": 0,
        "sorted_sequences": 1,
    }
    assert found["array_elements"]["a_and_b_same_order"]["lengths"] is True
    assert found["array_elements"]["a_and_b_same_order"]["names"] is None
    assert server.get(f"/comparison/{made.digest}/unknown").status_code == 404


def test_a_collection_is_compared_with_one_that_is_sent(server: httpx.Client) -> None:
    made = Collection.read(stated(MADE))
    sent = server.post(f"/comparison/{made.digest}", json=stated(OTHER)).json()
    assert sent == server.get(f"/comparison/{made.digest}/{Collection.read(stated(OTHER)).digest}").json()
    sizes = server.post(f"/comparison/{made.digest}", json={"names": ["chr2", "chr1"], "lengths": [300, 500]}).json()
    assert sizes["digests"]["b"] is None
    assert sizes["attributes"]["a_only"] == ["sequences", "sorted_sequences"]
    assert sizes["array_elements"]["a_and_b_same_order"]["name_length_pairs"] is False
    for body in ("", "{", "[]", '{"names": [1]}', "[" * 100_000):
        assert server.post(f"/comparison/{made.digest}", content=body).status_code == 400


def test_a_file_tells_its_collection(lk: Lake, tmp_path: Path, client: Client) -> None:
    lk.put(write_fasta(tmp_path / "made.fa", MADE))
    lines = [f"@SQ\tSN:{name}\tLN:{len(text)}\tM5:{md5_of(text)}" for name, text in MADE.items()]
    (tmp_path / "known.sam").write_text("@HD\tVN:1.6\tSO:coordinate\n" + "\n".join(lines) + "\n")
    (tmp_path / "unknown.sam").write_text("@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:500\n")
    (tmp_path / "notes.txt").write_text("nothing\n")
    lk.put([str(tmp_path / name) for name in ("known.sam", "unknown.sam", "notes.txt")], "in/")
    server = client(lk)
    made = Collection.read(stated(MADE))
    for path in ("made.fa", "in/known.sam", "@main/in/known.sam", f"b3:{lk.stat('in/known.sam').digest}"):
        assert server.get(f"/seqcol/files/{path}").json() == made.values
        assert server.get(f"/seqcol/files/{path}?level=1").json() == made.digests
    partial = server.get("/seqcol/files/in/unknown.sam").json()
    assert partial == Collection({"names": ["chr1"], "lengths": [500]}).values
    compared = server.post(f"/seqcol/comparison/{made.digest}", json=partial).json()
    assert compared["array_elements"]["a_and_b_count"]["name_length_pairs"] == 1
    for path in ("in/notes.txt", "in/none.sam"):
        assert server.get(f"/seqcol/files/{path}").status_code == 404
    closed = client(lk, open=False)
    assert closed.get("/seqcol/files/in/known.sam").status_code == 401


def test_a_collection_counts_for_who_may_read_a_file_of_it(lk: Lake, tmp_path: Path) -> None:
    lk.put(write_fasta(tmp_path / "made.fa", MADE), "ref/")
    digest = lk.stat("ref/made.fa").digest
    assert digest is not None
    allowed = {"ref/*": True, "other/*": False, "ref": True, "*": True}
    for pattern, seen in allowed.items():
        assert readable_whole(Principal("me", (Grant(Verb.READ, pattern),)), lk, digest) is seen
    assert not readable_whole(Principal("me", (Grant(Verb.READ, "ref/*", ("chr1",)),)), lk, digest)
    with running(lk.root, open=False) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/seqcol/list/collection").json()["results"] == []
        assert client.get(f"/seqcol/collection/{Collection.read(stated(MADE)).digest}").status_code == 401
