"""What lake:// says of paths: names, infos, listings, and errors that are not swallowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import pytest

from lake.digest import digest_of
from lake.errors import InvalidPath, IsDirectory, LakeError, NotFound, Unsupported
from lake.fs import LakeFileSystem
from lake.lake import Lake


@pytest.fixture
def tree(fs: LakeFileSystem) -> LakeFileSystem:
    fs.pipe({"a/x.csv": b"1", "a/b/y.csv": b"22", "a/b/c/z.txt": b"333", "top.csv": b"4444", "a%23b/50% off": b"5"})
    return fs


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("lake://a/b", "a/b"),
        ("/a//b/./c/", "a/b/c"),
        ("lake://", ""),
        ("lake://@v1/a", "@v1/a"),
        ("@v1/", "@v1"),
        ("a%20b%23c", "a b%23c"),
        ("100%", "100%"),
        ("a%2520b", "a%2520b"),
        ("x.bam#chr1:1-5;chr2", "x.bam#chr1:1-5;chr2"),
        ("lake://x/#", "x"),
        (PurePosixPath("a/b"), "a/b"),
    ],
)
def test_names_have_one_spelling(spelled: object, name: str) -> None:
    assert LakeFileSystem._strip_protocol(spelled) == name
    assert LakeFileSystem._strip_protocol(name) == name


def test_a_list_of_names() -> None:
    assert LakeFileSystem._strip_protocol(["lake://a", "/b/"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "above"),
    [("a/b", "a"), ("a", ""), ("", ""), ("@v1/a/b", "@v1/a"), ("@v1/a", "@v1"), ("@v1", "@v1"), ("d/x.bam#c/1", "d")],
)
def test_parents(name: str, above: str) -> None:
    assert LakeFileSystem._parent(name) == above


def test_url_round_trip(fs: LakeFileSystem) -> None:
    assert fs.unstrip_protocol("a%23b/c") == "lake://a%23b/c"
    assert fs._strip_protocol(fs.unstrip_protocol("@v1/a%23b")) == "@v1/a%23b"


def test_info_of_a_file(tree: LakeFileSystem, lk: Lake) -> None:
    info = tree.info("lake://a/b/y.csv")
    assert info["name"] == "a/b/y.csv"
    assert (info["size"], info["type"], info["digest"]) == (2, "file", digest_of(b"22"))
    assert info["format"] == lk.stat("a/b/y.csv").format
    assert info["commit"] == lk.log()[0].seq
    assert info["mtime"].tzinfo is UTC
    assert abs(info["mtime"] - datetime.now(UTC)) < timedelta(hours=1)
    assert tree.info("a/b/y.csv") == info == tree.ls("a/b/y.csv")[0]
    assert info in tree.ls("a/b")


def test_info_of_directories(tree: LakeFileSystem) -> None:
    tree.mkdir("empty")
    assert tree.info("a/b")["type"] == "directory"
    assert tree.info("a/b")["mtime"] is None
    assert tree.info("empty")["mtime"] is not None
    assert tree.info("")["type"] == tree.info("lake://")["type"] == "directory"


def test_ls(tree: LakeFileSystem) -> None:
    assert tree.ls("", detail=False) == ["a", "a%23b", "top.csv"]
    assert tree.ls("a", detail=False) == ["a/b", "a/x.csv"]
    assert [info["type"] for info in tree.ls("a")] == ["directory", "file"]
    tree.mkdir("empty")
    assert tree.ls("empty") == []


def test_special_characters_in_names(tree: LakeFileSystem) -> None:
    assert tree.ls("a%23b", detail=False) == ["a%23b/50% off"]
    assert tree.cat_file("lake://a%23b/50% off") == b"5"
    tree.pipe_file("odd/%2541", b"percent")
    assert tree.ls("odd", detail=False) == ["odd/%2541"]
    assert tree.cat_file("odd/%2541") == b"percent"
    assert not tree.exists("odd/A")


@pytest.mark.parametrize(
    "ask", ["info", "ls", "size", "cat_file", "open", "modified", "created", "ukey", "rm", "local_path"]
)
def test_what_is_missing(tree: LakeFileSystem, ask: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        getattr(tree, ask)("a/missing.csv")
    assert isinstance(caught.value, LakeError)
    assert "a/missing.csv" in str(caught.value)


def test_existence(tree: LakeFileSystem) -> None:
    assert tree.exists("a/x.csv")
    assert tree.isfile("a/x.csv")
    assert not tree.isdir("a/x.csv")
    assert tree.isdir("a")
    assert not tree.isfile("a")
    for ask in (tree.exists, tree.isfile, tree.isdir):
        assert not ask("a/missing")
        assert not ask("a/x.csv/below")
        assert not ask("@nosuchref/a")
        with pytest.raises(InvalidPath):
            ask("a/../b")


def test_other_errors_are_not_absence(tree: LakeFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(type(tree.lake.repo.journal), "lookup", denied)
    for ask in (tree.exists, tree.isfile, tree.isdir):
        with pytest.raises(PermissionError):
            ask("a/x.csv")


def test_find(tree: LakeFileSystem) -> None:
    tree.mkdir("a/empty")
    assert tree.find("a") == ["a/b/c/z.txt", "a/b/y.csv", "a/x.csv"]
    assert tree.find("a", maxdepth=1) == ["a/x.csv"]
    assert tree.find("a", maxdepth=2) == ["a/b/y.csv", "a/x.csv"]
    assert tree.find("a", maxdepth=1, withdirs=True) == ["a", "a/b", "a/empty", "a/x.csv"]
    assert tree.find("a", maxdepth=2, withdirs=True) == ["a", "a/b", "a/b/c", "a/b/y.csv", "a/empty", "a/x.csv"]
    assert tree.find("a", prefix="b/") == ["a/b/c/z.txt", "a/b/y.csv"]
    assert tree.find("a/x.csv") == ["a/x.csv"]
    assert tree.find("nothing") == []
    assert tree.find("a/empty", withdirs=True) == ["a/empty"]
    assert tree.find("a", detail=True) == {name: tree.info(name) for name in tree.find("a")}
    assert len(tree.find("")) == 5


def test_bad_depth(tree: LakeFileSystem) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        tree.find("a", maxdepth=0)


def test_glob(tree: LakeFileSystem) -> None:
    assert tree.glob("a/*.csv") == ["a/x.csv"]
    assert tree.glob("lake://**/*.csv") == ["a/b/y.csv", "a/x.csv", "top.csv"]
    assert tree.glob("*.csv") == ["top.csv"]
    assert tree.glob("a/?") == ["a/b"]
    assert tree.glob("a/*/") == ["a/b"]
    assert tree.glob("a/[!b]*") == ["a/x.csv"]
    assert tree.glob("a/x.csv") == ["a/x.csv"]
    assert tree.glob("nothing*") == []
    assert tree.glob("a%23b/*") == ["a%23b/50% off"]
    assert tree.glob("a/*.csv", detail=True) == {"a/x.csv": tree.info("a/x.csv")}


def test_walk(tree: LakeFileSystem) -> None:
    assert list(tree.walk("a")) == [("a", ["b"], ["x.csv"]), ("a/b", ["c"], ["y.csv"]), ("a/b/c", [], ["z.txt"])]
    assert list(tree.walk("a", maxdepth=1)) == [("a", ["b"], ["x.csv"])]
    assert list(tree.walk("a", topdown=False))[-1] == ("a", ["b"], ["x.csv"])
    ((_, directories, files),) = tree.walk("a/b/c", detail=True)
    assert (directories, files) == ({}, {"z.txt": tree.info("a/b/c/z.txt")})
    assert list(tree.walk("a/x.csv")) == [("a/x.csv", [], [""])]


def test_walk_enters_what_the_caller_leaves(tree: LakeFileSystem) -> None:
    seen = []
    for top, directories, _ in tree.walk(""):
        seen.append(top)
        directories[:] = [name for name in directories if name == "a%23b"]
    assert seen == ["", "a%23b"]


def test_walk_of_nothing(tree: LakeFileSystem) -> None:
    errors: list[OSError] = []
    assert list(tree.walk("nothing")) == []
    assert list(tree.walk("nothing", on_error=errors.append)) == []
    assert isinstance(errors[0], NotFound)
    with pytest.raises(NotFound):
        list(tree.walk("nothing", on_error="raise"))


def test_du(tree: LakeFileSystem) -> None:
    assert tree.du("a") == 6
    assert tree.du("a", total=False, maxdepth=1) == {"a/x.csv": 1}
    assert tree.du("a/x.csv") == 1


def test_refs_stay_in_front(tree: LakeFileSystem, lk: Lake) -> None:
    lk.tag("v1")
    tree.rm("a", recursive=True)
    assert not tree.exists("a/x.csv")
    assert tree.ls("@v1", detail=False) == ["@v1/a", "@v1/a%23b", "@v1/top.csv"]
    assert tree.ls("@v1/a", detail=False) == ["@v1/a/b", "@v1/a/x.csv"]
    assert tree.find("@v1/a/b") == ["@v1/a/b/c/z.txt", "@v1/a/b/y.csv"]
    assert tree.glob("@v1/a/*.csv") == ["@v1/a/x.csv"]
    assert next(iter(tree.walk("@v1"))) == ("@v1", ["a", "a%23b"], ["top.csv"])
    assert tree.cat_file("lake://@v1/a/x.csv") == b"1"
    assert tree.cat_file("@main~1/a/x.csv") == b"1"


def test_the_ref_option(tree: LakeFileSystem, lk: Lake) -> None:
    lk.tag("v1")
    tree.pipe_file("top.csv", b"new")
    old = LakeFileSystem(lk.root, ref="v1")
    assert old.cat_file("top.csv") == b"4444"
    assert old.ls("", detail=False) == ["a", "a%23b", "top.csv"]
    assert old.cat_file("@main/top.csv") == b"new"


def test_identity_of_content(tree: LakeFileSystem) -> None:
    tree.pipe_file("copy", b"1")
    assert tree.ukey("copy") == tree.ukey("a/x.csv") == digest_of(b"1")
    assert tree.checksum("copy") == int(digest_of(b"1"), 16)
    assert tree.ukey("copy") != tree.ukey("top.csv")
    assert tree.ukey("a") == tree.ukey("a")


def test_times(tree: LakeFileSystem) -> None:
    first = tree.modified("top.csv")
    tree.pipe_file("top.csv", b"again")
    assert tree.created("top.csv") <= first + timedelta(seconds=1)
    assert tree.created("top.csv") < tree.modified("top.csv")
    assert tree.modified("a") == tree.modified("a/x.csv")
    assert tree.created("a").tzinfo is UTC


def test_the_plain_file(tree: LakeFileSystem) -> None:
    with open(tree.local_path("a/b/y.csv"), "rb") as file:
        assert file.read() == b"22"
    with pytest.raises(IsDirectory):
        tree.local_path("a")


def test_no_signed_urls(tree: LakeFileSystem) -> None:
    with pytest.raises(Unsupported, match="cannot sign"):
        tree.sign("a/x.csv")
