"""VCF as text, without a parser: lines from a stream, and columns cut out as bytes.

Nothing is rewritten: a number stays as it was typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from lake.errors import FormatError, InvalidInput
from lake.formats.alignments.bam_stream import stream_runs
from lake.formats.compression.bgzf import EOF_BLOCK, compress

__all__ = ["compressed", "inflated", "lines_of", "with_samples"]

_FIXED = 9
_LONGEST_LINE = 1 << 28
_GATHERED = 1 << 20


def inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The text of a VCF that comes as BGZF or plainly.

    Raises:
        FormatError: the BGZF is damaged or lacks its end.
    """
    head = b""
    for piece in pieces:
        head += piece
        if len(head) > 1:
            break

    def all_pieces() -> Iterator[bytes]:
        yield head
        yield from pieces

    if head[:2] == b"\x1f\x8b":
        for run in stream_runs(all_pieces()):
            yield run.data
    else:
        yield from all_pieces()


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends; a last line without an end comes as it is.

    Raises:
        FormatError: a line of more than 256 MiB.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > _LONGEST_LINE:
            raise FormatError("a line of more than 256 MiB: the file is damaged, or not text")
    if rest:
        yield rest


def with_samples(lines: Iterable[bytes], samples: Sequence[str]) -> Iterator[bytes]:
    """A VCF with these columns of samples alone, in this order; header lines and INFO stay as they are.

    Without samples the column FORMAT goes too, as with ``bcftools view -G``.

    Raises:
        InvalidInput: a sample that the file does not have.
        FormatError: a record has other columns than the line #CHROM.
    """
    pick: itemgetter[int] | None = None
    count = 0
    for line in lines:
        if pick is None and not line.startswith(b"#CHROM"):
            yield line
            continue
        body = line.rstrip(b"\r\n")
        ending = line[len(body) :]
        if not body:
            yield line
            continue
        columns = body.split(b"\t")
        if pick is None:
            known = {name.decode("utf-8", "replace"): at for at, name in enumerate(columns) if at >= _FIXED}
            missing = [sample for sample in samples if sample not in known]
            if missing:
                some = ", ".join(list(known)[:3])
                raise InvalidInput(f"no sample {missing[0]!r}: the file has {some or 'none'}{', …' * (len(known) > 3)}")
            wanted = [*range(_FIXED), *(known[sample] for sample in samples)] if samples else range(_FIXED - 1)
            pick, count = itemgetter(*wanted), len(columns)
        elif len(columns) != count:
            raise FormatError(f"a record of {len(columns)} columns where the header has {count}: the file is damaged")
        yield b"\t".join(pick(columns)) + ending


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """BGZF with its end marker."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _GATHERED:
            yield compress(b"".join(gathered))
            gathered, size = [], 0
    if size:
        yield compress(b"".join(gathered))
    yield EOF_BLOCK
