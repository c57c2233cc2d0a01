"""The sealed log on disk: segments of lines, each chained to the one before it by a hash.

A segment is ``<first event, 16 digits>.log``; a line is canonical JSON in ASCII, a tab, the BLAKE3 hash of the hash of
the line before it and of that JSON, a line feed (docs/format.md, "Log"). The first line of a segment is its header. An
event is one line; where it has much to tell, lines of ``more`` go before the line that closes it.

A writer that dies leaves a line without its end, or lines of ``more`` without the one that closes them: both are
*torn*, are not seen by readers, and are cut off by the next writer. Anything else that does not fit is damage.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from lake.crashpoints import crash_point
from lake.errors import StorageError, UnsupportedVersion
from lake.stores.durable import System, write_all
from lake.stores.modes import make_file, make_folders

__all__ = ["FORMAT", "Logbook", "Record", "Tip"]

FORMAT = 1
"""Version of the log that this software writes; it reads up to that."""

Record = dict[str, Any]
"""The JSON of one line. Keys of all but headers: ``event`` its number, and either ``kind`` or ``more``."""

_NAME = re.compile(r"[0-9]{16}\.log")
_NO_HASH = "0" * 64
_HASH = 64
_BLOCK = 4096
_BUFFER = 1 << 20
_SEGMENT = 64 << 20
_LONGEST = 1 << 30
"""Bytes of a line that readers take: the map of the largest object is far shorter."""


class Tip(NamedTuple):
    """Where the log stands: what its last event says of itself, and where the next line goes."""

    journal: str
    """Identity of the journal that the log was written from."""
    event: int
    """Number of the last event; 0: none yet."""
    kind: str | None
    """Its kind; None when a segment begins here."""
    body: Record | None
    """Its body."""
    commit: tuple[int, str] | None
    """Sequence number and id of the newest commit in the log."""
    object: int
    """Number of the newest object in the log."""
    hash: str
    """Hash of the last line."""
    segment: Path | None
    """The segment that has it; None: there is no log."""
    size: int
    """Bytes of it that count: what lies behind is torn."""


class Logbook:
    """The segments in a folder. Who calls `append` holds the lock of the log.

    Raises:
        StorageError: of all methods: the folder cannot be read, or a line is damaged.
        UnsupportedVersion: of all methods: newer software has written it.
    """

    def __init__(self, folder: Path, system: System, segment: int = _SEGMENT) -> None:
        """``segment`` is the number of bytes from which on the next event begins another one."""
        self.folder = folder
        self._system = system
        self._segment = segment

    def segments(self) -> list[Path]:
        """Oldest first."""
        try:
            return [self.folder / name for name in sorted(filter(_NAME.fullmatch, os.listdir(self.folder)))]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"cannot read the log {self.folder}: {error.strerror}") from error

    def tip(self) -> Tip | None:
        """Reads no more than the first and the last lines of the newest segment; None: there is no log."""
        # A segment that was torn in its header counts for nothing: the one before it is the newest.
        for path in reversed(self.segments()):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    tip = _tip(path, descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                if isinstance(error, StorageError):
                    raise
                raise StorageError(f"cannot read the log {path}: {error.strerror}") from error
            if tip is not None:
                return tip
        return None

    def records(self) -> Iterator[Record]:
        """Every line but headers, oldest first, each compared with the chain of hashes; torn ones are left out."""
        last, number = _NO_HASH, 0
        paths = self.segments()
        tip = self.tip()
        for path in paths:
            if tip is None or (tip.segment is not None and path.name > tip.segment.name):
                return
            end = tip.size if path == tip.segment else None
            with path.open("rb") as file:
                for position, (record, digest) in enumerate(_lines(path, file, last, end), 1):
                    last = digest
                    if position == 1:
                        _check_header(path, record, number)
                        continue
                    if record["event"] != number + 1:
                        raise _damaged(path, f"line {position} tells of event {record['event']} after {number}")
                    number += "kind" in record
                    yield record

    def append(self, tip: Tip | None, journal: str, records: Iterable[Record]) -> Tip:
        """Write records behind the tip, durably: all of them, or none that counts.

        Args:
            tip: what `tip` has said under the same lock.
            journal: identity of the journal that they come from; another one than before begins another segment.
            records: without hashes; those of an event are consecutive, and the last of them has ``kind``.

        Raises:
            OSError: the disk is full or fails. What was written is cut off again as far as that can be done.
        """
        began = Tip(journal, 0, None, None, None, 0, _NO_HASH, None, 0) if tip is None else tip
        writer = _Writer(self, self._system, began, journal, self._segment)
        try:
            for record in records:
                writer.add(record)
            return writer.finish()
        except BaseException:
            writer.give_up()
            raise

    def cut(self, tip: Tip) -> None:
        """Remove what is torn behind the tip."""
        for path in self.segments():
            if tip.segment is None or path.name > tip.segment.name:
                path.unlink()
            elif path == tip.segment and path.stat().st_size > tip.size:
                os.truncate(path, tip.size)


class _Writer:
    """Appends lines; nothing of them counts before `finish`."""

    def __init__(self, book: Logbook, system: System, tip: Tip, journal: str, segment: int) -> None:
        self._book = book
        self._system = system
        self._journal = journal
        self._segment = segment
        self._began = tip
        self._tip = tip
        self._fd: int | None = None
        self._buffer = bytearray()
        self._start = 0
        """Where the event under way begins in its segment."""

    def add(self, record: Record) -> None:
        if record["event"] != self._tip.event + 1:
            raise StorageError(f"the journal has no event {self._tip.event + 1}: it is damaged")
        if self._fd is None:
            self._open()
        if "more" in record:
            self._line({**record, "start": self._start})
            return
        self._line(record)
        commit = record["commit"]
        self._tip = self._tip._replace(
            event=record["event"],
            kind=record["kind"],
            body=record["body"],
            commit=None if commit is None else (commit[0], commit[1]),
            object=record["object"],
        )
        self._start = self._tip.size
        if self._tip.size >= self._segment:
            self._close()

    def finish(self) -> Tip:
        self._close()
        return self._tip

    def give_up(self) -> None:
        """Cut off what was written: pages that an fsync has failed for must be written again before they count."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        with suppress(OSError):
            self._book.cut(self._began)

    def _open(self) -> None:
        tip = self._tip
        if tip.segment is None or tip.journal != self._journal or tip.size >= self._segment:
            self._begin()
            return
        self._fd = os.open(tip.segment, os.O_WRONLY | os.O_CLOEXEC)
        if os.fstat(self._fd).st_size > tip.size:
            os.ftruncate(self._fd, tip.size)
        os.lseek(self._fd, tip.size, os.SEEK_SET)
        self._start = tip.size

    def _begin(self) -> None:
        """Make a segment with its header."""
        tip = self._tip
        folder = self._book.folder
        make_folders(folder)
        path = folder / f"{tip.event + 1:016}.log"
        # What is there already was torn in its header.
        self._fd = make_file(path, os.O_WRONLY | os.O_TRUNC)
        self._system.sync_directory(folder)
        self._tip = tip._replace(journal=self._journal, segment=path, size=0)
        self._line(
            {
                "format": FORMAT,
                "journal": self._journal,
                "event": tip.event,
                "commit": tip.commit,
                "object": tip.object,
                "previous": tip.hash,
            }
        )
        self._start = self._tip.size

    def _line(self, record: Mapping[str, Any]) -> None:
        text = json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")
        digest = _chained(self._tip.hash, text)
        line = b"%b\t%b\n" % (text, digest.encode())
        self._buffer += line
        self._tip = self._tip._replace(hash=digest, size=self._tip.size + len(line))
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        assert self._fd is not None
        write_all(self._system, self._fd, bytes(self._buffer))
        self._buffer.clear()

    def _close(self) -> None:
        if self._fd is None:
            return
        self._flush()
        crash_point("log-written")
        self._system.fsync(self._fd)
        descriptor, self._fd = self._fd, None
        os.close(descriptor)


def _tip(path: Path, descriptor: int) -> Tip | None:
    """The tip in a segment; None when not even its header is whole."""
    end = _newline_before(descriptor, os.fstat(descriptor).st_size) + 1
    if not end:
        return None
    header_end, chunk = 0, b""
    while (header_end := chunk.find(b"\n") + 1) == 0:
        chunk += os.pread(descriptor, _BLOCK, len(chunk))
    header, _ = _parsed(path, chunk[:header_end], None)
    _check_header(path, header, None)
    record, digest = _line_ending_at(path, descriptor, end)
    if "more" in record:
        end = record["start"]
        record, digest = _line_ending_at(path, descriptor, end)
        if "more" in record:
            raise _damaged(path, "a line of more has a false start")
    commit = record["commit"]
    return Tip(
        header["journal"],
        record["event"],
        record.get("kind"),
        record.get("body"),
        None if commit is None else (commit[0], commit[1]),
        record["object"],
        digest,
        path,
        end,
    )


def _line_ending_at(path: Path, descriptor: int, end: int) -> tuple[Record, str]:
    """A line and its hash, which has been checked."""
    start = _newline_before(descriptor, end - 1) + 1
    if end - start > _LONGEST:
        raise _damaged(path, f"a line of {end - start} bytes")
    before = os.pread(descriptor, _HASH, start - 1 - _HASH).decode("ascii", "replace") if start else None
    return _parsed(path, os.pread(descriptor, end - start, start), before)


def _newline_before(descriptor: int, end: int) -> int:
    """Offset of the last line feed in front of ``end``; -1: none."""
    block = _BLOCK
    while end > 0:
        begin = max(0, end - block)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found
        end, block = begin, min(2 * block, _BUFFER)
    return -1


def _lines(path: Path, file: Any, last: str, end: int | None) -> Iterator[tuple[Record, str]]:
    """The lines up to an offset (None: to the end of the file), each with its hash."""
    while end is None or file.tell() < end:
        line = file.readline(_LONGEST)
        if not line:
            return
        record, last = _parsed(path, line, last)
        yield record, last


def _parsed(path: Path, line: bytes, before: str | None) -> tuple[Record, str]:
    """The record of a line and its hash, compared with that of the line before; None: a header, which tells it."""
    text, tab, rest = line.rpartition(b"\t")
    try:
        if not tab or len(rest) != _HASH + 1 or not rest.endswith(b"\n"):
            raise ValueError("it is cut short")
        record: Record = json.loads(text)
        digest = rest[:-1].decode("ascii")
        if digest != _chained(record["previous"] if before is None else before, text):
            raise ValueError("its hash is another one")
        known = "previous" in record or "more" in record or {"kind", "body", "commit", "object"} <= record.keys()
        if not known or not isinstance(record["event"], int):
            raise ValueError("it is no record")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"the line {line[:60].decode('ascii', 'replace')!r}… does not hold: {error}") from error
    return record, digest


def _check_header(path: Path, header: Record, number: int | None) -> None:
    """``number`` is that of the event before; None: any."""
    version = header.get("format")
    if not isinstance(version, int) or "journal" not in header or "previous" not in header:
        raise _damaged(path, "its first line is no header")
    if version > FORMAT:
        raise UnsupportedVersion(f"{path} has format {version}, this software knows {FORMAT}: use a newer regionlake")
    if int(path.stem) != header["event"] + 1 or number not in (None, header["event"]):
        raise _damaged(path, f"it goes on after event {header['event']}, the log before it ends with {number}")


def _chained(before: str, text: bytes) -> str:
    return blake3(before.encode("ascii", "replace") + text).hexdigest()


def _damaged(path: Path, what: str) -> StorageError:
    return StorageError(
        f"the log {path} is damaged: {what}: while journal.db is whole, move the folder {path.parent.name}/ away and"
        " the next commit writes it anew"
    )
