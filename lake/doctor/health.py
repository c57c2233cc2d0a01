"""The lake itself: whether it opens, who is at work, what waits to be done, when it was checked and backed up."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lake.backup.copying import needed_files
from lake.backup.known import known_backups
from lake.catalogs import CatalogDesk
from lake.clock import now
from lake.config import BACKUP_FILE
from lake.doctor.report import Check, fail, ok, warn
from lake.errors import LakeError
from lake.generation_journal import GenerationJournal
from lake.journal.values import Lease
from lake.repository import Repository

__all__ = ["health_checks", "permission_checks"]

_DAY = 86_400 * 1_000_000_000
_OLD_CHECK = 90 * _DAY
_OLD_BACKUP = 7 * _DAY
_SECRETS = ("server.key",)
_FOLDERS = ("objects", "packs", "log", "catalog", "staging", "trash", "quarantine")
_FILES = ("lake.toml", "journal.db")
_SHARED = stat.S_ISGID | stat.S_IWGRP
"""Bits of the directory of a lake that is a group's (`lake init --shared`)."""


def permission_checks(root: Path) -> Iterator[Check]:
    """Who but its owner may read a lake, or can keep its owner from writing it."""
    mode = root.stat().st_mode
    shared = mode & _SHARED == _SHARED
    around = 0o007 if shared else 0o077
    present = [name for name in (*_FOLDERS, *_FILES, *_SECRETS) if (root / name).exists()]
    locked_out = [name for name in present if not os.access(root / name, os.R_OK)]
    if locked_out:
        yield fail(
            "permissions", f"you cannot read {', '.join(locked_out)}", "ask the owner, or become a member of the group"
        )
        return
    exposed = [name for name in present if mode & around and (root / name).stat().st_mode & around]
    secrets = [name for name in exposed if name in _SECRETS]
    if secrets:
        advice = (
            f"chmod {'o-rwx' if shared else 'go-rwx'} {root}; then remove server.key: the next server makes a new one"
        )
        yield fail("permissions", f"others may read {', '.join(secrets)}, which signs URLs", advice)
    elif exposed:
        advice = f"if they should not: chmod {'o-rwx' if shared else 'go-rwx'} {root}"
        yield warn("permissions", f"others may read {', '.join(exposed)}", advice)
    else:
        yield ok("permissions", "its group's" if shared else "its owner's alone")


def health_checks(root: Path) -> Iterator[Check]:
    """What an open lake tells; that it does not open is the one finding then."""
    try:
        repo = Repository.open(root, readonly=True)
    except LakeError as error:
        yield fail("lake", str(error), "see above; 'lake restore-lake' makes a lake of a backup")
        return
    try:
        if isinstance(repo.journal, GenerationJournal):
            yield warn("lake", f"read from its catalog, as of commit {repo.journal.head}", repo.journal.refusal)
            return
        kind = "a backup" if (root / BACKUP_FILE).exists() else "a lake"
        yield ok(
            "lake", f"{kind} of format {repo.config.version}, commit {repo.journal.tip().seq}, id {repo.config.id}"
        )
        for check in (_log, _presence, _leases, _trash, _catalog, _damage, _checked, _backups):
            try:
                yield from check(repo)
            except LakeError as error:
                yield fail(check.__name__.strip("_"), str(error), "'lake fsck' tells more")
    finally:
        repo.close()


def _log(repo: Repository) -> Iterator[Check]:
    state = repo.journal.log_state()
    if state.behind:
        advice = "the next commit brings it up to date; if it does not, its disk is full or broken"
        yield warn("log", f"{state.behind:,} of {state.events:,} events are not sealed", advice)
    else:
        yield ok("log", f"{state.events:,} events, all sealed")


def _presence(repo: Repository) -> Iterator[Check]:
    files = absent = short = 0
    for handle, size in needed_files(repo.journal.files()):
        files += 1
        try:
            found = (repo.root / handle).stat().st_size
        except FileNotFoundError:
            absent += 1
            continue
        short += found < size
    if absent or short:
        advice = "'lake fsck --fast' tells which paths; copy them from where this lake came from, or from a backup"
        yield fail("objects", f"of {files:,} stored files {absent:,} are missing, {short:,} cut short", advice)
    else:
        yield ok("objects", f"{files:,} stored files, all there")


def _leases(repo: Repository) -> Iterator[Check]:
    leases = repo.journal.leases()
    dead = [lease for lease in leases if lease.expires <= now() or _is_dead(lease)]
    sessions = {lease.id for lease in leases}
    left = [session for session in repo.store.sessions() if session not in sessions]
    if dead or left:
        found = f"{len(dead)} of {len(leases)} leases are of dead processes, {len(left)} folders of staging of none"
        yield warn(
            "leases", found, "nothing to do: the next writer removes what they left, once the leases have run out"
        )
    else:
        yield ok("leases", f"{len(leases)} at work")


def _is_dead(lease: Lease) -> bool:
    """Whether a process of this machine is gone; nothing is known of those of others. Uploads outlive theirs."""
    host, _, rest = lease.owner.rpartition("@")[2].partition(":")
    process = rest.partition(":")[0]
    if lease.kind == "upload" or host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # another user's
    return False


def _trash(repo: Repository) -> Iterator[Check]:
    sizes = [repo.trash.folder.size(handle) or 0 for handle in repo.trash.folder.files()]
    yield ok("trash", f"{len(sizes):,} files, {sum(sizes) / 1e9:,.2f} GB")


def _catalog(repo: Repository) -> Iterator[Check]:
    status = CatalogDesk(repo).status()
    if status.number is None:
        yield ok("catalog", f"no generation: questions read {status.behind:,} commits from the journal")
    else:
        yield ok("catalog", f"generation {status.number}, {status.behind:,} commits since")


def _damage(repo: Repository) -> Iterator[Check]:
    damaged = {damage.digest for damage in repo.journal.damage()}
    if not damaged:
        yield ok("damage", "none known")
        return
    some = [path for digest in sorted(damaged)[:3] for path, _, _ in repo.journal.paths_of(digest)[:1]]
    where = f" ({', '.join(some)}{', …' if len(damaged) > len(some) else ''})" if some else ""
    advice = "'lake fsck' tells what is hit; 'lake fsck --repair --from BACKUP', or putting the files again, heals it"
    yield fail("damage", f"{len(damaged):,} objects have damaged chunks{where}", advice)


def _checked(repo: Repository) -> Iterator[Check]:
    never = old = total = 0
    for scrubbed in repo.journal.scrubbed():
        total += 1
        never += scrubbed.checked == 0
        old += 0 < scrubbed.checked < now() - _OLD_CHECK
    if never or old:
        found = f"of {total:,} objects {never:,} were never read and checked, {old:,} not for 90 days"
        yield warn("fsck", found, "run 'lake fsck', or 'lake fsck --percent 5' every day")
    else:
        yield ok("fsck", f"every byte of {total:,} objects was checked within 90 days")


def _backups(repo: Repository) -> Iterator[Check]:
    if (repo.root / BACKUP_FILE).exists():
        yield ok("backup", "this is one; 'lake verify-backup' checks it")
        return
    known = known_backups(repo.root)
    behind = repo.journal.tip().seq - (known[0].seq if known else 0)
    if not known and behind:
        yield warn("backup", "none was ever made", "run 'lake backup DIR' with a directory on another disk")
        return
    if not known:
        yield ok("backup", "there is nothing to back up yet")
        return
    when = datetime.fromtimestamp(known[0].made / 1e9, UTC).isoformat(" ", "seconds")
    found = f"the last one, {known[0].directory}, is of {when}; {behind:,} commits since"
    if behind and known[0].made < now() - _OLD_BACKUP:
        yield warn("backup", found, f"run 'lake backup {known[0].directory}'")
    else:
        yield ok("backup", found)
