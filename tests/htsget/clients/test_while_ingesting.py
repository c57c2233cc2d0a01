"""A server goes on answering, rightly, while other processes put files into its lake."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lake.lake import Lake
from tests.cli.conftest import LAKE
from tests.htsget.clients.conftest import client_environment, serving
from tests.htsget.ticket_reader import ask, samtools_text
from tests.lake.samples import make_bam, sam_text

pytestmark = pytest.mark.clients
WRITERS = 4
FILES = 6


def test_every_answer_is_right(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with Lake.init(root) as lake:
        lake.put(str(made / "s1.bam"), "runs/")
    sources = [tmp_path / f"writer{writer}" for writer in range(WRITERS)]
    for writer, source in enumerate(sources):
        source.mkdir()
        for number in range(FILES):
            make_bam(source / f"f{number}.bam", reads=300, seed=100 * writer + number)
    regions = [("chr1", place, place + 2_000) for place in range(0, 40_000, 5_000)]
    expected = {region: sam_text(made / "s1.bam", f"{region[0]}:{region[1] + 1}-{region[2]}") for region in regions}
    with serving(root, tmp_path / "log") as base, httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        writers = [
            subprocess.Popen(
                [LAKE, "-C", str(root), "put", *map(str, sorted(source.iterdir())), f"new{writer}/"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=client_environment(),
            )
            for writer, source in enumerate(sources)
        ]
        asked = 0

        def check(region: tuple[str, int, int]) -> None:
            contig, start, end = region
            for inline in ("auto", "none"):
                answer = ask(client, "/reads/runs/s1.bam", referenceName=contig, start=start, end=end, inline=inline)
                assert samtools_text(answer.data) == expected[region]
            assert client.get("/files/runs/s1.bam").content == (made / "s1.bam").read_bytes()

        with ThreadPoolExecutor(2) as readers:
            while any(process.poll() is None for process in writers) or not asked:
                asked += len(list(readers.map(check, regions[:4] if asked % 8 else regions[4:])))
        for process in writers:
            assert process.communicate()[1] == b""
            assert process.returncode == 0
        for writer, source in enumerate(sources):
            for number in (0, FILES - 1):
                answer = ask(client, f"/reads/new{writer}/f{number}", referenceName="chr2", start=500, end=900)
                assert samtools_text(answer.data) == sam_text_of(source / f"f{number}.bam", tmp_path)


def sam_text_of(file: Path, folder: Path) -> str:
    """Records of chr2:501-900 of a file without index."""
    done = subprocess.run(
        ["samtools", "view", "-e", 'rname == "chr2" && pos <= 900 && endpos >= 501', str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
