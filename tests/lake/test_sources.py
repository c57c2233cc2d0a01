"""Where files land: as those of ``cp -r``, and what is not taken in."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from lake.errors import InvalidInput, InvalidPath, IsDirectory, LakeError, NotDirectory, NotFound
from lake.lake import Lake
from tests.lake.samples import branch_files, local_tree, make_tree

TREE = {
    "one.txt": "1",
    "two.txt": "2",
    "runs/a.txt": "a",
    "runs/b.txt": "b",
    "runs/deep/er/c.txt": "c",
    "runs/empty/": "",
    "runs/.hidden": "h",
    "odd [1] #%.txt": "o",
}
PRESENT = {"there/old.txt": "old", "there/runs/a.txt": "older", "file.txt": "f"}


@pytest.mark.parametrize(
    ("sources", "destination"),
    [
        (["one.txt"], "new.txt"),
        (["one.txt"], "there"),
        (["one.txt"], "there/"),
        (["one.txt"], "there/."),
        (["one.txt"], "there/old.txt"),
        (["one.txt"], "file.txt"),
        (["one.txt"], "."),
        (["one.txt", "two.txt"], "there"),
        (["one.txt", "two.txt"], "there/"),
        (["one.txt", "runs"], "there"),
        (["runs"], "new"),
        (["runs"], "new/"),
        (["runs"], "there"),
        (["runs"], "there/"),
        (["runs"], "there/runs"),
        (["runs/"], "there"),
        (["runs/."], "there"),
        (["runs/."], "new"),
        (["runs/deep"], "there/runs"),
        (["./runs/../runs/deep/er"], "there"),
        (["."], "there"),
        (["runs/deep/.."], "there"),
        (["runs/deep/../"], "new"),
        (["odd [1] #%.txt"], "there"),
    ],
)
def test_as_cp_does(
    lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], destination: str
) -> None:
    lk.put(f"{make_tree(tmp_path / 'present', PRESENT)}/.", "")
    monkeypatch.chdir(make_tree(tmp_path / "tree", TREE))
    subprocess.run(["cp", "-r", *sources, f"{tmp_path}/present/{destination}"], check=True)
    lk.put(sources, destination)
    assert branch_files(lk) == local_tree(tmp_path / "present")


def test_a_slash_at_the_end_makes_a_directory(lk: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", TREE)
    lk.put(tmp_path / "tree/one.txt", "study/deep/")
    lk.put([tmp_path / "tree/one.txt", tmp_path / "tree/two.txt"], "other")
    assert list(branch_files(lk)) == ["other/one.txt", "other/two.txt", "study/deep/one.txt"]


def test_globs_take_what_they_match(lk: Lake, tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "tree", TREE)
    lk.put(f"{folder}/*.txt", "top/")
    lk.put(f"{folder}/**/?.txt", "deep/")
    lk.put(f"{folder}/odd [1] #%.txt", "odd.txt")
    assert list(branch_files(lk)) == [
        "deep/a.txt",
        "deep/b.txt",
        "deep/c.txt",
        "odd.txt",
        "top/odd [1] #%.txt",
        "top/one.txt",
        "top/two.txt",
    ]


def test_a_glob_without_match_is_missing(lk: Lake, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"\*\.bam"):
        lk.put(f"{tmp_path}/*.bam", "x/")


def test_standard_input(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    lk.put("-", "runs/table.csv")
    assert branch_files(lk) == {"runs/table.csv": b"a,b\n1,2\n"}
    with pytest.raises(IsDirectory, match="name of a file"):
        lk.put("-", "runs/")


def test_below_a_file_nothing_can_go(lk: Lake, tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "tree", TREE)
    lk.put(folder / "one.txt", "x")
    for sources, destination in (
        ([folder / "one.txt", folder / "two.txt"], "x"),
        ([folder / "one.txt"], "x/"),
        ([folder / "one.txt"], "x/y/z.txt"),
        ([folder / "runs"], "x"),
    ):
        with pytest.raises(NotDirectory):
            lk.put(sources, destination)
    assert branch_files(lk) == {"x": b"1"}


def test_a_file_does_not_take_the_place_of_a_directory(lk: Lake, tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "tree", TREE)
    lk.put(folder / "one.txt", "x/one.txt/inside")
    with pytest.raises(IsDirectory):
        lk.put(folder / "one.txt", "x/")
    assert branch_files(lk) == {"x/one.txt/inside": b"1"}


@pytest.mark.parametrize("destination", ["../up", "a/../b", "nul\0", "@main/../x", "x" * 300])
def test_destinations_that_are_no_paths(lk: Lake, tmp_path: Path, destination: str) -> None:
    make_tree(tmp_path, {"f": "1"})
    with pytest.raises(InvalidPath):
        lk.put(tmp_path / "f", destination)


def test_the_second_of_a_name_is_refused_as_cp_does(lk: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {"a/f": "1", "b/f": "2"})
    report = lk.put([tmp_path / "tree/a/f", tmp_path / "tree/b/f"], "x/")
    assert branch_files(lk) == {"x/f": b"1"}
    assert [item.error is None for item in sorted(report.items, key=lambda item: item.source)] == [True, False]


class TestLeftOut:
    """What is met and not taken in is told, and keeps nothing else out."""

    def test_links_pipes_and_loops(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", TREE)
        os.mkfifo(folder / "pipe")
        (folder / "to-dir").symlink_to("runs")
        (folder / "to-file").symlink_to("one.txt")
        (folder / "dangling").symlink_to("nowhere")
        (folder / "loop").symlink_to("loop")
        report = lk.put(folder, "x")
        wanted = {**local_tree(make_tree(tmp_path / "same", TREE)), "to-file": b"1"}
        assert branch_files(lk) == {f"x/{name}": data for name, data in wanted.items()}
        told = {Path(item.source).name: item.error for item in report.failed}
        assert told.keys() == {"pipe", "to-dir", "dangling", "loop"}
        assert all(text and "\n" not in text for text in told.values())

    def test_a_directory_behind_a_link_is_taken_when_named(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", TREE)
        (tmp_path / "link").symlink_to(folder / "runs")
        lk.put(tmp_path / "link", "x/")
        assert "x/deep/er/c.txt" in branch_files(lk)
        lk.put(tmp_path / "link", "x/")
        assert "x/link/deep/er/c.txt" in branch_files(lk)

    def test_names_that_are_no_text(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", {"good": "1"})
        with open(os.fsencode(folder) + b"/bad\xff", "wb"):
            pass
        report = lk.put(folder, "x")
        assert branch_files(lk) == {"x/good": b"1"}
        assert "UTF-8" in (report.failed[0].error or "")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_without_permission(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", {"good": "1", "bad": "2", "closed/x": "3"})
        (folder / "bad").chmod(0)
        (folder / "closed").chmod(0)
        report = lk.put(folder, "x")
        (folder / "closed").chmod(0o700)
        assert branch_files(lk) == {"x/good": b"1"}
        assert all("Permission denied" in (item.error or "") for item in report.failed)
        assert len(report.failed) == 2

    def test_one_of_a_hundred(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", {f"{n:02}.txt": str(n) for n in range(99)})
        (folder / "50x.txt").symlink_to("50x.txt")
        report = lk.put(folder, "")
        assert len(branch_files(lk)) == len(report.stored) == 99
        assert [Path(item.source).name for item in report.failed] == ["50x.txt"]
        assert report.commit is not None
        assert report.commit.changes == 99

    def test_all_or_nothing(self, lk: Lake, tmp_path: Path) -> None:
        folder = make_tree(tmp_path / "tree", {f"{n:02}.txt": str(n) for n in range(20)})
        (folder / "bad").symlink_to("bad")
        with pytest.raises(InvalidInput, match="nothing was stored: 1 of 21"):
            lk.put(folder, "", all_or_nothing=True)
        assert branch_files(lk) == {}
        assert list((lk.root / "objects").glob("*/*")) == []

    def test_the_lake_does_not_eat_itself(self, lk: Lake, tmp_path: Path) -> None:
        make_tree(tmp_path, {"f": "1"})
        lk.put(tmp_path / "f", "f")
        (tmp_path / "link").symlink_to(lk.root / "journal.db")
        for name in ("lake", "lake/journal.db", "lake/objects", "lake/lake.toml", "link"):
            with pytest.raises(InvalidInput, match="part of the lake itself"):
                lk.put(tmp_path / name, "x/")
        (tmp_path / "link").unlink()
        report = lk.put(f"{tmp_path}/.", "all")
        assert "all/f" in branch_files(lk)
        assert [Path(item.source).name for item in report.failed] == ["lake"]

    @pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
    def test_nor_by_a_hard_link(self, lk: Lake, tmp_path: Path, name: str) -> None:
        lk.mkdir("x")
        os.link(lk.root / name, tmp_path / "innocent.db")
        with pytest.raises(InvalidInput, match="part of the lake itself"):
            lk.put(tmp_path / "innocent.db", "y")

    def test_nothing_at_all(self, lk: Lake, tmp_path: Path) -> None:
        with pytest.raises(LakeError):
            lk.put(tmp_path / "missing", "x")
        report = lk.put([], "x")
        assert report.commit is None
