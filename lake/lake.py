"""The lake as people hold it: one object with the verbs of a file system, of version control and of regions."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lake import editing
from lake.config import find_root
from lake.errors import AlreadyExists, Conflict, InvalidInput, IsDirectory, NotDirectory, ReadOnly, with_others
from lake.ingest import Intake
from lake.journal.values import (
    ABSENT,
    Annotate,
    Artifact,
    Branch,
    Change,
    Commit,
    Json,
    MakeDirectory,
    ObjectRecord,
    Tag,
)
from lake.manifest import read_manifest
from lake.metadata_imports import MetadataImports
from lake.paths import split_ref
from lake.progress import Progress, Silent
from lake.puts import PutItem, PutOptions
from lake.reading import LakeView
from lake.repository import Repository
from lake.sources import Job, plan_sources
from lake.space import Space
from lake.stores.base import Batch, Method
from lake.tokens import Tokens
from lake.transaction import Transaction
from lake.trash import GRACE, TRASH
from lake.tree import Tree
from lake.writing import LakeTextWriter, LakeWriter

if TYPE_CHECKING:
    from lake.backup.making import BackupReport
    from lake.gc import GcReport
    from lake.rebuilding import RebuiltJournal

__all__ = ["Lake", "PutReport"]


@dataclass(frozen=True, slots=True)
class PutReport:
    items: list[PutItem]
    commit: Commit | None
    """None inside a transaction, and when nothing was stored."""

    @property
    def failed(self) -> list[PutItem]:
        return [item for item in self.items if item.error is not None]

    @property
    def stored(self) -> list[PutItem]:
        return [item for item in self.items if item.error is None]


class Lake(LakeView, MetadataImports, Space):
    """An open lake. Safe for threads; a forked child may go on using it; pickles as a reference to the place.

    Paths may start with ``@ref/`` (``@v1/runs/s1.bam``); else they are read and written at ``ref``, the branch
    ``main`` unless said otherwise. Only heads of branches can be written.
    """

    def __init__(self, repo: Repository, ref: str = "main") -> None:
        super().__init__(repo, ref)
        repo.committed = self.catalog.committed
        self._local = threading.local()

    @classmethod
    def init(cls, root: str | os.PathLike[str], *, shared: bool = False) -> Lake:
        """Make a new lake, for this user alone or ``shared`` with the group of the directory.

        Raises:
            AlreadyExists: there is one.
            StorageError: the directory cannot be made, or cannot get the permissions.
        """
        return cls(Repository.create(Path(root), shared=shared))

    @staticmethod
    def rebuild_journal(root: str | os.PathLike[str] | None = None) -> RebuiltJournal:
        """Make the journal of a lake again from its sealed log: see `lake.rebuilding.rebuild_journal`."""
        from lake.rebuilding import rebuild_journal

        return rebuild_journal(find_root() if root is None else Path(root))

    @classmethod
    def open_at(cls, root: str | os.PathLike[str] | None = None, *, ref: str = "main", readonly: bool = False) -> Lake:
        """Open a lake: the one at ``root``, else that of ``LAKE_ROOT``, else the nearest one upward from here."""
        place = Path(root).expanduser() if root is not None else find_root()
        return cls(Repository.open(place, readonly=readonly), ref)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.root), self.ref, self.repo.readonly)

    def tree(self, ref: str | None = None) -> Tree:
        """The entries at a ref; inside `commit` with the changes made so far."""
        transaction = self._transaction
        view = self.repo.journal.resolve(ref or (transaction.branch if transaction is not None else self.ref))
        return Tree(self.repo.journal, view, transaction if transaction and transaction.branch == view.name else None)

    def _writable(self, path: str | os.PathLike[str], ref: str | None = None) -> tuple[Tree, str]:
        tree, cleaned = self._at(path, ref)
        self._branch_of(tree, split_ref(os.fspath(path))[0] or ref or self.ref)
        return tree, cleaned

    def _writable_all(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Tree, list[str]]:
        """The tree that all paths share, and the paths inside it."""
        found = [self._writable(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
        if len({tree.view.name for tree, _ in found}) > 1:
            raise InvalidInput("one commit changes one branch: name the paths of one branch at a time")
        return found[0][0] if found else self.tree(), [cleaned for _, cleaned in found]

    def _branch_of(self, tree: Tree, ref: str) -> str:
        self._must_write()
        if tree.view.name is None:
            raise ReadOnly(
                f"{ref} is not a branch: only the head of a branch can be written ('lake branch NAME {ref}' makes one)"
            )
        return tree.view.name

    # -- bytes --------------------------------------------------------------------------------------------------
    def open(
        self,
        path: str | os.PathLike[str],
        mode: str = "rb",
        *,
        ref: str | None = None,
        verify: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        attributes: Mapping[str, Json] | None = None,
    ) -> IO[Any]:
        """Open a file like the builtin: ``r``, ``w`` and ``x``, binary with ``b``, else text.

        A reader goes on seeing the content that it opened. ``verify`` checks every chunk when it is first touched;
        without it a plain file is read as fast as any. A writer publishes at ``close``; an exception inside ``with``
        stores nothing; ``x`` fails where the path exists when it publishes.

        Raises:
            NotFound, IsDirectory, AlreadyExists: as the builtin.
            ReadOnly: the ref is not the head of a branch.
            InvalidInput: a mode that files of a lake do not have, such as appending.
        """
        kind = mode.replace("b", "").replace("t", "")
        if kind == "r":
            return self.open_reading(
                path, mode, ref=ref, verify=verify, encoding=encoding, errors=errors, newline=newline
            )
        if kind in ("w", "x"):
            writer = self._writer(path, ref, exclusive=kind == "x", attributes=attributes)
            return writer if "b" in mode else LakeTextWriter(writer, encoding, errors, newline)  # type: ignore[return-value]
        raise InvalidInput(f"mode {mode!r}: files of a lake are read (r), written whole (w) or made new (x)")

    def _writer(
        self, path: str | os.PathLike[str], ref: str | None, *, exclusive: bool, attributes: Mapping[str, Json] | None
    ) -> LakeWriter:
        tree, cleaned = self._writable(path, ref)
        if tree.is_directory(cleaned):
            raise IsDirectory(f"{cleaned or 'the top of the lake'} is a directory")
        if exclusive and tree.find(cleaned) is not None:
            raise AlreadyExists(f"{cleaned} exists already")
        options = PutOptions(method=Method.MOVE, exclusive=exclusive, attributes=dict(attributes or {}))

        def publish(staged: Path) -> None:
            try:
                self.put_jobs([Job(staged, cleaned, False)], options, ref=tree.view.name, message=f"write {cleaned}")
            except Conflict as error:
                if exclusive and self.tree(tree.view.name).find(cleaned) is not None:
                    raise AlreadyExists(f"{cleaned} exists already: it was made meanwhile") from error
                raise

        return LakeWriter(self.repo.staging(), publish)

    def put(
        self,
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        destination: str = "",
        *,
        ref: str | None = None,
        meta: Mapping[str, Json] | None = None,
        method: Method | str = Method.COPY,
        index: bool = True,
        strict: bool = False,
        all_or_nothing: bool = False,
        checksums: bool = False,
        manifest: str | os.PathLike[str] | None = None,
        message: str | None = None,
        progress: Progress | None = None,
        raise_failure: bool = True,
    ) -> PutReport:
        """Store files, directories or glob patterns as one commit; destinations behave like those of ``cp -r``.

        A file that cannot be stored does not keep the others out: it is reported. When nothing at all could be
        stored, the first error is raised.

        Args:
            sources: local paths; ``-`` is standard input.
            destination: path in the lake; below it with a ``/`` at the end, or where it is a directory.
            meta: attributes for every file stored.
            method: ``copy``, ``move`` (the source goes) or ``reflink``.
            index: build missing indexes now.
            strict: refuse unknown formats, damage, and names that contradict the content.
            all_or_nothing: store nothing unless everything can be.
            checksums: keep md5 and sha256 too.
            manifest: a file as ``md5sum`` or ``sha256sum`` write it, which contents have to match.
            raise_failure: False leaves it to the report to tell that nothing could be stored.

        Raises:
            LakeError: nothing was stored.
        """
        named = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
        branch_ref, target = split_ref(destination)
        tree, _ = self._writable(f"@{branch_ref}" if branch_ref else "", ref)
        ending = "/" if destination.endswith(("/", "/.")) else ""
        jobs, refused = plan_sources(
            named,
            target + ending,
            is_directory=tree.is_directory,
            is_file=tree.is_file,
            lake_root=self.root,
        )
        if self._transaction is None:
            self._check_room(tree, jobs)
        options = PutOptions(
            Method(method),
            index,
            strict,
            all_or_nothing,
            checksums,
            read_manifest(Path(manifest)) if manifest is not None else None,
            dict(meta or {}),
        )
        with Intake(self.repo, options, tree.find, progress or Silent()) as intake:
            intake.take(jobs, refused)
            text = message or _describe("put", [job.path for job in jobs])
            try:
                commit = self._apply_intake(tree, intake, text)
            except (IsDirectory, NotDirectory):
                if all_or_nothing:
                    raise
                intake.refuse_taken(tree)
                commit = self._apply_intake(tree, intake, text)
            if raise_failure and intake.failures and not intake.changes:
                raise with_others(intake.failures)
            if self._transaction is not None and options.method is Method.MOVE:
                self._transaction.hold(intake.hand_over())
        return PutReport(intake.items, commit)

    def put_jobs(
        self,
        jobs: Sequence[Job],
        options: PutOptions,
        *,
        message: str,
        ref: str | None = None,
        progress: Progress | None = None,
        op_id: str | None = None,
    ) -> PutReport:
        """Store files at the very paths that the jobs name, as one commit; the first that cannot be stored stops all.

        Sources that are to be moved go once the commit stands; inside a transaction as soon as they are stored.
        ``op_id`` as of `commit`.

        Raises:
            LakeError, OSError: nothing was stored.
        """
        tree, _ = self._writable("", ref)
        if self._transaction is None:
            self._check_room(tree, jobs)
        with Intake(self.repo, options, tree.find, progress or Silent()) as intake:
            intake.take(jobs, [])
            if intake.failures:
                raise intake.failures[0]
            if self._transaction is not None:
                for batch in intake.batches:
                    batch.release()
            return PutReport(intake.items, self._apply_intake(tree, intake, message, op_id))

    def _apply_intake(self, tree: Tree, intake: Intake, message: str, op_id: str | None = None) -> Commit | None:
        commit = self._apply(
            tree,
            intake.changes,
            message,
            objects=intake.objects.values(),
            artifacts=intake.artifacts,
            batches=intake.batches,
            op_id=op_id,
        )
        healed = [item.digest for item in intake.items if item.healed and item.digest is not None]
        for digest in [*healed, *intake.reopened]:
            self._desk.forget(digest)
        return commit

    # -- entries ------------------------------------------------------------------------------------------------
    def mkdir(self, path: str | os.PathLike[str], *, exist_ok: bool = False) -> None:
        """Make a directory that exists without files."""
        tree, cleaned = self._writable(path)
        if tree.find(cleaned) is not None or tree.is_directory(cleaned):
            if exist_ok and not tree.is_file(cleaned):
                return
            raise AlreadyExists(f"{cleaned} exists already")
        self._apply(tree, [MakeDirectory(cleaned, ABSENT)], f"mkdir {cleaned}")

    def mv(self, source: str | os.PathLike[str], destination: str, *, message: str | None = None) -> Commit | None:
        """Rename a file or a directory; attributes go along, no bytes move."""
        tree, cleaned = self._writable(source)
        other, target = self._writable(destination) if destination.lstrip("/").startswith("@") else (tree, destination)
        if other.view.name != tree.view.name:
            raise InvalidInput("a file cannot be moved to another branch: copy it there, then remove it here")
        changes = editing.plan_move(tree, cleaned, target + _ending(destination))
        return self._apply(tree, changes, message or f"mv {cleaned} {target}")

    def cp(
        self, source: str | os.PathLike[str], destination: str, *, recursive: bool = False, message: str | None = None
    ) -> Commit | None:
        """Copy entries, also from another ref (``@v1/a.bam``); attributes go along, no bytes are copied."""
        origin, cleaned = self._at(source, None)
        tree, target = self._writable(destination)
        changes = editing.plan_copy(origin, cleaned, tree, target + _ending(destination), recursive=recursive)
        return self._apply(tree, changes, message or f"cp {source} {target}")

    def rm(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        recursive: bool = False,
        message: str | None = None,
    ) -> Commit | None:
        """Remove entries. History keeps them: `restore` brings them back."""
        tree, named = self._writable_all(paths)
        changes: dict[str, Change] = {}
        for path in named:
            changes.update((change.path, change) for change in editing.plan_remove(tree, path, recursive=recursive))
        return self._apply(tree, list(changes.values()), message or _describe("rm", named))

    def restore(self, path: str | os.PathLike[str], source: str, *, message: str | None = None) -> Commit | None:
        """Make a file or directory what it was at the ref ``source``; None when it is that already."""
        tree, cleaned = self._writable(path)
        changes = editing.plan_restore(self.tree(source), cleaned, tree)
        return self._apply(tree, changes, message or f"restore {cleaned or '.'} from {source}")

    def set_meta(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        values: Mapping[str, Json],
        *,
        message: str | None = None,
    ) -> Commit | None:
        """Set attributes, in one commit; a None value removes one."""
        tree, named = self._writable_all(paths)
        changes: list[Change] = []
        for path in named:
            if not path:
                raise InvalidInput("the top of the lake has no attributes: set them on a file or directory")
            if tree.find(path) is None:
                if not tree.is_directory(path):
                    raise tree.missing(path)
                changes.append(MakeDirectory(path))
            changes.append(Annotate(path, dict(values)))
        return self._apply(tree, changes, message or _describe("meta", named))

    # -- commits and refs ---------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def commit(
        self,
        message: str = "",
        *,
        branch: str | None = None,
        expected_head: int | None = None,
        op_id: str | None = None,
    ) -> Iterator[Transaction]:
        """Make all changes of this thread inside the ``with`` one commit, or none when it raises.

        Reads inside see the changes. ``expected_head`` makes the commit fail with `Conflict` if somebody else has
        committed to the branch since. ``op_id`` is a name for the operation, of which there are no two: should a
        commit of that name stand already, as after an answer that was lost, then nothing is changed, and that commit
        is the result.
        """
        if self._transaction is not None:
            raise InvalidInput("a commit is under way already: finish it first")
        name = self._branch_of(self.tree(branch), branch or self.ref)
        self.repo.session()
        transaction = Transaction(self.repo, name, message, expected_head, op_id)
        self._local.transaction = transaction
        with contextlib.closing(transaction):
            try:
                yield transaction
            finally:
                self._local.transaction = None
            transaction.commit()

    @contextlib.contextmanager
    def join(self, transaction: Transaction) -> Iterator[None]:
        """Let the changes of this thread inside the ``with`` go into a transaction that is kept elsewhere."""
        outer, self._local.transaction = self._transaction, transaction
        try:
            yield
        finally:
            self._local.transaction = outer

    def change(self, changes: Sequence[Change], message: str, *, ref: str | None = None) -> Commit | None:
        """Commit changes that are spelled out already; None when there are none, and inside a transaction."""
        tree, _ = self._writable("", ref)
        return self._apply(tree, changes, message)

    @property
    def _transaction(self) -> Transaction | None:
        return getattr(self._local, "transaction", None)

    def _apply(
        self,
        tree: Tree,
        changes: Sequence[Change],
        message: str,
        *,
        objects: Iterable[ObjectRecord] = (),
        artifacts: Iterable[Artifact] = (),
        batches: Iterable[Batch] = (),
        op_id: str | None = None,
    ) -> Commit | None:
        transaction = self._transaction
        branch = tree.view.name
        assert branch is not None
        if not changes:
            return None
        if transaction is not None:
            if transaction.branch != branch:
                raise InvalidInput(f"the commit under way is on {transaction.branch}: it cannot change {branch}")
            transaction.add(changes, objects, artifacts, {change.path: tree.find(change.path) for change in changes})
            return None
        commit = self.repo.commit(branch, changes, objects=objects, artifacts=artifacts, message=message, op_id=op_id)
        for batch in batches:
            batch.release()
        return commit

    def branch(self, name: str, start: str | None = None) -> Branch:
        """Make a branch at a ref; costs nothing, whatever the lake holds."""
        self._must_write()
        return self.repo.journal.create_branch(name, start or self.ref)

    def delete_branch(self, name: str) -> None:
        self._must_write()
        self.repo.journal.delete_branch(name)

    def tag(self, name: str, target: str | None = None) -> Tag:
        """Name the state at a ref for good."""
        self._must_write()
        return self.repo.journal.create_tag(name, target or self.ref)

    @property
    def tokens(self) -> Tokens:
        """Who may use this lake over the network."""
        return Tokens(self.repo.journal)

    def delete_tag(self, name: str) -> None:
        self._must_write()
        self.repo.journal.delete_tag(name)

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        prune: bool = False,
        verify: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """Copy the whole lake, as it is at one moment, into a directory on another disk, or bring that up to date.

        `lake.backup.checking.verify_backup` checks it, `lake.backup.restoring.restore_lake` makes a lake of it.

        Args:
            prune: remove files from it that this moment does not need.
            verify: read what it has, and copy again what is damaged.

        Raises:
            InvalidInput: the directory holds something else than a backup of this lake.
            LakeLocked: another backup goes there.
            StorageError: no space left, or a disk failed.
        """
        from lake.backup.making import make_backup

        return make_backup(self.repo, Path(target).expanduser(), progress or Silent(), prune=prune, verify=verify)

    def gc(
        self, *, grace: float = GRACE, trash: float = TRASH, dry_run: bool = False, empty_trash: bool = False
    ) -> GcReport:
        """Take away what no commit names any more: to the trash first, from there for good when its time has come.

        Others may write meanwhile. `untrash` brings objects back until then.

        Args:
            grace: seconds that a stored file without a commit is left alone.
            trash: seconds that the trash keeps what goes there now; 0 deletes it at once.
            dry_run: only say what would go.
            empty_trash: delete everything that is in the trash already, too.

        Raises:
            LakeLocked: another gc is at work.
            StorageError: something cannot be looked at: nothing was taken away.
        """
        from lake.gc import collect

        return collect(self.repo, grace=grace, trash=trash, dry_run=dry_run, empty_trash=empty_trash)

    def untrash(self, names: Sequence[str] = ()) -> Commit | None:
        """Bring objects back from the trash, all or those named ``b3:<digest>``, as files below ``lost+found``.

        Raises:
            NotFound: one is not in the trash (any more).
            InvalidInput: not the name of an object.
        """
        from lake.gc import untrash

        return self.change(untrash(self.repo, names), _describe("untrash", names or ["everything"]))

    def _must_write(self) -> None:
        if self.repo.readonly:
            raise ReadOnly(self.repo.refusal())


def _reopen(root: str, ref: str, readonly: bool) -> Lake:
    return Lake.open_at(root, ref=ref, readonly=readonly)


def _ending(destination: str) -> str:
    return "/" if destination.endswith("/") else ""


def _describe(verb: str, paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return f"{verb} {paths[0]}"
    common = os.path.commonpath(paths) if paths else ""
    return f"{verb} {len(paths)} files{f' below {common}' if common else ''}"
