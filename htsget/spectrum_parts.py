"""Answers of spectra as segments, and what stands in the signed URLs of those that are made when they are fetched."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3

from lake.digest import Digest
from lake.errors import Unsupported
from lake.formats.base import RegionFile
from lake.formats.region import EVERYTHING
from lake.formats.spectra.mzml import MzmlFile
from lake.formats.spectra.query import SpectrumQuery
from lake.formats.spectra.run_format import RunFile, Stored
from lake.formats.spectra.slicing import plan_slice
from lake.formats.spectra.source import SpectrumFile
from lake.formats.spectra.table import RunTable
from lake.htsget.computed import Computed
from lake.htsget.conditions import region_query
from lake.htsget.errors import Problem
from lake.lake import Lake
from lake.regions import identity
from lake.segments import Plan, Segment, Span, Stream
from lake.spectrum_exports import EXPORTS, VERSION, export

__all__ = ["Made", "SpectrumPart", "plan_part", "segments_of_part", "spectrum_claims", "spectrum_part", "usual_format"]

_ROUTE = "spectra"
_OWN = {"mzML": "MZML", "mzMLb": "MZML", "mzXML": "MZXML", "MGF": "MGF"}
"""What a slice of a stored file is; one of imzML is two files, so it is not given as such."""
_PACKED_FROM = 400
"""Characters of regions from which on they are compressed."""
_LONGEST_REGIONS = 1 << 20
_PIECE = 1 << 20
_SIDES = ("", "header", "body")


class SpectrumPart(NamedTuple):
    """An answer, or one side of it."""

    digest: Digest
    format: str
    regions: tuple[str, ...]
    header: bool = False
    """The run without its spectra."""
    side: str = ""
    """``header`` or ``body``; empty: both."""


class Made(NamedTuple):
    """An answer as segments, which in order are a valid file."""

    header: tuple[Segment, ...]
    """What lies ahead of the spectra, where that can be told."""
    body: tuple[Segment, ...]
    identity: str
    media_type: str


# -- claims -----------------------------------------------------------------------------------------------------------
def spectrum_claims(part: SpectrumPart) -> dict[str, str | int]:
    """What a signed URL says of a part.

    Raises:
        Problem: 413; there is too much to say.
    """
    claims: dict[str, str | int] = {"k": _ROUTE, "d": part.digest, "f": part.format}
    if part.regions:
        text = json.dumps(part.regions, separators=(",", ":"))
        if len(text) > _LONGEST_REGIONS:
            raise Problem(413, "PayloadTooLarge", "too many regions for this kind of answer: ask for fewer at a time")
        packed = len(text) >= _PACKED_FROM
        claims["r"] = "z" + base64.b85encode(zlib.compress(text.encode(), 9)).decode() if packed else text
    if part.header:
        claims["h"] = 1
    if part.side:
        claims["s"] = _SIDES.index(part.side)
    return claims


def spectrum_part(claims: Mapping[str, str | int]) -> SpectrumPart | None:
    """The part that verified claims speak of; None where they are those of another route."""
    if claims.get("k") != _ROUTE:
        return None
    text = str(claims.get("r", "[]"))
    if text.startswith("z"):
        text = zlib.decompress(base64.b85decode(text[1:])).decode()
    side = _SIDES[int(claims.get("s", 0))]
    return SpectrumPart(Digest(str(claims["d"])), str(claims["f"]), tuple(json.loads(text)), "h" in claims, side)


# -- segments ---------------------------------------------------------------------------------------------------------
def usual_format(stored: str) -> str:
    """In which format a file is given to who names none: its own, where that is one file."""
    return _OWN.get(stored, "MZML")


def plan_part(lake: Lake, part: SpectrumPart, query: SpectrumQuery | None = None) -> Made:
    """Both sides of an answer. Blocking; conversions happen while the segments are read.

    Args:
        lake: holds the run.
        part: what is asked; its ``side`` does not count.
        query: that of its regions, where it is known.

    Raises:
        Unsupported: the file is not given in that format.
        InvalidRegion: no spectrum has an id that is asked for.
        LakeError: the file is damaged where one must look.
    """
    file, form = lake.desk.file(part.digest, f"b3:{part.digest}")
    if query is None:
        query = region_query(part.regions, header=part.header)
    if part.format == _OWN.get(form.name) and isinstance(file, RunFile):
        plan = _own_plan(file, form.name, query)
        first = _lists_begin(file.stored.run) if isinstance(file, MzmlFile) else 0
    elif part.format in EXPORTS:
        plan, first = _export_plan(file, form.name, part.format, query), 0
    else:
        offered = ", ".join(dict.fromkeys((*filter(None, [_OWN.get(form.name)]), *EXPORTS)))
        raise Unsupported(f"spectra of {form.name} are not given as {part.format}: there are {offered}")
    header, body = _divided(plan.segments, first)
    if part.header:
        header, body = (*header, *body), ()
    return Made(header, body, identity(form, part.digest, plan.query), plan.media_type)


def segments_of_part(lake: Lake, part: SpectrumPart) -> Computed:
    """What a part is made of. Blocking.

    Raises:
        LakeError: as `plan_part`.
    """
    made = plan_part(lake, part)
    segments = {"header": made.header, "body": made.body}.get(part.side, (*made.header, *made.body))
    tag = blake3("\0".join((made.identity, part.side)).encode()).hexdigest(16)
    return Computed(segments, made.media_type, tag)


def _own_plan(file: RunFile, name: str, query: SpectrumQuery) -> Plan:
    """A slice in the format of the file, as text: whoever fetches it has no suffix that would tell of a compression."""
    reader, content, run = file.stored.reader, file.stored.content, file.stored.run
    if query.everything and name != "mzMLb":
        plan = Plan("", (Span(content.source, 0, content.size),), verbatim=True, query=EVERYTHING)
    elif isinstance(file, MzmlFile):
        plan = plan_slice(content, content, run, query, plain=True)
    else:
        plan = file.slice(Stored(content, content, run), query)
    plan = plan._replace(media_type=EXPORTS["MGF" if name == "MGF" else "MZML"][0])
    if content is reader:
        return plan
    segments = tuple(_read_from(file.stored, segment) for segment in plan.segments)
    return plan._replace(segments=segments, query=f"{plan.query}&content")


def _read_from(stored: Stored, segment: Segment) -> Segment:
    """A span of what a compressed file holds, as a stream."""
    if not isinstance(segment, Span):
        return segment
    offset, stop = segment.offset, segment.offset + segment.length

    def pieces() -> Iterator[bytes]:
        for at in range(offset, stop, _PIECE):
            yield stored.content.read(at, min(_PIECE, stop - at))

    return Stream(pieces)


def _export_plan(file: RegionFile, name: str, form: str, query: SpectrumQuery) -> Plan:
    if not isinstance(file, SpectrumFile):
        raise Unsupported(f"{name} has no spectra that can be read")
    source = file.source
    rows = query.rows(source.table.spectra)
    stream = Stream(lambda: export(source, rows, form))
    return Plan(EXPORTS[form][0], (stream,), verbatim=False, query=f"{query}&format={form}&by={VERSION}")


def _lists_begin(run: RunTable) -> int:
    """Where in an mzML the first list of spectra or chromatograms begins; what lies ahead is the same in all slices."""
    layout = run.layout
    assert layout is not None
    return min((span.tag for span in (layout.spectra, layout.chromatograms) if span is not None), default=layout.stop)


def _divided(segments: Sequence[Segment], first: int) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """What a slice has of the bytes ahead of ``first``, and the rest."""
    done = 0
    for number, segment in enumerate(segments):
        if done >= first or isinstance(segment, Stream):
            return tuple(segments[:number]), tuple(segments[number:])
        if isinstance(segment, Span):
            source, offset, length = segment
            done = offset + length
            if done > first:
                ahead, behind = Span(source, offset, first - offset), Span(source, first, done - first)
                return (*segments[:number], ahead), (behind, *segments[number + 1 :])
    return tuple(segments), ()
