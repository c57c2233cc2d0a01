"""``mv``, ``cp`` and ``rm`` held against the real programs, and what they leave alone: the bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import AlreadyExists, Conflict, InvalidInput, IsDirectory, LakeError, NotDirectory, NotFound, ReadOnly
from lake.lake import Lake
from tests.lake.samples import branch_files, local_tree, make_tree, stored_objects

TREE = {
    "a.txt": "a",
    "b.txt": "b",
    "d/a.txt": "d/a",
    "d/x.txt": "d/x",
    "d/e/y.txt": "d/e/y",
    "single/only.txt": "only",
    "full/d/x.txt": "full/d/x",
    "full/z.txt": "full/z",
    "empty/": "",
}
PLACES = [
    "a.txt",
    "b.txt",
    "d",
    "d/",
    "d/e",
    "d/a.txt",
    "single",
    "full",
    "full/d",
    "empty",
    "empty/",
    "new",
    "d/new",
    ".",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", TREE)


@pytest.fixture
def filled(lk: Lake, tree: Path) -> Lake:
    lk.put(f"{tree}/.", "")
    return lk


def real(tree: Path, *command: str) -> bool:
    return subprocess.run(command, cwd=tree, capture_output=True).returncode == 0


def ours(act: object, *arguments: object, **options: object) -> bool:
    assert callable(act)
    try:
        act(*arguments, **options)
    except LakeError:
        return False
    return True


@pytest.mark.parametrize("destination", PLACES)
@pytest.mark.parametrize("source", ["a.txt", "d", "d/e", "d/e/y.txt", "single", "full", "empty"])
def test_mv(filled: Lake, tree: Path, source: str, destination: str) -> None:
    objects = stored_objects(filled)
    worked = real(tree, "mv", source, destination)
    assert ours(filled.mv, source, destination) == worked
    assert branch_files(filled) == _without_emptied(local_tree(tree))
    assert stored_objects(filled) == objects


SOURCES = ["a.txt", "d", "d/e", "single", "empty"]


@pytest.mark.parametrize(
    ("source", "destination", "recursive"),
    [
        *((source, destination, True) for source in SOURCES for destination in PLACES),
        *((source, destination, False) for source in SOURCES for destination in ("new", "full", "b.txt")),
    ],
)
def test_cp(filled: Lake, tree: Path, source: str, destination: str, recursive: bool) -> None:
    objects = stored_objects(filled)
    before = branch_files(filled)
    worked = real(tree, "cp", *(["-r"] if recursive else []), source, destination)
    assert ours(filled.cp, source, destination, recursive=recursive) == worked
    # The real one has copied a part by the time it sees that a directory would go into itself.
    assert branch_files(filled) == (local_tree(tree) if worked else before)
    assert stored_objects(filled) == objects


@pytest.mark.parametrize("recursive", [True, False])
@pytest.mark.parametrize("path", ["a.txt", "d", "d/e", "single", "single/only.txt", "empty", "nothing", "a.txt/x"])
def test_rm(filled: Lake, tree: Path, path: str, recursive: bool) -> None:
    objects = stored_objects(filled)
    worked = real(tree, "rm", *(["-r"] if recursive else []), path)
    assert ours(filled.rm, path, recursive=recursive) == worked
    assert branch_files(filled) == _without_emptied(local_tree(tree))
    assert stored_objects(filled) == objects


def _without_emptied(files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """A directory of a lake that exists through its files goes with the last one; only made ones stay."""
    return {name: data for name, data in files.items() if data is not None or name.endswith(("empty", "new"))}


FILES_AND_FOLDERS = [place for place in PLACES if not place.endswith(("/", "."))]
STEP = st.tuples(st.sampled_from(["mv", "cp", "rm"]), st.sampled_from(FILES_AND_FOLDERS), st.sampled_from(PLACES))


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, max_size=6))
def test_any_sequence(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]) -> None:
    """Each step a commit in one lake, all of them one commit in another."""
    folder = tmp_path_factory.mktemp("steps")
    tree = make_tree(folder / "tree", {name: text for name, text in TREE.items() if text})
    with Lake.init(folder / "single") as single, Lake.init(folder / "joined") as joined:
        for lk in (single, joined):
            lk.put(f"{tree}/.", "")
        with joined.commit("all"):
            for verb, source, destination in steps:
                if destination.startswith(source.rstrip("/")) or not (tree / source).exists():
                    continue
                missing = tree / destination if destination.endswith("/") else (tree / destination).parent
                if not missing.is_dir():
                    continue  # directories that are not there yet are made, which the real ones refuse
                arguments = [source] if verb == "rm" else [source, destination]
                worked = real(tree, verb, *([] if verb == "mv" else ["-r"]), *arguments)
                _prune(tree)
                for lk in (single, joined):
                    options = {} if verb == "mv" else {"recursive": True}
                    assert ours(getattr(lk, verb), *arguments, **options) == worked
                    assert branch_files(lk) == local_tree(tree)
                    assert [entry.path for entry in lk.ls()] == sorted(path.name for path in tree.iterdir())
                assert all(joined.exists(place) == (tree / place).exists() for place in PLACES)
        assert branch_files(joined) == local_tree(tree)
    shutil.rmtree(folder)


def _prune(tree: Path) -> None:
    for place in sorted((path for path in tree.rglob("*") if path.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()


class TestAttributes:
    def test_go_along(self, filled: Lake) -> None:
        filled.set_meta("d/a.txt", {"n": 1, "tags": ["x", {"y": None}]})
        filled.set_meta("empty", {"why": "later"})
        filled.cp("d/a.txt", "copy.txt")
        filled.mv("d/a.txt", "moved.txt")
        filled.mv("empty", "still")
        assert filled.meta("copy.txt") == filled.meta("moved.txt") == {"n": 1, "tags": ["x", {"y": None}]}
        assert filled.meta("still") == {"why": "later"}

    def test_are_replaced_with_the_content(self, filled: Lake) -> None:
        filled.set_meta("a.txt", {"of": "a"})
        filled.set_meta("b.txt", {"of": "b", "more": True})
        filled.cp("a.txt", "b.txt")
        assert filled.meta("b.txt") == {"of": "a"}

    def test_set_and_remove(self, filled: Lake) -> None:
        filled.set_meta(["a.txt", "b.txt", "d"], {"x": 1, "y": "z"}, message="note")
        assert filled.log()[0].changes == 3
        filled.set_meta("a.txt", {"x": None, "unknown": None})
        assert [filled.meta(path) for path in ("a.txt", "b.txt", "d")] == [
            {"y": "z"},
            {"x": 1, "y": "z"},
            {"x": 1, "y": "z"},
        ]

    def test_of_nothing(self, filled: Lake) -> None:
        with pytest.raises(NotFound):
            filled.set_meta("nothing", {"x": 1})
        with pytest.raises(InvalidInput, match="top of the lake"):
            filled.set_meta("", {"x": 1})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
    def test_that_are_no_json(self, filled: Lake, value: object) -> None:
        with pytest.raises(LakeError):
            filled.set_meta("a.txt", {"x": value})  # type: ignore[dict-item]


class TestBetweenBranches:
    def test_copies_from_another_ref(self, filled: Lake) -> None:
        filled.tag("v1")
        filled.rm("d", recursive=True)
        filled.cp("@v1/d", "back", recursive=True)
        filled.branch("exp")
        filled.cp("a.txt", "@exp/only-there.txt")
        assert filled.exists("back/e/y.txt")
        assert not filled.exists("only-there.txt")
        assert filled.exists("@exp/only-there.txt")

    def test_moves_stay_on_their_branch(self, filled: Lake) -> None:
        filled.branch("exp")
        filled.tag("v1")
        before = branch_files(filled)
        with pytest.raises(InvalidInput, match="another branch"):
            filled.mv("a.txt", "@exp/a.txt")
        for destination in ("@v1/moved.txt", "@1/moved.txt", "@main~0/moved.txt"):
            with pytest.raises(ReadOnly):
                filled.mv("a.txt", destination)
        assert branch_files(filled) == before
        filled.mv("@exp/a.txt", "@exp/moved.txt")
        assert filled.exists("@exp/moved.txt")
        assert branch_files(filled) == before

    def test_one_commit_is_on_one_branch(self, filled: Lake) -> None:
        filled.branch("exp")
        with pytest.raises(InvalidInput, match="one branch"):
            filled.rm(["@exp/a.txt", "b.txt"])
        with pytest.raises(InvalidInput, match="one branch"):
            filled.set_meta(["a.txt", "@exp/b.txt"], {"x": 1})
        assert branch_files(filled) == branch_files(filled, ref="exp")
        filled.rm(["@exp/a.txt", "@exp/b.txt"])
        assert not filled.exists("@exp/a.txt")
        assert filled.exists("a.txt")


class TestRestore:
    def test_a_file_a_directory_and_everything(self, filled: Lake) -> None:
        filled.set_meta("a.txt", {"n": 1})
        before = branch_files(filled)
        filled.tag("v1")
        filled.rm("d", recursive=True)
        filled.cp("a.txt", "d")
        filled.rm("single/only.txt")
        filled.set_meta("a.txt", {"n": 2})
        filled.mkdir("made")
        filled.restore("a.txt", "v1")
        assert filled.meta("a.txt") == {"n": 1}
        filled.restore("d", "v1")
        assert filled.exists("d/e/y.txt")
        filled.restore("", "v1")
        assert branch_files(filled) == before
        assert filled.restore("", "v1") is None
        assert filled.diff("v1") == []

    def test_a_file_in_the_place_of_a_directory(self, filled: Lake) -> None:
        filled.rm("a.txt")
        filled.cp("b.txt", "a.txt/inside.txt")
        filled.restore("a.txt", "1")
        assert branch_files(filled)["a.txt"] == b"a"

    def test_attributes_of_directories(self, filled: Lake) -> None:
        filled.set_meta("empty", {"a": 1})
        filled.tag("v1")
        filled.set_meta("empty", {"a": 2, "b": 3})
        filled.restore("empty", "v1")
        assert filled.meta("empty") == {"a": 1}

    def test_what_was_not_there(self, filled: Lake) -> None:
        with pytest.raises(NotFound):
            filled.restore("nothing", "1")
        with pytest.raises(ReadOnly):
            filled.restore("@1/a.txt", "1")


class TestRefusals:
    def test_each_says_why(self, filled: Lake) -> None:
        with pytest.raises(IsDirectory, match="recursive"):
            filled.cp("single", "x")
        with pytest.raises(IsDirectory, match="recursive"):
            filled.rm("single")
        with pytest.raises(AlreadyExists, match="not empty"):
            filled.mv("d", "full")
        with pytest.raises(InvalidInput, match="into itself"):
            filled.mv("d", "d/e")
        with pytest.raises(InvalidInput, match="into itself"):
            filled.cp("", "x", recursive=True)
        with pytest.raises(InvalidInput, match="the same"):
            filled.mv("a.txt", "a.txt")
        with pytest.raises(InvalidInput, match="top of the lake"):
            filled.mv("", "x")
        with pytest.raises(NotDirectory):
            filled.mv("d", "a.txt")
        with pytest.raises(NotFound, match="did you mean"):
            filled.mv("d/a.tx", "x")
        with pytest.raises(AlreadyExists):
            filled.mkdir("d")
        with pytest.raises(AlreadyExists):
            filled.mkdir("a.txt", exist_ok=True)
        filled.mkdir("d", exist_ok=True)

    def test_a_move_of_what_changed_meanwhile(self, filled: Lake) -> None:
        other = Lake.open_at(filled.root)

        def race() -> None:
            with filled.commit("move"):
                filled.mv("a.txt", "moved.txt")
                other.cp("b.txt", "a.txt")

        with pytest.raises(Conflict):
            race()
        other.close()
        assert branch_files(filled)["a.txt"] == b"b"
