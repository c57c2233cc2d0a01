"""A file as a source of records: where they start and end, and walks from any place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from lake.formats.compression.containers import Container
from lake.formats.intervals.assembly import Codec, assemble
from lake.formats.intervals.batch import Batch

__all__ = ["RecordSource"]


class RecordSource(ABC):
    """Records of one file by place. Safe for use by several threads.

    A format says what its header holds and how a record is read; walking is the same for all.
    """

    unplaced = False
    """Whether the format has records without a contig, which ``*`` selects."""
    flavour = ""
    """What else than the bytes decides on an answer; part of a plan's query."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.reader = container.reader

    @property
    @abstractmethod
    def contigs(self) -> Mapping[str, int]:
        """Length in bases by contig name, 0 where it is not known; the order is that of the contigs' numbers."""

    @property
    @abstractmethod
    def start(self) -> int:
        """Place of the first record."""

    @abstractmethod
    def codec(self) -> Codec:
        """A codec for one walk."""

    @property
    def end(self) -> int:
        """Place behind the last record.

        Raises:
            FormatError: the file lacks its end marker, so that nobody can say what followed.
        """
        return self.container.end

    def walk(self, first: int, last: int | None = None) -> Iterator[Batch]:
        """Records from the place ``first`` on, up to ``last``, where one ends, a block or so at once."""
        runs, inside = self.container.runs(first)
        return assemble(runs, inside, self.codec(), self.container.shift, last)

    def walk_all(self) -> Iterator[Batch]:
        """All records, inflated by several threads, in large batches."""
        runs, inside = self.container.bulk(self.start)
        return assemble(runs, inside, self.codec(), self.container.shift)
