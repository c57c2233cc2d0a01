"""What can be asked of a slice beyond its region, and needs its records decoded: filters, parts, other formats."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from lake.errors import InvalidInput

__all__ = ["ALIGNMENTS", "FIELDS", "OUTPUTS", "PLAIN_MZML", "VARIANTS", "DecodeOptions"]

ALIGNMENTS = ("BAM", "CRAM", "SAM")
VARIANTS = ("BCF", "VCF")
PLAIN_MZML = "MZML-PLAIN"
"""mzML without an index, its spectra as they stand in the file (`lake.formats.base.PlainFile`)."""

OUTPUTS = {
    "SAM": "text/x-sam",
    "BAM": "application/vnd.ga4gh.bam",
    "CRAM": "application/vnd.ga4gh.cram",
    "VCF": "application/vnd.ga4gh.vcf",
    "VCFTEXT": "application/vnd.ga4gh.vcf",
    "BCF": "application/vnd.ga4gh.bcf",
    PLAIN_MZML: "application/xml",
}
"""Formats of an answer with their media types. ``VCF`` is BGZF, ``VCFTEXT`` plain (htsget 1.3.1)."""

FIELDS = ("QNAME", "FLAG", "RNAME", "POS", "MAPQ", "CIGAR", "RNEXT", "PNEXT", "TLEN", "SEQ", "QUAL")
"""Fields of a SAM record (htsget specification, "Field filtering")."""

_NEEDS = {"CIGAR": ("POS",), "POS": ("RNAME",), "PNEXT": ("RNEXT",), "QUAL": ("SEQ",)}
"""A field that means nothing, or makes no valid record, without another."""

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]")
_MOST_FLAGS = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Options of a slice. The defaults ask for nothing: the slice is verbatim then.

    Raises:
        InvalidInput: values that cannot be.
    """

    include_flags: int = 0
    """Reads must have all of these flags (``samtools view -f``)."""
    exclude_flags: int = 0
    """Reads must have none of these flags (``samtools view -F``)."""
    min_quality: int = 0
    """Reads of a lower mapping quality are left out (``samtools view -q``)."""
    mates: bool = False
    """Also the mates of the reads, wherever they lie (``samtools view -P``)."""
    samples: tuple[str, ...] | None = None
    """Columns of a VCF or BCF, in this order (``bcftools view -I -s``)."""
    fields: tuple[str, ...] | None = None
    """SAM fields to keep; others get the value that stands for a missing one."""
    tags: tuple[str, ...] | None = None
    """SAM tags to keep; empty for none."""
    notags: tuple[str, ...] = ()
    """SAM tags to leave out."""
    format: str | None = None
    """One of `OUTPUTS`."""

    def __post_init__(self) -> None:
        if not (0 <= self.include_flags <= _MOST_FLAGS and 0 <= self.exclude_flags <= _MOST_FLAGS):
            raise InvalidInput("flags are numbers from 0 to 65535")
        if not 0 <= self.min_quality <= 255:
            raise InvalidInput(f"a mapping quality is a number from 0 to 255, not {self.min_quality}")
        if self.format is not None and self.format not in OUTPUTS:
            raise InvalidInput(f"no output format {self.format!r}: there are {', '.join(OUTPUTS)}")
        unknown = [name for name in self.fields or () if name not in FIELDS]
        if unknown:
            raise InvalidInput(f"no field {unknown[0]!r}: there are {', '.join(FIELDS)}")
        wrong = [tag for tag in (*(self.tags or ()), *self.notags) if not _TAG.fullmatch(tag)]
        if wrong:
            raise InvalidInput(f"{wrong[0]!r} is not a tag: wanted a letter and a letter or digit, as in NM")
        both = set(self.tags or ()) & set(self.notags)
        if both:
            raise InvalidInput(f"the tag {min(both)} is both wanted and not wanted")
        if self.samples is not None and len(set(self.samples)) != len(self.samples):
            raise InvalidInput("a sample is named twice")

    @property
    def kept_fields(self) -> frozenset[str]:
        """The fields that are kept, with those without which they make no valid record."""
        kept = set(FIELDS if self.fields is None else self.fields)
        waiting = list(kept)
        while waiting:
            for needed in _NEEDS.get(waiting.pop(), ()):
                if needed not in kept:
                    kept.add(needed)
                    waiting.append(needed)
        return frozenset(kept)

    @property
    def of_reads(self) -> bool:
        """Whether something is asked that only alignments have."""
        return bool(
            self.include_flags
            or self.exclude_flags
            or self.min_quality
            or self.mates
            or self.fields is not None
            or self.tags is not None
            or self.notags
        )

    def needed(self, form: str, *, plain: bool = False) -> bool:
        """Whether a slice of that format must be decoded; ``plain`` says that a VCF is not compressed."""
        if self.of_reads or self.samples is not None:
            return True
        if self.format is None:
            return False
        given = "VCFTEXT" if form == "VCF" and plain else form
        return self.format != given

    def check(self, form: str) -> None:
        """
        Raises:
            InvalidInput: a file of that format cannot be asked for this.
        """
        allowed: tuple[str, ...] = ()
        if form in ALIGNMENTS:
            allowed = ALIGNMENTS
            if self.samples is not None:
                raise InvalidInput(f"samples can be chosen of VCF and BCF, not of {form}")
        elif form in VARIANTS:
            allowed = (*VARIANTS, "VCFTEXT")
            if self.of_reads:
                raise InvalidInput(f"flags, qualities, mates, fields and tags are those of reads: this file is {form}")
        elif form == "mzML":
            allowed = (PLAIN_MZML,)
        if form not in (*ALIGNMENTS, *VARIANTS) and (self.of_reads or self.samples is not None):
            raise InvalidInput(f"{form} has neither reads nor samples that could be chosen")
        if self.format is not None and self.format not in allowed and self.format != form:
            raise InvalidInput(f"{form} cannot be given as {self.format}")

    @property
    def canonical(self) -> str:
        """The same text for the same options."""
        return ";".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
