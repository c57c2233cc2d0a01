"""The sequence collections of a lake: one for each FASTA, and what other files say of theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from lake.artifacts import artifact_bytes
from lake.digest import Digest
from lake.errors import LakeError
from lake.facts import load_facts, unpack_facts
from lake.htsget.seqcol import Collection
from lake.htsget.sequences import SEQUENCE_FACTS
from lake.repository import Repository

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Assembly", "AssemblyCatalog", "collection_of"]


class Assembly(NamedTuple):
    """A FASTA as a collection of sequences."""

    file: Digest
    digest: str
    """Of the collection."""
    digests: dict[str, str]
    """Of each attribute."""


class AssemblyCatalog:
    """The collections of every FASTA that the lake has been given, on any branch. Safe for use by several threads.

    The facts of each file are read once, and later only those of files added since; digests alone are kept.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._mark = 0
        self._known: dict[Digest, Assembly] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Assembly]:
        """Every collection, by its digest; the same one as often as there are files of it."""
        with self._lock:
            self._mark, new = self._repo.journal.artifacts_of(SEQUENCE_FACTS, self._mark)
            for artifact in new:
                try:
                    table = unpack_facts("sequences", artifact_bytes(self._repo, artifact))
                    collection = _collection(table.to_pydict())
                except LakeError:
                    # Facts that are damaged are made again when the file is asked for them.
                    continue
                if collection.digest is not None:
                    assembly = Assembly(artifact.object, collection.digest, collection.digests)
                    self._known[artifact.object] = assembly
            return sorted(self._known.values(), key=lambda assembly: (assembly.digest, assembly.file))

    def having(self, attribute: str, digest: str) -> Iterator[Assembly]:
        """Collections with an attribute of that digest; of the collection itself where ``attribute`` is empty."""
        for assembly in self.all():
            if digest == (assembly.digests.get(attribute) if attribute else assembly.digest):
                yield assembly

    def load(self, assembly: Assembly) -> Collection:
        """
        Raises:
            NotFound, DamagedObject: the file is not there any more, or cannot be read.
        """
        facts = load_facts(self._repo, self._repo.shelf.reader(assembly.file))
        return _collection(facts["sequences"].to_pydict())


def collection_of(facts: Mapping[str, pa.Table], ga4gh: Callable[[str], str | None]) -> Collection | None:
    """The sequences of a FASTA, or the contigs that the header of another file declares; None without any.

    Args:
        facts: of the file, by kind.
        ga4gh: digests of sequences by MD5; contigs get ``sequences`` where it knows all of them.
    """
    if "sequences" in facts:
        return _collection(facts["sequences"].to_pydict())
    if "contigs" not in facts:
        return None
    columns = facts["contigs"].to_pydict()
    known = {"names": columns["name"]}
    if None not in columns["length"]:
        known["lengths"] = columns["length"]
    digests = [ga4gh(md5) for md5 in columns["md5"]] if all(columns["md5"]) else [None]
    if None not in digests:
        known["sequences"] = digests
    return Collection(known)


def _collection(columns: dict[str, list[object]]) -> Collection:
    return Collection({"lengths": columns["length"], "names": columns["name"], "sequences": columns["ga4gh"]})
