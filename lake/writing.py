"""Files that are written through a file object: nothing of them is seen before `close`."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lake.errors import StorageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LakeTextWriter", "LakeWriter"]

_BUFFER = 1 << 20


class LakeWriter(io.BufferedIOBase):
    """Collects bytes in staging; `close` hands the whole file over, `discard` or an error in a ``with`` drops it.

    Args:
        folder: the session's staging.
        publish: takes the finished file and makes it an entry.
    """

    def __init__(self, folder: Path, publish: Callable[[Path], None]) -> None:
        self._path = folder / f"write-{secrets.token_hex(8)}"
        self._publish: Callable[[Path], None] | None = publish
        self._file = open(self._path, "xb", buffering=_BUFFER)  # noqa: SIM115

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Buffer, /) -> int:
        with _disk_errors():
            return self._file.write(data)

    @property
    def name(self) -> str:
        """Where the bytes wait; the path in the lake exists only after `close`."""
        return str(self._path)

    def flush(self) -> None:
        if not self._file.closed:
            with _disk_errors():
                self._file.flush()

    def discard(self) -> None:
        """Forget everything written; `close` then publishes nothing."""
        self._publish = None
        self.close()

    def close(self) -> None:
        """Publish what was written. When this returns, the file is committed (or part of the open transaction)."""
        if self.closed:
            return
        publish, self._publish = self._publish, None
        try:
            with _disk_errors():
                self._file.close()
            if publish is not None:
                publish(self._path)
        finally:
            super().close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # A writer that was never closed was never finished: publishing what it holds would keep half a file.
        self._publish = None
        super().__del__()


class LakeTextWriter(io.TextIOWrapper):
    """Text over a `LakeWriter`, with the same promise: an error inside a ``with`` stores nothing."""

    def __init__(self, writer: LakeWriter, encoding: str | None, errors: str | None, newline: str | None) -> None:
        self._writer = writer
        super().__init__(writer, encoding=encoding or "utf-8", errors=errors, newline=newline)

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self._writer.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # As for the binary writer; what the text layer would do here is to close, hence to publish.
        self._writer.discard()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write to the lake: {error.strerror}; nothing of this file is stored") from error
