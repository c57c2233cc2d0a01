"""Containers at the edges of a slice: decoded, trimmed to the selected records, and encoded anew, by htslib.

A container is decoded as a file of its own, under a header without paths and checksums, so that htslib neither looks
for references itself nor writes beside them. What is encoded anew carries its own bases (``no_ref``): htslib's
encoder would load the whole contig for a single read. Every edge is decoded again and compared before it is used.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lake.errors import FormatError
from lake.formats.cram.counters import renumber
from lake.formats.cram.source import Container, CramSource, Located
from lake.formats.cram.structure import MULTIPLE
from lake.formats.reader import BytesReader
from lake.formats.references import References, Window, write_windows
from lake.formats.region import Selection

if TYPE_CHECKING:
    from pysam import AlignedSegment, AlignmentFile

__all__ = ["ENCODER", "Chooser", "cut_container", "ranges_by_slice"]

ENCODER = "cram-edges/2"

_LARGEST = 1 << 30
"""Bytes that the blocks of a container may take when decompressed."""
_MOST_RECORDS = 1 << 22
"""Records of a container; htslib takes memory for as many as are stated. Writers put 10,000 in a slice."""
_MARGIN = 1 << 10
"""Bases beyond a slice's range that its decoder is given: writers are known whose last reads reach over it."""
_PLACES_ONLY = ["required_fields=0x2e", "decode_md=0"]
"""Flag, contig, position and CIGAR: what can be decoded without a reference."""


class Chooser:
    """Which records a selection selects, as ``samtools view`` does."""

    def __init__(self, selection: Selection) -> None:
        self._unplaced = selection.unplaced
        self._bounds: dict[int, tuple[list[int], list[int]]] = {}
        for tid, start, stop in selection.intervals:
            starts, stops = self._bounds.setdefault(tid, ([], []))
            starts.append(start)
            stops.append(stop)

    def select(self, records: Iterable[AlignedSegment]) -> Iterator[AlignedSegment]:
        """Those records that overlap an interval, or have no contig where such are selected."""
        for record in records:
            tid = record.reference_id
            bounds = self._bounds.get(tid)
            if bounds is None:
                if tid < 0 and self._unplaced:
                    yield record
                continue
            starts, stops = bounds
            position = record.reference_start
            # The first interval that ends behind the record's start is the only one that it need be compared with.
            candidate = bisect_right(stops, position)
            if candidate < len(starts):
                start = starts[candidate]
                if start <= position or start < _end(record, position):
                    yield record


def _end(record: AlignedSegment, position: int) -> int:
    """htslib's ``bam_endpos``: at least one base, also for unmapped reads."""
    return record.reference_end or position + 1


class _Verbosity:
    """htslib keeps silent while anybody decodes: what it has to say is said by errors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0

    def __enter__(self) -> None:
        import pysam

        with self._lock:
            if not self._users:
                self._before = pysam.set_verbosity(0)
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        import pysam

        with self._lock:
            self._users -= 1
            if not self._users:
                pysam.set_verbosity(self._before)


_silence = _Verbosity()


@contextmanager
def _decoder(path: Path, fasta: Path | None, options: Sequence[str]) -> Iterator[AlignmentFile]:
    import pysam

    with pysam.AlignmentFile(
        str(path),
        "rc",
        check_sq=False,
        reference_filename=str(fasta) if fasta is not None else None,
        format_options=list(options),
    ) as file:
        yield file


def _records(file: AlignmentFile, count: int) -> Iterator[AlignedSegment]:
    """All records of a file, of which there are ``count``."""
    seen = 0
    for record in file:
        seen += 1
        yield record
    if seen != count:
        raise OSError(f"{seen} records instead of {count}")


def _write_alone(source: CramSource, container: Container, folder: Path) -> Path:
    """The container as a file of its own.

    The name is fixed, since htslib makes read names of it where a file has none.
    """
    total = sum(block.header.raw_size for block in source.blocks(container))
    if container.header.records > _MOST_RECORDS:
        raise FormatError(
            f"the CRAM container at {container.offset} states {container.header.records} records: damaged"
        )
    if total > _LARGEST:
        raise FormatError(f"the CRAM container at {container.offset} states {total} bytes of content: too large")
    path = folder / "edge.cram"
    body = source.reader.read(container.offset, container.end - container.offset)
    path.write_bytes(source.preamble + body + source.marker)
    return path


@contextmanager
def _workplace(container: Container) -> Iterator[Path]:
    """A folder for one container, and errors that name it."""
    try:
        with TemporaryDirectory(prefix="regionlake-") as name, _silence:
            yield Path(name)
    except (OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"the CRAM container at {container.offset} cannot be decoded: {error}") from error


def ranges_by_slice(
    source: CramSource, container: Container, slices: Sequence[Located]
) -> list[dict[int, tuple[int, int]]]:
    """Contigs of each slice with first position and last end of its records, 0-based and half-open; -1 for none.

    Raises:
        FormatError: the container cannot be decoded.
    """
    if not source.contigs:
        return [{-1: (-1, 0)} for _ in slices]
    with _workplace(container) as folder:
        path = _write_alone(source, container, folder)
        with _decoder(path, None, _PLACES_ONLY) as file:
            records = _records(file, container.header.records)
            found = []
            for located in slices:
                ranges: dict[int, tuple[int, int]] = {}
                for _ in range(located.header.records):
                    record = next(records)
                    tid, position = record.reference_id, record.reference_start
                    start, end = ranges.get(tid, (position, position + 1))
                    ranges[tid] = min(start, position), max(end, _end(record, position))
                found.append(ranges)
            if next(records, None) is not None:
                raise OSError("more records than its slices state")
    return found


def _reference(
    source: CramSource, container: Container, slices: Sequence[Located], references: References | None, folder: Path
) -> Path | None:
    """A FASTA with what the container was encoded against; None when nothing lies outside of the file.

    Raises:
        FormatError: a reference is missing.
    """
    spans: list[tuple[int, int, int]] = []
    multiple = any(located.external and located.header.reference == MULTIPLE for located in slices)
    ranges = ranges_by_slice(source, container, slices) if multiple else [{}] * len(slices)
    for located, inside in zip(slices, ranges, strict=True):
        header = located.header
        if located.external and header.reference == MULTIPLE:
            spans += [(tid, start, end) for tid, (start, end) in inside.items() if tid >= 0]
        elif located.external:
            spans.append((header.reference, header.start - 1, header.start - 1 + header.span))
    if not spans:
        return None
    windows = []
    for tid, start, end in spans:
        name = source.names[tid]
        length = source.contigs[name]
        md5 = source.md5.get(name)
        reference = references.find(md5, length) if references is not None and md5 is not None else None
        if reference is None:
            what = f"reference M5 {md5}" if md5 is not None else "a reference, which its header names by no M5,"
            advice = "put a FASTA that has it into the lake, or name one"
            raise FormatError(f"needs {what} of contig {name}: {advice}")
        first, last = max(start - _MARGIN, 0), min(end + _MARGIN, length)
        windows.append(Window(name, length, min(first, last), last, reference))
    path = folder / "reference.fa"
    write_windows(path, windows)
    return path


def cut_container(source: CramSource, container: Container, chooser: Chooser, references: References | None) -> bytes:
    """Containers with the chosen records of one container, in the same order; empty when there are none.

    Raises:
        FormatError: the container is damaged, or needs a reference that is missing.
    """
    slices = source.slices(container)
    with _workplace(container) as folder:
        fasta = _reference(source, container, slices, references, folder)
        path = _write_alone(source, container, folder)
        with _decoder(path, fasta, ()) as file:
            chosen = list(chooser.select(_records(file, container.header.records)))
            return _encode(source, container, file, chosen, folder / "cut.cram") if chosen else b""


def _encode(
    source: CramSource, container: Container, decoded: AlignmentFile, chosen: list[AlignedSegment], path: Path
) -> bytes:
    """Records as containers of the file's own version."""
    import pysam

    # Higher levels, the tokenizer of names, and trying rANS on every block take up to twice the time to save a few
    # kilobytes.
    options = [f"version={source.major}.{source.minor}", "no_ref=1", "level=1", "use_tok=0", "use_rans=0"]
    with pysam.AlignmentFile(str(path), "wc", header=decoded.header, format_options=options) as file:
        for record in chosen:
            file.write(record)
    with _decoder(path, None, ()) as file:
        for record, again in zip(chosen, _records(file, len(chosen)), strict=True):
            if record.compare(again) and record.to_string() != again.to_string():
                raise FormatError(
                    f"record {record.query_name} of the CRAM container at {container.offset} cannot be encoded anew"
                )
    made = CramSource(BytesReader(path.read_bytes(), source.reader.source))
    containers = made.reader.read(made.body, made.end - made.body)
    return renumber(containers, source.major, container.header.counter)
