"""igv.js in a browser shows reads and variants from tickets, and bases from ``/files``."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysam
import pytest

from tests.htsget.clients.conftest import Served, need, succeed

pytestmark = [pytest.mark.network, pytest.mark.clients]
LOCUS = ("chr1", 10_000, 12_000)
_PAGE = '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="igv"></div>'


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page(node_clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a page that can import igv.js; of another origin than the server's."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(_PAGE)
    shutil.copy(node_clients / "node_modules" / "igv" / "dist" / "igv.esm.min.js", folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def shown(
    page: str, node_clients: Path, reference: dict[str, Any], tracks: list[dict[str, Any]], locus: tuple[str, int, int]
) -> dict[str, Any]:
    """What the viewer shows of each track."""
    chromium = need("chromium")[0]
    contig, start, end = locus
    config = {
        "loadDefaultGenomes": False,
        "reference": {"id": "made", "name": "made", **reference},
        "locus": f"{contig}:{start + 1}-{end}",
        "tracks": tracks,
    }
    said = succeed("node", node_clients / "browser.mjs", page, chromium, json.dumps(config), json.dumps(locus))
    found: dict[str, Any] = json.loads(said)
    assert found["errors"] == []
    assert found["picture"] > 5_000
    assert all(track["painted"] > 0 for track in found["tracks"].values())
    return found["tracks"]  # type: ignore[no-any-return]


def alignments(file: Path, contig: str, start: int, end: int) -> list[list[Any]]:
    with pysam.AlignmentFile(str(file)) as bam:
        return sorted([read.query_name, read.reference_start] for read in bam.fetch(contig, start, end))


def track(url: str, name: str, kind: str, form: str) -> dict[str, Any]:
    # Downsampling would make counts of deep places differ.
    return {
        "name": name, "type": kind, "format": form, "sourceType": "htsget", "url": url, "samplingDepth": 100_000,
        "filter": {"duplicates": False, "vendorFailed": False},
    }  # fmt: skip


def test_reads_and_variants(served: Served, made: Path, page: str, node_clients: Path) -> None:
    files = f"{served.url}/files/more/ref.fa"
    tracks = shown(
        page,
        node_clients,
        {"fastaURL": files, "indexURL": f"{files}.fai"},
        [
            track(f"{served.url}/reads/runs/s1.bam", "reads", "alignment", "bam"),
            track(f"{served.url}/variants/calls/calls.vcf.gz", "calls", "variant", "vcf"),
        ],
        LOCUS,
    )
    assert sorted(tracks["reads"]["records"]) == alignments(made / "s1.bam", *LOCUS)
    _, start, end = LOCUS
    seen = {at for _, at in tracks["calls"]["records"] if start <= at < end}
    with pysam.VariantFile(str(made / "calls.vcf.gz")) as file:
        assert seen == {record.start for record in file.fetch(*LOCUS)}
    assert len(seen) > 40


def test_real_reads(served: Served, real: Path, page: str, node_clients: Path) -> None:
    locus = ("ctgA", 1_000, 3_000)
    files = f"{served.url}/files/real/volvox.fa"
    tracks = shown(
        page,
        node_clients,
        {"fastaURL": files, "indexURL": f"{files}.fai"},
        [track(f"{served.url}/reads/real/volvox_bai_csi.bam", "reads", "alignment", "bam")],
        locus,
    )
    assert sorted(tracks["reads"]["records"]) == alignments(real / "bam" / "volvox_bai_csi.bam", *locus)


def test_a_token(guarded: Served, served: Served, made: Path, page: str, node_clients: Path) -> None:
    """The token makes the browser ask first whether it may send it; blocks are fetched without it."""
    files = f"{served.url}/files/more/ref.fa"
    reads = track(f"{guarded.url}/reads/runs/s1.bam", "reads", "alignment", "bam")
    tracks = shown(
        page,
        node_clients,
        {"fastaURL": files, "indexURL": f"{files}.fai"},
        [{**reads, "headers": {"Authorization": f"Bearer {guarded.token}"}}],
        LOCUS,
    )
    assert sorted(tracks["reads"]["records"]) == alignments(made / "s1.bam", *LOCUS)
