"""``lake://[@ref/]path[#region]`` for everything that speaks fsspec.

Names are minimally percent-encoded: ``#`` in a file name is ``%23``, since a bare one starts a region (several regions
are joined with ``;``). Compression is inferred from the path, not from the region behind it; libraries that infer it
themselves (pandas, `fsspec.open`) see only the end of the URL, and are told with ``compression=``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import IO, Any

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression

from lake.clock import now
from lake.editing import plan_move, plan_remove
from lake.errors import (
    AlreadyExists,
    Collected,
    Conflict,
    InvalidInput,
    IsDirectory,
    NotDirectory,
    NotFound,
    Unsupported,
)
from lake.fs.copies import FileProgress, FilesProgress, plan_pairs
from lake.fs.files import CachedReadFile, CompressedFile, LakeReadFile, LakeTextFile, LakeWriteFile
from lake.fs.view import PIECE, LakeFileView
from lake.journal.values import ABSENT, Change, Entry, Kind, MakeDirectory, Put, Remove
from lake.lake import Lake
from lake.paths import encode_name, parent
from lake.puts import PutOptions
from lake.sources import Job
from lake.tree import Tree

__all__ = ["LakeFileSystem"]


class LakeFileSystem(LakeFileView):
    """A lake as a filesystem.

    Args:
        root: the lake; else that of ``LAKE_ROOT``, else the nearest one upward from the working directory.
        ref: where paths without ``@ref/`` are read and written; the branch ``main`` unless said otherwise.

    Each change is a commit; those inside ``with fs.transaction`` are one, and so are bulk copies, moves and removals.
    Directories exist while something lies in them, or once they were made, until they are removed. Files are read,
    written whole (``w``) or made new (``x``, atomic); they cannot be appended to.

    Raises:
        NotALake: there is none.
    """

    # -- files --------------------------------------------------------------------------------------------------
    def open(
        self,
        path: Any,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Mapping[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> IO[Any]:
        """Open a file: ``r``, ``w`` or ``x``, binary with ``b``, else text.

        Readers go on seeing the content that they opened. Writers publish at ``close``; an error inside a ``with``
        stores nothing. With ``autocommit=False`` they publish at ``commit()``.

        Raises:
            NotFound, IsDirectory, AlreadyExists: as the builtin.
            ReadOnly: the ref is not the head of a branch.
            Unsupported: appending, or writing to a region.
        """
        text = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
        name = self._strip_protocol(path)
        file: Any = self._open(
            name,
            mode.replace("t", "").replace("b", "") + "b",
            block_size=block_size,
            cache_options=cache_options,
            **kwargs,
        )
        codec = get_compression(name.partition("#")[0], compression)
        if codec is not None:
            file = CompressedFile(compr[codec](file, mode=file.mode[0].replace("x", "w")), file)
        return file if "b" in mode else LakeTextFile(file, **text)

    def _open(
        self,
        path: Any,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        cache_type: str | None = None,
        **kwargs: Any,
    ) -> LakeReadFile | CachedReadFile | LakeWriteFile:
        name, target, tree = self._locate(path)
        if mode == "rb":
            file = self._open_reading(name, target, tree)
            return file if cache_type is None else CachedReadFile(file, block_size, cache_type, cache_options)
        if mode not in ("wb", "xb"):
            raise Unsupported(f"mode {mode!r}: files of a lake are read, written whole (w) or made new (x): {name}")
        self._plain(name, "written")
        ref = target.ref or self.ref
        transaction = self.transaction if self._intrans else None
        with self._changing(ref, None):
            writer = self.lake.open(target.path, mode, ref=ref)
        made = LakeWriteFile(self, name, mode, ref, writer, transaction, autocommit)  # type: ignore[arg-type]
        if transaction is not None:
            transaction.files.append(made)
        return made

    # -- in from the local disk and from memory -----------------------------------------------------------------
    def put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        mode: str = "overwrite",
        **kwargs: Any,
    ) -> None:
        """Store local files, as one commit; the first that cannot be read keeps all of them out."""
        from fsspec.implementations.local import LocalFileSystem, make_path_posix

        pairs = plan_pairs(
            LocalFileSystem(),
            make_path_posix(lpath) if isinstance(lpath, (str, os.PathLike)) else lpath,
            rpath if isinstance(rpath, list) else self._strip_protocol(rpath) + "/" * str(rpath).endswith("/"),
            is_pattern=has_magic,
            is_directory=self.isdir,
            rename=encode_name,
            recursive=recursive,
            maxdepth=maxdepth,
        )
        self._refuse_itself([source for source, _ in pairs])
        files = [(source, place, _size(source)) for source, place in pairs]
        with contextlib.closing(FilesProgress(callback, files)) as progress:
            self._take([(Path(source), place) for source, place in pairs], mode, progress)

    def put_file(
        self, lpath: Any, rpath: Any, callback: Callback = DEFAULT_CALLBACK, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Store a local file; a directory is made. With ``mode="create"`` the path must not exist yet."""
        self._refuse_itself([lpath])
        self._take([(Path(lpath), rpath)], mode, FileProgress(callback, _size(lpath)))

    def _refuse_itself(self, sources: Sequence[Any]) -> None:
        root = self.lake.root.resolve()
        for source in sources:
            if Path(source).resolve().is_relative_to(root):
                raise InvalidInput(f"{source} is part of the lake itself")

    def pipe(self, path: Any, value: bytes | None = None, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store bytes; those of a dict as one commit."""
        if not isinstance(path, dict):
            self.pipe_file(path, value, mode=mode)
            return
        with self.lake.repo.scratch() as folder:
            pairs = []
            for number, (name, data) in enumerate(path.items()):
                staged = folder / str(number)
                staged.write_bytes(data)
                pairs.append((staged, name))
            self._take(pairs, mode, FileProgress(DEFAULT_CALLBACK, None))

    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store bytes. With ``mode="create"`` the path must not exist yet, which holds against others too."""
        with self._open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def _take(self, pairs: Sequence[tuple[Path, str]], mode: str, progress: FileProgress | FilesProgress) -> None:
        jobs: dict[str, list[Job]] = {}
        for source, place in pairs:
            target = self._plain(place, "written")
            if mode == "create" and self.exists(place):
                raise AlreadyExists(f"{place} exists already")
            job = Job(source, target.path, source.is_dir())
            if job.path or not job.directory:  # the top of the lake is there already
                jobs.setdefault(target.ref or self.ref, []).append(job)
        options = PutOptions(exclusive=mode == "create")
        for ref, taken in jobs.items():
            what = _told(f"put {taken[0].path}", len(taken))
            try:
                with self._changing(ref, what) as lake:
                    lake.put_jobs(taken, options, message=what, ref=ref, progress=progress)
            except Conflict as error:
                if mode == "create" and not isinstance(error, Collected):
                    raise AlreadyExists(f"somebody else made one of these first: {what}") from error
                raise

    # -- changing entries ---------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _changing(self, ref: str, what: str | None) -> Iterator[Lake]:
        """The lake, joined to the transaction if there is one; ``what`` is done to it then."""
        if not self._intrans:
            yield self.lake
            return
        with self.transaction.joined(self.lake, ref, what):
            yield self.lake

    def mkdir(self, path: Any, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a directory that exists without files.

        Raises:
            AlreadyExists: something is there.
            NotFound, NotDirectory: a parent is missing (and not to be made), or is a file.
        """
        target = self._plain(path, "made a directory")
        ref = target.ref or self.ref
        what = f"mkdir {target.path}"
        with self._changing(ref, what) as lake:
            tree = lake.tree(ref)
            if tree.is_directory(target.path) or tree.is_file(target.path):
                raise AlreadyExists(f"{target.path or 'the top of the lake'} exists already")
            lake.change(
                [*_missing_parents(tree, target.path, create_parents), MakeDirectory(target.path, ABSENT)],
                what,
                ref=ref,
            )

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        if exist_ok and self.isdir(path):
            return
        self.mkdir(path)

    def rmdir(self, path: Any) -> None:
        """Remove an empty directory.

        Raises:
            NotFound, NotDirectory: it is none.
            IsDirectory: it is not empty.
        """
        target = self._plain(path, "removed")
        ref = target.ref or self.ref
        with self._changing(ref, f"rmdir {target.path}") as lake:
            tree = lake.tree(ref)
            if self._entry(target, tree).kind == Kind.FILE:
                raise NotDirectory(f"{target.path} is a file")
            if tree.children(target.path) or not target.path:
                raise IsDirectory(f"{target.path or 'the top of the lake'} is not empty: remove it with recursive=True")
            lake.change([Remove(target.path)], f"rmdir {target.path}", ref=ref)

    def rm_file(self, path: Any) -> None:
        """Remove a file, of exactly this name."""
        self._remove([self._strip_protocol(path)], recursive=False, thinned=False)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove entries, as one commit; history keeps them.

        Raises:
            NotFound: nothing is there.
            IsDirectory: a directory without ``recursive``.
        """
        paths = path if isinstance(path, list) else [path]
        names = self.expand_path(paths, recursive=recursive and maxdepth is not None, maxdepth=maxdepth)
        self._remove(names, recursive=recursive, thinned=maxdepth is not None)

    def _remove(self, names: Sequence[str], *, recursive: bool, thinned: bool) -> None:
        """With ``thinned`` just these names go, and directories among them only when they are empty then."""
        targets = [self._plain(name, "removed") for name in names]
        for ref in dict.fromkeys(target.ref or self.ref for target in targets):
            here = [target.path for target in targets if (target.ref or self.ref) == ref]
            what = _told(f"rm {here[0]}", len(here))
            with self._changing(ref, what) as lake:
                tree = lake.tree(ref)
                changes: dict[str, Change] = {}
                for one in here:
                    planned = _emptied(tree, one, here) if thinned else plan_remove(tree, one, recursive=recursive)
                    changes.update((change.path, change) for change in planned)
                lake.change(list(changes.values()), what, ref=ref)

    def cp_file(self, path1: Any, path2: Any, **kwargs: Any) -> None:
        """Let another path name the same content; no bytes move, attributes go along. A slice becomes a file."""
        self._copy([(path1, path2)], "raise")

    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy entries, as one commit, also from another ref; no bytes move."""
        self._copy(self._pairs(path1, path2, recursive, maxdepth), on_error or ("ignore" if recursive else "raise"))

    def _pairs(self, path1: Any, path2: Any, recursive: bool, maxdepth: int | None) -> list[tuple[str, str]]:
        return plan_pairs(
            self,
            path1,
            path2 if isinstance(path2, list) else self._strip_protocol(path2) + "/" * str(path2).endswith("/"),
            is_pattern=self._is_pattern,
            is_directory=self.isdir,
            rename=lambda name: name,
            recursive=recursive,
            maxdepth=maxdepth,
        )

    def _copy(self, pairs: Sequence[tuple[str, str]], on_error: str) -> None:
        changes: dict[str, list[Change]] = {}
        for source, place in pairs:
            name, origin, tree = self._locate(source)
            target = self._plain(place, "written")
            if origin.region is not None:
                with self._open_reading(name, origin, tree) as old, self._open(place, "wb") as new:
                    for piece in iter(lambda old=old: old.read(PIECE), b""):  # type: ignore[misc]
                        new.write(piece)
                continue
            try:
                entry = self._entry(origin, tree)
            except NotFound:
                if on_error == "raise":
                    raise
                continue
            if target.path or entry.kind == Kind.FILE:  # the top of the lake is there already
                changes.setdefault(target.ref or self.ref, []).append(_placed(entry, target.path))
        for ref, planned in changes.items():
            what = _told(f"cp {pairs[0][0]} {pairs[0][1]}", len(pairs))
            with self._changing(ref, what) as lake:
                lake.change(planned, what, ref=ref)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Rename files or directories, as one commit; no bytes move."""
        if path1 == path2:
            return
        if (
            isinstance(path1, (str, os.PathLike))
            and not self._is_pattern(self._strip_protocol(path1))
            and maxdepth is None
        ):
            origin, target = self._plain(path1, "moved"), self._plain(path2, "written")
            moves = [(origin, target, "/" if str(path2).endswith("/") else "")]
        else:
            pairs = self._pairs(path1, path2, recursive, maxdepth)
            named = {old for old, _ in pairs}
            # A directory takes along what lies in it.
            pairs = [(old, new) for old, new in pairs if not named.intersection(_above(old))]
            moves = [(self._plain(old, "moved"), self._plain(new, "written"), "") for old, new in pairs]
        if not moves:
            raise NotFound(f"nothing to move: {path1}; directories need recursive=True")
        refs = {end.ref or self.ref for move in moves for end in move[:2]}
        if len(refs) > 1:
            raise InvalidInput("a file cannot be moved to another branch: copy it there, then remove it here")
        ref = refs.pop()
        what = _told(f"mv {moves[0][0].path} {moves[0][1].path}", len(moves))
        with self._changing(ref, what) as lake:
            tree = lake.tree(ref)
            changes = [change for old, new, ending in moves for change in plan_move(tree, old.path, new.path + ending)]
            lake.change(changes, what, ref=ref)

    def touch(self, path: Any, truncate: bool = True, **kwargs: Any) -> None:
        """Make a file empty; without ``truncate`` one that exists is only given the time of now."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")
            return
        target = self._plain(path, "touched")
        ref = target.ref or self.ref
        with self._changing(ref, f"touch {target.path}") as lake:
            entry = self._file(target, lake.tree(ref))
            lake.change([Put(entry.path, entry.hex, modified=now())], f"touch {target.path}", ref=ref)


def _told(first: str, count: int) -> str:
    return f"{first} and {count - 1} more" if count > 1 else first


def _above(name: str) -> Iterator[str]:
    while name := parent(name):
        yield name


def _size(path: Any) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _placed(entry: Entry, path: str) -> Change:
    if entry.kind == Kind.DIRECTORY:
        return MakeDirectory(path, attributes=entry.attributes)
    return Put(path, entry.hex, attributes=entry.attributes, modified=entry.modified)


def _missing_parents(tree: Tree, path: str, make: bool) -> list[Change]:
    missing: list[Change] = []
    above = parent(path)
    while above and not tree.is_directory(above):
        if tree.is_file(above):
            raise NotDirectory(f"{above} is a file: nothing can lie below it")
        if not make:
            raise NotFound(f"no such directory in the lake: {above}")
        missing.append(MakeDirectory(above))
        above = parent(above)
    return missing[::-1]


def _emptied(tree: Tree, path: str, removed: Sequence[str]) -> list[Change]:
    """Of a path that is to go together with others: a file itself, a directory only when nothing is left in it."""
    entry = tree.find(path)
    if entry is None or (entry.kind == Kind.DIRECTORY and any(below.path not in removed for below in tree.walk(path))):
        return []
    return [Remove(path)]
