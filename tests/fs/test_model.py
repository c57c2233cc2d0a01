"""The same random calls on a lake and on fsspec's filesystem in memory give the same answers."""

from __future__ import annotations

import tempfile
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lake.fs import LakeFileSystem
from lake.lake import Lake

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=4)
BOUND = st.none() | st.integers(-5, 5)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.lk = Lake.init(f"{self.folder.name}/lake")
        self.fs = LakeFileSystem(self.lk.root, skip_instance_cache=True)
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.fs.lake.close()
        self.lk.close()
        self.folder.cleanup()

    def memory(self) -> Any:
        """A filesystem in memory with what should be there; it is made anew, since it keeps empty directories."""
        memory = MemoryFileSystem(skip_instance_cache=True)
        memory.store = {}
        memory.pseudo_dirs = [""]
        for name, data in self.model.items():
            memory.pipe_file(f"/{name}", data)
        return memory

    def fits(self, name: str) -> bool:
        """Whether a file of that name can be: nothing lies below it, and no file above."""
        parts = name.split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        return not above & self.model.keys() and not any(other.startswith(f"{name}/") for other in self.model)

    @rule(name=NAMES, data=DATA)
    def write(self, name: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(name, data)
        except OSError:
            assert not self.fits(name)
        else:
            assert self.fits(name)
            self.model[name] = data

    @rule(name=NAMES, recursive=st.booleans())
    def remove(self, name: str, recursive: bool) -> None:
        below = {other for other in self.model if other == name or other.startswith(f"{name}/")}
        try:
            self.fs.rm(name, recursive=recursive)
        except OSError:
            assert not below or (name not in self.model and not recursive)
        else:
            assert below
            for other in below:
                del self.model[other]

    @rule(old=NAMES, new=NAMES)
    def copy_file(self, old: str, new: str) -> None:
        try:
            self.fs.cp_file(old, new)
        except OSError:
            assert old not in self.model or not self.fits(new)
        else:
            if old in self.model:
                assert self.fits(new)
                self.model[new] = self.model[old]
            elif not self.fs.ls(new):
                self.fs.rmdir(new)  # a directory was copied, without what lies in it

    @rule(name=NAMES, start=BOUND, end=BOUND)
    def read(self, name: str, start: int | None, end: int | None) -> None:
        if name in self.model:
            assert self.fs.cat_file(name, start, end) == self.model[name][start:end]

    @rule(name=NAMES, depth=st.none() | st.integers(1, 3), withdirs=st.booleans())
    def find(self, name: str, depth: int | None, withdirs: bool) -> None:
        expected = self.memory().find(f"/{name}", maxdepth=depth, withdirs=withdirs)
        assert self.fs.find(name, maxdepth=depth, withdirs=withdirs) == [found[1:] for found in expected]

    @rule(pattern=st.sampled_from(["*", "*/*", "**", "a/*", "**/c", "[ab]/?", "*/b/*", "a/**"]))
    def glob(self, pattern: str) -> None:
        assert self.fs.glob(pattern) == [found[1:] for found in self.memory().glob(f"/{pattern}")]

    @rule(name=NAMES)
    def walk(self, name: str) -> None:
        memory = self.memory()
        # In what order directories are visited is not part of the contract: the model's is that of its writes.
        expected = {top[1:]: (sorted(folders), sorted(files)) for top, folders, files in memory.walk(f"/{name}")}
        assert {top: (sorted(folders), sorted(files)) for top, folders, files in self.fs.walk(name)} == expected

    @invariant()
    def the_same_files(self) -> None:
        assert self.fs.cat("", recursive=True, on_error="omit") == self.model if self.model else not self.fs.find("")


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestModel = Machine.TestCase
