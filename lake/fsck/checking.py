"""The check of a lake from start to end."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from os import PathLike

from lake.clock import now
from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import InvalidInput, ReadOnly, StorageError
from lake.fsck.findings import Finding, FsckReport
from lake.fsck.healing import Healer
from lake.fsck.naming import consequence, derivation, hits, names
from lake.fsck.objects import Bad, FileCheck, ObjectChecker
from lake.fsck.selection import CheckedFile, CheckOptions, select
from lake.fsck.sources import LakeBytes, open_sources
from lake.fsck.surroundings import check_catalog, check_journal, check_log, check_trash, check_words
from lake.journal.values import Checked
from lake.progress import Progress
from lake.repository import Repository

__all__ = ["check_lake"]

_THREADS = min(8, (os.cpu_count() or 1) + 1)
"""One more than can hash at once: somebody always waits for the disk."""
_AHEAD = 16
"""Files that wait for a thread, or for their turn to be told."""
_OBJECTS = 1000
"""Objects, or …"""
_SECONDS = 30.0
"""… seconds after which what was found is recorded."""


def check_lake(
    repo: Repository,
    progress: Progress,
    options: CheckOptions | None = None,
    *,
    wanted: Collection[Digest] | None = None,
    repair: bool = False,
    sources: Sequence[str | PathLike[str]] = (),
) -> FsckReport:
    """Look at live objects and at everything else that a lake keeps. Deletes nothing.

    Damage is recorded by chunk where the lake can be written, and cleared where the bytes are right again. A damaged
    generation of the catalog goes out of use: what is asked next reads the journal.

    Args:
        repo: the lake.
        progress: told of the bytes that are read.
        options: how much is checked; everything unless said otherwise.
        wanted: only these objects, and what was derived from them.
        repair: put damaged files right with bytes from the sources, and of the lake itself.
        sources: lakes, files, and directories of files.

    Raises:
        ReadOnly: a repair of a lake that is open for reading only.
        NotFound: there is nothing at a source.
        InvalidInput: sources without a repair, or a fast check with one.
        StorageError: folders cannot be listed, or the disk fails while something is healed.
    """
    options = options or CheckOptions()
    if sources and not repair:
        raise InvalidInput("sources are for a repair: ask for one (--repair), or name none")
    if repair and options.fast:
        raise InvalidInput("a fast check reads no bytes, hence repairs none: leave out --fast or --repair")
    if repair and repo.readonly:
        raise ReadOnly(f"{repo.root} is opened read-only: a repair needs write permission on the lake's directory")
    with contextlib.ExitStack() as stack:
        healer = None
        if repair:
            opened = open_sources(sources)
            for source in opened:
                stack.callback(source.close)
            healer = Healer(repo, [LakeBytes(repo, own=True), *opened])
        return _Run(repo, progress, options, wanted, healer).report_all()


class _Run:
    def __init__(
        self,
        repo: Repository,
        progress: Progress,
        options: CheckOptions,
        wanted: Collection[Digest] | None,
        healer: Healer | None,
    ) -> None:
        self._repo = repo
        self._progress = progress
        self._options = options
        self._wanted = wanted
        self._healer = healer
        self._report = FsckReport()
        self._notes = _Notes(repo)

    def report_all(self) -> FsckReport:
        if self._wanted is None:
            self._check_surroundings()
        try:
            self._check_objects()
        except (InvalidInput, StorageError) as error:
            # A journal that is damaged cannot tell of all objects, which is one finding and not the end of the rest.
            if not any(finding.file == "journal.db" for finding in self._report.findings):
                raise
            self._report.findings.append(Finding("damaged", "journal.db", detail=f"objects were left out: {error}"))
        self._progress.close()
        return self._report

    def _check_surroundings(self) -> None:
        repo, report, full = self._repo, self._report, not self._options.fast
        report.findings += check_journal(repo, rows=full)
        report.findings += check_words(repo.root)
        report.foreign = list(repo.store.foreign())
        if full and self._options.everything:
            report.findings += check_log(repo)
            check_catalog(repo, report)
            report.findings += check_trash(repo.root, self._count)

    def _count(self, count: int) -> None:
        self._report.bytes += count
        self._progress.advance(count)

    def _check_objects(self) -> None:
        resumable = self._wanted is None and self._options.everything and not self._options.fast
        started = None
        if resumable and not self._repo.readonly:
            started = self._repo.journal.begin_scrub(restart=self._options.restart)
        selected = select(self._repo, self._options, self._wanted, started)
        self._report.orphans += selected.orphans
        self._report.resumed = selected.skipped
        if self._options.fast:
            self._look(selected.files)
            return
        self._progress.start(selected.bytes, "fsck")
        checker = ObjectChecker(self._repo, self._count)
        with self._notes:
            for check in _in_parallel(checker, [file.handle for file in selected.files]):
                self._take(check)
        if started is not None:
            self._repo.journal.end_scrub()

    def _look(self, files: Iterable[CheckedFile]) -> None:
        checker = ObjectChecker(self._repo, self._count)
        for file in files:
            check = checker.look(file.handle, file.length)
            self._report.objects += file.objects
            self._report.findings += [self._finding(check.handle, bad) for bad in check.bad]

    def _take(self, check: FileCheck) -> None:
        """Tell and record what a file is worth, healed if that is wanted and as far as it can be."""
        self._report.objects += len(check.records)
        after = check
        if self._healer is not None and (check.bad or check.unneeded):
            after = self._healer.heal(check)
        if after.unneeded:
            self._report.packs.append(check.handle)
        left = {bad.record.digest: bad for bad in after.bad}
        for bad in check.bad:
            still = left.get(bad.record.digest)
            if still != bad:
                chunks = bad.chunks if still is None else tuple(one for one in bad.chunks if one not in still.chunks)
                healed = self._finding(check.handle, bad._replace(chunks=chunks))
                self._report.findings.append(replace(healed, healed=True))
            if still is not None:
                self._report.findings.append(self._finding(check.handle, still))
        checked = now()
        for record in check.records:
            found = left.get(record.digest)
            problem, chunks = (found.problem, found.chunks) if found is not None else (None, ())
            self._notes.add(Checked(record.digest, checked, problem, chunks))

    def _finding(self, handle: str, bad: Bad) -> Finding:
        record = bad.record
        paths, commits = names(self._repo.journal, record.digest)
        return Finding(
            bad.problem,
            handle,
            record.digest,
            record.size,
            paths,
            commits,
            bad.chunks,
            hits(self._repo, record, bad.chunks) if bad.chunks else (),
            consequence(record, bad.chunks) if paths else derivation(self._repo.journal, record.digest),
        )


class _Notes:
    """What was found, on its way into the journal: some of it at once, and the rest when the block ends, however."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._waiting: list[Checked] = []
        self._recorded = time.monotonic()

    def add(self, found: Checked) -> None:
        self._waiting.append(found)
        if len(self._waiting) >= _OBJECTS or time.monotonic() - self._recorded >= _SECONDS:
            self._record()

    def _record(self) -> None:
        if self._waiting and not self._repo.readonly:
            self._repo.journal.record_scrub(self._waiting)
            crash_point("scrub-recorded")
        self._waiting = []
        self._recorded = time.monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._record()


def _in_parallel(checker: ObjectChecker, handles: Sequence[str]) -> Iterator[FileCheck]:
    """Checks in the order of the handles, read by several threads a few files ahead."""
    waiting: deque[Future[FileCheck]] = deque()
    check: Callable[[str], FileCheck] = checker.check
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="lake-fsck") as pool:
        try:
            for handle in handles:
                waiting.append(pool.submit(check, handle))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            checker.stop()
            pool.shutdown(cancel_futures=True)
