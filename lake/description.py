"""What a put learns of new files beyond their bytes: facts, and references that nobody has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lake.artifacts import SEQUENCE_INDEX
from lake.digest import Digest
from lake.errors import FormatError, LakeError
from lake.facts import made_facts
from lake.formats.base import ReferencedFormat
from lake.formats.facts.alignments import AlignmentFacts
from lake.formats.facts.sources import fact_source
from lake.formats.registry import region_format
from lake.journal.values import Artifact, ObjectRecord
from lake.references import LakeReferences, missing_references
from lake.repository import Repository

__all__ = ["Described", "describe"]

_MD5 = 16
_MISSING_SHOWN = 3


class Described(NamedTuple):
    """What is to be registered with the files."""

    artifacts: list[Artifact]
    objects: list[ObjectRecord]
    """Objects that hold big artifacts."""


def describe(
    repo: Repository,
    files: Sequence[tuple[ObjectRecord, list[str]]],
    indexes: Sequence[Artifact],
    objects: Mapping[Digest, ObjectRecord],
    *,
    whole: bool,
) -> Described:
    """Facts of new objects; damage that shows meanwhile, and missing references, go to each file's list of warnings.

    Args:
        repo: the lake.
        files: objects, and the list that takes their warnings.
        indexes: artifacts that will be registered with them.
        objects: objects that will be registered, of which the journal does not know yet.
        whole: also what takes a pass over the whole content.
    """
    by_object: dict[Digest, list[Artifact]] = {}
    for artifact in indexes:
        by_object.setdefault(artifact.object, []).append(artifact)
        held = objects.get(artifact.target) if artifact.target is not None else None
        if held is not None:
            repo.shelf.add(held)
    described = Described([], [])
    for record, warnings in files:
        reader = repo.shelf.add(record)
        try:
            made, records = made_facts(repo, reader, by_object.get(record.digest, ()), whole=whole)
        except FormatError as error:
            warnings.append(f"no facts: {error}")
            continue
        source = fact_source(record.format)
        if isinstance(source, AlignmentFacts) and (remark := source.remark(reader)) is not None:
            warnings.append(remark)
        described.artifacts.extend(made)
        described.objects.extend(records)
    _report_references(repo, files, described.artifacts)
    return described


def _report_references(
    repo: Repository, files: Sequence[tuple[ObjectRecord, list[str]]], made: Sequence[Artifact]
) -> None:
    known = frozenset(
        artifact.body[at : at + _MD5].hex()
        for artifact in made
        if artifact.kind == SEQUENCE_INDEX and artifact.body is not None
        for at in range(0, len(artifact.body), _MD5)
    )
    references = LakeReferences(repo, repo.shelf.reader)
    for record, warnings in files:
        form = region_format(record.format)
        if not isinstance(form, ReferencedFormat):
            continue
        try:
            missing = missing_references(form.required_references(repo.shelf.add(record)), references, known)
        except LakeError as error:
            warnings.append(f"its references cannot be told: {error}")
            continue
        warnings.extend(missing[:_MISSING_SHOWN])
        if len(missing) > _MISSING_SHOWN:
            warnings.append(f"{len(missing) - _MISSING_SHOWN} more contigs need references that the lake does not have")
