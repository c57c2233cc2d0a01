"""One lake on disk, opened: journal, object store, verified readers, and the lease under which this process writes."""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lake.config import LakeConfig, create_config, load_config
from lake.digest import Digest
from lake.errors import AlreadyExists, InvalidInput, LakeError, NotALake, NotFound, ReadOnly, StorageError
from lake.journal.base import Artifact, Change, Commit, Journal, ObjectRecord
from lake.journal.sqlite import SqliteJournal, create
from lake.objects import ObjectShelf, VerifiedFile
from lake.stores.local import LocalStore

__all__ = ["Repository", "default_author"]

LEASE_SECONDS = 3600.0
"""How long staging outlives a process that died; renewed while a process writes."""

STAGING_KINDS = ("staging", "upload")
"""Kinds of leases that guard a folder of staging: those of processes, and those of uploads that outlive a process."""

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

    def __init__(self, root: Path, config: LakeConfig, *, readonly: bool, timeout: float) -> None:
        self.root = root
        self.config = config
        self.readonly = readonly
        self.journal = SqliteJournal(root / "journal.db", timeout=timeout, readonly=readonly)
        self.store = LocalStore(root)
        self.shelf = ObjectShelf(self.store, self.journal)
        self.committed: Callable[[int], None] | None = None
        """Told the number of changed paths after every commit."""
        self._lock = threading.Lock()
        self._lease: _Lease | None = None

    @classmethod
    def create(cls, root: Path) -> Repository:
        """Make a lake in a directory that is new, or holds nothing of a lake yet.

        Raises:
            AlreadyExists: there is one.
            StorageError: the directory cannot be made or written.
        """
        try:
            if (root / "lake.toml").exists():
                raise AlreadyExists(f"{root} is a lake already")
            root.mkdir(parents=True, exist_ok=True)
            LocalStore.create(root)
            for name in RESERVED:
                (root / name).mkdir(exist_ok=True)
        except OSError as error:
            if isinstance(error, LakeError):
                raise
            raise StorageError(f"cannot make a lake at {root}: {error.strerror}") from error
        if not (root / "journal.db").exists():
            create(root / "journal.db")
        create_config(root)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path, *, readonly: bool = False, timeout: float = 30.0) -> Repository:
        """
        Raises:
            NotALake: no ``lake.toml``, or no journal.
            UnsupportedVersion: a newer lake.
        """
        root = root.absolute()
        config = load_config(root)
        if not (root / "journal.db").is_file():
            raise NotALake(f"{root} has a lake.toml but no journal.db: restore it from a copy of the lake")
        readonly = readonly or not os.access(root, os.W_OK)
        return cls(root, config, readonly=readonly, timeout=timeout)

    def session(self) -> str:
        """The lease under which this process stages files; taken at the first write, kept alive by a thread.

        Raises:
            ReadOnly: the lake is open for reading only.
        """
        if self.readonly:
            raise ReadOnly(f"{self.root} is opened read-only: writing needs write permission on the lake's directory")
        with self._lock:
            pid = os.getpid()
            if self._lease is None or self._lease.pid != pid:
                self._reap()
                owner = f"{default_author()}@{socket.gethostname()}:{pid}:{secrets.token_hex(4)}"
                self._lease = _Lease(pid, self.journal.acquire_lease(owner, "staging", LEASE_SECONDS), self.journal)
            return self._lease.id

    def plain_file(self, digest: Digest) -> Path:
        """The file that holds exactly an object; one that lies in a pack gets a file of its own first.

        Raises:
            NotFound: no such object, or its bytes are gone.
            DamagedObject: its bytes in the pack are not right.
            InvalidInput: it lies in a pack, and the lake is open for reading only.
        """
        reader = self.shelf.reader(digest)
        found = self.store.local_path(reader.record.location)
        if found is not None:
            return found
        if self.readonly:
            raise InvalidInput(
                f"b3:{digest} lies in a pack, and {self.root} is opened read-only: read it through lake:// or get it"
            )
        with self.store.batch(self.session()) as batch:
            batch.put_stream(io.BufferedReader(VerifiedFile(reader)))
            (stored,) = batch.publish()
        self.shelf.add(replace(reader.record, location=stored.location))
        # An object of a commit under way is not known yet; that commit will name its pack, which is right too.
        with contextlib.suppress(NotFound):
            self.journal.relocate({digest: stored.location})
        return self.root / stored.location.handle

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory of this session's staging for files on their way; it goes at the end."""
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self.staging()) as name:
            yield Path(name)

    def staging(self) -> Path:
        """This session's folder for files on their way, on the same disk as the objects."""
        # A folder of its own inside the session's: batches remove the session's once it is empty.
        folder = self.root / "staging" / self.session() / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _reap(self) -> None:
        """Remove the staging of sessions whose lease has run out, or that no lease knows any more."""
        staged = self.store.sessions()
        if not staged:
            return
        live = {lease for kind in STAGING_KINDS for lease in self.journal.live_leases(kind)}
        for session in staged:
            if session not in live:
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
        """`Journal.commit` in the name of the user of this process."""
        made = self.journal.commit(
            branch,
            changes,
            objects=objects,
            artifacts=artifacts,
            message=message,
            author=default_author(),
            op_id=op_id or secrets.token_hex(16),
            expected_head=expected_head,
        )
        if self.committed is not None:
            self.committed(made.changes)
        return made

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


class _Lease:
    """A lease of this process, renewed in time for as long as the process lives, however long one file takes."""

    def __init__(self, pid: int, lease: str, journal: Journal) -> None:
        self.pid = pid
        self.id = lease
        self._journal = journal
        self._stopped = threading.Event()
        threading.Thread(target=self._keep, name="regionlake-lease", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _keep(self) -> None:
        while not self._stopped.wait(LEASE_SECONDS / 4):
            # A journal that is locked for long is tried again: three more renewals fit into the time that is left.
            with contextlib.suppress(LakeError):
                self._journal.renew_lease(self.id, LEASE_SECONDS)
