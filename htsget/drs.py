"""Objects of a lake as the Data Repository Service of GA4GH shows them.

Source: DRS 1.5.0, ``DrsObject``, ``AccessMethod``, ``Checksum``. An object's id is its digest, hence always means the
same bytes.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from lake.digest import Digest, parse_digest
from lake.errors import InvalidInput, LakeError
from lake.formats.sniffing import media_type
from lake.grants import Verb
from lake.htsget.access import Principal
from lake.htsget.sight import not_found, seen_names
from lake.journal.values import Kind, ObjectRecord
from lake.lake import Lake
from lake.objects import iter_chunks

__all__ = ["HTSGET", "DrsCatalog", "DrsFile", "Totals"]

HTSGET = {"BAM": "reads", "CRAM": "reads", "SAM": "reads", "VCF": "variants", "BCF": "variants"}
"""Under which endpoint of htsget regions of a format are had."""

_ALGORITHMS = {"sha256": "sha-256", "md5": "md5"}
"""What clients of DRS check, by the names of hashlib: the names of the IANA registry of named information."""
_AT_ONCE = 32 << 20
"""Bytes of an object up to which its checksums are computed while the client waits."""
_KEPT = 4096
_CHECKSUM = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
_UNPORTABLE = re.compile(r"[^A-Za-z0-9._-]")


class DrsFile(NamedTuple):
    """One object as it is shown to somebody."""

    digest: Digest
    size: int
    format: str
    paths: tuple[str, ...]
    """Those that name it, or did, and may be seen; newest first."""
    created: datetime
    checksums: Mapping[str, str]
    """Hexadecimal, by the name of the algorithm in DRS."""

    def document(self, self_uri: str, access_methods: list[dict[str, object]]) -> dict[str, object]:
        """A ``DrsObject``."""
        created = self.created.isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "id": self.digest,
            "name": _UNPORTABLE.sub("_", self.paths[0].rpartition("/")[2]),
            "self_uri": self_uri,
            "size": self.size,
            "created_time": created,
            "updated_time": created,
            "mime_type": media_type(self.format),
            "checksums": [{"type": kind, "checksum": value} for kind, value in self.checksums.items()],
            "access_methods": access_methods,
            "aliases": list(self.paths),
        }


class Totals(NamedTuple):
    """Of the objects that somebody may see."""

    objects: int
    size: int


class DrsCatalog:
    """Looks objects up for who may read them. Safe for use by several threads; every method blocks."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._computed: OrderedDict[Digest, dict[str, str]] = OrderedDict()
        """Checksums that a lake that cannot be written does not keep."""
        self._background = threading.Lock()
        self._totals: OrderedDict[tuple[int, Principal], Totals] = OrderedDict()

    def file(self, principal: Principal, id: str, *, compute: bool) -> DrsFile:
        """The object of an id.

        Args:
            principal: who asks.
            id: 64 hexadecimal digits, with or without ``b3:``.
            compute: SHA-256 and MD5 where they are not known yet: at once for small objects; for big ones they are
                begun, and there when the object is asked for later.

        Raises:
            Problem: 404, or 401: no such object, or not one that may be read as a whole.
        """
        record, names = self._seen(principal, id)
        commit = self._lake.repo.journal.log(self._lake.repo.journal.resolve(str(names[-1][1])), 1)[0]
        checksums = self._checksums(record, compute=compute)
        shown = {_ALGORITHMS[name]: value for name, value in checksums.items() if name in _ALGORITHMS}
        return DrsFile(
            record.digest,
            record.size,
            record.format,
            tuple(dict.fromkeys(path for path, _ in names)),
            datetime.fromtimestamp(commit.created / 1e9, UTC),
            {**shown, "blake3": record.digest},
        )

    def with_checksum(self, principal: Principal, checksum: str) -> list[Digest]:
        """Objects with this BLAKE3, SHA-256 or MD5 that may be read as a whole."""
        wanted = checksum.lower()
        if _CHECKSUM.fullmatch(wanted) is None:
            return []
        journal = self._lake.repo.journal
        with self._lock:
            found = [digest for digest, known in self._computed.items() if wanted in known.values()]
        found += journal.with_checksum(wanted)
        found.extend(journal.known([Digest(wanted)]))
        return [digest for digest in dict.fromkeys(found) if seen_names(principal, self._lake, digest)]

    def totals(self, principal: Principal) -> Totals:
        """Of the objects that the served ref names, and that may be read as a whole."""
        tree = self._lake.tree()
        key = (tree.view.seq, principal)
        with self._lock:
            if key in self._totals:
                return self._totals[key]
        sizes = {
            entry.digest: entry.size
            for entry in (tree.walk("") if principal.may(Verb.READ) or principal.grants else [])
            if entry.kind == Kind.FILE
            and principal.may(Verb.READ, entry.path)
            and principal.regions(entry.path) is None
        }
        totals = Totals(len(sizes), sum(sizes.values()))
        with self._lock:
            self._totals[key] = totals
            while len(self._totals) > 64:
                self._totals.popitem(last=False)
        return totals

    def _seen(self, principal: Principal, id: str) -> tuple[ObjectRecord, list[tuple[str, int]]]:
        try:
            digest = parse_digest(id)
        except InvalidInput:
            raise not_found(principal) from None
        names = seen_names(principal, self._lake, digest)
        record = self._lake.repo.journal.object(digest) if names else None
        if record is None:
            raise not_found(principal)
        return record, names

    def _checksums(self, record: ObjectRecord, *, compute: bool) -> Mapping[str, str]:
        with self._lock:
            known = {**self._computed.get(record.digest, {}), **record.checksums}
        if not compute or known.keys() >= _ALGORITHMS.keys():
            return known
        if record.size <= _AT_ONCE:
            return {**known, **self._compute(record.digest)}
        if self._background.acquire(blocking=False):
            threading.Thread(
                target=self._compute_beside, args=(record.digest,), name="regionlake-checksums", daemon=True
            ).start()
        return known

    def _compute_beside(self, digest: Digest) -> None:
        try:
            self._compute(digest)
        except LakeError:
            # Whoever reads the object is told what is wrong with it.
            return
        finally:
            self._background.release()

    def _compute(self, digest: Digest) -> dict[str, str]:
        hashers = {name: hashlib.new(name, usedforsecurity=False) for name in _ALGORITHMS}
        for chunk in iter_chunks(self._lake.repo.shelf.reader(digest)):
            for hasher in hashers.values():
                hasher.update(chunk)
        checksums = {name: hasher.hexdigest() for name, hasher in hashers.items()}
        if not self._lake.repo.readonly:
            self._lake.repo.journal.add_checksums(digest, checksums)
        else:
            with self._lock:
                self._computed[digest] = checksums
                while len(self._computed) > _KEPT:
                    self._computed.popitem(last=False)
        return checksums
