"""Sources whose contigs are numbered in the order in which the file has them."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property

from lake.formats.compression.containers import Container
from lake.formats.intervals.assembly import Codec, assemble
from lake.formats.intervals.batch import Batch
from lake.formats.intervals.numbering import Numbering
from lake.formats.intervals.source import RecordSource

__all__ = ["NumberedSource"]


class NumberedSource(RecordSource):
    """Records of one file. Safe for use by several threads.

    Headers of VCF may lack contigs or have them in another order than the records, and BED has no header: only the
    records tell.

    Args:
        numbering: the contigs in file order, where they are known; else the file is read once when they are asked for.
    """

    def __init__(self, container: Container, numbering: Numbering | None) -> None:
        super().__init__(container)
        self._numbering = numbering
        self._lock = threading.Lock()

    @abstractmethod
    def declared(self) -> Mapping[str, int]:
        """Contigs that the header names, with lengths in bases; 0 for an unknown length."""

    @abstractmethod
    def codec_for(self, numbering: Numbering) -> Codec:
        """A codec for one walk."""

    @cached_property
    def contigs(self) -> Mapping[str, int]:
        """Length by name: first those with records in file order, then those that only the header names."""
        declared = self.declared()
        names = [name.decode("utf-8", "surrogateescape") for name in self.numbering().names]
        return {**{name: declared.get(name, 0) for name in names}, **declared}

    def codec(self) -> Codec:
        return self.codec_for(self.numbering())

    def numbering(self) -> Numbering:
        """The contigs in the order in which the file has them; without a table that takes a pass over the file."""
        with self._lock:
            if self._numbering is None:
                growing = Numbering()
                for _ in self.first_pass(growing):
                    pass
                self._numbering = Numbering(growing.names, fixed=True)
            return self._numbering

    def first_pass(self, growing: Numbering) -> Iterator[Batch]:
        """All records, while the numbering takes in their contigs."""
        runs, inside = self.container.bulk(self.start)
        return assemble(runs, inside, self.codec_for(growing), self.container.shift)

    def sample(self, growing: Numbering) -> Iterator[Batch]:
        """Records from the first one on, a block or so at once, for a look at a file of which nothing is known."""
        runs, inside = self.container.runs(self.start)
        return assemble(runs, inside, self.codec_for(growing), self.container.shift)
