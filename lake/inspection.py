"""What is learned of a file in the very pass that stores it: format, chunk map, further checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise

from blake3 import blake3

from lake.chunks import ChunkMap, ChunkWatcher, cutter_for
from lake.errors import FormatError
from lake.formats.base import CutFormat
from lake.formats.cutters import Learned
from lake.formats.reader import ByteReader
from lake.formats.registry import get_format
from lake.formats.sniffing import HEAD, Detected, detect

__all__ = ["Inspector", "map_by_structure"]

_PIECE = 1 << 20
_CUT_FROM = 1 << 18
"""Bytes of a file from which on it is worth cutting."""


class Inspector:
    """A `lake.stores.base.Watcher`: tells the format from the first piece, then cuts accordingly.

    Args:
        name: the file's name; breaks ties among textual formats only.
        size: bytes of the whole file, where known.
        checksums: further algorithms to compute (``md5``, ``sha256``).
        progress: called with the number of bytes of every piece.
    """

    __slots__ = ("_begun", "_chunks", "_hashers", "_name", "_progress", "_size", "detected")

    def __init__(
        self,
        name: str,
        size: int | None = None,
        checksums: tuple[str, ...] = (),
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._name = name
        self._size = size
        self._hashers = [hashlib.new(algorithm, usedforsecurity=False) for algorithm in checksums]
        self._progress = progress
        self._begun = False
        self._chunks: ChunkWatcher | None = None
        self.detected = Detected("empty", None)

    def update(self, piece: memoryview) -> None:
        if not self._begun:
            # Stores hand over full pieces: the first one is shorter than a head only where the file is.
            self.detected = detect(bytes(piece[:HEAD]), self._name, size=self._size)
            cutter = cutter_for(self.detected.container, self.detected.name, self._size)
            self._chunks = ChunkWatcher(cutter) if cutter is not None else None
            self._begun = True
        if self._chunks is not None:
            self._chunks.update(piece)
        for hasher in self._hashers:
            hasher.update(piece)
        if self._progress is not None:
            self._progress(len(piece))

    def chunk_map(self) -> ChunkMap | None:
        """After the last piece: the chunks, or None when the object is one."""
        return self._chunks.finish() if self._chunks is not None else None

    @property
    def whole(self) -> bool:
        """After `chunk_map`: the pass has followed the file's own structure from its start to its very end."""
        return self._chunks is not None and self._chunks.whole

    @property
    def learned(self) -> Learned | None:
        """After `chunk_map`: the index of the file, where the pass has made it."""
        return self._chunks.learned if self._chunks is not None else None

    def checksums(self) -> dict[str, str]:
        return {hasher.name: hasher.hexdigest() for hasher in self._hashers}


def map_by_structure(reader: ByteReader, format_name: str) -> ChunkMap | None:
    """Chunks of a file whose format tells where to cut only once all of it is there; else None.

    Takes a second pass over the file to hash them, at the speed of memory while it is still cached.
    """
    form = get_format(format_name) if reader.size >= _CUT_FROM else None
    if not isinstance(form, CutFormat):
        return None
    try:
        cuts = [0, *form.cuts(reader), reader.size]
    except FormatError:
        return None
    lengths, digests = [], bytearray()
    for start, stop in pairwise(cuts):
        hasher = blake3()
        for at in range(start, stop, _PIECE):
            hasher.update(reader.read(at, min(_PIECE, stop - at)))
        lengths.append(stop - start)
        digests += hasher.digest()
    return ChunkMap(tuple(lengths), bytes(digests)) if len(lengths) > 1 else None
