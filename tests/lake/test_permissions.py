"""Who may read and write a lake on disk: its owner alone, or a group, whatever the umask of who writes."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lake
from lake.config import load_config
from lake.doctor.examining import examine
from lake.doctor.report import Check, State
from lake.errors import InvalidInput, LakeError, ReadOnly, StorageError
from lake.htsget.signing import load_secret
from lake.lake import Lake
from tests.lake.samples import NOISE

ANN, BOB, EVE = 65534, 65533, 65532
GROUP, OTHERS = 61234, 61235


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="lake-permissions-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def files(place: Path) -> Path:
    """Files of several kinds to put, for everybody: a large one, small ones that become a pack, one with facts."""
    folder = place / "files"
    folder.mkdir()
    (folder / "noise").write_bytes(NOISE)
    (folder / "a.bed").write_text("chr1\t5\t9\nchr1\t20\t30\n")
    for number in range(70):
        (folder / f"small{number}").write_text(f"text {number}")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def modes(root: Path) -> dict[str, int]:
    """Permissions of everything in a lake, the root as ``.``."""
    return {str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in (root, *root.rglob("*"))}


def work(root: Path, files: Path, name: str) -> None:
    """What makes every kind of file that a lake has."""
    with Lake.open_at(root) as lk:
        lk.put([*files.glob("small*"), files / "noise", files / "a.bed"], f"{name}/")
        with lk.open(f"{name}/written", "wb") as file:
            file.write(name.encode() * 100_000)
        lk.catalog.publish(force=True)
        load_secret(root)


def check(root: Path, folder: int, file: int, key: int) -> None:
    for name, mode in modes(root).items():
        if (root / name).is_dir():
            wanted = folder
        elif name.startswith(("objects/", "packs/")) or name.endswith(".duckdb"):
            wanted = 0o444
        elif name == "server.key":
            wanted = key
        else:
            wanted = file
        assert mode == wanted, f"{name}: {mode:o}, not {wanted:o}"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("shared", [False, True])
def test_every_file_has_the_permissions_of_its_lake_whatever_the_umask(
    place: Path, files: Path, shared: bool, umask: int
) -> None:
    root = place / "lake"
    before = os.umask(umask)
    try:
        Lake.init(root, shared=shared).close()
        work(root, files, "one")
        with Lake.open_at(root) as lk:
            # SQLite's files beside the journal are there while it is open.
            lk.mkdir("x")
            check(root, *((0o2770, 0o660, 0o640) if shared else (0o700, 0o600, 0o600)))
            assert (root / "journal.db-wal").exists()
    finally:
        os.umask(before)
    assert load_config(root).shared is shared
    assert ("shared = true" in (root / "lake.toml").read_text()) is shared


def test_the_command_and_the_function_make_shared_lakes(place: Path) -> None:
    command = [sys.executable, "-m", "lake.cli", "init", "--shared", str(place / "one")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    lake.init(place / "two", shared=True).close()
    for name in ("one", "two"):
        assert modes(place / name)["."] == 0o2770


def test_a_lake_keeps_permissions_that_it_was_given(place: Path, files: Path) -> None:
    root = place / "lake"
    Lake.init(root).close()
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    work(root, files, "one")
    assert modes(root)["objects/" + next(path.name for path in (root / "objects").iterdir())] == 0o755


def test_a_key_that_others_can_read_is_refused(place: Path) -> None:
    for shared, bad in ((False, 0o640), (False, 0o604), (True, 0o644)):
        root = place / f"{shared}{bad:o}"
        Lake.init(root, shared=shared).close()
        secret = load_secret(root)
        assert load_secret(root) == secret
        (root / "server.key").chmod(bad)
        with pytest.raises(StorageError, match=r"others can read .*server\.key.*remove it"):
            load_secret(root)


def as_user(user: int, group: int, action: Callable[[], object], *, umask: int = 0o077) -> object:
    """What an action gives, or the error that it raises, where another user does it in a process of its own."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        result: object = None
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            os.umask(umask)
            result = action()
        except BaseException as error:
            result = type(error)(str(error)) if isinstance(error, LakeError) else RuntimeError(repr(error))
        os.write(told, pickle.dumps(result))
        os._exit(0)
    os.close(told)
    with open(answer, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    found: object = pickle.loads(data)
    return found


def put_as(root: Path, source: Path, path: str) -> Callable[[], object]:
    def act() -> object:
        with Lake.open_at(root) as lk:
            lk.put(source, path)
            return len(lk.ls(""))

    return act


@pytest.fixture
def warm(place: Path, files: Path) -> None:
    """Loads what is loaded when it is first needed: another user may not be able to read the modules."""
    Lake.init(place / "warm").close()
    with Lake.open_at(place / "warm") as lk:
        lk.put([*files.glob("small*"), files / "noise", files / "a.bed"], "x/")
        lk.put(files / "noise", "again")
        with lk.open("again") as file:
            file.read()
    examine(place / "warm")


@pytest.mark.usefixtures("warm")
def test_two_members_of_a_group_share_a_lake(place: Path, files: Path) -> None:
    root = place / "lake"
    root.mkdir()
    os.chown(root, ANN, GROUP)

    def make() -> object:
        Lake.init(root, shared=True).close()
        return "made"

    def overwrite() -> object:
        with Lake.open_at(root) as lk:
            with lk.open("study/noise") as file:
                assert file.read() == NOISE
            lk.put(files / "a.bed", "study/noise")
            lk.put([*files.glob("small*")], "pack/")
            with lk.open("bob", "wb") as file:
                file.write(b"x" * 200_000)
            lk.rm("study/a.bed")
            return sorted(entry.path for entry in lk.ls(""))

    def crash() -> object:
        lk = Lake.open_at(root)
        with lk.repo.scratch() as folder:
            (folder / "left").write_text("behind")
            os._exit(0)

    def reap() -> object:
        with Lake.open_at(root) as lk:
            for session in lk.repo.store.sessions():
                lk.repo.store.reap(session)
            with lk.open("study/noise") as file:
                return file.read(), lk.repo.store.sessions()

    assert as_user(ANN, GROUP, make) == "made"
    assert as_user(ANN, GROUP, put_as(root, files / "noise", "study/noise")) == 1
    assert as_user(ANN, GROUP, put_as(root, files / "a.bed", "study/a.bed"), umask=0o000) == 1
    assert as_user(BOB, GROUP, overwrite) == ["bob", "pack", "study"]
    assert as_user(ANN, GROUP, put_as(root, files / "noise", "pack/small1")) == 3
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(ANN)
        os.umask(0o077)
        crash()
    os.waitpid(child, 0)
    assert as_user(BOB, GROUP, reap) == ((files / "a.bed").read_bytes(), [])
    for name, mode in modes(root).items():
        assert mode & 0o007 == (0o004 if name.startswith(("objects/", "packs/")) and mode == 0o444 else 0), name
        assert (root / name).lstat().st_gid == GROUP, name
    refused = as_user(EVE, OTHERS, put_as(root, files / "noise", "eve"))
    assert isinstance(refused, LakeError)
    with Lake.open_at(root) as lk:
        assert lk.fsck().ok


@pytest.mark.usefixtures("warm")
def test_w12_who_may_not_write_gets_one_clear_line_and_leaves_nothing(place: Path, files: Path) -> None:
    private, readable = place / "private", place / "readable"
    for root in (private, readable):
        Lake.init(root).close()
        work(root, files, "one")
    for path in (readable, *readable.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o444 if path.stat().st_mode & 0o777 == 0o444 else 0o644)
    before = {root: sorted(modes(root)) for root in (private, readable)}

    def read() -> object:
        with Lake.open_at(readable) as lk, lk.open("one/noise") as file:
            return len(file.read())

    for root, kind in ((private, StorageError), (readable, ReadOnly)):
        error = as_user(EVE, OTHERS, put_as(root, files / "noise", "eve"))
        assert isinstance(error, kind), error
        assert str(root) in str(error)
        assert "\n" not in str(error)
    assert as_user(EVE, OTHERS, read) == len(NOISE)
    last = as_user(EVE, OTHERS, lambda: examine(private).checks[-1])
    assert isinstance(last, Check)
    assert (last.name, last.state) == ("permissions", State.FAIL)
    assert f"may not look into {private}" in last.found
    assert {root: sorted(modes(root)) for root in (private, readable)} == before


@pytest.mark.usefixtures("warm")
def test_w12_no_half_lake_where_none_can_be_made(place: Path) -> None:
    def make(root: Path, shared: bool = False) -> Callable[[], object]:
        return lambda: Lake.init(root, shared=shared).close()

    locked, foreign = place / "locked", place / "foreign"
    locked.mkdir(mode=0o755)
    foreign.mkdir()
    foreign.chmod(0o777)
    for root in (locked / "lake", foreign):
        error = as_user(EVE, OTHERS, make(root))
        assert isinstance(error, StorageError), error
        assert "\n" not in str(error)
    assert list(locked.iterdir()) == list(foreign.iterdir()) == []


def test_a_damaged_setting_is_told(place: Path) -> None:
    Lake.init(place / "lake").close()
    path = place / "lake" / "lake.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("checksum")]
    path.write_text("\n".join([*lines, 'shared = "yes"', ""]))
    with pytest.raises((StorageError, InvalidInput), match="shared"):
        Lake.open_at(place / "lake")
