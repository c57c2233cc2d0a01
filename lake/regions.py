"""From a stored file and regions to a slice: finds or makes the index, lets the format compile, binds the bytes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from blake3 import blake3

from lake.aliases import resolve_regions
from lake.artifacts import artifact_bytes, build_index, find_index, is_of_facts, keep_artifact
from lake.digest import Digest
from lake.errors import DamagedObject, FormatError, LakeError, Unsupported
from lake.formats.base import NamedFormat, PairedFormat, PlainFile, ReferencedFormat, RegionFile, RegionFormat
from lake.formats.facts.sources import fact_source
from lake.formats.ordinals import is_byte_range
from lake.formats.region import Region, read_targets
from lake.formats.registry import region_format
from lake.objects import ObjectReader
from lake.repository import Repository
from lake.segments import Plan, Slice, Span

if TYPE_CHECKING:
    from lake.references import LakeReferences

__all__ = ["RegionDesk", "identity"]

_log = logging.getLogger("lake.regions")

_Key = tuple[Digest, str]
"""An object, and the format as which it is opened."""

_GZIP = b"\x1f\x8b"
_OPEN_FILES = 64
_TABLE_AT_ONCE = 48 << 20
"""Bytes of a file up to which its table is made at the first query; bigger ones get theirs beside the queries."""


def identity(form: RegionFormat, digest: Digest, query: str) -> str:
    """See `lake.segments.Slice.identity`."""
    return blake3("\0".join((digest, form.planner, form.encoder, query)).encode()).hexdigest()


class RegionDesk:
    """Files of one lake opened for region queries, kept while they are asked again."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._open: OrderedDict[_Key, RegionFile] = OrderedDict()
        self._lock = threading.Lock()
        self._missing: dict[_Key, tuple[str, bytes]] = {}
        """Big files without a table, and their index."""
        self._unproven: dict[Digest, tuple[RegionFormat, bytearray]] = {}
        """Files that have no table, hence were never decoded as a whole, and which of their chunks were."""

    def slice(self, digest: Digest, path: str, regions: Sequence[str], targets: Sequence[str] | None = None) -> Slice:
        """Compile regions of an object.

        Args:
            digest: the object.
            path: what it is called, for messages.
            regions: samtools notation, or what else the format knows; none, with no targets: the whole file. Any
                file in gzip or BGZF knows ``bytes=0-99`` of its content.
            targets: lines of a BED file (0-based, half-open).

        Raises:
            Unsupported: no regions can be asked of its format.
            InvalidRegion, FormatError: see `RegionFile.plan`.
        """
        if regions and all(map(is_byte_range, regions)) and self._repo.shelf.reader(digest).read(0, 2) == _GZIP:
            return self._slice_content(digest, path, regions, targets)
        file, _ = self.file(digest, path)
        named = self.named(digest, file, regions)
        return self.compile(
            digest, path, named, read_targets(targets, file.contigs, "targets") if targets is not None else None
        )

    def named(self, digest: Digest, file: RegionFile, regions: Sequence[str]) -> list[str]:
        """Regions in the file's own names of its contigs.

        Raises:
            InvalidRegion: a name may mean several contigs.
        """
        if not regions or not file.contigs:
            return list(regions)
        reader = self._repo.shelf.reader(digest)
        return resolve_regions(regions, file.contigs, self._repo, reader, lambda md5s: self.references.names(md5s))

    def compile(self, digest: Digest, path: str, regions: Sequence[str], targets: Sequence[Region] | None) -> Slice:
        """`slice` of regions in the file's own names, and of targets that are parsed."""
        return self._compiled(*self.file(digest, path), digest, path, regions, targets)

    def compile_plain(self, digest: Digest, path: str, regions: Sequence[str]) -> Slice:
        """`slice` in the form that needs nothing read.

        Raises:
            Unsupported: the format has no such form.
        """
        file, form = self.file(digest, path)
        if not isinstance(file, PlainFile):
            raise Unsupported(f"{path} is {form.name}: its slices have no plain form")
        return self._bound(digest, path, form, lambda: file.plan_plain(regions))

    def _slice_content(self, digest: Digest, path: str, regions: Sequence[str], targets: Sequence[str] | None) -> Slice:
        """Bytes of what is compressed, whatever that is."""
        form = region_format("gzip")
        assert form is not None
        file = self._opened_as(form, digest, path)
        parsed = read_targets(targets, file.contigs, "targets") if targets is not None else None
        return self._compiled(file, form, digest, path, regions, parsed)

    def _compiled(
        self,
        file: RegionFile,
        form: RegionFormat,
        digest: Digest,
        path: str,
        regions: Sequence[str],
        targets: Sequence[Region] | None,
    ) -> Slice:
        return self._bound(digest, path, form, lambda: file.plan(regions, targets))

    def _bound(self, digest: Digest, path: str, form: RegionFormat, make: Callable[[], Plan]) -> Slice:
        """The plan that is made, with its identity and what reads its spans."""
        try:
            plan = make()
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        return self.bound(form, digest, plan)

    def bound(self, form: RegionFormat, digest: Digest, plan: Plan) -> Slice:
        """A plan of an object with the bytes that it speaks of."""
        return Slice(plan.media_type, plan.segments, identity(form, digest, plan.query), plan.verbatim, self._read)

    def opened(self, digest: Digest) -> RegionFile | None:
        """The file where `file` would give it without any work, else None."""
        form = region_format(self._repo.shelf.reader(digest).record.format)
        if form is None:
            return None
        key = digest, form.name
        with self._lock:
            return None if key in self._missing else self._open.get(key)

    def file(self, digest: Digest, path: str) -> tuple[RegionFile, RegionFormat]:
        """A file opened for queries; the first time its index is read, or made where it is missing."""
        reader = self._repo.shelf.reader(digest)
        form = region_format(reader.record.format)
        if form is None:
            raise Unsupported(f"{path} is {reader.record.format}: regions of that format cannot be asked")
        return self._opened_as(form, digest, path), form

    def _opened_as(self, form: RegionFormat, digest: Digest, path: str) -> RegionFile:
        reader = self._repo.shelf.reader(digest)
        key = digest, form.name
        with self._lock:
            known = self._open.get(key)
            missing = self._missing.pop(key, None) if known is not None else None
            if known is not None:
                self._open.move_to_end(key)
        if missing is not None:
            self._make_table_beside(form, reader, missing)
        if known is not None:
            return known
        try:
            opened = self._prepare(form, reader, path)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        self._keep(key, opened)
        return opened

    @cached_property
    def references(self) -> LakeReferences:
        """Sequences that files were compressed against: those of the FASTA files of the lake."""
        from lake.references import LakeReferences

        return LakeReferences(self._repo, lambda digest: self.file(digest, f"b3:{digest}")[0])

    def forget(self, digest: Digest) -> None:
        """Open the object anew at its next query."""
        with self._lock:
            for key in [key for key in self._open if key[0] == digest]:
                del self._open[key]

    def index(self, digest: Digest, path: str, *, names: bool = False) -> list[str]:
        """Make whatever a file's queries can profit from and that is missing; returns the kinds that it has now.

        Args:
            digest: the object.
            path: what it is called, for messages.
            names: also an index of the names of its records.

        Raises:
            Unsupported: records of the format cannot be asked for by name.
            FormatError: the names cannot be indexed: the file is malformed or damaged.
        """
        reader = self._repo.shelf.reader(digest)
        form = region_format(reader.record.format)
        if names and not isinstance(form, NamedFormat):
            raise Unsupported(f"{path} is {reader.record.format}: its records cannot be asked for by name")
        if form is None:
            return []
        index, reason = self._index(form, reader)
        if index is not None:
            self._table(form, reader, index[1])
            self.forget(digest)
        else:
            _log.warning("%s has no index: %s", path, reason)
        if names and isinstance(form, NamedFormat) and self._names(form, reader) is None:
            try:
                body = form.build_names(reader)
            except FormatError as error:
                raise FormatError(f"{path}: {error}") from error
            keep_artifact(self._repo, digest, form.names_kind, form.planner, body)
            self.forget(digest)
        kinds = {artifact.kind for artifact in self._repo.journal.artifacts(digest)}
        return sorted(kind for kind in kinds if not is_of_facts(kind))

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

    def _keep(self, key: _Key, opened: RegionFile) -> None:
        with self._lock:
            self._open[key] = opened
            while len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)

    def _prepare(self, form: RegionFormat, reader: ObjectReader, path: str) -> RegionFile:
        if form.name == reader.record.format:
            self._unproven[reader.source] = form, bytearray(len(reader.chunks))
        index, reason = self._index(form, reader)
        if index is None:
            # Only now: without an index a format may have no answer at all, which is an error and needs no warning.
            opened = self._form_open(form, reader, None, None)
            _log.warning("%s has no index (%s): reading the whole file", path, reason)
            return opened
        table = self._stored_table(form, reader)
        if table is None:
            if reader.size <= _TABLE_AT_ONCE:
                table = self._table(form, reader, index[1])
            else:
                # Whoever asks a second time will profit from the table; a command that asks once would only wait.
                self._missing[reader.source, form.name] = index
        return self._opened(form, reader, index, table)

    def _opened(
        self, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes], table: bytes | None
    ) -> RegionFile:
        if table is not None:
            # Whoever made the table has decoded every byte.
            self._unproven.pop(reader.source, None)
        return self._form_open(form, reader, index, table)

    def _form_open(
        self, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes] | None, table: bytes | None
    ) -> RegionFile:
        kind, body = index or (None, None)
        if isinstance(form, ReferencedFormat):
            return form.open(reader, kind=kind, index=body, table=table, references=self.references)
        if isinstance(form, NamedFormat):
            return form.open(reader, kind=kind, index=body, table=table, names=self._names(form, reader))
        if isinstance(form, PairedFormat):
            return form.open(reader, kind=kind, index=body, table=table, partner=self._partner(form, reader))
        return form.open(reader, kind=kind, index=body, table=table)

    def _partner(self, form: PairedFormat, reader: ObjectReader) -> ObjectReader | None:
        for artifact in self._repo.journal.artifacts(reader.source):
            if artifact.kind == form.partner_kind and artifact.target is not None:
                return self._repo.shelf.reader(artifact.target)
        return None

    def _index(self, form: RegionFormat, reader: ObjectReader) -> tuple[tuple[str, bytes] | None, str]:
        """The index, made where it is missing, and why there is none."""
        found = find_index(self._repo, form, self._repo.journal.artifacts(reader.source))
        if found is not None:
            return found, ""
        reason = form.indexable(reader)
        if reason is not None:
            return None, reason
        if self._repo.readonly:
            return None, "the lake is read-only"
        try:
            made = build_index(self._repo, form, reader)
        except FormatError as error:
            return None, str(error)
        for kind, body in made.bodies(form):
            keep_artifact(self._repo, reader.source, kind, form.planner, body)
        if made.table is not None or form.table_kind is None:
            self._keep_facts(form, reader, made.table)
        return (made.kind, made.body), ""

    def _stored_table(self, form: RegionFormat, reader: ObjectReader) -> bytes | None:
        return self._stored(reader, form.table_kind)

    def _names(self, form: NamedFormat, reader: ObjectReader) -> bytes | None:
        return self._stored(reader, form.names_kind)

    def _stored(self, reader: ObjectReader, kind: str | None) -> bytes | None:
        for artifact in self._repo.journal.artifacts(reader.source):
            if artifact.kind == kind:
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
        self._keep_facts(form, reader, table)
        return table

    def _keep_facts(self, form: RegionFormat, reader: ObjectReader, table: bytes | None) -> None:
        """The index bounds the interval of every chunk; the table knows it exactly."""
        if fact_source(reader.record.format) is None:
            return
        from lake.facts import keep_located_facts

        index = find_index(self._repo, form, self._repo.journal.artifacts(reader.source))
        try:
            keep_located_facts(self._repo, form, reader, index, table)
        except FormatError as error:
            _log.warning("no facts of the chunks of b3:%s: %s", reader.source, error)

    def _make_table_beside(self, form: RegionFormat, reader: ObjectReader, index: tuple[str, bytes]) -> None:
        def work() -> None:
            try:
                table = self._table(form, reader, index[1])
                if table is not None:
                    self._keep((reader.source, form.name), self._opened(form, reader, index, table))
            except LakeError as error:
                _log.warning("no block table for b3:%s: %s", reader.source, error)

        threading.Thread(target=work, name="regionlake-table", daemon=True).start()
