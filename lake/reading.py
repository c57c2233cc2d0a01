"""A lake as it is read: paths, files, slices and history, at any ref."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from lake.array_view import ArrayView
from lake.artifacts import is_of_facts
from lake.catalogs import CatalogDesk
from lake.digest import Digest
from lake.errors import DamagedObject, LakeError, NotFound, with_others
from lake.formats.decode_options import DecodeOptions
from lake.formats.sniffing import HEAD, detect, media_type, suffix_problem
from lake.globbing import has_pattern, match_paths
from lake.journal.values import Branch, Commit, Difference, Entry, Json, Kind, Tag
from lake.objects import ObjectReader, VerifiedFile
from lake.paths import clean_path, split_ref
from lake.progress import Progress, Silent
from lake.record_view import RecordView
from lake.regions import RegionDesk
from lake.repository import Repository
from lake.segments import Slice
from lake.spectra import SpectraView
from lake.transfer import Link, copy_out, link_out, make_directory, write_slice
from lake.tree import Tree

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from lake.catalog.session import CatalogConnection
    from lake.finding import Filters, RegionHit, TextHit
    from lake.fsck import FsckReport
    from lake.runs import RunDesk

__all__ = ["LakeView", "Stat"]


@dataclass(frozen=True, slots=True)
class Stat:
    """Everything that a lake knows of a path."""

    path: str
    kind: str
    """``file`` or ``directory``."""
    size: int
    modified: datetime | None
    """None for a directory that exists through its files."""
    commit: int
    """Sequence number of the commit that made this version; 0 for a directory that exists through its files."""
    attributes: dict[str, Json]
    digest: Digest | None = None
    format: str | None = None
    media_type: str | None = None
    chunks: int = 0
    problems: tuple[str, ...] = ()
    """What the checks at ingest found, and whether the name contradicts the content."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    """Kinds of indexes and tables at hand, with the code that made them."""
    damaged: tuple[int, ...] = ()
    """Numbers of chunks that are known not to match their digests."""


class LakeView(RecordView, SpectraView, ArrayView):
    """What can be asked of a lake without changing it.

    Paths may start with ``@ref/`` (``@v1/runs/s1.bam``); else they are read at ``ref``.
    """

    def __init__(self, repo: Repository, ref: str = "main") -> None:
        self.repo = repo
        self.ref = ref
        self._desk = RegionDesk(repo)
        self.catalog = CatalogDesk(repo, ref)
        """Connections that ask SQL, and what keeps them quick."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}, ref={self.ref!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def root(self) -> Path:
        return self.repo.root

    @property
    def desk(self) -> RegionDesk:
        """Answers regions of files by digest, for those who hand slices out in parts."""
        return self._desk

    def close(self) -> None:
        """Release what this process holds. A closed lake opens again by itself at its next use."""
        self.catalog.close()
        self.repo.close()

    # -- paths --------------------------------------------------------------------------------------------------
    def tree(self, ref: str | None = None) -> Tree:
        """The entries at a ref."""
        return Tree(self.repo.journal, self.repo.journal.resolve(ref or self.ref))

    def _at(self, path: str | os.PathLike[str], ref: str | None) -> tuple[Tree, str]:
        named, cleaned = split_ref(os.fspath(path))
        return self.tree(named or ref), cleaned

    def ls(self, path: str | os.PathLike[str] = "", *, ref: str | None = None, recursive: bool = False) -> list[Entry]:
        """What a directory holds, sorted by path; of a file, the file itself.

        Raises:
            NotFound: nothing is there.
        """
        tree, cleaned = self._at(path, ref)
        entry = tree.find(cleaned) if cleaned else None
        if entry is not None and entry.kind == Kind.FILE:
            return [entry]
        entries = tree.walk(cleaned) if recursive else tree.children(cleaned)
        if not entries and not tree.is_directory(cleaned):
            raise tree.missing(cleaned)
        return entries

    def exists(self, path: str | os.PathLike[str], *, ref: str | None = None) -> bool:
        tree, cleaned = self._at(path, ref)
        return tree.find(cleaned) is not None or tree.is_directory(cleaned)

    def expand(self, pattern: str, *, ref: str | None = None) -> list[str]:
        """Paths that match a shell pattern (``runs/*.bam``, ``**/*.vcf.gz``); what has none, or exists, is itself.

        Raises:
            NotFound: nothing matches.
        """
        named, cleaned = split_ref(pattern)
        if not has_pattern(cleaned):
            return [pattern]
        tree = self.tree(named or ref)
        if tree.find(cleaned) is not None:
            return [pattern]
        found = match_paths(tree, cleaned)
        if not found:
            raise NotFound(f"nothing in the lake matches {pattern}")
        return [f"@{named}/{path}" if named is not None else path for path in found]

    def stat(self, path: str | os.PathLike[str], *, ref: str | None = None) -> Stat:
        """
        Raises:
            NotFound: nothing is there.
        """
        tree, cleaned = self._at(path, ref)
        entry = tree.find(cleaned) if cleaned else None
        if entry is None and not tree.is_directory(cleaned):
            raise tree.missing(cleaned)
        if entry is None or entry.kind == Kind.DIRECTORY:
            modified = _moment(entry.modified) if entry is not None else None
            attributes = entry.attributes if entry is not None else {}
            return Stat(cleaned, "directory", 0, modified, entry.commit if entry is not None else 0, attributes)
        return self._stat_file(entry)

    def _stat_file(self, entry: Entry) -> Stat:
        reader = self.repo.shelf.reader(entry.hex)
        # The journal's own row, since the shelf may keep one from before an artifact or a damage was recorded.
        record = self.repo.journal.object(entry.hex) or reader.record
        problems = list(record.problems)
        with contextlib.suppress(LakeError):
            head = self.repo.store.read(record.location, 0, HEAD)
            misnamed = suffix_problem(entry.path, detect(head, entry.path, size=record.size))
            problems.extend([misnamed] if misnamed else [])
        artifacts = self.repo.journal.artifacts(entry.hex)
        return Stat(
            entry.path,
            "file",
            entry.size,
            _moment(entry.modified),
            entry.commit,
            entry.attributes,
            entry.hex,
            record.format,
            media_type(record.format),
            len(reader.chunks),
            tuple(problems),
            record.checksums,
            tuple(sorted(f"{found.kind} ({found.code})" for found in artifacts if not is_of_facts(found.kind))),
            tuple(sorted(damage.ord for damage in self.repo.journal.damage(entry.hex))),
        )

    def meta(self, path: str | os.PathLike[str], *, ref: str | None = None) -> dict[str, Json]:
        """The attributes of a file or directory."""
        return self.stat(path, ref=ref).attributes

    def export_crate(self, directory: str | os.PathLike[str] = "", *, ref: str | None = None) -> dict[str, Any]:
        """A directory, everything below it and its attributes as RO-Crate 1.2 metadata, a JSON-LD document.

        Raises:
            NotFound: no such directory.
            NotDirectory: it is a file.
        """
        from lake.crate_export import describe_directory

        tree, cleaned = self._at(directory, ref)
        newest = self.repo.journal.log(tree.view, 1, cleaned or None)
        return describe_directory(tree, cleaned, newest[0].created if newest else 0, self._checksums)

    def _checksums(self, entry: Entry) -> Mapping[str, str]:
        record = self.repo.journal.object(entry.hex)
        return record.checksums if record is not None else {}

    # -- bytes --------------------------------------------------------------------------------------------------
    def reader(self, path: str | os.PathLike[str], *, ref: str | None = None) -> ObjectReader:
        """Verified random access to a file, and its chunk map."""
        tree, cleaned = self._at(path, ref)
        return self.repo.shelf.reader(tree.file(cleaned).hex)

    def local_path(self, path: str | os.PathLike[str], *, ref: str | None = None) -> Path:
        """The plain file inside the lake that holds a file's bytes, made now if they lie in a pack. For reading only.

        Raises:
            InvalidInput: its bytes are not a file of their own, and the lake cannot be written to make one.
        """
        tree, cleaned = self._at(path, ref)
        return self.repo.plain_file(tree.file(cleaned).hex)

    def open_reading(
        self,
        path: str | os.PathLike[str],
        mode: str = "rb",
        *,
        ref: str | None = None,
        verify: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file for reading, binary or text; it goes on seeing the content that it opened. See `Lake.open`."""
        tree, cleaned = self._at(path, ref)
        reader = self.repo.shelf.reader(tree.file(cleaned).hex)
        file: IO[bytes] = io.BufferedReader(VerifiedFile(reader), 1 << 18) if verify else reader.open()
        return file if "b" in mode else io.TextIOWrapper(file, encoding or "utf-8", errors, newline)

    def get(
        self,
        path: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        ref: str | None = None,
        link: Link | str | None = None,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Copy a file or a directory out, verified; destinations behave like those of ``cp -r``. Returns the files.

        Raises:
            NotFound, DamagedObject, StorageError: nothing half-written stays behind. Of a directory the files that
                can be read are written all the same, and the first error is raised at the end.
        """
        tree, cleaned = self._at(path, ref)
        bar = progress or Silent()
        entries = tree.below(cleaned)
        place = Path(destination)
        name = cleaned.rsplit("/", 1)[-1]
        is_file = len(entries) == 1 and entries[0].path == cleaned and entries[0].kind == Kind.FILE
        if place.is_dir() or (is_file and os.fspath(destination).endswith("/")):
            place = place / name if name else place
        written = []
        failures: list[LakeError] = []
        with contextlib.closing(bar):
            bar.start(sum(entry.size for entry in entries), "get")
            for entry in entries:
                below = entry.path[len(cleaned) :].lstrip("/")
                target = place / below if below else place
                if entry.kind == Kind.DIRECTORY:
                    make_directory(target)
                    continue
                try:
                    reader = self.repo.shelf.reader(entry.hex)
                    if link is None:
                        copy_out(reader, target, bar)
                    else:
                        link_out(self.repo, reader, target, Link(link))
                    written.append(target)
                except (DamagedObject, NotFound) as error:
                    failures.append(error)
        if failures:
            raise with_others(failures)
        return written

    def slice(
        self,
        path: str | os.PathLike[str],
        regions: str | Sequence[str] = (),
        *,
        targets: str | os.PathLike[str] | None = None,
        ref: str | None = None,
        include_flags: int = 0,
        exclude_flags: int = 0,
        min_quality: int = 0,
        mates: bool = False,
        samples: Sequence[str] | None = None,
        fields: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        notags: Sequence[str] = (),
        format: str | None = None,
        reference: str | os.PathLike[str] | None = None,
    ) -> Slice:
        """Regions of a file as a complete, valid file: every record once, in file order.

        Without further options the answer is verbatim. With one that needs records decoded (`DecodeOptions`) it is
        computed while it is read, in bounded memory, and ``verbatim`` is False.

        Args:
            path: a file whose format knows regions.
            regions: samtools notation (1-based, closed: ``chr20:1,000,000-2,000,000``); none: the whole file.
            targets: a BED file of further regions (``samtools view -M -L``).
            ref: the ref to read at.
            include_flags, exclude_flags, min_quality: as ``samtools view -f -F -q``.
            mates: the mates of the reads too, as ``samtools view -P``.
            samples: columns of a VCF or BCF, as ``bcftools view -I -s``.
            fields, tags, notags: parts of reads to keep, or to leave out, as in htsget.
            format: ``SAM``, ``BAM``, ``CRAM``, ``VCF``, ``VCFTEXT`` or ``BCF``; ``MZML-PLAIN``: spectra as they stand
                in the file, without an index.
            reference: a FASTA outside of the lake with sequences that a CRAM needs.

        Raises:
            InvalidRegion: cannot be parsed, or names no contig of the file, or several.
            InvalidInput: options that the format does not have.
            Unsupported: the format has no regions.
            FormatError, DamagedObject: what the query needs is damaged, or a reference is missing.
        """
        options = DecodeOptions(
            include_flags,
            exclude_flags,
            min_quality,
            mates,
            tuple(samples) if samples is not None else None,
            tuple(fields) if fields is not None else None,
            tuple(tags) if tags is not None else None,
            tuple(notags),
            format,
        )
        tree, cleaned = self._at(path, ref)
        entry = tree.file(cleaned)
        wanted = [regions] if isinstance(regions, str) else list(regions)
        lines = _lines(Path(targets)) if targets is not None else None
        if reference is not None:
            self._desk.references.use(Path(reference))
        if options == DecodeOptions():
            return self._desk.slice(entry.hex, cleaned, wanted, lines)
        return self._answers.slice(self._answers.ask(entry.hex, cleaned, wanted, lines, options))

    def save(self, answer: Slice, destination: str | os.PathLike[str], *, write_index: bool = False) -> None:
        """Write a slice to a local file, whole or not at all; with ``write_index`` its index beside it.

        Raises:
            StorageError: it cannot be written.
            FormatError, Unsupported: it cannot be indexed.
        """
        write_slice(answer, Path(destination), index=write_index)

    def index(
        self, path: str | os.PathLike[str], *, ref: str | None = None, names: bool = False, points: bool = False
    ) -> list[str]:
        """Make the index and the table that region queries profit from, where missing; returns the kinds at hand.

        Args:
            path: a file.
            ref: the ref to read at.
            names: also an index of read names, 8 bytes a read, for ``name=READ`` of a FASTQ.
            points: also all points of a run, sorted by m/z, for `xic` and `peaks` in milliseconds.

        Raises:
            Unsupported: names of a file that is no FASTQ, points of one that has no spectra.
            FormatError: names or points of a file that is malformed.
        """
        tree, cleaned = self._at(path, ref)
        if points:
            self._run_desk.make_points(self._run(path, ref))
        return self._desk.index(tree.file(cleaned).hex, cleaned, names=names)

    def facts(self, path: str | os.PathLike[str], *, ref: str | None = None) -> dict[str, pa.Table]:
        """What a file adds to the catalog, by kind (`lake.formats.facts.kinds.FACT_KINDS`); missing facts are made.

        Raises:
            FormatError: the file is damaged where the facts stand.
        """
        from lake.facts import load_facts

        return load_facts(self.repo, self.reader(path, ref=ref))

    # -- tables -------------------------------------------------------------------------------------------------
    @cached_property
    def _run_desk(self) -> RunDesk:
        from lake.runs import RunDesk

        return RunDesk(self.repo, self._desk)

    def sql(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None, **tables: Any
    ) -> duckdb.DuckDBPyRelation:
        """Ask the catalog: one reading query, answered by a DuckDB relation (``.df()``, ``.pl()``, ``.fetchall()``).

        It sees every commit made before the call, at the lake's ref. docs/catalog.md lists the views. The table
        function ``peaks('runs/*.mzML')`` gives all points of runs, see `points`.

        Args:
            query: SQL of DuckDB. Names of Python variables that hold Arrow or data frames can be used as tables.
            params: values for ``?`` or ``$name``.
            tables: further tables by name, as ``reads=lk.reads(...)``.

        Raises:
            BadQuery: DuckDB cannot make sense of it, or it does more than read.
        """
        from lake.peak_calls import bind_peaks

        found: dict[str, Any] = {}
        bound = bind_peaks(query, self.points, found.__setitem__)
        return self.catalog.sql(bound, params, found | tables)

    def find(self, *terms: str, filters: Filters | None = None) -> list[RegionHit] | list[TextHit]:
        """Files that cover a region, or in which all words occur somewhere; sorted by path.

        Args:
            terms: one region in samtools notation of a contig that some file has, or words.
            filters: what the files must have besides.

        Raises:
            InvalidRegion: a contig of the lake with a range that is none.
            InvalidInput: nothing is asked.
        """
        from lake.finding import Filters, find_region, find_text, region_in

        wanted = filters or Filters()

        def question(connection: CatalogConnection) -> list[RegionHit] | list[TextHit]:
            region = region_in(connection, terms[0]) if len(terms) == 1 else None
            if region is not None:
                return find_region(connection, *region, wanted)
            return find_text(connection, terms, wanted)

        with self.catalog.connect() as connection:
            return connection.asking(question)

    # -- history ------------------------------------------------------------------------------------------------
    def branches(self) -> list[Branch]:
        return self.repo.journal.branches()

    def tags(self) -> list[Tag]:
        return self.repo.journal.tags()

    def log(
        self, path: str | os.PathLike[str] | None = None, *, ref: str | None = None, limit: int | None = None
    ) -> list[Commit]:
        """Commits, newest first; with a path those that changed it or something below it."""
        tree, cleaned = self._at(path or "", ref)
        return self.repo.journal.log(tree.view, limit, cleaned or None)

    def history(self, path: str | os.PathLike[str], *, ref: str | None = None) -> list[tuple[Commit, Entry | None]]:
        """Every version of a file, newest first; None where it was removed."""
        tree, cleaned = self._at(path, ref)
        return self.repo.journal.history(tree.view, cleaned)

    def diff(self, old: str, new: str | None = None, path: str = "") -> list[Difference]:
        """What changed from one ref to another, below a path."""
        journal = self.repo.journal
        return journal.diff(journal.resolve(old), journal.resolve(new or self.ref), clean_path(path))

    def fsck(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        *,
        ref: str | None = None,
        fast: bool = False,
        percent: float | None = None,
        older_than: float | None = None,
        restart: bool = False,
        repair: bool = False,
        sources: Sequence[str | os.PathLike[str]] = (),
        progress: Progress | None = None,
    ) -> FsckReport:
        """Check the journal against the objects, every byte against its digest, and all else that a lake keeps.

        A check that was interrupted goes on where it was. What was found is remembered where the lake can be written.

        Args:
            paths: files and directories of the lake; none: everything.
            ref: where the paths are looked up.
            fast: presence, sizes and the structure of the journal only.
            percent: only so many percent of all bytes, those that were unchecked for longest.
            older_than: only what has not been checked for so many seconds.
            restart: begin anew, whatever an earlier check has seen that did not end.
            repair: heal what is damaged, chunk by chunk, with bytes from the sources.
            sources: other lakes, files, and directories of files.

        Raises:
            NotFound: no such path, or no such source.
            InvalidInput: options that contradict each other.
            ReadOnly: a repair of a lake that cannot be written.
        """
        from lake.fsck import CheckOptions, check_lake

        named = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        return check_lake(
            self.repo,
            progress or Silent(),
            CheckOptions(fast, percent, older_than, restart),
            wanted=self._digests_below(named, ref) if named else None,
            repair=repair,
            sources=sources,
        )

    def _digests_below(self, paths: Sequence[str | os.PathLike[str]], ref: str | None) -> set[Digest]:
        """Objects of files, and of all files in directories."""
        found = set()
        for path in paths:
            entries = self.ls(path, ref=ref, recursive=True)
            found |= {entry.hex for entry in entries if entry.digest is not None}
        return found


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise NotFound(f"cannot read the targets {path}: {error.strerror}") from error
