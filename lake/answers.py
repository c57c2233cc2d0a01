"""Questions that need records decoded: options of slices, and slices as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pysam

from lake.decoding import Keep, Needs, decode, mate_regions, overlap_test
from lake.digest import Digest
from lake.errors import Unsupported
from lake.formats.base import ReferencedFormat, RegionFile
from lake.formats.decode_options import ALIGNMENTS, PLAIN_MZML, DecodeOptions
from lake.formats.references import RequiredReference
from lake.formats.region import UNBOUNDED, Interval, Region, Selection, read_targets, select
from lake.formats.registry import region_format
from lake.regions import RegionDesk
from lake.repository import Repository
from lake.segments import Slice
from lake.tables import coverage_table, feature_table, read_table, sequence_text, variant_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AnswerDesk", "Question"]


class Question:
    """Regions of one file, opened and understood."""

    def __init__(
        self,
        repo: Repository,
        desk: RegionDesk,
        digest: Digest,
        path: str,
        regions: Sequence[str],
        targets: Sequence[str] | None,
        options: DecodeOptions,
    ) -> None:
        self._desk = desk
        self.digest = digest
        self.path = path
        self.reader = repo.shelf.reader(digest)
        self.form = self.reader.record.format
        self.options = options
        options.check(self.form)
        self.file: RegionFile = desk.file(digest, path)[0]
        self.contigs = self.file.contigs
        self.regions = desk.named(digest, self.file, regions)
        self.targets = read_targets(targets, self.contigs, "targets") if targets is not None else None

    def exact(self) -> Slice:
        """The verbatim slice."""
        return self._desk.compile(self.digest, self.path, self.regions, self.targets)

    def plain(self) -> Slice:
        """The slice of verbatim spans without an index."""
        return self._desk.compile_plain(self.digest, self.path, self.regions)

    def cut(self, region: str) -> Slice:
        """The verbatim slice of another region of the same file."""
        return self._desk.compile(self.digest, self.path, [region], None)

    def widened(self, mates: Sequence[Region]) -> Slice:
        """The verbatim slice of the same regions and others."""
        intervals = self.selection().intervals
        names = list(self.contigs)
        own = [Region(names[tid], start, None if stop >= UNBOUNDED else stop) for tid, start, stop in intervals]
        unplaced = [Region("*")] if self.selection().unplaced else []
        return self._desk.compile(self.digest, self.path, [], [*own, *mates, *unplaced])

    def selection(self) -> Selection:
        return select(self.regions, self.targets, self.contigs)

    def needs(self, *, everything: bool = False) -> Needs:
        """References for the records of the regions: whole containers hold no others."""
        form = region_format(self.form)
        if not isinstance(form, ReferencedFormat):
            return Needs()
        required: list[RequiredReference] = form.required_references(self.reader)
        selection = self.selection()
        if not (everything or selection.everything):
            names = list(self.contigs)
            touched = {names[tid] for tid, _, _ in selection.intervals}
            required = [reference for reference in required if reference.contig in touched]
        return Needs(required, self._desk.references)


class AnswerDesk:
    """Answers that are made of decoded records, from the files of one lake."""

    def __init__(self, repo: Repository, desk: RegionDesk) -> None:
        self._repo = repo
        self._desk = desk

    def ask(
        self,
        digest: Digest,
        path: str,
        regions: Sequence[str],
        targets: Sequence[str] | None = None,
        options: DecodeOptions | None = None,
    ) -> Question:
        """
        Raises:
            InvalidInput: a file of that format cannot be asked for what the options say.
            Unsupported: no regions can be asked of the format.
            InvalidRegion: a name may mean several contigs.
        """
        return Question(self._repo, self._desk, digest, path, regions, targets, options or DecodeOptions())

    def slice(self, question: Question) -> Slice:
        """The slice that the options ask for; the verbatim one where they ask for nothing."""
        options = question.options
        if options.format == PLAIN_MZML:
            return question.plain()
        exact = question.exact()
        if not options.needed(question.form, plain=question.reader.read(0, 2) != b"\x1f\x8b"):
            return exact
        if not options.mates or question.selection().everything:
            needs = question.needs() if question.form in ALIGNMENTS else None
            return decode(exact, question.form, options, needs)
        return self._with_mates(question, exact)

    def _with_mates(self, question: Question, exact: Slice) -> Slice:
        selection, options = question.selection(), question.options
        overlaps = overlap_test(selection.intervals)
        needs = question.needs(everything=True)
        mates, names = mate_regions(exact, list(question.contigs), options, needs, overlaps)

        def keep(read: pysam.AlignedSegment) -> bool:
            start = read.reference_start
            tid = read.reference_id
            if tid < 0:
                return selection.unplaced
            inside = overlaps(tid, start, max(read.reference_end or 0, start + 1))
            return inside or read.query_name in names

        chosen: Keep = keep
        return decode(question.widened(mates), question.form, options, needs, chosen)

    def reads(self, question: Question, columns: Sequence[str] | None, tags: Sequence[str]) -> pa.RecordBatchReader:
        """See `lake.tables.read_table`."""
        return read_table(question.exact(), question.form, columns, tags, question.options, question.needs())

    def variants(self, question: Question, samples: Sequence[str] | None) -> pa.RecordBatchReader:
        """See `lake.tables.variant_table`."""
        return variant_table(question.exact(), question.form, samples)

    def features(self, question: Question) -> pa.RecordBatchReader:
        """See `lake.tables.feature_table`."""
        return feature_table(question.exact(), question.form)

    def sequence(self, question: Question) -> str:
        """See `lake.tables.sequence_text`."""
        return sequence_text(question.exact(), question.form)

    def coverage(self, question: Question, size: int) -> pa.RecordBatchReader:
        """See `lake.tables.coverage_table`; without regions all contigs."""
        selection = question.selection()
        if selection.unplaced:
            raise Unsupported("reads without a position cover nothing")
        intervals = selection.intervals
        if selection.everything:
            intervals = tuple(Interval(tid, 0, length) for tid, length in enumerate(question.contigs.values()))
        return coverage_table(
            intervals, question.contigs, question.cut, question.form, size, question.options, question.needs()
        )
