"""Parts of an answer that are made when they are fetched: what stands in their signed URLs, and how it becomes bytes.

A URL says all that is needed, so that every worker can answer it, and the same URL always gives the same bytes.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import NamedTuple, cast

from blake3 import blake3

from lake.answers import AnswerDesk
from lake.decoding import decode
from lake.digest import Digest
from lake.errors import FormatError, Unsupported
from lake.formats.base import RegionFormat
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.cram.structure import DEFINITION_SIZE, EOF_MARKERS
from lake.formats.decode_options import DecodeOptions
from lake.formats.outline import PartedFile
from lake.formats.region import UNBOUNDED, Interval, Region, Selection
from lake.formats.variants.variant_text import compressed
from lake.lake import Lake
from lake.regions import identity
from lake.segments import Literal, Plan, Segment, Slice, Stream, merge_segments

__all__ = ["Computed", "Piece", "claims_of", "end_marker", "header_bytes", "open_parted", "piece_of", "segments_of"]

_ROUTE = "slice"
_PACKED_FROM = 400
"""Characters of a selection from which on it is compressed."""
_BGZF = ("BAM", "VCF", "BCF")
_LARGEST_SELECTION = 1 << 20


class Piece(NamedTuple):
    """One part of an answer."""

    digest: Digest
    selection: Selection
    header: bool = False
    """The header, else the records."""
    first: int = 0
    stop: int | None = None
    """Only records in ``[first, stop)``, see `lake.formats.outline.Gap`."""
    options: DecodeOptions | None = None
    """How records are changed; None: not at all."""
    exact: bool = True


class Computed(NamedTuple):
    """A part, ready to be sent."""

    segments: tuple[Segment, ...]
    media_type: str
    tag: str
    """Two parts with the same tag have the same bytes."""


# -- claims -----------------------------------------------------------------------------------------------------------
def claims_of(piece: Piece) -> dict[str, str | int]:
    """What a signed URL says of a part."""
    claims: dict[str, str | int] = {"k": _ROUTE, "d": piece.digest, "r": _written(piece.selection)}
    if piece.header:
        claims["h"] = 1
    if piece.first:
        claims["a"] = piece.first
    if piece.stop is not None:
        claims["z"] = piece.stop
    if not piece.exact:
        claims["x"] = 1
    options = piece.options
    if options is not None:
        claims["f"] = options.format or ""
        for key, names in (("fl", options.fields), ("tg", options.tags), ("nt", options.notags or None)):
            if names is not None:
                claims[key] = ",".join(names)
    return claims


def piece_of(claims: Mapping[str, str | int]) -> Piece | None:
    """The part that verified claims speak of; None where they are those of another route."""
    if claims.get("k") != _ROUTE:
        return None
    given = cast("dict[str, str]", claims)
    options = None
    if "f" in claims:
        fields, tags, notags = (_names(given.get(key)) for key in ("fl", "tg", "nt"))
        options = DecodeOptions(fields=fields, tags=tags, notags=notags or (), format=given["f"] or None)
    stop = int(claims["z"]) if "z" in claims else None
    selection = _read(given["r"])
    return Piece(
        Digest(given["d"]), selection, "h" in claims, int(claims.get("a", 0)), stop, options, "x" not in claims
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name for name in text.split(",") if name)


def _written(selection: Selection) -> str:
    """``tid:start-stop`` of each interval, without a stop where it is the contig's end; ``*``, ``.``."""
    if selection.everything:
        return "."
    parts = [f"{tid}:{start}-{stop if stop < UNBOUNDED else ''}" for tid, start, stop in selection.intervals]
    text = ";".join(parts + ["*"] * selection.unplaced)
    if len(text) < _PACKED_FROM:
        return text
    return "z" + base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _read(text: str) -> Selection:
    if text.startswith("z"):
        text = zlib.decompressobj().decompress(base64.b85decode(text[1:]), _LARGEST_SELECTION).decode()
    if text == ".":
        return Selection((), everything=True)
    intervals = []
    parts = text.split(";") if text else []
    for part in parts:
        if part != "*":
            tid, _, bounds = part.partition(":")
            start, _, stop = bounds.partition("-")
            intervals.append(Interval(int(tid), int(start), int(stop) if stop else UNBOUNDED))
    return Selection(tuple(intervals), unplaced="*" in parts)


# -- bytes ------------------------------------------------------------------------------------------------------------
def open_parted(lake: Lake, digest: Digest) -> tuple[PartedFile, RegionFormat]:
    """A file whose answers have parts. Blocking.

    Raises:
        Unsupported: its format has none.
    """
    file, form = lake.desk.file(digest, f"b3:{digest}")
    if not isinstance(file, PartedFile):
        raise Unsupported(f"{form.name} is not served in parts")
    return file, form


def segments_of(lake: Lake, piece: Piece) -> Computed:
    """What a part is made of. Blocking; edges are decoded here, conversions while the segments are read.

    Raises:
        LakeError: the file is damaged where it must be read, or gone.
    """
    file, form = open_parted(lake, piece.digest)
    claims = sorted(claims_of(piece).items())
    tag = blake3(
        "\0".join((identity(form, piece.digest, file.query(piece.selection)), version("pysam"), repr(claims))).encode()
    ).hexdigest(16)
    if piece.options is not None:
        made = _Conversion(lake, piece, file, form)
        media = made.media_type
        return Computed((Stream(made.header if piece.header else made.records),), media, tag)
    if piece.header:
        segments = file.header
    elif piece.exact:
        segments = file.body(piece.selection, piece.first, piece.stop)
    else:
        segments = file.cover(piece.selection)
    if not segments and file.marker == Literal(EOF_BLOCK):
        # Whoever inflates each part for itself is given a block to inflate, here and in conversions.
        segments = (Literal(EOF_BLOCK),)
    return Computed(segments, file.media_type, tag)


def header_bytes(lake: Lake, digest: Digest, options: DecodeOptions) -> bytes:
    """The header of an answer in another form. Blocking."""
    file, form = open_parted(lake, digest)
    return b"".join(_Conversion(lake, Piece(digest, Selection(()), True, options=options), file, form).header())


def end_marker(wanted: str, header: bytes) -> bytes:
    """What ends a file of a format that begins with such a header."""
    if wanted == "CRAM":
        return EOF_MARKERS[header[4]]
    return EOF_BLOCK if wanted in _BGZF else b""


class _Conversion:
    """Records of a part in another form, apart from the header that they would stand behind."""

    def __init__(self, lake: Lake, piece: Piece, file: PartedFile, form: RegionFormat) -> None:
        assert piece.options is not None
        self._lake = lake
        self._piece = piece
        self._file = file
        self._form = form
        self.wanted = piece.options.format or form.name
        # Header and records of a compressed text are compressed apart, which no writer does: so text is asked for.
        self._through = "VCFTEXT" if self.wanted == "VCF" else self.wanted
        self._options = replace(piece.options, format=self._through)

    @property
    def media_type(self) -> str:
        return self._decoded(()).media_type

    def header(self) -> Iterator[bytes]:
        raw = self._raw_header()
        yield compress(raw) if self.wanted == "VCF" else raw

    def records(self) -> Iterator[bytes]:
        piece = self._piece
        body = self._file.body(piece.selection, piece.first, piece.stop)
        head = self._raw_header()
        whole = _unnamed(self._decoded(body).iter_bytes())
        pieces = _without(whole, head, end_marker(self._through, head))
        if self.wanted == "VCF":
            pieces = _without(compressed(pieces), b"", EOF_BLOCK)
        something = False
        for data in pieces:
            something = True
            yield data
        if not something and self.wanted in _BGZF:
            yield EOF_BLOCK

    def _raw_header(self) -> bytes:
        whole = b"".join(_unnamed(self._decoded(()).iter_bytes()))
        return whole[: len(whole) - len(end_marker(self._through, whole))]

    def _decoded(self, body: tuple[Segment, ...]) -> Slice:
        piece, file = self._piece, self._file
        segments = merge_segments([*file.header, *body, file.marker])
        exact = self._lake.desk.bound(
            self._form, piece.digest, Plan(file.media_type, segments, True, file.query(piece.selection))
        )
        contigs = list(file.contigs)
        regions = [
            str(Region(contigs[tid], start, None if stop >= UNBOUNDED else stop))
            for tid, start, stop in piece.selection.intervals
        ]
        answers = AnswerDesk(self._lake.repo, self._lake.desk)
        narrow = None if regions or piece.selection.everything else ()
        question = answers.ask(piece.digest, f"b3:{piece.digest}", regions, narrow, self._options)
        return decode(exact, self._form.name, self._options, question.needs())


def _unnamed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same without the name of the file that htslib wrote, which stands in the definition of a CRAM."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= DEFINITION_SIZE:
            break
    if head[:4] == b"CRAM":
        head = head[:6].ljust(DEFINITION_SIZE, b"\0") + head[DEFINITION_SIZE:]
    yield head
    yield from pieces


def _without(pieces: Iterator[bytes], head: bytes, tail: bytes) -> Iterator[bytes]:
    """The bytes between a beginning and an end that are known.

    Raises:
        FormatError: they begin or end otherwise, so that nobody could put the parts together.
    """
    held = b""
    for piece in pieces:
        held += piece
        if len(held) >= len(head):
            break
    if not held.startswith(head):
        raise FormatError("the converted records stand behind another header than was told")
    held = held[len(head) :]
    for piece in pieces:
        held += piece
        if len(held) > len(tail):
            cut = len(held) - len(tail)
            yield held[:cut]
            held = held[cut:]
    if not held.endswith(tail):
        raise FormatError("the converted records do not end as a file of that format does")
    if len(held) > len(tail):
        yield held[: len(held) - len(tail)]
