"""Attributes from documents outside of a lake: sample sheets and RO-Crates, each one commit."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lake.attributes import ImportReport, plan_annotations
from lake.errors import InvalidInput, NotDirectory, with_others
from lake.journal.values import Annotate, Change, Commit, Entry, Json
from lake.tree import Tree

if TYPE_CHECKING:
    from lake.catalog.session import CatalogConnection
    from lake.catalogs import CatalogDesk

__all__ = ["MetadataImports"]

_MAX_COMPLAINTS = 20
"""Warnings that an error of a strict import tells."""


class MetadataImports(ABC):
    """The verbs that bring attributes into a lake that can be written."""

    catalog: CatalogDesk

    @abstractmethod
    def _writable(self, path: str | os.PathLike[str], ref: str | None = None) -> tuple[Tree, str]: ...

    @abstractmethod
    def _apply(self, tree: Tree, changes: Sequence[Change], message: str) -> Commit | None: ...

    @abstractmethod
    def _checksums(self, entry: Entry) -> Mapping[str, str]: ...

    def import_sheet(
        self,
        source: str | os.PathLike[str],
        prefix: str = "",
        *,
        by: str | None = None,
        key: str | None = None,
        empty: Collection[str] = (),
        clear_empty: bool = False,
        skip_conflicts: bool = False,
        strict: bool = False,
        dry_run: bool = False,
        message: str | None = None,
    ) -> ImportReport:
        """Set attributes from a sample sheet, in one commit: each column but the one that names files is one.

        Args:
            source: a local CSV, TSV, JSON Lines or Parquet.
            prefix: the directory that paths are relative to; nothing outside of it is touched.
            by: what names files: ``path`` (of a file or a directory), ``digest`` or ``sample``; else the headings tell.
            key: the column that does.
            empty: texts such as ``NA`` that count as an empty cell.
            clear_empty: an empty cell removes the attribute; else it says nothing.
            skip_conflicts: rows that contradict each other leave their path alone; else they stop the import.
            strict: a row that names nothing stops the import; else it is a warning.
            dry_run: tell what would change.
            message: of the commit.

        Raises:
            Unreadable, FormatError: the sheet cannot be read; a line that is wrong is named.
            InvalidInput: the sheet does not say what it is joined by, or something stops the import, as above.
            NotFound: no such prefix.
        """
        from lake.sheet_files import read_sheet
        from lake.sheets import JoinBy, find_join, join_sheet

        if by is not None and by not in list(JoinBy):
            raise InvalidInput(f"a sheet is joined by path, digest or sample, not by {by!r}")
        tree, cleaned = self._writable_directory(prefix)
        sheet = read_sheet(Path(source), empty)
        kind, column = find_join(sheet, JoinBy(by) if by is not None else None, key)
        joined = join_sheet(
            sheet,
            kind,
            column,
            tree,
            cleaned,
            lambda names: self._find_samples(names, tree.view.name),
            clear_empty=clear_empty,
            skip_conflicts=skip_conflicts,
        )
        report = ImportReport(len(sheet.lines), joined.matched, {}, tuple(joined.warnings))
        return self._import(tree, report, joined.wanted, strict, dry_run, message or f"meta import {sheet.name}")

    def import_crate(
        self,
        source: str | os.PathLike[str],
        prefix: str = "",
        *,
        strict: bool = False,
        dry_run: bool = False,
        message: str | None = None,
    ) -> ImportReport:
        """Set attributes from the metadata document of an RO-Crate, in one commit.

        Args:
            source: a local ``ro-crate-metadata.json``.
            prefix: the directory that the root of the crate stands for.
            strict: an entity that is not in the lake stops the import; else it is a warning.
            dry_run: tell what would change.
            message: of the commit.

        Raises:
            Unreadable, FormatError: the document cannot be read, or is no metadata of a crate.
            InvalidInput: something stops the import, as above.
            NotFound: no such prefix.
        """
        from lake.crates import join_crate, read_crate

        tree, cleaned = self._writable_directory(prefix)
        crate = read_crate(Path(source))
        found = join_crate(crate, tree, cleaned, self._checksums)
        report = ImportReport(found.entities, found.matched, {}, tuple(found.warnings))
        return self._import(tree, report, found.wanted, strict, dry_run, message or f"meta import {crate.name}")

    def _find_samples(self, names: Collection[str], branch: str | None) -> list[tuple[str, str]]:
        """Files of a branch that name one of these samples, each with it; as committed, also inside a transaction."""
        import pyarrow as pa

        wanted = pa.table({"sample": pa.array(sorted(names), pa.string())})

        def question(connection: CatalogConnection) -> list[tuple[str, str]]:
            connection.register("wanted_samples", wanted)
            query = "SELECT DISTINCT path, sample FROM samples JOIN wanted_samples USING (sample)"
            found: list[tuple[str, str]] = connection.execute(query).fetchall()
            return found

        with self.catalog.connect(at=branch) as connection:
            return connection.asking(question)

    def _writable_directory(self, prefix: str) -> tuple[Tree, str]:
        tree, cleaned = self._writable(prefix)
        if tree.is_file(cleaned):
            raise NotDirectory(f"{cleaned} is a file: the prefix is a directory")
        if not tree.is_directory(cleaned):
            raise tree.missing(cleaned)
        return tree, cleaned

    def _import(
        self,
        tree: Tree,
        report: ImportReport,
        wanted: Mapping[str, Mapping[str, Json]],
        strict: bool,
        dry_run: bool,
        message: str,
    ) -> ImportReport:
        if strict and report.warnings:
            raise with_others([InvalidInput(warning) for warning in report.warnings[:_MAX_COMPLAINTS]])
        changes = plan_annotations(tree, wanted)
        patches = {change.path: change.patch for change in changes if isinstance(change, Annotate)}
        commit = self._apply(tree, changes, message) if not dry_run else None
        return replace(report, patches=patches, commit=commit)
