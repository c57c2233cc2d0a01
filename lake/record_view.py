"""What can be asked of the records of a lake, as Arrow. Light: loads nothing by itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lake.formats.decode_options import DecodeOptions

if TYPE_CHECKING:
    import pyarrow as pa

    from lake.answers import AnswerDesk, Question
    from lake.regions import RegionDesk
    from lake.repository import Repository
    from lake.tree import Tree

__all__ = ["RecordView"]


class RecordView(ABC):
    """The verbs of reads, variants, features and sequences, for a lake as it is read.

    Regions: samtools notation; none: the whole file. All verbs raise `Unsupported` of files without such records,
    `InvalidRegion`, and `FormatError` where what is needed is damaged.
    """

    repo: Repository
    _desk: RegionDesk

    @abstractmethod
    def _at(self, path: str | os.PathLike[str], ref: str | None) -> tuple[Tree, str]: ...

    @cached_property
    def _answers(self) -> AnswerDesk:
        from lake.answers import AnswerDesk

        return AnswerDesk(self.repo, self._desk)

    def _ask(
        self,
        path: str | os.PathLike[str],
        regions: str | Sequence[str],
        ref: str | None,
        options: DecodeOptions | None = None,
    ) -> Question:
        tree, cleaned = self._at(path, ref)
        wanted = [regions] if isinstance(regions, str) else list(regions)
        return self._answers.ask(tree.file(cleaned).hex, cleaned, wanted, None, options)

    def reads(
        self,
        path: str | os.PathLike[str],
        regions: str | Sequence[str] = (),
        *,
        columns: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        include_flags: int = 0,
        exclude_flags: int = 0,
        min_quality: int = 0,
        ref: str | None = None,
    ) -> pa.RecordBatchReader:
        """Reads of a BAM, CRAM or SAM as Arrow, a batch at once (``.read_all()`` makes a table).

        Columns are those of `lake.formats.alignments.read_columns.READ_COLUMNS`, and one for each of ``tags``;
        positions are 0-based, half-open. Flags and quality as in ``samtools view -f -F -q``.
        """
        options = DecodeOptions(include_flags, exclude_flags, min_quality)
        return self._answers.reads(self._ask(path, regions, ref, options), columns, tags)

    def variants(
        self,
        path: str | os.PathLike[str],
        regions: str | Sequence[str] = (),
        *,
        samples: Sequence[str] | None = None,
        ref: str | None = None,
    ) -> pa.RecordBatchReader:
        """Variants of a VCF or BCF as Arrow; ``samples`` adds their genotypes, those of all when it is empty."""
        return self._answers.variants(self._ask(path, regions, ref), samples)

    def features(
        self, path: str | os.PathLike[str], regions: str | Sequence[str] = (), *, ref: str | None = None
    ) -> pa.RecordBatchReader:
        """Features of a BED, GFF3 or GTF as Arrow."""
        return self._answers.features(self._ask(path, regions, ref))

    def sequence(self, path: str | os.PathLike[str], region: str, *, ref: str | None = None) -> str:
        """The bases of one region of a FASTA, in the case in which they are stored."""
        return self._answers.sequence(self._ask(path, region, ref))

    def coverage(
        self,
        path: str | os.PathLike[str],
        regions: str | Sequence[str] = (),
        *,
        bin: int = 1,
        exclude_flags: int = 0x704,
        min_quality: int = 0,
        ref: str | None = None,
    ) -> pa.RecordBatchReader:
        """Mean depth of an alignment by bins of ``bin`` bases, each with a row: contig, start, stop, depth.

        Counts as ``samtools depth -a``: bases aligned by M, = or X of reads that are neither unmapped, secondary,
        failed nor duplicates (``exclude_flags``).
        """
        options = DecodeOptions(exclude_flags=exclude_flags, min_quality=min_quality)
        return self._answers.coverage(self._ask(path, regions, ref, options), bin)
