"""``with fs.transaction``: whatever the filesystem changes inside becomes one commit, or nothing."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from fsspec.transaction import Transaction as FsspecTransaction

from lake.errors import InvalidInput, LakeError
from lake.journal.values import Commit
from lake.transaction import Transaction

__all__ = ["LakeTransaction"]

_DEFAULT_MESSAGE = "fsspec transaction"


class LakeTransaction(FsspecTransaction):  # type: ignore[misc]
    """One commit on one branch, for all threads that use the filesystem object meanwhile.

    Files count from the moment they are closed, and reads through the same filesystem see them; files that are still
    open at the end are closed then. ``with fs.transaction("message"):`` says what the commit is called.
    """

    fs: Any
    files: deque[Any]

    def __init__(self, fs: Any, **kwargs: Any) -> None:
        super().__init__(fs, **kwargs)
        self._lock = threading.RLock()
        self._changes: Transaction | None = None
        self._message: str | None = None
        self._notes: list[str] = []
        self.result: Commit | None = None
        """The commit, once it stands."""

    def __call__(self, message: str) -> LakeTransaction:
        self._message = message
        return self

    def start(self) -> None:
        """
        Raises:
            InvalidInput: one is under way already.
        """
        if self.fs is None or self.fs._intrans:
            raise InvalidInput("a transaction is under way already: finish it first")
        super().start()

    def complete(self, commit: bool = True) -> None:
        """Commit everything at once, or drop it.

        Raises:
            Conflict: the branch changed in a way that does not go together; nothing is stored.
        """
        fs, self.fs = self.fs, None
        files, self.files = self.files, deque()
        try:
            for file in files:
                if commit:
                    file.commit()
                else:
                    file.discard()
            with self._lock:
                if commit and self._changes is not None:
                    self._changes.message = self._describe()
                    self.result = self._changes.commit()
        except BaseException:
            for file in files:
                with contextlib.suppress(LakeError, OSError):
                    file.discard()
            raise
        finally:
            if self._changes is not None:
                self._changes.close()
            self._changes = None
            fs._intrans = False
            fs._transaction = None

    @contextlib.contextmanager
    def joined(self, lake: Any, ref: str, what: str | None) -> Iterator[None]:
        """Let the changes that this thread makes inside the ``with`` take part; one thread at a time."""
        with self._lock:
            branch = lake.tree(ref).view.name
            if branch is None:
                # Not a branch: the change itself is refused, with a message of its own.
                yield
                return
            if self._changes is None:
                self._changes = Transaction(lake.repo, branch, _DEFAULT_MESSAGE)
            with lake.join(self._changes):
                yield
            if what is not None:
                self._notes.append(what)

    def seen(self, lake: Any) -> contextlib.AbstractContextManager[None]:
        """Lets what is read inside the ``with`` show the changes made so far."""
        return lake.join(self._changes) if self._changes is not None else contextlib.nullcontext()

    def _describe(self) -> str:
        if self._message is not None:
            return self._message
        if not self._notes:
            return _DEFAULT_MESSAGE
        more = len(self._notes) - 1
        return f"{self._notes[0]} and {more} more" if more else self._notes[0]
