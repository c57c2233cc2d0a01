"""Files of lines that only an index of tabix explains: nothing at put without one, its columns with one."""

from __future__ import annotations

import dataclasses
import gzip
import logging
import subprocess
from pathlib import Path

import pytest

from lake.digest import Digest
from lake.errors import Unsupported
from lake.formats.registry import COMPANION_ONLY
from lake.journal.values import Artifact
from lake.lake import Lake

TABLE = "".join(f"row{n}\tx\tchr{1 + n // 50}\t{100 * (n % 50) + 1}\n" for n in range(100))
FEATURES = "".join(f"chr1\t{10 * n}\t{10 * n + 10}\tchrA\t{1000 - n}\n" for n in range(50))


def tabix(path: Path, *options: str) -> Path:
    """The index of a file in BGZF, beside it."""
    subprocess.run(["tabix", "-f", *options, path], check=True, capture_output=True)
    return path.with_name(path.name + (".csi" if "-C" in options else ".tbi"))


def bgzip(path: Path, text: str) -> Path:
    path.write_text(text)
    subprocess.run(["bgzip", "-f", path], check=True)
    return path.with_name(path.name + ".gz")


def lines(lk: Lake, path: str, region: str) -> list[str]:
    return gzip.decompress(lk.slice(path, region).to_bytes()).decode().splitlines()


def asked(path: Path, region: str) -> list[str]:
    return subprocess.run(["tabix", path, region], check=True, capture_output=True, text=True).stdout.splitlines()


class TestWithoutAnIndex:
    def test_put_does_not_speak_of_regions(self, lk: Lake, tmp_path: Path) -> None:
        (tmp_path / "note.txt").write_text("hello\n")
        (tmp_path / "t.tsv").write_text(TABLE)
        packed = bgzip(tmp_path / "u.tsv", TABLE)
        report = lk.put([tmp_path / "note.txt", tmp_path / "t.tsv", packed])
        assert {item.format for item in report.items} == COMPANION_ONLY
        assert [(item.index, item.warnings) for item in report.items] == [(None, [])] * 3

    def test_put_of_plain_text_asks_for_no_artifacts(
        self, lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(50):
            (folder / f"{number}.txt").write_text(f"{number}\n")
        looked: list[object] = []
        found = lk.repo.journal.artifacts

        def artifacts(digest: Digest) -> list[Artifact]:
            looked.append(digest)
            return found(digest)

        monkeypatch.setattr(lk.repo.journal, "artifacts", artifacts)
        lk.put(folder, "many")
        assert looked == []

    def test_a_query_says_what_is_missing_and_does_not_claim_to_read(
        self, lk: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        lk.put(bgzip(tmp_path / "t.tsv", TABLE))
        with caplog.at_level(logging.WARNING), pytest.raises(Unsupported, match=r"put the \.tbi or \.csi beside"):
            lk.slice("t.tsv.gz", "chr1:1-200")
        assert caplog.records == []


class TestThatComesAlong:
    @pytest.mark.parametrize("order", ["together", "data first", "index first"])
    @pytest.mark.parametrize("options", [("-s", "3", "-b", "4", "-e", "4"), ("-C", "-s", "3", "-b", "4", "-e", "4")])
    def test_its_columns_are_used(self, lk: Lake, tmp_path: Path, order: str, options: tuple[str, ...]) -> None:
        data = bgzip(tmp_path / "t.tsv", TABLE)
        index = tabix(data, *options)
        if order == "together":
            lk.put([data, index])
        else:
            for path in (data, index) if order == "data first" else (index, data):
                lk.put(path)
        assert lines(lk, "t.tsv.gz", "chr2:201-1000") == asked(data, "chr2:201-1000") != []

    def test_of_another_file_is_refused(self, lk: Lake, tmp_path: Path) -> None:
        other = bgzip(tmp_path / "o.tsv", TABLE.replace("chr", "scaffold"))
        index = tabix(other, "-s", "3", "-b", "4", "-e", "4")
        data = bgzip(tmp_path / "t.tsv", TABLE)
        index.rename(tmp_path / "t.tsv.gz.tbi")
        report = lk.put([data, tmp_path / "t.tsv.gz.tbi"])
        assert "is not used: the records begin with other contigs" in report.items[0].warnings[0]
        assert report.items[0].index is None
        with pytest.raises(Unsupported):
            lk.slice("t.tsv.gz", "chr1")


class TestThatComesLater:
    """A BED has usual columns, and a table of them from its put on."""

    def test_with_other_columns_replaces_the_table(self, lk: Lake, tmp_path: Path) -> None:
        text = "".join(f"chr1\t{10 * n}\t{10 * n + 10}\tchr{1 + n // 25}\t{500 + 10 * (n % 25)}\n" for n in range(50))
        data = bgzip(tmp_path / "a.bed", text)
        assert lk.put(data).items[0].index == "tabix-blocks/1 built"
        before = lk.slice("a.bed.gz", "chr1:1-100")
        assert len(gzip.decompress(before.to_bytes()).splitlines()) == 10
        assert lk.facts("a.bed.gz")["contig_stats"]["records"].to_pylist() == [50]
        report = lk.put(tabix(data, "-s", "4", "-b", "5", "-e", "5"))
        assert report.items[0].index == "tbi adopted, tabix-blocks/1 built with its columns"
        assert lines(lk, "a.bed.gz", "chr2:510-530") == asked(data, "chr2:510-530")
        assert len(asked(data, "chr2:510-530")) == 3
        after = lk.slice("a.bed.gz", "chr1:1-100")
        assert gzip.decompress(after.to_bytes()) == b""
        assert after.identity != before.identity
        stats = lk.facts("a.bed.gz")["contig_stats"]
        assert dict(zip(stats["contig"].to_pylist(), stats["records"].to_pylist(), strict=True)) == {
            "chr1": 25,
            "chr2": 25,
        }

    def test_after_another_index_with_other_columns_replaces_it(self, lk: Lake, tmp_path: Path) -> None:
        data = bgzip(tmp_path / "t.tsv", "".join(f"a\t{n}\tb\t{5 * n}\n" for n in range(1, 50)))
        lk.put([data, tabix(data, "-s", "1", "-b", "2", "-e", "2")])
        assert lines(lk, "t.tsv.gz", "a:10-12") == asked(data, "a:10-12")
        lk.put(tabix(data, "-s", "3", "-b", "4", "-e", "4"))
        assert lines(lk, "t.tsv.gz", "b:10-12") == asked(data, "b:10-12") != []

    def test_replaces_what_is_damaged(self, lk: Lake, tmp_path: Path) -> None:
        data = bgzip(tmp_path / "a.bed", FEATURES)
        lk.put(data)
        for artifact in lk.repo.journal.artifacts(lk.reader("a.bed.gz").source):
            if artifact.kind == "tabix-blocks/1":
                lk.repo.journal.add_artifacts([dataclasses.replace(artifact, body=b"RLNAMED\x01 no")])
        assert lk.put(tabix(data, "-p", "bed")).items[0].index == "tbi adopted, tabix-blocks/1 built with its columns"
        assert len(lines(lk, "a.bed.gz", "chr1:1-100")) == 10

    def test_with_the_same_columns_changes_nothing(self, lk: Lake, tmp_path: Path) -> None:
        data = bgzip(tmp_path / "a.bed", FEATURES)
        lk.put(data)
        before = lk.repo.journal.artifacts(lk.reader("a.bed.gz").source)
        assert lk.put(tabix(data, "-p", "bed")).items[0].index is None
        assert lk.repo.journal.artifacts(lk.reader("a.bed.gz").source) == before

    def test_with_columns_that_are_not_sorted_is_refused(self, lk: Lake, tmp_path: Path) -> None:
        data = bgzip(tmp_path / "a.bed", FEATURES)
        other = bgzip(tmp_path / "b.bed", "".join(f"chr1\t{n}\t{n + 1}\tchrA\t{n + 1}\n" for n in range(50)))
        lk.put(data)
        tabix(other, "-s", "4", "-b", "5", "-e", "5").rename(tmp_path / "a.bed.gz.tbi")
        report = lk.put(tmp_path / "a.bed.gz.tbi")
        assert "the columns that the tbi names are not used: " in report.items[0].warnings[0]
        assert len(lines(lk, "a.bed.gz", "chr1:1-100")) == 10
