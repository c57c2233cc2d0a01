"""One lake on disk, opened: journal, object store, verified readers, and the lease under which this process writes."""

from __future__ import annotations

import contextlib
import getpass
import io
import logging
import os
import secrets
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from lake.config import BACKUP_FILE, LakeConfig, create_config, load_config
from lake.digest import Digest
from lake.errors import AlreadyExists, Collected, InvalidInput, LakeError, NotFound, ReadOnly, StorageError
from lake.journal.base import Journal
from lake.journal.connection import is_unreachable
from lake.journal.sqlite import SqliteJournal, create
from lake.journal.values import Artifact, Change, Commit, ObjectRecord
from lake.objects import ObjectShelf, VerifiedFile
from lake.stores.base import Batch, Known, Location
from lake.stores.durable import System
from lake.stores.filesystem import filesystem_of, require_local
from lake.stores.local import LocalStore
from lake.stores.modes import PRIVATE, SHARED, make_folders, set_root_mode
from lake.trash import Trash

__all__ = ["LEASE_SECONDS", "RESERVED", "Repository", "default_author"]

_LOG = logging.getLogger("lake")

T = TypeVar("T")

LEASE_SECONDS = 3600.0
"""How long staging outlives a process that died; renewed while a process writes."""

STAGING_KINDS = ("staging", "upload")
"""Kinds of leases that guard a folder of staging: those of processes, and those of uploads that outlive a process."""

_RECOVERIES = 5
"""Times that a commit brings back what gc took from it."""

_SWEEP_SECONDS = 30.0
"""How long gc may keep a batch of files locked."""

RESERVED = ("catalog", "log", "quarantine", "trash")
"""Folders of which the format on disk speaks, and that have nothing in them yet."""


def default_author() -> str:
    """``LAKE_AUTHOR``, else the name of the user."""
    named = os.environ.get("LAKE_AUTHOR")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Repository:
    """Journal and objects of one lake. Safe for threads; a forked child opens its own connections."""

    def __init__(
        self,
        root: Path,
        config: LakeConfig,
        journal: Journal,
        *,
        readonly: bool,
        refusal: str | None = None,
        system: System | None = None,
    ) -> None:
        """``system`` is what everything that writes files of the lake goes through.

        ``refusal`` is what a journal that is only a catalog's generation says to who would write.
        """
        self.root = root
        self.config = config
        self.readonly = readonly
        self._refusal = refusal
        self.journal = journal
        self.system = system or System()
        self.store = LocalStore(root, self.system)
        self.shelf = ObjectShelf(self.store, self.journal)
        self.trash = Trash(root, journal, self.store, self.system, _SWEEP_SECONDS)
        self.committed: Callable[[int], None] | None = None
        """Told the number of changed paths after every commit."""
        self._lock = threading.Lock()
        self._lease: _Lease | None = None

    @classmethod
    def create(cls, root: Path, *, shared: bool = False) -> Repository:
        """Make a lake in a directory that is new, or holds nothing of a lake yet.

        It is its owner's alone; a ``shared`` one is for the group of the directory, whatever the umask of who writes.

        Raises:
            AlreadyExists: there is one.
            StorageError: the directory cannot be made or written.
        """
        try:
            if (root / "lake.toml").exists():
                raise AlreadyExists(f"{root} is a lake already")
            require_local(root)
            root.mkdir(parents=True, exist_ok=True)
            set_root_mode(root, SHARED if shared else PRIVATE)
            LocalStore.create(root)
            for name in RESERVED:
                make_folders(root / name)
        except OSError as error:
            if isinstance(error, LakeError):
                raise
            raise StorageError(f"cannot make a lake at {root}: {error.strerror}") from error
        if not (root / "journal.db").exists():
            create(root / "journal.db")
        create_config(root, shared=shared)
        return cls.open(root)

    @classmethod
    def open(
        cls, root: Path, *, readonly: bool = False, timeout: float = 30.0, system: System | None = None
    ) -> Repository:
        """
        Raises:
            NotALake: no ``lake.toml``, or no journal.
            UnsupportedVersion: a newer lake.
            ReadOnly: the journal cannot be opened there, and there is no generation of the catalog to read instead.
        """
        root = root.absolute()
        config = load_config(root)
        readonly = readonly or not os.access(root, os.W_OK) or (root / BACKUP_FILE).exists()
        journal, refusal = _open_journal(root, readonly=readonly, timeout=timeout, system=system)
        readonly = readonly or refusal is not None
        return cls(root, config, journal, readonly=readonly, refusal=refusal, system=system)

    def session(self) -> str:
        """The lease under which this process stages files; taken at the first write, kept alive by a thread.

        Raises:
            ReadOnly: the lake is open for reading only.
        """
        if self.readonly:
            raise ReadOnly(self.refusal())
        with self._lock:
            pid = os.getpid()
            if self._lease is None or self._lease.pid != pid:
                self._reap()
                owner = f"{default_author()}@{socket.gethostname()}:{pid}:{secrets.token_hex(4)}"
                lease = self.journal.acquire_lease(owner, "staging", LEASE_SECONDS)
                self._lease = _Lease(pid, lease, self.journal, LEASE_SECONDS)
            return self._lease.id

    def refusal(self) -> str:
        """What to say to who would write where the lake is open for reading only."""
        if self._refusal is not None:
            return self._refusal
        if (self.root / BACKUP_FILE).exists():
            return f"{self.root} is a backup: 'lake restore-lake {self.root} DIR' makes a lake of it for writing"
        return f"{self.root} is opened read-only: writing needs write permission on the lake's directory"

    def plain_file(self, digest: Digest) -> Path:
        """The file that holds exactly an object; one that lies in a pack gets a file of its own first.

        Raises:
            NotFound: no such object, or its bytes are gone.
            DamagedObject: its bytes in the pack are not right.
            InvalidInput: it lies in a pack, and the lake is open for reading only.
        """
        reader = self.shelf.reader(digest)
        found = self.store.local_path(reader.located())
        if found is not None:
            return found
        if self.readonly:
            raise InvalidInput(
                f"b3:{digest} lies in a pack, and {self.root} is opened read-only: read it through lake:// or get it"
            )
        with self.batch() as batch:
            batch.put_stream(io.BufferedReader(VerifiedFile(reader)))
            (stored,) = batch.publish()
        self.shelf.add(replace(reader.record, location=stored.location))
        # An object of a commit under way is not known yet; that commit will name its pack, which is right too.
        with contextlib.suppress(NotFound):
            self.relocate({digest: stored.location}, stored.probe)
        return self.root / stored.location.handle

    def batch(self, known: Known | None = None) -> Batch:
        """Start a batch of this session, in step with gc: `Stored.probe` belongs into the record of what it stores."""
        return self.store.batch(self.session(), known, self.trash.settle)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory of this session's staging for files on their way; it goes at the end."""
        staging = self.staging()
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=staging) as name:
            # Whoever removes it after a crash may be another member of the group.
            os.chmod(name, stat.S_IMODE(staging.stat().st_mode))
            yield Path(name)

    @contextlib.contextmanager
    def lease(self, kind: str, seconds: float = LEASE_SECONDS) -> Iterator[None]:
        """Hold a lease of that kind while the block runs, where one can be had; nothing rests on it.

        ``seconds`` is for how long it outlives a process that is killed.
        """
        lease = None
        # A disk that is full, or a lake that is open for reading only, must not keep anybody from a backup.
        with contextlib.suppress(ReadOnly, StorageError):
            for dead in self.journal.expired_leases(kind):
                self.journal.release_lease(dead)
            owner = f"{default_author()}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
            lease = _Lease(os.getpid(), self.journal.acquire_lease(owner, kind, seconds), self.journal, seconds)
        try:
            yield
        finally:
            if lease is not None:
                lease.stop()
                with contextlib.suppress(LakeError):
                    self.journal.release_lease(lease.id)

    def staging(self) -> Path:
        """This session's folder for files on their way, on the same disk as the objects."""
        # A folder of its own inside the session's: batches remove the session's once it is empty.
        folder = self.root / "staging" / self.session() / "files"
        make_folders(folder)
        return folder

    def _reap(self) -> None:
        """Remove the staging of sessions whose lease has run out, or that no lease knows any more."""
        staged = self.store.sessions()
        if not staged:
            return
        live = {lease for kind in STAGING_KINDS for lease in self.journal.live_leases(kind)}
        for session in staged:
            if session not in live:
                # That what others left cannot be removed, or is in use after all, must not keep anybody from writing.
                with contextlib.suppress(StorageError):
                    self.store.reap(session)
        for kind in STAGING_KINDS:
            for session in self.journal.expired_leases(kind):
                self.journal.release_lease(session)

    def commit(
        self,
        branch: str,
        changes: Sequence[Change],
        *,
        objects: Iterable[ObjectRecord] = (),
        artifacts: Iterable[Artifact] = (),
        message: str,
        op_id: str | None = None,
        expected_head: int | None = None,
    ) -> Commit:
        """`Journal.commit` in the name of the user of this process. What gc took of it meanwhile is brought back.

        Raises:
            Collected: gc took something of it for good.
        """
        operation, derived = op_id or secrets.token_hex(16), list(artifacts)
        made = self._keeping(
            objects,
            lambda records: self.journal.commit(
                branch,
                changes,
                objects=records,
                artifacts=derived,
                message=message,
                author=default_author(),
                op_id=operation,
                expected_head=expected_head,
            ),
        )
        if self.committed is not None:
            self.committed(made.changes)
        return made

    def add_artifacts(self, artifacts: Sequence[Artifact], objects: Sequence[ObjectRecord] = ()) -> None:
        """`Journal.add_artifacts`; what gc took of it meanwhile is brought back."""
        self._keeping(objects, lambda records: self.journal.add_artifacts(artifacts, records))

    def relocate(self, locations: Mapping[Digest, Location], probe: int) -> None:
        """`Journal.relocate`; what gc took of it meanwhile is brought back."""
        records = [
            ObjectRecord(digest, location.length, "", location, probe=probe) for digest, location in locations.items()
        ]
        self._keeping(
            records,
            lambda placed: self.journal.relocate(locations, min((each.probe for each in placed), default=probe)),
        )

    def _keeping(self, objects: Iterable[ObjectRecord], act: Callable[[list[ObjectRecord]], T]) -> T:
        """Do what names objects, again where gc was faster and can be undone."""
        records = list(objects)
        for _ in range(_RECOVERIES):
            try:
                return act(records)
            except Collected as collected:
                records = self.trash.recover(records, map(Digest, collected.digests))
        return act(records)

    def close(self) -> None:
        """Give the lease back and close the journal."""
        with self._lock:
            lease, self._lease = self._lease, None
            if lease is not None and lease.pid == os.getpid():
                lease.stop()
                with contextlib.suppress(LakeError):
                    self.store.reap(lease.id)
                    self.journal.release_lease(lease.id)
            self.journal.close()


def _open_journal(root: Path, *, readonly: bool, timeout: float, system: System | None) -> tuple[Journal, str | None]:
    """journal.db; where it cannot be opened and nobody could write it, the newest generation of the catalog.

    And then what is to be said to who would write.
    """
    place = filesystem_of(root)
    if place.network:
        return _generation(root, f"{root} is on a network filesystem ({place.kind})")
    path = root / "journal.db"
    try:
        return SqliteJournal(path, timeout=timeout, readonly=readonly, system=system), None
    except (ReadOnly, StorageError) as error:
        # A journal that is damaged, or that could be mended here, must be seen to be.
        if not is_unreachable(path, error):
            raise
        return _generation(root, f"{path} cannot be opened where it cannot be written")


def _generation(root: Path, why: str) -> tuple[Journal, str]:
    # Few lakes are opened so: all others start without it.
    from lake.generation_journal import GenerationJournal

    journal = GenerationJournal(root, why)
    _LOG.warning("%s: reading main as of commit %d from the catalog, nothing newer", why, journal.head)
    # Whatever of a journal it does not have, it refuses.
    return cast("Journal", journal), journal.refusal


class _Lease:
    """A lease of this process, renewed in time for as long as the process lives, however long one file takes."""

    def __init__(self, pid: int, lease: str, journal: Journal, seconds: float) -> None:
        self.pid = pid
        self.id = lease
        self._journal = journal
        self._seconds = seconds
        self._stopped = threading.Event()
        threading.Thread(target=self._keep, name="regionlake-lease", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _keep(self) -> None:
        while not self._stopped.wait(self._seconds / 4):
            # A journal that is locked for long is tried again: three more renewals fit into the time that is left.
            with contextlib.suppress(LakeError):
                self._journal.renew_lease(self.id, self._seconds)
