"""A lake of version 1, as it once was written, is read in full and written on; what is newer is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from lake.backup.checking import verify_backup
from lake.backup.manifest import Manifest
from lake.backup.restoring import restore_lake
from lake.catalog.generations import CatalogFolder
from lake.digest import digest_of
from lake.errors import DamagedObject, UnsupportedVersion
from lake.htsget.signing import Signer, load_secret
from lake.lake import Lake
from lake.progress import Silent
from tests.conftest import ROOT

ARCHIVE = Path(__file__).with_name("v1.tar.xz")
FORMAT_PAGE = ROOT / "docs" / "format.md"

DAMAGED = "study/damaged.bam"
REFS = ("main", "exp", "child", "v1", "v2")
REGIONS = (
    ("study/a.bam", "chr2:1,000-9,000"),
    ("study/calls.vcf.gz", "chr1:1,000-3,000"),
    ("study/run.mzML", "scan=3-5"),
)
QUERIES = (
    "SELECT path, digest, size, format, attributes FROM files ORDER BY path",
    "SELECT path, name, length FROM contigs ORDER BY ALL",
    "SELECT path, count(*), sum(ms_level) FROM spectra GROUP BY path",
    "SELECT seq, branch, message, id, changes FROM commits ORDER BY seq",
    "SELECT digest, count(*), sum(length) FROM chunks GROUP BY digest ORDER BY digest",
    "SELECT path, key, value FROM attributes ORDER BY ALL",
)


def records(lk: Lake, path: str, region: str) -> int:
    """How many records a slice has, as other software counts them."""
    data = lk.slice(path, region).to_bytes()
    if path.endswith(".mzML"):
        return data.count(b"<spectrum ")
    if path.endswith(".vcf.gz"):
        return sum(not line.startswith(b"#") for line in gzip.decompress(data).splitlines())
    return sum(1 for _ in _alignments(data))


def _alignments(data: bytes) -> list[bytes]:
    done = subprocess.run(["samtools", "view", "-"], input=data, capture_output=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def thawed(tmp_path: Path) -> Path:
    """The folder of a copy of the frozen lake, ``lake``, and of its backup, ``backup``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="tar")
    return tmp_path


@pytest.fixture
def answers(thawed: Path) -> dict[str, Any]:
    """What was read when it was frozen."""
    found: dict[str, Any] = json.loads((thawed / "answers.json").read_text())
    return found


def state(root: Path) -> dict[str, str | None]:
    """Every file below a folder with its digest; without what SQLite and locks leave beside files."""
    passing = re.compile(r".*(-wal|-shm|\.lock)")
    return {
        str(path.relative_to(root)): digest_of(path.read_bytes()) if path.is_file() else None
        for path in root.rglob("*")
        if passing.fullmatch(path.name) is None
    }


def check_files(lk: Lake, answers: dict[str, Any], ref: str) -> None:
    found = {entry.path: entry for entry in lk.ls("", ref=ref, recursive=True)}
    wanted = answers["files"][ref]
    assert found.keys() == wanted.keys()
    for path, (digest, sha256, size, form, attributes) in wanted.items():
        entry = found[path]
        assert (entry.digest.hex() if entry.digest else None, entry.size) == (digest, size), path
        assert (entry.format, entry.attributes) == (form, attributes), path
        if sha256 is not None:
            with lk.open(path, "rb", ref=ref) as file:
                assert hashlib.sha256(file.read()).hexdigest() == sha256, path
        elif digest is not None:
            with pytest.raises(DamagedObject), lk.open(path, "rb", ref=ref, verify=True) as file:
                file.read()


def check_answers(lk: Lake, answers: dict[str, Any]) -> None:
    for query, rows in answers["queries"].items():
        assert json.loads(json.dumps(lk.sql(query).fetchall(), default=str)) == rows, query
    for path, region in REGIONS:
        assert records(lk, path, region) == answers["regions"][f"{path} {region}"] > 0


def test_every_file_of_every_ref_is_read(thawed: Path, answers: dict[str, Any]) -> None:
    with Lake.open_at(thawed / "lake", readonly=True) as lk:
        assert {branch.name for branch in lk.branches()} == {"main", "exp", "child"}
        assert {tag.name for tag in lk.tags()} == {"v1", "v2"}
        for ref in REFS:
            check_files(lk, answers, ref)
        assert [[commit.seq, commit.id, commit.message] for commit in lk.log()] == answers["commits"]
        assert lk.catalog.status().behind == 1
        check_answers(lk, answers)
        assert {(use.prefix, use.soft, use.hard) for use in lk.quotas()} == {("study", 1 << 20, 1 << 30)}
        token = lk.tokens.verify(answers["token"])
        assert token is not None
        assert token.name == "reader"
        assert len(lk.repo.journal.damage()) == 1


def test_the_page_of_the_format_is_enough_to_read_it(thawed: Path, answers: dict[str, Any]) -> None:
    """Every file, with the query of the page, SQLite and a hash alone."""
    root = thawed / "lake"
    (query,) = re.findall(r"```sql\n(.*?)```", FORMAT_PAGE.read_text(), re.DOTALL)
    with closing(sqlite3.connect(f"file:{root / 'journal.db'}?mode=ro", uri=True)) as sql:
        sql.row_factory = sqlite3.Row
        refs = sql.execute(
            "SELECT name, id, head_seq FROM branch WHERE NOT deleted UNION ALL SELECT name, branch, seq FROM tag"
        ).fetchall()
        assert sorted(name for name, _, _ in refs) == sorted(REFS)
        for name, branch, seq in refs:
            rows = sql.execute(query, {"branch": branch, "seq": seq}).fetchall()
            assert [row["path"] for row in rows] == sorted(answers["files"][name])
            for row in rows:
                digest, _, size, _, attributes = answers["files"][name][row["path"]]
                assert (row["digest"] or None, row["size"]) == (digest, size)
                assert json.loads(row["attrs"] or "{}") == attributes
                if digest is not None and row["path"] != DAMAGED:
                    stored = (root / row["handle"]).read_bytes()
                    assert digest_of(stored[row["loc_off"] : row["loc_off"] + row["loc_len"]]) == digest


def test_signed_urls_stay_good(thawed: Path, answers: dict[str, Any]) -> None:
    assert Signer(load_secret(thawed / "lake")).verify(answers["signed"]) == {"path": "study/notes.txt"}


def test_from_the_catalog_alone(thawed: Path, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "nfs4")
    with Lake.open_at(thawed / "lake") as lk:
        known = answers["files"]["main"]
        del known["later.txt"]
        check_files(lk, answers, "main")
        assert records(lk, *REGIONS[0]) == answers["regions"][" ".join(REGIONS[0])]


def test_it_is_written_on(thawed: Path, answers: dict[str, Any]) -> None:
    (thawed / "new.txt").write_text("new")
    with Lake.open_at(thawed / "lake") as lk:
        assert lk.untrash() is not None
        lk.put([thawed / "new.txt"], "study/", meta={"x": 1})
        lk.branch("later", "v1")
        lk.rm("moved.gz")
        lk.gc(grace=0.0, trash=0.0)
        lk.catalog.publish(force=True)
        for ref in ("exp", "child", "v1", "v2"):
            check_files(lk, answers, ref)
        report = lk.fsck()
        assert {path.partition("@")[0] for finding in report.findings for path in finding.paths} == {DAMAGED}
        assert lk.sql("SELECT count(*) FROM files WHERE path = 'study/new.txt'").fetchall() == [(1,)]


def test_the_journal_comes_back_from_the_log(thawed: Path, answers: dict[str, Any]) -> None:
    for path in (thawed / "lake").glob("journal.db*"):
        path.unlink()
    Lake.rebuild_journal(thawed / "lake")
    with Lake.open_at(thawed / "lake") as lk:
        for ref in REFS:
            check_files(lk, answers, ref)


def test_the_backup_becomes_a_lake(thawed: Path, answers: dict[str, Any]) -> None:
    check = verify_backup(thawed / "backup", Silent())
    assert [(finding.problem, finding.known) for finding in check.findings] == [("damaged", True)]
    restore_lake(thawed / "backup", thawed / "restored", Silent())
    with Lake.open_at(thawed / "restored") as lk:
        for ref in REFS:
            check_files(lk, answers, ref)
        check_answers(lk, answers)


# -- newer versions ---------------------------------------------------------------------------------------------


def newer_lake(root: Path) -> None:
    text = (root / "lake.toml").read_text()
    (root / "lake.toml").write_text(text.replace("format = 1", "format = 2\nunknown = [1]"))


def newer_journal(root: Path) -> None:
    with closing(sqlite3.connect(root / "journal.db")) as sql:
        sql.execute("PRAGMA user_version = 2")
        sql.execute("PRAGMA journal_mode = DELETE")


def newer_log(root: Path) -> None:
    (segment,) = (root / "log").iterdir()
    header, _, rest = segment.read_bytes().partition(b"\n")
    fields = {**json.loads(header.partition(b"\t")[0]), "format": 2}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    digest = blake3(fields["previous"].encode() + text).hexdigest().encode()
    segment.write_bytes(b"%b\t%b\n%b" % (text, digest, rest))


NEWER: dict[str, tuple[Callable[[Path], None], str]] = {
    "lake": (newer_lake, r"lake is a lake of format 2, this software reads up to 1: upgrade regionlake"),
    "journal": (newer_journal, r"journal\.db has version 2, this software knows 1: use a newer regionlake"),
    "log": (newer_log, r"\.log has format 2, this software knows 1: use a newer regionlake"),
}


@pytest.mark.parametrize("what", NEWER)
@pytest.mark.parametrize("readonly", [True, False])
def test_newer_versions_are_refused_and_left_alone(thawed: Path, what: str, readonly: bool) -> None:
    make, message = NEWER[what]
    make(thawed / "lake")
    before = state(thawed)
    with pytest.raises(UnsupportedVersion, match=message) as caught:
        Lake.open_at(thawed / "lake", readonly=readonly)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnsupportedVersion):
        Lake.rebuild_journal(thawed / "lake")
    assert state(thawed) == before


@pytest.mark.parametrize("what", NEWER)
def test_the_command_line_says_so_in_one_line(thawed: Path, what: str) -> None:
    make, message = NEWER[what]
    make(thawed / "lake")
    command = [sys.executable, "-m", "lake.cli", "-C", str(thawed / "lake"), "ls"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"lake: error: .*{message}\n", done.stderr)


def newer_generation(root: Path) -> bytes:
    """Make the newest generation one of version 3; returns what its manifest is now."""
    number = CatalogFolder(root / "catalog").latest_number()
    path = root / "catalog" / f"generation-{number:012}.json"
    body = json.dumps({**json.loads(path.read_bytes().partition(b"\n")[0]), "version": 3}).encode()
    path.write_bytes(body + b"\n" + blake3(body).hexdigest().encode() + b"\n")
    return path.read_bytes()


def test_a_newer_catalog_is_not_used(thawed: Path, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = newer_generation(thawed / "lake")
    with Lake.open_at(thawed / "lake") as lk:
        check_answers(lk, answers)
        assert lk.fsck(fast=True).ok
    (kept,) = (thawed / "lake" / "catalog").glob("generation-*.json")
    assert kept.read_bytes() == manifest
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "nfs4")
    with pytest.raises(UnsupportedVersion, match="catalog is of version 3: use a newer regionlake") as caught:
        Lake.open_at(thawed / "lake")
    assert "\n" not in str(caught.value)


def test_a_newer_backup_is_left_alone(thawed: Path) -> None:
    backup = thawed / "backup"
    values = {**json.loads((backup / "backup.json").read_text()), "version": 2}
    (backup / "backup.json").write_text(json.dumps(values))
    before = state(backup)
    for act in (
        lambda: Manifest.read(backup),
        lambda: verify_backup(backup, Silent()),
        lambda: restore_lake(backup, thawed / "restored", Silent()),
    ):
        with pytest.raises(UnsupportedVersion, match="version 2, this software knows 1: upgrade regionlake"):
            act()
    with Lake.open_at(thawed / "lake") as lk, pytest.raises(UnsupportedVersion, match="upgrade regionlake"):
        lk.backup(backup)
    assert state(backup) == before
