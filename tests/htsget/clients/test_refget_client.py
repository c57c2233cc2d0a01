"""The client ``refget`` of PyPI (refgenie) for sequences and collections of sequences."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.htsget.clients.conftest import Served, succeed

pytestmark = [pytest.mark.network, pytest.mark.clients]
_PROGRAM = """
import json, sys
from refget.clients import SequenceClient, SequenceCollectionClient

base, calls = sys.argv[1], json.loads(sys.argv[2])
clients = {
    "sequence": SequenceClient([base], raise_errors=True),
    "collection": SequenceCollectionClient([f"{base}/seqcol"], raise_errors=True),
}
print(json.dumps([getattr(clients[kind], name)(*arguments) for kind, name, arguments in calls], default=str))
"""


def answers(base: str, python_clients: Path, *calls: tuple[str, str, list[Any]]) -> list[Any]:
    """What methods of the clients return: of ``sequence`` or ``collection``, a method, its arguments."""
    said = succeed(python_clients / "python", "-c", _PROGRAM, base, json.dumps(calls))
    found: list[Any] = json.loads(said)
    return found


def sequences(fasta: Path) -> dict[str, str]:
    lines = fasta.read_text().splitlines()
    return {name.removeprefix(">"): bases for name, bases in zip(lines[::2], lines[1::2], strict=True)}


def test_sequences(served: Served, made: Path, python_clients: Path) -> None:
    bases = sequences(made / "ref.fa")["chr2"]
    md5 = hashlib.md5(bases.encode()).hexdigest()
    whole, part, told, service = answers(
        served.url,
        python_clients,
        ("sequence", "get_sequence", [md5]),
        ("sequence", "get_sequence", [md5, 100, 200]),
        ("sequence", "get_metadata", [md5]),
        ("sequence", "service_info", []),
    )
    assert whole == bases
    assert part == bases[100:200]
    assert (told["metadata"]["md5"], told["metadata"]["length"]) == (md5, len(bases))
    assert service["type"]["artifact"].startswith("refget")


def test_collections(served: Served, made: Path, python_clients: Path) -> None:
    expected = sequences(made / "ref.fa")
    (listed,) = answers(served.url, python_clients, ("collection", "list_collections", []))
    levels = answers(
        served.url,
        python_clients,
        *[("collection", "get_collection", [digest]) for digest in listed["results"]],
    )
    ours = [
        (digest, found)
        for digest, found in zip(listed["results"], levels, strict=True)
        if found["names"] == list(expected)
    ]
    ((digest, found),) = ours
    assert found["lengths"] == [len(bases) for bases in expected.values()]
    compared, service = answers(
        served.url,
        python_clients,
        ("collection", "compare", [digest, digest]),
        ("collection", "service_info", []),
    )
    assert compared["attributes"]["a_and_b"]
    assert compared["array_elements"]["a_and_b_count"]["names"] == len(expected)
    assert service["type"]["artifact"] == "refget-seqcol"
