"""Record counters of containers that are put into another file.

Containers and slices state how many records precede them, and readers build read names and identifiers from that. In
a slice of a file, containers copied untouched keep their numbers, so those at the edges must have fitting ones: the
numbers only grow, and no two records share one.
"""

from __future__ import annotations

from lake.digest import Digest
from lake.errors import FormatError
from lake.formats.cram.source import Container, walk_blocks, walk_containers
from lake.formats.cram.structure import RAW, SLICE_HEADER, Fields, itf8, ltf8, raw_block, read_slice, summed
from lake.formats.reader import ByteReader, BytesReader

__all__ = ["renumber"]


def renumber(containers: bytes, major: int, counter: int) -> bytes:
    """The same containers, the first of which follows ``counter`` records.

    Raises:
        FormatError: they are damaged, or their slice headers are compressed, which no writer does.
    """
    reader = BytesReader(containers, Digest("0" * 64))
    made = []
    for container in walk_containers(reader, major, 0, reader.size):
        made.append(_renumber(reader, major, container, counter))
        counter += container.header.records
    return b"".join(made)


def _renumber(reader: ByteReader, major: int, container: Container, counter: int) -> bytes:
    body = b""
    landmarks = []
    following = counter
    for block in walk_blocks(reader, major, container):
        if block.header.content_type != SLICE_HEADER:
            body += reader.read(block.offset, block.end - block.offset)
            continue
        if block.header.method != RAW:
            raise FormatError(f"the CRAM slice header at {block.offset} is compressed")
        content = reader.read(block.content, block.header.size)
        start, end = _counter(Fields(content), major)
        landmarks.append(len(body))
        body += raw_block(SLICE_HEADER, content[:start] + _encoded(following, major) + content[end:], major)
        following += read_slice(Fields(content), major).records
    fields = Fields(reader.read(container.offset, container.body - container.offset))
    fields.take(4)
    start, end = _counter(fields, major)
    fields.ltf8()  # bases
    fields.itf8()  # blocks
    head = len(body).to_bytes(4, "little") + fields.data[4:start] + _encoded(counter, major)
    head += fields.data[end : fields.at] + b"".join(itf8(value) for value in (len(landmarks), *landmarks))
    return summed(head, major) + body


def _counter(fields: Fields, major: int) -> tuple[int, int]:
    """Where the counter starts and ends, behind reference, start, span and records."""
    for _ in range(4):
        fields.itf8()
    start = fields.at
    if major == 2:
        fields.itf8()
    else:
        fields.ltf8()
    return start, fields.at


def _encoded(counter: int, major: int) -> bytes:
    # A counter that a damaged header drove beyond its field wraps as the field does.
    return itf8(counter % (1 << 32)) if major == 2 else ltf8(counter % (1 << 64))
