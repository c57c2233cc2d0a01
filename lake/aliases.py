"""Regions by names that a file's contigs do not have, resolved where only one of them can be meant.

What a contig may be called is told by rules (``chr1`` and ``1``), by the file's own header, and by the FASTA files of
the lake that have the same sequence under another name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lake.errors import LakeError
from lake.formats.contig_names import declared_names, resolve_region
from lake.formats.decode_options import ALIGNMENTS
from lake.objects import ObjectReader
from lake.repository import Repository

__all__ = ["resolve_regions"]

Names = dict[str, list[str]]
"""Contigs of a file by another name."""


def resolve_regions(
    regions: Sequence[str],
    contigs: Mapping[str, int],
    repo: Repository,
    reader: ObjectReader,
    by_md5: Callable[[Sequence[str]], Mapping[str, Sequence[str]]],
) -> list[str]:
    """Regions in the names of the file; what has one of its names, or fits nothing, stays as it is.

    Args:
        regions: samtools notation.
        contigs: those of the file.
        repo: the lake.
        reader: the file.
        by_md5: names of sequences in the lake, by their MD5; asked only where a name is not one of the file's.

    Raises:
        InvalidRegion: a name may mean several contigs.
    """
    found: Names | None = None

    def names() -> Mapping[str, list[str]]:
        nonlocal found
        if found is None:
            found = _other_names(repo, reader, by_md5)
        return found

    return [resolve_region(text, contigs, names) for text in regions]


def _other_names(
    repo: Repository, reader: ObjectReader, by_md5: Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
) -> Names:
    try:
        found = _declared(reader)
        own = _checksums(repo, reader)
    except LakeError:
        # The planner reads the same header, and says what is wrong with it.
        return {}
    for md5, names in by_md5(list(own)).items():
        for name in names:
            contigs = found.setdefault(name, [])
            contigs += [contig for contig in own[md5] if contig not in contigs]
    return found


def _declared(reader: ObjectReader) -> Names:
    if reader.record.format not in ALIGNMENTS:
        return {}
    from lake.formats.facts import alignments as facts_alignments

    sources = {
        "BAM": facts_alignments.BAM_FACTS,
        "CRAM": facts_alignments.CRAM_FACTS,
        "SAM": facts_alignments.SAM_FACTS,
    }
    return declared_names(sources[reader.record.format].text(reader)[0])


def _checksums(repo: Repository, reader: ObjectReader) -> Names:
    """Contigs by the MD5 that the header states."""
    from lake.facts import load_facts

    found: Names = {}
    table = load_facts(repo, reader).get("contigs")
    if table is not None:
        for name, md5 in zip(table["name"].to_pylist(), table["md5"].to_pylist(), strict=True):
            if md5:
                found.setdefault(md5, []).append(name)
    return found
