"""Lakes on read-only media and on network filesystems: read from the newest generation, never written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lake.digest import Digest
from lake.errors import Conflict, NotFound, ReadOnly, StorageError
from lake.grants import Grant, Verb
from lake.htsget.serving import admitted
from lake.htsget.settings import Settings
from lake.journal.base import Journal
from lake.journal.values import Entry, Kind, Put
from lake.lake import Lake
from tests.htsget.conftest import running
from tests.lake.samples import NOISE

NETWORK = "nfs4"
WAY_OUT = "lake serve"
REGION = "chr2:1,000-9,000"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, bams: Path) -> Path:
    """A lake with a bit of everything, and a generation of all of it."""
    root, files = tmp_path_factory.mktemp("places") / "lake", tmp_path_factory.mktemp("files")
    (files / "noise").write_bytes(NOISE)
    for number in range(70):
        (files / f"small{number:02}.txt").write_text(f"text {number}")
    (files / "later.txt").write_text("later")
    with Lake.init(root) as lk:
        lk.put([bams / "a.bam", bams / "a.bam.bai", bams / "b.bam"], "runs/", meta={"sample": "s1", "depth": 30})
        lk.put(sorted(files.glob("small*")), "many/")
        lk.put(files / "noise", "é/noise", checksums=True)
        lk.mkdir("empty/inner")
        lk.set_meta("runs", {"owner": "ann"})
        lk.catalog.publish(force=True)
        # A second generation: rows of it replace some of the first.
        lk.put(files / "later.txt", "many/")
        lk.mv("runs/b.bam", "runs/moved.bam")
        reader = lk.repo.shelf.reader(lk.tree().file("é/noise").hex)
        lk.repo.journal.record_damage(reader.source, [(1, *reader.chunks.span(1))])
        lk.tag("v1")
        lk.branch("exp")
        lk.catalog.publish(force=True)
    return root


@pytest.fixture
def far(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """The lake as it is seen over a network filesystem."""
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", NETWORK)
    with Lake.open_at(published) as lk:
        yield lk


@pytest.fixture
def near(published: Path, far: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """The same where its disk is."""
    monkeypatch.delenv("REGIONLAKE_FILESYSTEM")
    with Lake.open_at(published, readonly=True) as lk:
        yield lk


def coarse(entry: Entry | None) -> Entry | None:
    """Times are kept to the microsecond."""
    return None if entry is None else entry._replace(modified=entry.modified // 1000 * 1000)


def test_entries_are_those_of_the_journal(near: Lake, far: Lake) -> None:
    ours, theirs = far.repo.journal, near.repo.journal
    view, other = ours.resolve("main"), theirs.resolve("main")
    assert view == other
    assert ours.resolve(str(view.seq))[:2] == view[:2]
    walked = theirs.walk(other, "")
    assert len(walked) > 75
    for directory in ("", "runs", "many", "empty", "é", "nothing"):
        assert ours.walk(view, directory) == [coarse(entry) for entry in theirs.walk(other, directory)]
        assert ours.children(view, directory) == [coarse(entry) for entry in theirs.children(other, directory)]
        assert ours.is_directory(view, directory) == theirs.is_directory(other, directory)
    for path in [*(entry.path for entry in walked), "runs", "empty", "nothing", "many/small0", "é"]:
        assert ours.lookup(view, path) == coarse(theirs.lookup(other, path))
        assert ours.is_directory(view, path) == theirs.is_directory(other, path)
    assert ours.near(view, "many/smal01.txt")[0] == theirs.near(other, "many/smal01.txt")[0]
    assert ours.near(view, "elsewhere/noise") == theirs.near(other, "elsewhere/noise") == ["é/noise"]


def test_objects_and_what_is_derived_are_those_of_the_journal(near: Lake, far: Lake) -> None:
    ours, theirs = far.repo.journal, near.repo.journal
    records = {record.digest: record for record in theirs.objects()}
    assert {record.digest: record for record in ours.objects()} == records
    assert any(record.location.handle.startswith("packs/") for record in records.values())
    assert any(record.chunks is not None for record in records.values())
    for digest, record in records.items():
        assert ours.object(digest) == record
        kept = [artifact for artifact in theirs.artifacts(digest) if not artifact.kind.startswith("facts.")]
        assert ours.artifacts(digest) == kept
        assert ours.paths_of(digest) == [row for row in theirs.paths_of(digest) if row[0] in _paths(theirs)]
    assert ours.locations(list(records)) == theirs.locations(list(records))
    (summed,) = [record for record in records.values() if record.checksums]
    assert ours.with_checksum(summed.checksums["md5"]) == [summed.digest]
    assert [damage[:4] for damage in ours.damage()] == [damage[:4] for damage in theirs.damage()]
    assert len(ours.damage(summed.digest)) == 1
    kinds = {artifact.kind for digest in records for artifact in theirs.artifacts(digest)}
    assert {"bai", "facts.contigs"} <= kinds
    for kind in kinds:
        owners = {artifact.object for artifact in ours.artifacts_of(kind)[1]}
        assert owners == {artifact.object for artifact in theirs.artifacts_of(kind)[1]}, kind
        assert ours.artifacts_of(kind, ours.tip().artifact)[1] == []


def content(lk: Lake, path: str) -> bytes:
    with lk.open(path) as file:
        data: bytes = file.read()
    return data


def _paths(journal: Journal) -> set[str]:
    return {entry.path for entry in journal.walk(journal.resolve("main"), "") if entry.kind == Kind.FILE}


def test_answers_are_those_of_the_journal(near: Lake, far: Lake, tmp_path: Path) -> None:
    assert far.repo.readonly
    for path in ("runs/a.bam", "runs/moved.bam"):
        for lk, name in ((far, "far.bam"), (near, "near.bam")):
            lk.save(lk.slice(path, REGION), tmp_path / name)
        assert (tmp_path / "far.bam").read_bytes() == (tmp_path / "near.bam").read_bytes()
    assert content(far, "many/small07.txt") == b"text 7"
    query = "SELECT path, digest, size, format, attributes FROM files ORDER BY path"
    assert far.sql(query).fetchall() == near.sql(query).fetchall()
    assert far.sql("SELECT * FROM contigs").fetchall() == near.sql("SELECT * FROM contigs").fetchall()
    assert [hit.path for hit in far.find("s1")] == [hit.path for hit in near.find("s1")]
    ours, others = far.stat("runs/a.bam"), near.stat("runs/a.bam")
    assert (ours.digest, ours.attributes, ours.format) == (others.digest, others.attributes, others.format)
    assert [c.id for c in far.log()] == [c.id for c in near.log()]
    assert [c.parents for c in far.log()] == [c.parents for c in near.log()]
    assert len(far.log(limit=2)) == 2


@pytest.mark.parametrize("fast", [True, False])
def test_fsck_checks_the_objects(far: Lake, near: Lake, fast: bool) -> None:
    mine, theirs = far.fsck(fast=fast), near.fsck(fast=fast)
    assert mine.ok, mine.findings
    assert (mine.objects, mine.orphans) == (theirs.objects, theirs.orphans)
    assert far.repo.journal.derived_from(Digest("0" * 64)) == []
    for record in near.repo.journal.objects():
        assert far.repo.journal.objects_in(record.location.handle) == near.repo.journal.objects_in(
            record.location.handle
        )


def test_a_forked_child_reads_on(far: Lake) -> None:
    assert content(far, "many/small01.txt") == b"text 1"
    child = os.fork()
    if child == 0:
        good = content(far, "many/small02.txt") == b"text 2"
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert content(far, "many/small03.txt") == b"text 3"


def test_everything_else_is_refused_with_the_way_out(far: Lake, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("new")
    attempts: list[Any] = [
        lambda: far.put(tmp_path / "new.txt"),
        lambda: far.rm("many/small01.txt"),
        lambda: far.mkdir("new"),
        lambda: far.set_meta("runs/a.bam", {"a": 1}),
        lambda: far.branch("mine"),
        lambda: far.tag("v2"),
        lambda: far.tokens.create([Grant(Verb.READ)]),
        lambda: far.catalog.publish(force=True),
        lambda: far.ls("@v1/"),
        lambda: far.ls("@exp/"),
        lambda: far.open("@1/runs/a.bam"),
        lambda: far.ls("@main~1/"),
        lambda: far.branches(),
        lambda: far.tags(),
        lambda: far.tokens.list(),
        lambda: far.history("runs/a.bam"),
        lambda: far.log("runs/a.bam"),
    ]
    for attempt in attempts:
        with pytest.raises(ReadOnly) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(ReadOnly, match=WAY_OUT):
        far.rm("many/small01.txt")
    with pytest.raises(NotFound, match=r"small01\.txt"):
        far.open("many/smal01.txt")
    assert far.repo.journal.token("0" * 16) is None


def test_whatever_a_journal_does_is_done_or_refused(far: Lake) -> None:
    journal: Any = far.repo.journal
    assert repr(journal).startswith("GenerationJournal(")
    for name in (name for name in vars(Journal) if not name.startswith("_")):
        assert callable(getattr(journal, name)), name
    with pytest.raises(ReadOnly, match=WAY_OUT):
        journal.commit("main", [Put("a", Digest("0" * 64))])
    with pytest.raises(AttributeError):
        _ = journal.nothing_of_the_kind


def test_journal_db_is_never_opened_on_a_network_filesystem(published: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=open,openat,openat2,creat",
        "-o",
        str(trace),
        sys.executable,
        "-m",
        "lake.cli",
    ]
    environment = {**os.environ, "REGIONLAKE_FILESYSTEM": NETWORK}
    done = subprocess.run(
        [*command, "-C", str(published), "cat", "many/small09.txt"], env=environment, capture_output=True, timeout=60
    )
    if not trace.exists() or "PTRACE" in done.stderr.decode():
        pytest.skip("strace may not trace here")
    assert done.stdout == b"text 9", done.stderr
    assert b"network filesystem (nfs4)" in done.stderr
    opened = trace.read_text(errors="replace")
    assert "generation-" in opened
    assert "journal." not in opened.replace("journal.py", "").replace("journal.cpython", "")
    assert not [
        line for line in opened.splitlines() if str(published) in line and ("O_WRONLY" in line or "O_RDWR" in line)
    ]


def test_a_generation_that_comes_later_is_seen_when_a_ref_is_asked_again(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "lake"
    shutil.copytree(published, root)
    (tmp_path / "x").write_text("x")
    with Lake.open_at(root) as writer:
        monkeypatch.setenv("REGIONLAKE_FILESYSTEM", NETWORK)
        with Lake.open_at(root) as reader:
            journal = reader.repo.journal
            old = journal.resolve("main")
            files = reader.sql("SELECT count(*) FROM files").fetchall()[0][0]
            writer.put(tmp_path / "x", "x1")
            assert journal.resolve("main") == old
            writer.catalog.publish(force=True)
            new = journal.resolve("main")
            assert new.seq == old.seq + 1
            assert journal.lookup(old, "x1") is None
            assert journal.lookup(new, "x1") is not None
            assert content(reader, "x1") == b"x"
            assert reader.sql("SELECT count(*) FROM files").fetchall() == [(files + 1,)]
            for name in ("x2", "x3"):
                writer.put(tmp_path / "x", name)
                writer.catalog.publish(force=True)
                journal.resolve("main")
            with pytest.raises(Conflict, match="ask again"):
                journal.lookup(old, "x1")


@pytest.mark.parametrize("what", ["none", "cut", "flipped"])
def test_without_a_whole_generation_there_is_a_clear_error(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    root = tmp_path / "lake"
    shutil.copytree(published, root)
    for file in (root / "catalog").glob("*.duckdb"):
        file.chmod(0o600)
        data = file.read_bytes()
        if what == "none":
            file.unlink()
        else:
            file.write_bytes(data[:5000] if what == "cut" else data[:9000] + bytes([data[9000] ^ 1]) + data[9001:])
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", NETWORK)
    with pytest.raises(ReadOnly, match=r"lake catalog publish.*lake serve"):
        Lake.open_at(root)


def test_sql_of_a_generation_that_other_software_made_is_refused(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", NETWORK)
    monkeypatch.setattr("lake.catalog.session.families_fingerprint", lambda _: "others")
    with Lake.open_at(published) as lk:
        assert content(lk, "many/small01.txt") == b"text 1"
        with pytest.raises(StorageError, match="lake catalog rebuild"):
            lk.sql("SELECT 1")


def test_a_server_of_a_generation(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", NETWORK)
    with running(published, public=True) as base, httpx.Client(base_url=base, trust_env=False) as web:
        assert web.get("/files/many/small05.txt").content == b"text 5"
        ticket = web.get("/reads/runs/a.bam", params={"referenceName": "chr2", "start": 1000, "end": 2000})
        assert ticket.status_code == 200
        assert web.get("/files/many/small05.txt", headers={"Authorization": "Bearer x"}).status_code == 200
    # Nobody can be known by a token there, and nobody is let in for that.
    with pytest.raises(ReadOnly):
        admitted(Settings(published), authenticate=False)
    assert admitted(Settings(published, public=True), authenticate=False).public


MOUNTED = """
import sys
from pathlib import Path
from lake.errors import ReadOnly
from lake.lake import Lake
with Lake.open_at(sys.argv[1]) as lk:
    print(type(lk.repo.journal).__name__, lk.open("many/small01.txt").read().decode(), lk.log()[0].seq)
    try:
        lk.rm("many/small01.txt")
    except ReadOnly as error:
        print("refused", "\\n" not in str(error))
"""


def mounted_read_only(root: Path) -> list[str]:
    """What a program says that opens a lake on a read-only mount."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("only root can mount")
    mount = f"mount --bind '{root}' '{root}' && mount -o remount,ro,bind '{root}'"
    script = f'({mount}) 2>/dev/null || exit 77; exec "$0" -c "$1" \'{root}\''
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, textwrap.dedent(MOUNTED)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode in (1, 77) and not done.stdout and "Traceback" not in done.stderr:
        pytest.skip("cannot mount here")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_read_only_media(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    shutil.copytree(published, root)
    # Nothing is left to be read from a write-ahead log: the journal itself can be read.
    (root / "journal.db-wal").unlink(missing_ok=True)
    (root / "journal.db-shm").unlink(missing_ok=True)
    first, refused = mounted_read_only(root)
    assert first.startswith("SqliteJournal text 1")
    assert refused == "refused True"


def test_read_only_media_with_commits_in_the_write_ahead_log(published: Path, tmp_path: Path) -> None:
    root, copy = tmp_path / "lake", tmp_path / "copy"
    shutil.copytree(published, root)
    (tmp_path / "x").write_text("x")
    with Lake.open_at(root) as lk:
        head = lk.log()[0].seq
        lk.put(tmp_path / "x", "x1")
        # As a disk is that was pulled out.
        shutil.copytree(root, copy)
    (copy / "journal.db-shm").unlink(missing_ok=True)
    assert (copy / "journal.db-wal").stat().st_size
    first, refused = mounted_read_only(copy)
    assert first == f"GenerationJournal text 1 {head}"
    assert refused == "refused True"
