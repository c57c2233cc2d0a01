"""Checksum manifests, written by the programs that write them."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from lake.errors import InvalidInput, NotFound, SourceChanged
from lake.lake import Lake
from lake.manifest import read_manifest

NAMES = ["plain.txt", "two words.txt", "back\\slash", "line\nfeed", "separa\u2028tor", "star*", "sub/deep.txt"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content {number}")
    return folder


def manifest(folder: Path, *command: str) -> Path:
    done = subprocess.run([*command, *NAMES], cwd=folder, capture_output=True, check=True)
    (folder / "SUMS").write_bytes(done.stdout)
    return folder / "SUMS"


@pytest.mark.parametrize(
    "command", [("md5sum",), ("sha256sum",), ("md5sum", "-b"), ("md5sum", "--tag"), ("sha256sum", "--tag")]
)
def test_every_name_is_found_and_checked(lk: Lake, files: Path, command: tuple[str, ...]) -> None:
    listed = manifest(files, *command)
    report = lk.put([files / name for name in NAMES], "good/", manifest=listed)
    assert not report.failed
    assert [item.warnings for item in report.items] == [[]] * len(NAMES)
    for name in NAMES:
        (files / name).write_text("changed")
    with pytest.raises(SourceChanged, match="checksum"):
        lk.put([files / name for name in NAMES], "bad/", manifest=listed)
    assert len(lk.ls("", recursive=True)) == len(NAMES)


def test_one_of_many_is_refused(lk: Lake, files: Path) -> None:
    listed = manifest(files, "md5sum")
    (files / "plain.txt").write_text("other")
    report = lk.put([files / name for name in NAMES], "x/", manifest=listed)
    assert [Path(item.source).name for item in report.failed] == ["plain.txt"]
    assert len(report.stored) == len(NAMES) - 1


def test_what_it_does_not_name_is_told(lk: Lake, files: Path) -> None:
    listed = manifest(files, "sha256sum")
    (files / "new.txt").write_text("new")
    report = lk.put(files / "new.txt", "x/", manifest=listed)
    assert report.items[0].warnings == ["not in the manifest"]


def test_standard_input_is_not_checked_and_that_is_told(lk: Lake, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"content 0")))
    report = lk.put("-", "x", manifest=manifest(files, "md5sum"))
    assert report.items[0].warnings == ["not in the manifest"]


def test_a_manifest_that_lies_elsewhere_goes_by_name(tmp_path: Path, files: Path) -> None:
    listed = manifest(files, "md5sum")
    moved = tmp_path / "elsewhere"
    listed.rename(moved)
    found = read_manifest(moved)
    assert found.expected(files / "plain.txt") is not None
    assert found.algorithms == ("md5",)


def test_windows_line_ends_and_comments(tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_bytes(b"# made by hand\r\n" + b"0" * 32 + b"  a.txt\r\n\r\n" + b"F" * 64 + b" *b.txt\r\n")
    found = read_manifest(tmp_path / "SUMS")
    assert found.expected(tmp_path / "a.txt") == "0" * 32
    assert found.expected(tmp_path / "b.txt") == "f" * 64
    assert found.algorithms == ("md5", "sha256")


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "abc  file\n", "0" * 33 + "  x\n", "\x00\xff\n"])
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "SUMS").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput):
        read_manifest(tmp_path / "SUMS")


def test_a_manifest_that_is_not_there(lk: Lake, files: Path) -> None:
    with pytest.raises(NotFound, match="manifest"):
        lk.put(files, "x", manifest=files / "nothing")
