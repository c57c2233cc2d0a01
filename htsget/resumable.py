"""Uploads that may be interrupted: what has come of a file waits in staging, across restarts of the server.

Each upload is a folder of staging under a lease of its own, which is renewed whenever the upload is used; what is not
used until the lease has run out is removed. The folder's lock says who may change the upload, so that it holds between
processes and ends with the process that has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lake.errors import StorageError
from lake.htsget.access import Principal
from lake.htsget.errors import Problem, missing
from lake.htsget.uploads import Inlet, Receipt, Wanted, keep_file
from lake.journal.values import Json
from lake.lake import Lake
from lake.stores.modes import make_file, make_folders

__all__ = ["HeldUpload", "Upload", "UploadDesk"]

_KIND = "upload"
_ID = re.compile(r"[0-9a-f]{32}")
_RENEWED = 600.0
"""Seconds after which a long request renews its lease."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way, or done."""

    id: str
    path: str
    ref: str
    size: int
    """Bytes of the whole file."""
    attributes: Mapping[str, Json]
    metadata: str
    """As the client has written it (tus 1.0, ``Upload-Metadata``)."""
    expires: float
    """Seconds since the epoch."""
    offset: int = 0
    """Bytes that have come."""
    receipt: Receipt | None = None
    """Once it is a file of the lake."""


class UploadDesk:
    """The resumable uploads of one lake.

    Args:
        lake: open for writing.
        seconds: how long an upload waits for more.
    """

    def __init__(self, lake: Lake, seconds: float = 86_400.0) -> None:
        self._lake = lake
        self.seconds = seconds

    def create(self, wanted: Wanted, size: int, metadata: str) -> HeldUpload:
        """Begin an upload; it is the caller's until `HeldUpload.release`.

        Raises:
            StorageError: the disk is full or failed.
        """
        journal = self._lake.repo.journal
        self._remove_expired()
        lease = journal.acquire_lease(f"upload of {wanted.path}", _KIND, self.seconds)
        upload = Upload(lease, wanted.path, wanted.ref, size, wanted.attributes, metadata, time.time() + self.seconds)
        folder = self._folder(lease)
        try:
            make_folders(folder)
            held = HeldUpload(self, self._lake, folder, _locked(folder), upload)
            held.begin()
        except OSError as error:
            self.remove(lease)
            raise StorageError(f"cannot begin an upload: {error.strerror}") from error
        return held

    def look(self, upload: str) -> Upload:
        """How far an upload is; waits for nobody.

        Raises:
            Problem: 404; there is none of that id, or its time was up.
        """
        return _loaded(self._folder(upload))

    def kept(self, upload: Upload) -> Upload:
        """Renew an upload that was looked at. Raises Problem 410: its time was up."""
        if not self._lake.repo.journal.renew_lease(upload.id, self.seconds):
            self.remove(upload.id)
            raise Problem(410, "NotFound", "this upload was not used for too long, and is gone")
        return replace(upload, expires=time.time() + self.seconds)

    def hold(self, upload: str) -> HeldUpload:
        """Take an upload to change it, and renew it.

        Raises:
            Problem: 404, as for `look`; 410, its time is up; 423, another request is at it.
        """
        folder = self._folder(upload)
        lock = _locked(folder)
        try:
            found = _loaded(folder)
            held = HeldUpload(self, self._lake, folder, lock, found)
            held.renew()
            held.settle()
        except BaseException:
            os.close(lock)
            raise
        return held

    def remove(self, upload: str) -> None:
        """Forget an upload and what has come of it."""
        self._lake.repo.store.reap(upload)
        self._lake.repo.journal.release_lease(upload)

    def _remove_expired(self) -> None:
        for upload in self._lake.repo.journal.expired_leases(_KIND):
            self.remove(upload)

    def _folder(self, upload: str) -> Path:
        if _ID.fullmatch(upload) is None:
            raise missing()
        return self._lake.root / "staging" / upload


class HeldUpload:
    """An upload that nobody else changes. Blocking, one thread at a time."""

    def __init__(self, desk: UploadDesk, lake: Lake, folder: Path, lock: int, upload: Upload) -> None:
        self.upload = upload
        self._desk = desk
        self._lake = lake
        self._folder = folder
        self._lock = lock
        self._renewed = time.monotonic()

    def begin(self) -> None:
        os.close(make_file(self._folder / "data", os.O_WRONLY))
        self._save()

    def renew(self) -> None:
        """Raises Problem 410, as `UploadDesk.kept`."""
        self.upload = self._desk.kept(self.upload)
        self._renewed = time.monotonic()

    def settle(self) -> None:
        """Take back what a request that was killed has left unchecked.

        Raises:
            Problem: 410; the bytes were on their way into the lake when the server was killed.
        """
        floor = self._folder / "floor"
        if self.upload.receipt is not None:
            return
        try:
            if floor.exists():
                os.truncate(self._folder / "data", self.upload.offset)
                floor.unlink()
            elif not (self._folder / "data").exists():
                self._desk.remove(self.upload.id)
                raise Problem(410, "NotFound", "this upload was interrupted at its very end: begin again")
        except OSError as error:
            raise StorageError(f"cannot go on with an upload: {error.strerror}") from error

    def inlet(self, algorithms: Sequence[str] = ()) -> Inlet:
        """Where the next bytes go. With algorithms, they count only after `accept`."""
        if algorithms:
            with open(make_file(self._folder / "floor", os.O_WRONLY | os.O_TRUNC), "w") as floor:
                floor.write(str(self.upload.offset))
        return _KeptInlet(self, self._folder / "data", algorithms)

    def accept(self) -> None:
        """Count the bytes that have come."""
        (self._folder / "floor").unlink(missing_ok=True)
        self._replace(offset=(self._folder / "data").stat().st_size)

    def keep_lease(self) -> None:
        """Renew now and then, while a long body comes."""
        if time.monotonic() - self._renewed > _RENEWED:
            self.renew()

    def publish(self, principal: Principal) -> None:
        """Make the finished upload a file of the lake; nothing happens where it is one.

        Raises:
            LakeError: it is none yet; the upload stays as it is, to be tried again.
        """
        upload = self.upload
        if upload.receipt is not None:
            return
        wanted = Wanted(upload.path, upload.ref, upload.attributes)
        self._replace(receipt=keep_file(self._lake, self._folder / "data", wanted, principal))
        self._save()

    def remove(self) -> None:
        self._desk.remove(self.upload.id)

    def release(self) -> None:
        """Let others have it. Calling it again is harmless."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _replace(self, **changes: Any) -> None:
        self.upload = replace(self.upload, **changes)

    def _save(self) -> None:
        upload = self.upload
        receipt = upload.receipt.as_json() if upload.receipt is not None else None
        text = json.dumps(
            {
                "path": upload.path,
                "ref": upload.ref,
                "size": upload.size,
                "attributes": dict(upload.attributes),
                "metadata": upload.metadata,
                "receipt": receipt,
            }
        )
        fresh = self._folder / "upload.new"
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._folder / "upload.json")


class _KeptInlet(Inlet):
    """Keeps the upload's lease while bytes come."""

    def __init__(self, held: HeldUpload, path: Path, algorithms: Sequence[str]) -> None:
        super().__init__(path, algorithms)
        self._held = held

    def write(self, piece: bytes) -> None:
        super().write(piece)
        self._held.keep_lease()


def _locked(folder: Path) -> int:
    """A descriptor that has the folder's lock for as long as it is open."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise missing() from None
        raise StorageError(f"cannot open an upload: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Problem(
            423, "Locked", "another request is at this upload: try again when it has ended", {"Retry-After": "2"}
        ) from None
    return descriptor


def _loaded(folder: Path) -> Upload:
    """The upload of a folder; the time at which it ends is not known here."""
    try:
        data = json.loads((folder / "upload.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise missing() from None
    except OSError as error:
        raise StorageError(f"cannot read an upload: {error.strerror}") from error
    receipt = data.pop("receipt")
    if receipt is not None:
        done = Receipt(**{**receipt, "warnings": tuple(receipt["warnings"])})
        return Upload(folder.name, **data, expires=0.0, offset=data["size"], receipt=done)
    offset = 0
    with contextlib.suppress(FileNotFoundError):
        offset = (folder / "data").stat().st_size
    with contextlib.suppress(FileNotFoundError, ValueError):
        offset = min(offset, int((folder / "floor").read_text()))
    return Upload(folder.name, **data, expires=0.0, offset=offset)
