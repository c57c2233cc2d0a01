"""The files that `LakeFileSystem.open` gives."""

from __future__ import annotations

import contextlib
import io
from typing import IO, TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile

from lake.errors import AlreadyExists, Collected, Conflict
from lake.fs.listing import Info
from lake.fs.transaction import LakeTransaction
from lake.writing import LakeWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["CachedReadFile", "CompressedFile", "LakeReadFile", "LakeTextFile", "LakeWriteFile"]

_BUFFER = 1 << 16
_SCATTERED = dict.fromkeys(("HDF5", "h5ad", "netCDF", "mzMLb"), 1 << 13)
"""Formats whose readers jump between many small places: what is read ahead there is mostly thrown away."""


class LakeReadFile(io.BufferedReader):
    """A stored file, or a slice, for reading: Python's own buffered reader, so no slower than a plain file.

    It goes on showing the content that it opened, also after pickling.
    """

    def __init__(self, fs: Any, path: str, details: Info, source: IO[bytes]) -> None:
        raw: Any = source.detach() if isinstance(source, io.BufferedReader) else source
        super().__init__(raw, _SCATTERED.get(details.get("format") or "", _BUFFER))
        self.fs = fs
        self.path = path
        self.details = details
        self.size: int = details["size"]
        self.blocksize = _BUFFER
        self.autocommit = True

    @property
    def mode(self) -> str:
        return "rb"

    @property
    def full_name(self) -> str:
        name: str = self.fs.unstrip_protocol(self.path)
        return name

    @property
    def name(self) -> str:
        """The URL: a bare path could be taken for one of the local disk."""
        return self.full_name

    def info(self) -> Info:
        return self.details

    def commit(self) -> None:
        """Nothing to do: reads change nothing."""

    def discard(self) -> None:
        """Nothing to do: reads change nothing."""

    def __del__(self) -> None:
        # Libraries leave files of fsspec to be forgotten, as its own allow: no reason to warn where nothing is lost.
        self.close()

    def __hash__(self) -> int:
        return hash((self.path, self.details["digest"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LakeReadFile) and (self.path, self.details) == (other.path, other.details)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _reopen, (self.fs, self.path, self.details, self.tell())


def _reopen(fs: Any, path: str, details: Info, position: int) -> LakeReadFile:
    file: LakeReadFile = fs.reopen(path, details)
    file.seek(position)
    return file


class CachedReadFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file for reading through one of fsspec's own caches, for callers that ask for one (``cache_type=``)."""

    def __init__(self, source: LakeReadFile, block_size: int | None, cache_type: str, cache_options: Any) -> None:
        self._source = source
        super().__init__(
            source.fs,
            source.path,
            "rb",
            block_size=block_size,
            cache_type=cache_type,
            cache_options=cache_options,
            size=source.size,
        )
        self.details = source.details

    def _fetch_range(self, start: int, end: int) -> bytes:
        self._source.seek(start)
        return self._source.read(end - start)

    def close(self) -> None:
        super().close()
        self._source.close()


class LakeWriteFile(io.BufferedIOBase):
    """A file being written. `close` publishes it, into the transaction in which it was opened if there is one.

    With ``autocommit=False`` outside of a transaction `commit` publishes. An error inside a ``with``, `discard`, and
    being forgotten without `close` store nothing.
    """

    def __init__(
        self,
        fs: Any,
        path: str,
        mode: str,
        ref: str,
        writer: LakeWriter,
        transaction: LakeTransaction | None,
        autocommit: bool,
    ) -> None:
        self.fs = fs
        self.path = path
        self.mode = mode
        self.autocommit = autocommit
        self.blocksize = _BUFFER
        self._ref = ref
        self._writer = writer
        self._transaction = transaction

    @property
    def full_name(self) -> str:
        name: str = self.fs.unstrip_protocol(self.path)
        return name

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        return self._writer.write(data)

    def tell(self) -> int:
        return self._writer.tell()

    def flush(self) -> None:
        if not self._writer.closed:
            self._writer.flush()

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self.autocommit or self._transaction is not None:
                self._publish()
            else:
                self._writer.flush()
        finally:
            super().close()

    def commit(self) -> None:
        """Publish, unless `close` did so already or the file was discarded."""
        try:
            self._publish()
        finally:
            super().close()

    def discard(self) -> None:
        """Forget everything written."""
        self._writer.discard()
        super().close()

    def _publish(self) -> None:
        if self._writer.closed:
            return
        joined = (
            self._transaction.joined(self.fs.lake, self._ref, f"write {self.path}")
            if self._transaction is not None
            else contextlib.nullcontext()
        )
        try:
            with joined:
                self._writer.close()
        except Conflict as error:
            if "x" in self.mode and not isinstance(error, Collected):
                raise AlreadyExists(f"{self.path} exists already: somebody else made it first") from error
            raise

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # As of LakeWriter: what was never closed was never finished.
        if hasattr(self, "_writer"):
            self.discard()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        raise TypeError(f"{self.path} is being written: only files opened for reading can be pickled")


class CompressedFile(io.BufferedIOBase):
    """A codec's file over a file of the lake, which it closes too: a codec by itself would leave it unpublished."""

    def __init__(self, codec: Any, file: LakeReadFile | CachedReadFile | LakeWriteFile) -> None:
        self._codec = codec
        self._file = file
        if not isinstance(file, LakeWriteFile):
            self.readline = codec.readline  # type: ignore[method-assign]
            self.read1 = codec.read1 if hasattr(codec, "read1") else codec.read  # type: ignore[method-assign]

    def readable(self) -> bool:
        return not isinstance(self._file, LakeWriteFile)

    def writable(self) -> bool:
        return isinstance(self._file, LakeWriteFile)

    def seekable(self) -> bool:
        return self.readable() and bool(self._codec.seekable())

    def read(self, size: int | None = -1, /) -> bytes:
        data: bytes = self._codec.read(-1 if size is None else size)
        return data

    def write(self, data: Buffer, /) -> int:
        written: int = self._codec.write(data)
        return written

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position: int = self._codec.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._codec.tell()
        return position

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._codec.close()
            self._file.close()
        except BaseException:
            self._file.discard()
            raise
        finally:
            super().close()

    def discard(self) -> None:
        """Forget everything written."""
        self._file.discard()
        # The end of the compressed stream has nowhere to go any more.
        with contextlib.suppress(OSError, ValueError):
            self._codec.close()
        super().close()

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.__exit__(GeneratorExit if self.writable() else None)


class LakeTextFile(io.TextIOWrapper):
    """Text over a file of the lake, with the same promise: an error inside a ``with`` stores nothing."""

    def __init__(
        self, file: LakeReadFile | CachedReadFile | LakeWriteFile | CompressedFile, **options: str | None
    ) -> None:
        super().__init__(file, **{"encoding": "utf-8", **options})  # type: ignore[arg-type]
        self._file = file

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self._file.discard()
        self.close()

    def __del__(self) -> None:
        if not self.closed and self.writable():
            self._file.discard()
        super().__del__()
