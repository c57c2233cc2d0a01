"""Slices whose records are decoded on the way: filtered, stripped, subset, or given in another format.

What comes out is computed while it is read, in bounded memory, and is not verbatim. It starts from the exact slice,
so that a region means the same everywhere.
"""

from __future__ import annotations

import contextlib
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import pysam
from blake3 import blake3

from lake.errors import FormatError, InvalidInput
from lake.formats.alignments.read_edits import make_edit, make_filter
from lake.formats.decode_options import ALIGNMENTS, OUTPUTS, DecodeOptions
from lake.formats.references import References, RequiredReference, Window, write_windows
from lake.formats.region import Region
from lake.formats.variants.variant_text import compressed, inflated, lines_of, with_samples
from lake.pipes import Feed, spooled
from lake.references import missing_references
from lake.segments import Slice, Stream

__all__ = ["Keep", "Needs", "decode", "mate_regions", "open_variants", "overlap_test"]

_SAM_MODES = {"SAM": "w", "BAM": "wb", "CRAM": "wc"}
_VCF_MODES = {"VCFTEXT": "w", "VCF": "wz", "BCF": "wb"}
_STOP_EVERY = 1024
_MOST_MATES = 20_000_000
"""Names of reads that are held to find their mates: some GB, and more than any region of a genome has."""

_PAIRED = 0x1

Keep = Callable[[pysam.AlignedSegment], bool]
"""Whether a read counts."""


class Needs:
    """Reference sequences for the records of a slice, written for htslib when they are first needed."""

    def __init__(self, required: Sequence[RequiredReference] = (), references: References | None = None) -> None:
        """``required`` are those of the contigs that the slice touches."""
        self._required = required
        self._references = references

    @contextlib.contextmanager
    def fasta(self) -> Iterator[str | None]:
        """Path of a FASTA with all that is needed, or None where nothing is.

        Raises:
            FormatError: a sequence that nobody has.
        """
        if not self._required:
            yield None
            return
        missing = missing_references(self._required, self._references)
        if missing or self._references is None:
            raise FormatError(f"the file cannot be decoded: {missing[0] if missing else 'no references'}")
        windows = []
        for contig, md5, length in self._required:
            found = self._references.find((md5 or "").lower(), length)
            if found is not None:
                windows.append(Window(contig, length, 0, length, found))
        with tempfile.TemporaryDirectory(prefix="regionlake-") as folder:
            path = Path(folder, "reference.fa")
            write_windows(path, windows)
            yield str(path)


def decode(
    exact: Slice, form: str, options: DecodeOptions, needs: Needs | None = None, keep: Keep | None = None
) -> Slice:
    """The slice that the options ask for.

    Args:
        exact: the slice of the region.
        form: its format.
        options: what is asked.
        needs: references for a CRAM.
        keep: records of ``exact`` that count, for a slice that was widened to the mates.

    Raises:
        InvalidInput: a file of that format cannot be asked for this.
    """
    options.check(form)
    wanted = options.format or form
    if form in ALIGNMENTS:
        pieces = _reads(exact, wanted, options, needs or Needs(), keep)
    elif form == "VCF" and wanted != "BCF":
        pieces = _variant_text(exact, wanted, options)
    else:
        pieces = _variants(exact, wanted, options)
    what = "\0".join((exact.identity, options.canonical, f"pysam/{version('pysam')}"))
    return Slice(OUTPUTS[wanted], (Stream(pieces),), blake3(what.encode()).hexdigest(), False, exact.read)


# -- alignments -------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _alignments(
    pieces: Iterator[bytes], fasta: str | None
) -> Iterator[tuple[pysam.AlignmentFile, Iterator[pysam.AlignedSegment]]]:
    def make(feed: Feed) -> pysam.AlignmentFile:
        return pysam.AlignmentFile(feed, "r", check_sq=False, reference_filename=fasta)

    with Feed(pieces) as feed, _opened(make, feed) as source:
        yield source, _checked(source.fetch(until_eof=True), feed)


@contextlib.contextmanager
def _opened(make: Callable[[Feed], Any], feed: Feed) -> Iterator[Any]:
    """A file of pysam on a feed; what it says of damage becomes one clear error."""
    # htslib complains on standard error that a stream has no index.
    verbosity = pysam.set_verbosity(0)
    try:
        file = make(feed)
    except (OSError, ValueError) as error:
        feed.release()
        feed.check()
        raise FormatError(f"the slice cannot be decoded: {error}") from None
    finally:
        pysam.set_verbosity(verbosity)
    feed.release()
    sound = False
    try:
        yield file
        sound = True
    finally:
        try:
            file.close()
        except OSError as error:
            # After damage htslib complains once more; what was said first matters.
            if sound:
                raise FormatError(f"the slice cannot be decoded: {error}") from None


def _checked(records: Iterator[Any], feed: Feed) -> Iterator[Any]:
    """All records, and the proof that they are all."""
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except (OSError, ValueError) as error:
            if feed.failed():
                feed.check()
            raise FormatError(f"the slice cannot be decoded: {error}") from None
        yield record
    # Where the slice broke off, htslib has seen no more than an early end.
    feed.check()


def _reads(
    exact: Slice, wanted: str, options: DecodeOptions, needs: Needs, keep: Keep | None
) -> Callable[[], Iterator[bytes]]:
    passes, edit = make_filter(options), make_edit(options)

    def write(path: str, stopped: Callable[[], bool]) -> None:
        pieces = exact.iter_bytes()
        head = next(pieces, b"")
        encoding = _cram_options(head) if wanted == "CRAM" else None
        with (
            needs.fasta() as fasta,
            _alignments(chain([head], pieces), fasta) as (source, reads),
            pysam.AlignmentFile(path, _SAM_MODES[wanted], template=source, format_options=encoding) as target,
        ):
            for count, read in enumerate(reads):
                if passes(read) and (keep is None or keep(read)):
                    if edit is not None:
                        edit(read)
                    _write_read(target, read, wanted)
                if count % _STOP_EVERY == 0 and stopped():
                    return

    return lambda: spooled(write)


def _write_read(target: pysam.AlignmentFile, read: pysam.AlignedSegment, wanted: str) -> None:
    try:
        target.write(read)
    except OSError as error:
        place = f"{read.reference_name}, position {read.reference_start + 1:,}"
        raise FormatError(f"the read {read.query_name!r} at {place}, cannot be written as {wanted}: {error}") from None


def _cram_options(head: bytes) -> list[str]:
    """A CRAM keeps its version; what is not CRAM becomes 3.0, which every reader knows. No reference is needed."""
    number = f"{head[4]}.{head[5]}" if head[:4] == b"CRAM" and len(head) > 5 else "3.0"
    return [f"version={number}", "no_ref=1"]


def mate_regions(
    exact: Slice, contigs: Sequence[str], options: DecodeOptions, needs: Needs, inside: Callable[[int, int, int], bool]
) -> tuple[list[Region], frozenset[str]]:
    """Where the mates of the reads of a slice lie that are not in it, and the names of those reads.

    Raises:
        InvalidInput: more mates than can be held.
        FormatError: the slice is damaged.
    """
    passes = make_filter(options)
    places: set[tuple[int, int]] = set()
    names: set[str] = set()
    with needs.fasta() as fasta, _alignments(exact.iter_bytes(), fasta) as (_, reads):
        for read in reads:
            if not read.flag & _PAIRED or not passes(read) or read.query_name is None:
                continue
            tid, position = read.next_reference_id, read.next_reference_start
            if tid < 0 or position < 0 or inside(tid, position, position + 1):
                continue
            places.add((tid, position))
            names.add(read.query_name)
            if len(names) > _MOST_MATES:
                raise InvalidInput("the mates of more than 20 million reads: ask for smaller regions")
    return [Region(contigs[tid], position, position + 1) for tid, position in sorted(places)], frozenset(names)


def overlap_test(intervals: Sequence[tuple[int, int, int]]) -> Callable[[int, int, int], bool]:
    """Whether bases ``[start, stop)`` of a contig overlap one of the intervals, which are sorted and disjoint."""
    starts: dict[int, list[int]] = {}
    stops: dict[int, list[int]] = {}
    for tid, start, stop in intervals:
        starts.setdefault(tid, []).append(start)
        stops.setdefault(tid, []).append(stop)

    def overlaps(tid: int, start: int, stop: int) -> bool:
        ends = stops.get(tid)
        if ends is None:
            return False
        at = bisect_right(ends, start)
        return at < len(ends) and starts[tid][at] < stop

    return overlaps


# -- variants ---------------------------------------------------------------------------------------------------------
def _variant_text(exact: Slice, wanted: str, options: DecodeOptions) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        text = inflated(exact.iter_bytes())
        if options.samples is not None:
            text = with_samples(lines_of(text), options.samples)
        return compressed(text) if wanted == "VCF" else text

    return pieces


@contextlib.contextmanager
def open_variants(
    exact: Slice, samples: Sequence[str] | None = None
) -> Iterator[tuple[pysam.VariantFile, Iterator[pysam.VariantRecord]]]:
    """The records of a VCF or BCF slice.

    Raises:
        InvalidInput: a sample that the file does not have.
        FormatError: the slice is damaged.
    """
    with Feed(exact.iter_bytes()) as feed, _opened(lambda given: pysam.VariantFile(given, "r"), feed) as source:
        if samples is not None:
            missing = [sample for sample in samples if sample not in source.header.samples]
            if missing:
                raise InvalidInput(f"no sample {missing[0]!r} in the file")
            source.subset_samples(samples)
        yield source, _checked(iter(source), feed)


def _variants(exact: Slice, wanted: str, options: DecodeOptions) -> Callable[[], Iterator[bytes]]:
    def write(path: str, stopped: Callable[[], bool]) -> None:
        with (
            open_variants(exact, options.samples) as (source, records),
            pysam.VariantFile(path, _VCF_MODES[wanted], header=source.header) as target,
        ):
            for count, record in enumerate(records):
                try:
                    target.write(record)
                except OSError:
                    if record.contig in target.header.contigs:
                        raise
                    raise FormatError(
                        f"the header declares no contig {record.contig!r}, which {wanted} needs: ask for VCF"
                    ) from None
                if count % _STOP_EVERY == 0 and stopped():
                    return

    return lambda: spooled(write)
