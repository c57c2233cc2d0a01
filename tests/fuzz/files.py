"""Everything that is asked of a file of a format while it is stored, described and sliced."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pysam
import pysam.bcftools
from numpy.typing import NDArray

from lake.chunks import ChunkMap
from lake.errors import LakeError
from lake.formats.base import (
    CutFormat,
    NamedFormat,
    PairedFormat,
    ReferencedFormat,
    RegionFile,
    RegionFormat,
    StrictFormat,
)
from lake.formats.facts.sources import IndexFile, fact_source
from lake.formats.path_reader import PathReader
from lake.formats.reader import BytesReader
from lake.formats.registry import get_format
from lake.formats.sniffing import HEAD, detect, suffix_problem
from lake.formats.spectra.source import SpectrumSource
from lake.inspection import Inspector
from lake.segments import Plan, Slice

__all__ = ["check_file", "check_index", "sound_index", "tolerated"]

_MOST_PIECES = 64
_GENOMIC = ("chr1:1-2,000", "chr2", "{HLA-A*01:01}:1-2,000", "*", ".", "chr1:49,900")
_SPECTRA = (
    "rt=0-5s",
    "ms_level=2",
    "index=1-3",
    "isolation=100-500&charge=2-",
    "chromatograms=all",
    "x=1-2&y=2",
    "scan=3",
    "precursor_mz=400-500",
    ".",
)
_ARRAYS = ("/", "/g/matrix[3:9,2]", "/g/text", "/g/records", "/link", "/X", "obs", "/matrix", "time=0-3", ".")
REGIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("mzML", "mzXML", "mzMLb", "MGF", "imzML"), _SPECTRA),
    **dict.fromkeys(("HDF5", "h5ad", "netCDF"), _ARRAYS),
    "FASTQ": ("reads=1-10", "reads=-3", "reads=5,7", "name=r3", "."),
    "gzip": ("bytes=10-99", "bytes=-5", "."),
}


def tolerated(step: Callable[[], object]) -> object:
    """What a step gives; None where it refuses with one of the errors that it may."""
    try:
        return step()
    except LakeError:
        return None


def _drain(plan: Plan, reader: PathReader) -> None:
    answer = Slice(
        plan.media_type, plan.segments, "x", plan.verbatim, lambda span: reader.read(span.offset, span.length)
    )
    for _ in islice(answer.iter_bytes(), _MOST_PIECES):
        pass


def _query(file: RegionFile, regions: Iterable[str], reader: PathReader) -> None:
    for region in regions:
        tolerated(lambda region=region: _drain(file.plan([region]), reader))  # type: ignore[misc]
    contigs = tolerated(lambda: list(islice(file.contigs, 2)))
    for name in contigs if isinstance(contigs, list) else ():
        tolerated(lambda name=name: _drain(file.plan([f"{{{name}}}:1-100"]), reader))  # type: ignore[misc]
    source = getattr(file, "source", None)
    if hasattr(source, "points"):
        assert source is not None
        tolerated(lambda: list(islice(source.points(_first_rows(source), (1000514, 1000515)), 3)))
        for row in range(min(2, len(source.table.chromatograms.n_points))):
            tolerated(lambda row=row: source.trace(row))  # type: ignore[misc]


def _first_rows(source: SpectrumSource) -> NDArray[np.int64]:
    return np.arange(min(20, len(source.table.spectra.n_points)))


def _watched(data: bytes, name: str) -> ChunkMap | None:
    inspector = Inspector(name, len(data))
    inspector.update(memoryview(data))
    found = inspector.chunk_map()
    if found is not None:
        assert found.size == len(data)
        assert ChunkMap.decode(found.encode(), len(data)) == found
    return found


def check_file(name: str, data: bytes, folder: Path, *, partner: bytes | None = None) -> None:
    """Ask all that can be asked of a format's file.

    Raises:
        Exception: anything but what `tolerated` tolerates: a finding.
    """
    path = folder / "input"
    path.write_bytes(data)
    for called in ("input", f"input.{name}"):
        suffix_problem(called, detect(data[:HEAD], called, size=len(data)))
    bounds = _watched(data, f"input.{name}")
    form = get_format(name)
    with PathReader(path) as reader:
        if form is not None:
            assert all(isinstance(line, str) for line in form.check(reader))
        if isinstance(form, CutFormat):
            tolerated(lambda: form.cuts(reader))
        if isinstance(form, StrictFormat):
            form.check_strictly(reader)
        if isinstance(form, RegionFormat):
            tolerated(lambda: form.check_chunk(data[: _watched_end(bounds, len(data))], 0))
            kind, index, table = _indexed(form, path, folder, reader)
            second = BytesReader(partner) if partner is not None else None
            if isinstance(form, PairedFormat) and second is not None:
                form.check_partner(reader, second)
            for found in (_Indexes(kind, index, table), _Indexes(kind, index, None), _Indexes(None, None, None)):
                _ask(form, reader, found, second)
            _describe(name, reader, IndexFile(kind, index, form.table_kind, table, _bounds(bounds, len(data)), {}))
        else:
            _describe(name, reader, None)


def _watched_end(chunks: ChunkMap | None, size: int) -> int:
    return chunks.lengths[0] if chunks is not None and chunks.lengths else size


def _bounds(chunks: ChunkMap | None, size: int) -> Sequence[int]:
    return chunks.offsets if chunks is not None else (0, size)


def _describe(name: str, reader: PathReader, at_hand: IndexFile | None) -> None:
    source = fact_source(name)
    if source is not None:
        tolerated(lambda: source.header(reader))
        if at_hand is not None:
            tolerated(lambda: source.located(reader, at_hand))


def _indexed(
    form: RegionFormat, path: Path, folder: Path, reader: PathReader
) -> tuple[str | None, bytes | None, bytes | None]:
    out, made = folder / "index", folder / "table"
    for each in (out, made):
        each.unlink(missing_ok=True)
    if isinstance(form, NamedFormat):
        tolerated(lambda: form.build_names(reader))
    if isinstance(form, ReferencedFormat):
        tolerated(lambda: form.required_references(reader))
    if form.indexable(reader) is not None:
        return None, None, None
    kind = tolerated(lambda: form.build_index(path, out, 1, made))
    if not isinstance(kind, str):
        assert not out.exists(), "a failed index is left behind"
        return None, None, None
    index = out.read_bytes()
    table = made.read_bytes() if made.exists() else None
    if table is None and form.table_kind is not None:
        found = tolerated(lambda: form.build_table(reader, index))
        table = found if isinstance(found, bytes) else None
    return kind, index, table


class _Indexes(NamedTuple):
    kind: str | None
    body: bytes | None
    table: bytes | None


def _ask(form: RegionFormat, reader: PathReader, found: _Indexes, partner: BytesReader | None) -> None:
    kind, index, table = found
    with contextlib.suppress(LakeError):
        if isinstance(form, PairedFormat):
            file = form.open(reader, kind=kind, index=index, table=table, partner=partner)
        else:
            file = form.open(reader, kind=kind, index=index, table=table)
        _query(file, REGIONS.get(form.name, _GENOMIC), reader)


def check_index(name: str, sound: bytes, kind: str, index: bytes, folder: Path) -> None:
    """Ask of a sound file with a damaged index: that is refused, or gives errors or the truth."""
    form = get_format(name)
    assert isinstance(form, RegionFormat)
    path = folder / "input"
    path.write_bytes(sound)
    with PathReader(path) as reader:
        reason = tolerated(lambda: form.check_index(reader, kind, index))
        _ask(form, reader, _Indexes(kind, index, None), None)
        source = fact_source(name)
        if source is not None and reason is None:
            at_hand = IndexFile(kind, index, None, None, (0, len(sound)), {})
            tolerated(lambda: source.located(reader, at_hand))


def sound_index(name: str, sound: bytes, kind: str, folder: Path) -> bytes:
    """An index of a kind by htslib."""
    path = folder / f"sound.{name}{random.getrandbits(40)}"
    path.write_bytes(sound)
    out = Path(f"{path}.{kind}")
    if name == "BAM" or name == "CRAM":
        pysam.index("-c" if kind == "csi" else "-b", "-o", str(out), str(path))
    elif name == "FASTA":
        pysam.faidx(str(path))
    elif name == "BCF":
        pysam.bcftools.index("-f", "-o", str(out), str(path))
    else:
        preset: Literal["vcf", "bed"] = "vcf" if name == "VCF" else "bed"
        pysam.tabix_index(str(path), force=True, keep_original=True, preset=preset, csi=kind == "csi")
    return out.read_bytes()
