"""HDF5 files opened over anything that reads ranges, and walked without ever leaving the file."""

from __future__ import annotations

import contextlib
import errno
import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from lake.errors import FormatError, LakeError, StorageError, Unsupported
from lake.formats.reader import ByteReader
from lake.seekable import SeekableFile

__all__ = [
    "Found",
    "Superblock",
    "attributes_of",
    "find",
    "missing_library",
    "open_hdf5",
    "read_superblock",
    "reason_unreadable",
    "walk",
]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = b"GCOL\x01"
_HEAP_OBJECT = struct.Struct("<HH4xQ")
"""Index, references, bytes of an object of a global heap in a file with lengths of 8 bytes, as all are."""
_LAST_START = 1 << 26
_MOST_LINKS = 32
"""Symbolic links that one path may go through."""
_MOST_ATTRIBUTES = 1 << 16
_MOST_VALUES = 1 << 24
"""Values of one attribute."""
_MOST_OBJECTS = 1_000_000
_DEEPEST = 200


class Superblock(NamedTuple):
    """What an HDF5 file says of itself (HDF5 file format specification 3.0, section II.A)."""

    start: int
    """Bytes of the userblock before it, which no address counts."""
    version: int
    end: int
    """First byte behind everything that HDF5 has allocated, in the file."""


def read_superblock(reader: ByteReader) -> Superblock:
    """
    Raises:
        FormatError: no superblock where one may be, an unknown version, or the file is shorter than it states.
        Unsupported: a classic netCDF file, which is not HDF5.
    """
    start = 0
    while start < min(reader.size, _LAST_START):
        head = reader.read(start, 96)
        if head.startswith(_SIGNATURE):
            return _parse_superblock(head, start, reader.size)
        if start == 0 and head.startswith(b"CDF"):
            raise Unsupported("a classic netCDF file is not HDF5: convert it with nccopy -k nc4")
        start = start * 2 or 512
    raise FormatError("no HDF5 superblock: not an HDF5 file, or its start is damaged")


def _parse_superblock(head: bytes, start: int, size: int) -> Superblock:
    version = head[8] if len(head) > 8 else 255
    if version > 3:
        raise FormatError(f"HDF5 superblock of version {version}: damaged, or newer than this software")
    width_at, addresses_at = (13, 24 + 4 * (version == 1)) if version < 2 else (9, 12)
    width = head[width_at] if len(head) > width_at else 0
    if width not in (2, 4, 8) or len(head) < addresses_at + 4 * width:
        raise FormatError("the HDF5 superblock is damaged")
    base, _, end = (
        int.from_bytes(head[addresses_at + n * width : addresses_at + (n + 1) * width], "little") for n in range(3)
    )
    if base not in (start, 0):
        raise FormatError(f"the HDF5 superblock lies at byte {start} and says {base}: it is damaged")
    # The address counts from the base in files of every version that libraries write.
    if end + base > size and end > size:
        raise FormatError(f"the file has {size} bytes of the {end + base} that HDF5 has allocated: it is truncated")
    return Superblock(start, version, end + base)


def missing_library() -> str | None:
    """What to install so that HDF5 can be read, or None."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        return "HDF5 is read with h5py, which is not installed: pip install 'regionlake[arrays]'"
    return None


def reason_unreadable(reader: ByteReader) -> str | None:
    """Why an object is nothing that h5py should be given, or None."""
    try:
        read_superblock(reader)
    except (FormatError, Unsupported) as error:
        return str(error)
    return missing_library()


class _ReaderFile(SeekableFile):
    """What h5py reads from. Remembers what went wrong, since HDF5 tells only that something did."""

    def __init__(self, reader: ByteReader) -> None:
        super().__init__(reader.size)
        self._reader = reader
        self.failure: LakeError | None = None

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._reader.read(self._position, len(buffer))
            if data.startswith(_HEAP):
                _check_heap(data, self._position)
        except LakeError as error:
            self.failure = error
            raise
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _check_heap(data: bytes, offset: int) -> None:
    """Refuse a global heap whose objects do not fit into it: the library goes round in circles over an empty one.

    Global heaps hold text of variable length (HDF5 file format specification 3.0, section III.E).

    Raises:
        FormatError: such a heap.
    """
    size = int.from_bytes(data[8:16], "little")
    at = 16
    while at + 16 <= min(size, len(data)):
        index, _, length = _HEAP_OBJECT.unpack_from(data, at)
        step = 16 + (length + 7) // 8 * 8 if index else length
        if step == 0 or at + step > size:
            raise FormatError(f"the text that is kept at byte {offset} of the HDF5 file is damaged")
        at += step


@contextlib.contextmanager
def open_hdf5(reader: ByteReader) -> Iterator[Any]:
    """An `h5py.File` for reading, closed at the end: h5py may crash at exit over one that stays open.

    Raises:
        FormatError: damaged; also what h5py raises inside the context comes out as this.
        Unsupported: h5py is not installed, or the file is not HDF5.
        DamagedObject: the stored bytes are not what they were.
    """
    reason = missing_library()
    if reason is not None:
        raise Unsupported(reason)
    import h5py

    read_superblock(reader)
    source = _ReaderFile(reader)
    try:
        # A slot for about every chunk of a row of chunks; the preset thrashes where a slice crosses many.
        with h5py.File(source, "r", rdcc_nbytes=16 << 20, rdcc_nslots=4001) as file:
            yield file
    except LakeError:
        raise
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        ArithmeticError,
        AttributeError,
        MemoryError,
        SystemError,
    ) as error:
        if source.failure is not None:
            raise source.failure from None
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"no space is left to write the answer: {_one_line(error)}") from error
        raise FormatError(f"the HDF5 file is damaged, or needs a filter that is missing: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


class Found(NamedTuple):
    """One object of a file."""

    path: str
    """From ``/``, without one at the end."""
    object: Any
    """An `h5py.Group`, `h5py.Dataset` or `h5py.Datatype`."""


def find(file: Any, path: str) -> Any:
    """The object at a path, or None where nothing is.

    Links into other files are never followed: they would be read with the rights of whoever runs this.

    Raises:
        Unsupported: an external link on the way.
        FormatError: symbolic links in a circle.
    """
    import h5py

    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    here, place = file["/"], "/"
    links = 0
    while pending:
        name = pending.pop()
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(name, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise Unsupported(f"{place.rstrip('/')}/{name} is a link into another file, which is not followed")
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > _MOST_LINKS:
                raise FormatError(f"symbolic links in a circle: {path}")
            if link.path.startswith("/"):
                here, place = file["/"], "/"
            pending.extend(part for part in reversed(link.path.split("/")) if part not in ("", "."))
            continue
        here, place = here[name], f"{place.rstrip('/')}/{name}"
    return here


def walk(file: Any, start: str = "/") -> Iterator[Found]:
    """Groups, datasets and named types from a group down, parents first, in the order of the file; each object once.

    Links to other places, inside or outside of the file, are left out.

    Raises:
        FormatError: more than a million objects, or groups nested deeper than any real ones.
    """
    import h5py

    top = find(file, start)
    if top is None:
        return
    stack = [Found("/" + start.strip("/"), top)]
    seen: set[int] = set()
    while stack:
        found = stack.pop()
        address = h5py.h5o.get_info(found.object.id).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS or found.path.count("/") > _DEEPEST:
            raise FormatError("an HDF5 file with more than a million objects, or groups more than 200 deep")
        yield found
        if isinstance(found.object, h5py.Group):
            group = found.object
            below = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
            stack.extend(Found(f"{found.path.rstrip('/')}/{name}", group[name]) for name in reversed(below))


def attributes_of(thing: Any) -> dict[str, Any]:
    """Attributes of a group or dataset by name; an `h5py.Empty` where one has no value.

    Raises:
        FormatError: a damaged object states more of them than there can be.
    """
    import h5py

    if h5py.h5o.get_info(thing.id).num_attrs > _MOST_ATTRIBUTES:
        raise FormatError(f"{thing.name} states more attributes than there can be: it is damaged")
    found = {}
    for name in thing.attrs:
        shape = thing.attrs.get_id(name).shape
        # The library would go through all of what a damaged header states, which may take forever.
        if shape is not None and math.prod(shape) > _MOST_VALUES:
            raise FormatError(f"the attribute {name!r} of {thing.name} states {math.prod(shape)} values: it is damaged")
        found[name] = thing.attrs[name]
    return found
