"""Reference sequences that files were compressed against, found by their checksum and handed to htslib.

htslib wants a FASTA file of whole contigs. It gets a sparse one: only the bases that a decoder will look at are
written, the rest is a hole that takes no space. Names are those of the file that is decoded, and nothing is ever
read from, or written beside, a path that a file's header names.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from lake.errors import FormatError

__all__ = ["Reference", "References", "RequiredReference", "Window", "write_windows"]


class Reference(Protocol):
    """One sequence of a FASTA file."""

    def fetch(self, start: int, stop: int) -> bytes:
        """Bases ``[start, stop)``, 0-based, without line ends; in either case."""
        ...


class References(Protocol):
    """Whoever knows reference sequences. Safe for use by several threads."""

    def find(self, md5: str, length: int) -> Reference | None:
        """The sequence of ``length`` bases whose upper-case letters have this MD5 (32 lower-case hex digits)."""
        ...


class RequiredReference(NamedTuple):
    """A sequence without which some records of a file cannot be decoded."""

    contig: str
    md5: str | None
    """None where the header has no M5, so that nobody can say which sequence it was."""
    length: int


class Window(NamedTuple):
    """Bases ``[start, stop)`` of a contig that a decoder will need."""

    contig: str
    length: int
    """Of the whole contig."""
    start: int
    stop: int
    reference: Reference


def write_windows(path: Path, windows: Iterable[Window]) -> None:
    """Write a sparse FASTA and its ``.fai`` with all contigs of the windows, each on one line.

    Raises:
        FormatError: a reference is shorter than its contig.
    """
    places: dict[str, int] = {}
    index = []
    with path.open("wb") as file:
        end = 0
        for window in windows:
            if window.contig not in places:
                head = b">" + window.contig.encode("utf-8", "surrogateescape") + b"\n"
                file.seek(end)
                file.write(head)
                places[window.contig] = end + len(head)
                end += len(head) + window.length + 1
                file.truncate(end)
                index.append((window.contig, window.length, places[window.contig]))
            bases = window.reference.fetch(window.start, window.stop)
            if len(bases) != window.stop - window.start:
                raise FormatError(f"the reference of contig {window.contig} is shorter than {window.length} bases")
            file.seek(places[window.contig] + window.start)
            file.write(bases)
    lines = [f"{name}\t{length}\t{offset}\t{length}\t{length + 1}\n" for name, length, offset in index]
    Path(f"{path}.fai").write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
