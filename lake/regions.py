"""From a stored file and regions to a slice: finds or makes the index, lets the format compile, binds the bytes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence

from blake3 import blake3

from lake.artifacts import artifact_bytes, build_index, find_index, keep_artifact
from lake.digest import Digest
from lake.errors import DamagedObject, FormatError, LakeError, Unsupported
from lake.formats.base import RegionFile, RegionFormat
from lake.formats.region import read_targets
from lake.formats.registry import region_format
from lake.objects import ObjectReader
from lake.repository import Repository
from lake.segments import Slice, Span

__all__ = ["RegionDesk"]

_log = logging.getLogger("lake.regions")

_OPEN_FILES = 64
_TABLE_AT_ONCE = 48 << 20
"""Bytes of a file up to which its table is made at the first query; bigger ones get theirs beside the queries."""


class RegionDesk:
    """Files of one lake opened for region queries, kept while they are asked again."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._open: OrderedDict[Digest, RegionFile] = OrderedDict()
        self._lock = threading.Lock()
        self._missing: dict[Digest, tuple[str, bytes]] = {}
        """Big files without a table, and their index."""
        self._unproven: dict[Digest, tuple[RegionFormat, bytearray]] = {}
        """Files that have no table, hence were never decoded as a whole, and which of their chunks were."""

    def slice(self, digest: Digest, path: str, regions: Sequence[str], targets: Sequence[str] | None = None) -> Slice:
        """Compile regions of an object.

        Args:
            digest: the object.
            path: what it is called, for messages.
            regions: samtools notation; none, with no targets: the whole file.
            targets: lines of a BED file (0-based, half-open).

        Raises:
            Unsupported: no regions can be asked of its format.
            InvalidRegion, FormatError: see `RegionFile.plan`.
        """
        file, form = self.file(digest, path)
        try:
            plan = file.plan(regions, read_targets(targets, file.contigs, "targets") if targets is not None else None)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        identity = blake3("\0".join((digest, form.planner, form.encoder, plan.query)).encode()).hexdigest()
        return Slice(plan.media_type, plan.segments, identity, plan.verbatim, self._read)

    def file(self, digest: Digest, path: str) -> tuple[RegionFile, RegionFormat]:
        """A file opened for queries; the first time its index is read, or made where it is missing."""
        reader = self._repo.shelf.reader(digest)
        form = region_format(reader.record.format)
        if form is None:
            raise Unsupported(f"{path} is {reader.record.format}: regions of that format cannot be asked")
        with self._lock:
            known = self._open.get(digest)
            missing = self._missing.pop(digest, None) if known is not None else None
            if known is not None:
                self._open.move_to_end(digest)
        if missing is not None:
            self._make_table_beside(form, reader, missing)
        if known is not None:
            return known, form
        opened = self._prepare(form, reader, path)
        self._keep(digest, opened)
        return opened, form

    def forget(self, digest: Digest) -> None:
        """Open the object anew at its next query."""
        with self._lock:
            self._open.pop(digest, None)

    def index(self, digest: Digest, path: str) -> list[str]:
        """Make whatever a file's queries can profit from and that is missing; returns the kinds that it has now."""
        reader = self._repo.shelf.reader(digest)
        form = region_format(reader.record.format)
        if form is None:
            return []
        index = self._index(form, reader, path)
        if index is not None:
            self._table(form, reader, index[1])
            self.forget(digest)
        return sorted({artifact.kind for artifact in self._repo.journal.artifacts(digest)})

    def _read(self, span: Span) -> bytes:
        reader = self._repo.shelf.reader(span.source)
        unproven = self._unproven.get(span.source)
        if unproven is not None:
            self._prove(reader, span, *unproven)
        return reader.read(span.offset, span.length)

    def _prove(self, reader: ObjectReader, span: Span, form: RegionFormat, proven: bytearray) -> None:
        """Decode the chunks of a span once, so that damage from before the put is not passed on as an answer."""
        for number in reader.chunks.locate(span.offset, span.length):
            if not proven[number]:
                offset, length = reader.chunks.span(number)
                form.check_chunk(reader.read(offset, length), offset)
                proven[number] = 1

    def _keep(self, digest: Digest, opened: RegionFile) -> None:
        with self._lock:
            self._open[digest] = opened
            while len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)

    def _prepare(self, form: RegionFormat, reader: ObjectReader, path: str) -> RegionFile:
        self._unproven[reader.source] = form, bytearray(len(reader.chunks))
        index = self._index(form, reader, path)
        if index is None:
            return form.open(reader, kind=None, index=None, table=None)
        table = self._stored_table(form, reader)
        if table is None:
            if reader.size <= _TABLE_AT_ONCE:
                table = self._table(form, reader, index[1])
            else:
                # Whoever asks a second time will profit from the table; a command that asks once would only wait.
                self._missing[reader.source] = index
        return self._opened(form, reader, index, table)

    def _opened(
        self, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes], table: bytes | None
    ) -> RegionFile:
        if table is not None:
            # Whoever made the table has decoded every byte.
            self._unproven.pop(reader.source, None)
        return form.open(reader, kind=index[0], index=index[1], table=table)

    def _index(self, form: RegionFormat, reader: ObjectReader, path: str) -> tuple[str, bytes] | None:
        found = find_index(self._repo, form, self._repo.journal.artifacts(reader.source))
        if found is not None:
            return found
        reason = form.indexable(reader)
        if reason is None and not self._repo.readonly:
            try:
                made = build_index(self._repo, form, reader)
            except FormatError as error:
                reason = str(error)
            else:
                for kind, body in made.bodies(form):
                    keep_artifact(self._repo, reader.source, kind, form.planner, body)
                return made.kind, made.body
        _log.warning("%s has no index (%s): reading the whole file", path, reason or "the lake is read-only")
        return None

    def _stored_table(self, form: RegionFormat, reader: ObjectReader) -> bytes | None:
        for artifact in self._repo.journal.artifacts(reader.source):
            if artifact.kind == form.table_kind:
                try:
                    return artifact_bytes(self._repo, artifact)
                except LakeError:
                    # Derived, hence made again rather than missed.
                    return None
        return None

    def _table(self, form: RegionFormat, reader: ObjectReader, index: bytes) -> bytes | None:
        if form.table_kind is None:
            return None
        stored = self._stored_table(form, reader)
        if stored is not None:
            return stored
        try:
            table = form.build_table(reader, index)
        except (FormatError, DamagedObject) as error:
            # The index alone answers too; a query that meets the damage says so itself.
            _log.warning("no block table for b3:%s: %s", reader.source, error)
            return None
        keep_artifact(self._repo, reader.source, form.table_kind, form.planner, table)
        return table

    def _make_table_beside(self, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes]) -> None:
        def work() -> None:
            try:
                table = self._table(form, reader, index[1])
                if table is not None:
                    self._keep(reader.source, self._opened(form, reader, index, table))
            except LakeError as error:
                _log.warning("no block table for b3:%s: %s", reader.source, error)

        threading.Thread(target=work, name="regionlake-table", daemon=True).start()
