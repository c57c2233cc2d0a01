"""What damage means to people: the paths that name an object, and the regions that its chunks hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lake.artifacts import find_index
from lake.digest import Digest
from lake.errors import FormatError, LakeError, NotFound
from lake.formats.registry import region_format
from lake.formats.sequences.faidx import FaiRecord, parse_fai
from lake.fsck.findings import Bases, Bytes, DamagedChunk, Hit, Spectra
from lake.journal.base import Journal
from lake.journal.values import ObjectRecord
from lake.repository import Repository

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["consequence", "derivation", "hits", "names"]

_BLANKS = 4
"""Bytes of line ends behind the last base of a FASTA that is not compressed, generously."""


def names(journal: Journal, digest: Digest) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """``path@branch``, or ``path@commit`` where only history has it; and for each the commit that named the object."""
    named: dict[str, int] = {}
    gone: dict[str, int] = {}
    for path, branch, commit in journal.paths_of(digest):
        if _is_head(journal, digest, path, branch):
            named.setdefault(f"{path}@{branch}", commit)
        else:
            gone.setdefault(f"{path}@{commit}", commit)
    together = named | gone
    return tuple(together), tuple(together.values())


def _is_head(journal: Journal, digest: Digest, path: str, branch: str) -> bool:
    try:
        entry = journal.lookup(journal.resolve(branch), path)
    except NotFound:
        return False  # the branch has been deleted
    return entry is not None and entry.digest is not None and entry.hex == digest


def derivation(journal: Journal, digest: Digest) -> str:
    """Of what, and as what, an object was derived that no path names."""
    for source, kind in journal.derived_from(digest):
        paths, _ = names(journal, source)
        return f"{kind} of {paths[0] if paths else f'b3:{source}'}"
    return ""


def hits(repo: Repository, record: ObjectRecord, chunks: Sequence[DamagedChunk]) -> tuple[Hit, ...]:
    """The regions that damaged chunks hold, in the words of the format where its facts are kept, else bytes."""
    plain = _joined(Bytes(offset, offset + length) for _, offset, length in chunks)
    tables: dict[str, pa.Table] = {}
    # Facts are derived: without them damage is told in bytes.
    with contextlib.suppress(LakeError):
        from lake.facts import kept_facts

        tables = kept_facts(repo, record, ("chunks", "spectra"))
    if "spectra" in tables:
        return tuple(_spectra(tables["spectra"], plain)) or tuple(plain)
    if "chunks" in tables:
        return tuple(_bases(tables["chunks"], {number for number, _, _ in chunks})) or tuple(plain)
    return tuple(_of_sequences(_sequences(repo, record), plain))


def consequence(record: ObjectRecord, chunks: Sequence[DamagedChunk]) -> str:
    """What is lost beyond the damaged chunks themselves; empty: nothing."""
    alone = record.chunks is None
    if alone or region_format(record.format) is None or all(offset for _, offset, _ in chunks):
        return ""
    return "it begins there: no region can be cut out of it"


def _sequences(repo: Repository, record: ObjectRecord) -> list[FaiRecord]:
    """Where the sequences of a FASTA lie in the file itself: none where it is compressed, or no index is kept."""
    form = region_format(record.format)
    index = find_index(repo, form, repo.journal.artifacts(record.digest)) if form is not None else None
    if index is None or index[0] != "fai":
        return []
    try:
        found = [one for one in parse_fai(index[1]) if one.length]
    except FormatError:
        return []
    ends = [one.place(one.length - 1) + 1 for one in found]
    return found if ends and 0 <= record.size - max(ends) <= _BLANKS else []


def _of_sequences(sequences: Sequence[FaiRecord], runs: Sequence[Bytes]) -> Iterator[Hit]:
    for run in runs:
        places = ((one.name, one.bases_before(run.start), one.bases_before(run.stop)) for one in sequences)
        hit: list[Hit] = [Bases(name, start, stop) for name, start, stop in places if start < stop]
        yield from hit or [run]


def _joined(runs: Iterable[Bytes]) -> list[Bytes]:
    joined: list[Bytes] = []
    for run in sorted(runs):
        if joined and joined[-1].stop >= run.start:
            joined[-1] = Bytes(joined[-1].start, max(joined[-1].stop, run.stop))
        else:
            joined.append(run)
    return joined


def _bases(table: pa.Table, bad: set[int]) -> list[Hit]:
    columns = [table[name].to_pylist() for name in ("ord", "offset", "length", "contig", "start", "stop")]
    found: list[Bases] = []
    without: list[Bytes] = []
    for number, offset, length, contig, start, stop in zip(*columns, strict=True):
        if number not in bad:
            continue
        if contig is None or start is None or stop is None:
            without.append(Bytes(offset, offset + length))
        elif found and found[-1].contig == contig and start <= found[-1].stop:
            found[-1] = Bases(contig, min(found[-1].start, start), max(found[-1].stop, stop))
        else:
            found.append(Bases(contig, start, stop))
    return [*found, *_joined(without)]


def _spectra(table: pa.Table, runs: Sequence[Bytes]) -> list[Hit]:
    """Spectra of which a byte lies in one of the runs; runs outside of spectra stay bytes."""
    names_ = ("offset", "length", "ord", "scan", "rt")
    rows = sorted(zip(*(table[name].to_pylist() for name in names_), strict=True), key=lambda row: row[0] or 0)
    found: list[Hit] = []
    for run in runs:
        mine = [row for row in rows if row[0] is not None and row[0] < run.stop and run.start < row[0] + row[1]]
        if not mine:
            found.append(run)
            continue
        numbered = all(row[3] is not None for row in mine)
        numbers = [row[3] if numbered else row[2] for row in mine]
        times = [row[4] for row in mine if row[4] is not None] or [None]
        found.append(Spectra(min(times), max(times), min(numbers), max(numbers), numbered))
    return found
