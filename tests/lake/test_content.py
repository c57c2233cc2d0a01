"""Bytes of whatever is compressed, and reads by name."""

from __future__ import annotations

import gzip
import logging
import random
import subprocess
from pathlib import Path

import fsspec
import pytest

import lake
from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.compression.gzi import BLOCK_MAP_KIND
from lake.formats.compression.gzip_access import GZIP_INDEX_KIND
from lake.formats.sequences.fastq_names import NAMES_KIND
from lake.lake import Lake
from tests.lake.samples import NOISE

READS = "".join(f"@read{n} x\n{'ACGT'[n % 4] * 20}\n+\n{'I' * 20}\n" for n in range(500))
FILES = ["vcf/1kg_p3_chr22_2504samples.vcf.gz", "bam/sim_wgs_8contigs_unplaced.bam", "edge/plain_gzip_not_bgzf.vcf.gz"]


def kinds(lk: Lake, path: str) -> set[str]:
    return {artifact.kind for artifact in lk.repo.journal.artifacts(lk.reader(path).source)}


class TestBytes:
    @pytest.mark.parametrize("name", FILES)
    def test_of_real_files_are_those_of_gzip(self, lk: Lake, shared_data: Path, name: str) -> None:
        path = shared_data / "genomics" / name
        lk.put(path)
        wanted = subprocess.run(["gzip", "-dc", path], check=True, capture_output=True).stdout
        source = random.Random(5)
        for _ in range(10):
            start = source.randrange(len(wanted))
            last = start + source.choice([0, 99, 70_000])
            assert lk.slice(path.name, f"bytes={start}-{last}").to_bytes() == wanted[start : last + 1]
        assert lk.slice(path.name, ["bytes=-7", "bytes=0-2"]).to_bytes() == wanted[:3] + wanted[-7:]
        assert len(kinds(lk, path.name) & {GZIP_INDEX_KIND, BLOCK_MAP_KIND}) == 1

    @pytest.mark.parametrize("name", ["x.json.gz", "x.csv.gz", "x.mzML.gz", "x.dat.gz"])
    @pytest.mark.parametrize("blocked", [True, False])
    def test_whatever_is_inside(self, lk: Lake, tmp_path: Path, name: str, blocked: bool) -> None:
        inside = {
            "x.json.gz": b'{"a": [' + b"1, " * 90_000 + b"2]}\n",
            "x.csv.gz": b"a,b\n" + b"1,2\n" * 90_000,
            "x.mzML.gz": b'<?xml version="1.0"?>\n<mzML xmlns="http://psi.hupo.org/ms/mzml">\n' + b"<a/>\n" * 50_000,
            "x.dat.gz": NOISE[:300_000],
        }[name]
        path = tmp_path / name
        path.write_bytes(inside)
        packed = ["bgzip", "-c"] if blocked else ["gzip", "-c"]
        path.write_bytes(subprocess.run([*packed, path], check=True, capture_output=True).stdout)
        lk.put(path)
        assert lk.slice(name, "bytes=65000-131000").to_bytes() == inside[65000:131001]
        assert lk.slice(name, "bytes=-5").to_bytes() == inside[-5:]
        with fsspec.open(f"lake://{name}#bytes=0-9", root=str(lk.root)) as file:
            assert file.read() == inside[:10]

    def test_do_not_stand_in_the_way_of_regions(self, lk: Lake, bams: Path) -> None:
        lk.put(bams / "a.bam")
        region = lk.slice("a.bam", "chr1:1-20,000").to_bytes()
        assert lk.slice("a.bam", "bytes=0-3").to_bytes() == b"BAM\1"
        assert lk.slice("a.bam", "chr1:1-20,000").to_bytes() == region
        with pytest.raises(InvalidRegion):
            lk.slice("a.bam", ["bytes=0-3", "chr1"])

    def test_in_a_lake_that_cannot_be_written(self, lk: Lake, bams: Path) -> None:
        lk.put(bams / "a.bam")
        with lake.open(lk.root, readonly=True) as seen:
            assert seen.slice("a.bam", "bytes=0-3").to_bytes() == b"BAM\1"

    def test_of_a_file_that_may_have_lost_its_tail_are_an_error(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        (tmp_path / "cut.bam").write_bytes((bams / "a.bam").read_bytes()[:-28])
        (tmp_path / "cut.gz").write_bytes(gzip.compress(NOISE)[:-9])
        lk.put([tmp_path / "cut.bam", tmp_path / "cut.gz"])
        for name in ("cut.bam", "cut.gz"):
            with pytest.raises(FormatError):
                lk.slice(name, "bytes=-10").to_bytes()

    def test_of_plain_files_are_not_known(self, lk: Lake, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("{}\n")
        lk.put(tmp_path / "a.json")
        with pytest.raises(Unsupported):
            lk.slice("a.json", "bytes=0-1")


class TestNames:
    @pytest.mark.parametrize("packed", [None, "gzip", "bgzip"])
    def test_of_reads_are_looked_up_once_they_are_indexed(
        self, lk: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture, packed: str | None
    ) -> None:
        path = tmp_path / "r.fastq"
        path.write_text(READS)
        if packed:
            subprocess.run([packed, path], check=True)
            path = path.with_name("r.fastq.gz")
        lk.put(path)
        with caplog.at_level(logging.WARNING):
            scanned = lk.slice(path.name, "name=read77").to_bytes()
        assert "no index of names: every read of the file is looked at" in caplog.text
        caplog.clear()
        assert NAMES_KIND not in lk.index(path.name)
        assert NAMES_KIND in lk.index(path.name, names=True)
        stored = lk.repo.journal.artifacts(lk.reader(path.name).source)
        assert NAMES_KIND in lk.index(path.name, names=True)
        assert lk.repo.journal.artifacts(lk.reader(path.name).source) == stored
        with caplog.at_level(logging.WARNING), lake.open(lk.root) as other:
            for answerer in (lk, other):
                assert answerer.slice(path.name, "name=read77").to_bytes() == scanned
                with pytest.raises(InvalidRegion, match="no read is called 'read500'"):
                    answerer.slice(path.name, "name=read500")
        assert caplog.records == []
        text = gzip.decompress(scanned) if packed else scanned
        assert text.decode() == "".join(READS.splitlines(True)[4 * 77 : 4 * 78])

    def test_of_other_files_cannot_be_indexed(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        (tmp_path / "a.json").write_text("{}\n")
        lk.put([bams / "a.bam", tmp_path / "a.json"])
        for name in ("a.bam", "a.json"):
            with pytest.raises(Unsupported, match="cannot be asked for by name"):
                lk.index(name, names=True)

    def test_of_a_malformed_file_are_an_error(self, lk: Lake, tmp_path: Path) -> None:
        (tmp_path / "bad.fastq").write_text(READS + "@short\nACGT\n+\nI\n")
        lk.put(tmp_path / "bad.fastq")
        with pytest.raises(FormatError, match=r"bad\.fastq: "):
            lk.index("bad.fastq", names=True)
