"""One damaged chunk of a file: answers that need it are errors, all others go on (R1)."""

from __future__ import annotations

from pathlib import Path

import httpx

from lake.fsck.findings import Bases, Spectra
from lake.lake import Lake
from tests.htsget.conftest import Client
from tests.htsget.ticket_reader import ask
from tests.lake.samples import flip, make_bam, object_file


def _damage(lk: Lake, path: str, number: int) -> None:
    start, length = lk.reader(path).chunks.span(number)
    flip(object_file(lk, path), start + length // 2)


def _statuses(server: httpx.Client, path: str, **parameters: str | int) -> list[int]:
    """Of a request for a ticket and, where there is one, of every URL in it."""
    answer = server.get(path, params=parameters)
    urls = answer.json()["htsget"].get("urls", ()) if answer.status_code == 200 else ()
    parts = [server.get(one["url"], headers=one.get("headers")) for one in urls if not one["url"].startswith("data:")]
    return [answer.status_code, *(part.status_code for part in parts)]


def test_reads(lk: Lake, tmp_path: Path, client: Client) -> None:
    lk.put(make_bam(tmp_path / "s1.bam", reads=15_000), "study1/")
    sound = lk.slice("study1/s1.bam", "chr1:1-2000").to_bytes()
    _damage(lk, "study1/s1.bam", 1)
    hit = lk.fsck().findings[0].hits[0]
    assert isinstance(hit, Bases)
    server = client(lk)
    assert ask(server, "/reads/study1/s1.bam", referenceName="chr1", start=0, end=2000).data == sound
    assert 500 in _statuses(server, "/reads/study1/s1.bam", referenceName=hit.contig, start=hit.start, end=hit.stop)


def test_spectra(lk: Lake, shared_data: Path, client: Client) -> None:
    lk.put(shared_data / "massspec" / "OpenMS__FeatureFinderMultiplex_9_input.mzML", "run.mzML")
    sound = ask(client(lk), "/spectra/run.mzML", scan="7738-7740").data
    _damage(lk, "run.mzML", 9)
    hit = lk.fsck().findings[0].hits[0]
    assert isinstance(hit, Spectra)
    server = client(lk)
    assert ask(server, "/spectra/run.mzML", scan="7738-7740").data == sound
    assert 500 in _statuses(server, "/spectra/run.mzML", scan=f"{hit.first}-{hit.last}")
