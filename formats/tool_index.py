"""Indexes that other tools read, made by htslib for files outside of a lake."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pysam
import pysam.bcftools
from pysam.utils import SamtoolsError

from lake.errors import FormatError, Unsupported
from lake.formats.base import RegionFormat
from lake.formats.path_reader import PathReader

__all__ = ["build_tool_index"]

_OWN = ("BAM", "CRAM", "FASTA")
"""Formats whose own index is the one that everybody reads."""

_PRESETS: dict[str, Literal["bed", "gff"]] = {"BED": "bed", "GFF3": "gff", "GTF": "gff"}


def build_tool_index(form: RegionFormat, path: Path, out: Path) -> str:
    """Write the index of a file to ``out``; returns its kind: ``bai``, ``csi``, ``tbi``, ``crai`` or ``fai``.

    CSI is made where BAI and TBI, which end at 512 Mb, cannot be.

    Raises:
        Unsupported: no other tool reads an index of the format.
        FormatError: the file cannot be indexed.
    """
    write = _writer(form.name, path, out)
    if write is None and form.name not in _OWN:
        raise Unsupported(f"{path}: there is no index of {form.name} that other tools read")
    with PathReader(path) as reader:
        if (unfit := form.indexable(reader)) is not None:
            raise FormatError(f"{path} cannot be indexed: {unfit}")
    if write is None:
        try:
            return form.build_index(path, out, os.cpu_count() or 1)
        except FormatError as error:
            raise FormatError(f"{path} {error}") from error
    with path.open("rb") as file:
        if not file.read(16).startswith(b"\x1f\x8b\x08\x04"):
            raise FormatError(f"{path} cannot be indexed: it is not compressed with bgzip")
    kinds = ("csi",) if form.name == "BCF" else ("bai" if form.name == "SAM" else "tbi", "csi")
    reason = ""
    verbosity = pysam.set_verbosity(0)
    try:
        for kind in kinds:
            try:
                write(kind)
            except (OSError, ValueError, SamtoolsError) as error:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                with contextlib.suppress(FileNotFoundError):
                    out.unlink()
            else:
                return kind
    finally:
        pysam.set_verbosity(verbosity)
    raise FormatError(f"{path} cannot be indexed: {reason}")


def _writer(form: str, path: Path, out: Path) -> Callable[[str], object] | None:
    if form in ("VCF", "BCF"):
        return lambda kind: pysam.bcftools.index("-f", "-t" if kind == "tbi" else "-c", "-o", str(out), str(path))
    if form == "SAM":
        return lambda kind: pysam.samtools.index("-b" if kind == "bai" else "-c", "-o", str(out), str(path))
    preset = _PRESETS.get(form)
    if preset is None:
        return None
    return lambda kind: pysam.tabix_index(
        str(path), force=True, keep_original=True, preset=preset, csi=kind == "csi", index=str(out)
    )
