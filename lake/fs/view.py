"""Reading through fsspec: names, listings, files, ranges and slices, at any ref."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from glob import has_magic
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.config import apply_config
from fsspec.utils import isfilelike, stringify_path

from lake.config import find_root
from lake.digest import Digest
from lake.errors import InvalidInput, IsDirectory, NotFound, SourceChanged, Unsupported
from lake.fs.copies import FileProgress, plan_pairs
from lake.fs.files import LakeReadFile
from lake.fs.listing import Info, describe, found_below, implied, prefix_of, tree_levels, uncollected, walk_levels
from lake.fs.transaction import LakeTransaction
from lake.journal.values import Entry, Kind
from lake.lake import Lake
from lake.paths import PROTOCOL, Target, decode_name, encode_name, parent, parse_target
from lake.segments import Slice
from lake.transfer import copy_out
from lake.tree import Tree

__all__ = ["PIECE", "LakeFileView"]

PIECE = 8 << 20
"""Bytes copied at once."""

_UNTIDY = re.compile(r"^/|/$|//|(?:^|/)\.(?:/|$)")
_LAKES: WeakValueDictionary[tuple[int, str], Lake] = WeakValueDictionary()
"""Open lakes by process and root, shared by the filesystems of all threads."""


class _Anchored(type(AbstractFileSystem)):  # type: ignore[misc]
    """Makes the root part of what an instance is: without it, the lake found depends on where the process stands."""

    def __call__(cls, root: str | os.PathLike[str] | None = None, ref: str | None = None, **options: Any) -> Any:
        named = {"root": root, "ref": ref, **options}
        options = apply_config(cls, {name: value for name, value in named.items() if value is not None})
        given = options.pop("root", None)
        place = Path(given).expanduser() if given is not None else find_root()
        return super().__call__(root=str(place.absolute()), ref=options.pop("ref", "main"), **options)


class LakeFileView(AbstractFileSystem, metaclass=_Anchored):  # type: ignore[misc]
    """What `lake.fs.LakeFileSystem` can be asked without changing anything."""

    protocol = ("lake",)
    root_marker = ""
    transaction_type = LakeTransaction

    def __init__(
        self, root: str | os.PathLike[str] | None = None, ref: str | None = None, **storage_options: Any
    ) -> None:
        super().__init__(**storage_options)
        # The metaclass has made both definite.
        self.root = str(root)
        self.ref = str(ref)
        key = (os.getpid(), self.root)
        self.lake = _LAKES.get(key) or _LAKES.setdefault(key, Lake.open_at(self.root))

    # -- identity -----------------------------------------------------------------------------------------------
    @property
    def fsid(self) -> str:
        return f"lake_{self.lake.repo.config.id}"

    def __dask_tokenize__(self) -> tuple[str, str, str]:
        return ("lake", self.root, self.ref)

    def __hash__(self) -> int:
        return hash((self.root, self.ref))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LakeFileView) and (self.root, self.ref) == (other.root, other.ref)

    # -- names --------------------------------------------------------------------------------------------------
    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The one spelling of a name: no protocol, no needless slashes, minimally percent-encoded."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text, _, region = stringify_path(path).removeprefix(PROTOCOL).partition("#")
        if "%" in text:
            text = encode_name(decode_name(text))
        if _UNTIDY.search(text):
            text = "/".join(name for name in text.split("/") if name not in ("", "."))
        return f"{text}#{region}" if region else text

    @classmethod
    def _parent(cls, path: Any) -> str:
        text: str = cls._strip_protocol(path).partition("#")[0]
        target = parse_target(text)
        if not target.path:
            return text
        return (prefix_of(target.ref) + encode_name(parent(target.path))).rstrip("/")

    def _locate(self, path: Any) -> tuple[str, Target, Tree]:
        """A name, what it means, and the entries that it is looked up in."""
        name = self._strip_protocol(path)
        target = parse_target(name)
        with self._seen():
            return name, target, self.lake.tree(target.ref or self.ref)

    def _seen(self) -> contextlib.AbstractContextManager[None]:
        """Lets what is looked up inside the ``with`` show the changes of the transaction under way."""
        return self.transaction.seen(self.lake) if self._intrans else contextlib.nullcontext()

    def _plain(self, path: Any, action: str) -> Target:
        """What a name without a region means.

        Raises:
            Unsupported: it has one.
        """
        target = parse_target(self._strip_protocol(path))
        if target.region is not None:
            raise Unsupported(f"a region cannot be {action}: {path}; '#' in a file name is written %23")
        return target

    def _is_pattern(self, path: str) -> bool:
        return has_magic(path) and "#" not in path

    # -- asking -------------------------------------------------------------------------------------------------
    def info(self, path: Any, **kwargs: Any) -> Info:
        """See `lake.fs.listing.Info`; of a region, the size of the slice.

        Raises:
            NotFound: nothing is there.
        """
        name, target, tree = self._locate(path)
        if target.region is not None:
            return self._slice_info(name, target, tree, self._slice(target))
        return describe([self._entry(target, tree)], prefix_of(target.ref))[0] | {"name": name}

    def _entry(self, target: Target, tree: Tree) -> Entry:
        entry = tree.find(target.path) if target.path else None
        if entry is None:
            if not tree.is_directory(target.path):
                # Without the names that come close: programs ask for what is missing all the time.
                raise NotFound(f"no such file or directory in the lake: {target.path}")
            return implied(target.path)
        return entry

    def _file(self, target: Target, tree: Tree) -> Entry:
        entry = self._entry(target, tree)
        if entry.kind != Kind.FILE:
            raise IsDirectory(f"{target.path or 'the top of the lake'} is a directory")
        return entry

    def _slice(self, target: Target) -> Slice:
        assert target.region is not None
        with self._seen():
            return self.lake.slice(target.path, target.region.split(";"), ref=target.ref or self.ref)

    def _slice_info(self, name: str, target: Target, tree: Tree, answer: Slice) -> Info:
        info = describe([tree.file(target.path)], "")[0]
        return info | {"name": name, "size": answer.size, "digest": answer.identity}

    def ls(self, path: Any, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What a directory holds, sorted; of a file, the file itself.

        Raises:
            NotFound: nothing is there.
        """
        name, target, tree = self._locate(path)
        if target.region is not None:
            infos = [self.info(name)]
            return infos if detail else [name]
        with uncollected():
            entries = tree.children(target.path) or self._itself(target, tree)
            prefix = prefix_of(target.ref)
            return describe(entries, prefix) if detail else [prefix + encode_name(entry.path) for entry in entries]

    def _itself(self, target: Target, tree: Tree) -> list[Entry]:
        """What a listing without children shows: a file, but not an empty directory."""
        entry = self._entry(target, tree)
        return [entry] if entry.kind == Kind.FILE else []

    def find(
        self,
        path: Any,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        **kwargs: Any,
    ) -> Any:
        """Names (with ``detail`` a dict of infos) below a directory, sorted; empty where nothing is.

        Args:
            maxdepth: levels to descend; None for all.
            withdirs: list directories too, the one that is asked first.
            prefix: only what starts so, seen from the directory.
        """
        if maxdepth is not None and maxdepth < 1:
            raise InvalidInput(f"maxdepth must be at least 1, not {maxdepth}")
        name, target, tree = self._locate(path)
        infos = [self.info(name)] if target.region is not None else self._find(target, tree, maxdepth, withdirs)
        start = f"{name}/{prefix}" if name else prefix
        found = {info["name"]: info for info in infos if not prefix or info["name"].startswith(start)}
        return {one: found[one] for one in sorted(found)} if detail else sorted(found)

    def _find(self, target: Target, tree: Tree, maxdepth: int | None, withdirs: bool) -> list[Info]:
        entries = tree.children(target.path) if maxdepth == 1 else tree.walk(target.path)
        kept = found_below(entries, target.path, maxdepth, withdirs)
        if target.path and (withdirs or not entries):
            own = tree.find(target.path)
            if own is not None and (withdirs or own.kind == Kind.FILE):
                kept.append(own)
            elif own is None and entries:
                kept.append(implied(target.path))
        return describe(kept, prefix_of(target.ref))

    def walk(
        self,
        path: Any,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = "omit",
        detail: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[str, Any, Any]]:
        """As ``os.walk``; one question to the journal, whatever the depth.

        Args:
            on_error: what to do where nothing is: ``omit``, ``raise``, or call this with the error.
        """
        name = self._strip_protocol(path)
        try:
            self.info(name)
        except OSError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            return
        infos = self.find(name, maxdepth=maxdepth, withdirs=True, detail=True).values()
        yield from walk_levels(tree_levels(infos, name), name, maxdepth, topdown, detail)

    def glob(self, path: Any, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Names that match; a region is no pattern."""
        text = stringify_path(path)
        if "#" not in text:
            return super().glob(text, maxdepth=maxdepth, **kwargs)
        name = self._strip_protocol(text)
        found = {name: self.info(name)} if self.exists(name) else {}
        return found if kwargs.get("detail") else list(found)

    def du(
        self, path: Any, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> int | dict[str, int]:
        """Bytes below a path, together or by name."""
        infos = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True)
        sizes = {name: info["size"] for name, info in infos.items()}
        return sum(sizes.values()) if total else sizes

    def exists(self, path: Any, **kwargs: Any) -> bool:
        return self._type(path) is not None

    def isfile(self, path: Any) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: Any) -> bool:
        return self._type(path) == "directory"

    def _type(self, path: Any) -> str | None:
        try:
            kind: str = self.info(path)["type"]
        except FileNotFoundError:
            return None
        return kind

    def ukey(self, path: Any) -> str:
        """Names the content: the digest of a file, the identity of a slice."""
        key: str = self.info(path)["digest"] or super().ukey(path)
        return key

    def checksum(self, path: Any) -> int:
        return int(self.ukey(path), 16)

    def modified(self, path: Any) -> datetime:
        """When this version was written (UTC); of a directory without an entry, the newest below it."""
        when: datetime | None = self.info(path)["mtime"]
        if when is None:
            when = max(below["mtime"] for below in self.find(path, detail=True).values())
        return when

    def created(self, path: Any) -> datetime:
        """When the path first appeared on its branch or the branches that it was forked from (UTC)."""
        name, target, tree = self._locate(path)
        entry = self._entry(target, tree)
        history = self.lake.history(target.path, ref=target.ref or self.ref) if entry.commit else []
        if not history:
            return self.modified(name)
        return describe([entry._replace(modified=history[-1][0].created)], "")[0]["mtime"]  # type: ignore[no-any-return]

    def local_path(self, path: Any) -> str:
        """The plain file inside the lake that holds a file's bytes, for tools that want one. For reading only."""
        target = self._plain(path, "found as a local file")
        return str(self.lake.local_path(target.path, ref=target.ref or self.ref))

    def sign(self, path: Any, expiration: int = 100, **kwargs: Any) -> str:
        """
        Raises:
            Unsupported: always; a lake on a local disk has no URLs that others could open.
        """
        raise Unsupported(f"cannot sign {path}: a lake on a local disk has no URLs for others; serve it to share it")

    # -- reading ------------------------------------------------------------------------------------------------
    def _open_reading(self, name: str, target: Target, tree: Tree) -> LakeReadFile:
        if target.region is not None:
            answer = self._slice(target)
            file = answer.open()
            info = self._slice_info(name, target, tree, answer)
            return LakeReadFile(self, name, info | {"size": file.seek(0, os.SEEK_END) + file.seek(0)}, file)
        entry = tree.file(target.path)
        return LakeReadFile(self, name, describe([entry], "")[0] | {"name": name}, self._stored(entry.hex))

    def _stored(self, digest: Digest) -> Any:
        return self.lake.repo.shelf.reader(digest).open()

    def reopen(self, path: str, details: Info) -> LakeReadFile:
        """The very content that was opened before, whatever the path names now. For unpickled files.

        Raises:
            NotFound: the lake no longer has it.
            SourceChanged: a slice whose file was replaced meanwhile.
        """
        if parse_target(path).region is None:
            return LakeReadFile(self, path, details, self._stored(details["digest"]))
        file = self._open_reading(*self._locate(path))
        if file.details["digest"] != details["digest"]:
            file.close()
            raise SourceChanged(f"{path} is another slice by now: its file was replaced; open it again")
        return file

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """The bytes ``[start, end)`` as Python slices them, verified.

        Raises:
            NotFound, IsDirectory, DamagedObject: see their names.
        """
        name, target, tree = self._locate(path)
        if target.region is not None:
            with self._open_reading(name, target, tree) as file:
                first, last, _ = slice(start, end).indices(file.size)
                file.seek(first)
                return file.read(max(0, last - first))
        reader = self.lake.repo.shelf.reader(self._file(target, tree).hex)
        first, last, _ = slice(start, end).indices(reader.size)
        return reader.read(first, last - first)

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """The bytes of a file; of a list, a pattern or (``recursive``) all files of a directory, a dict of them."""
        if recursive:
            path = [name for name in self.expand_path(path, recursive=True) if not self.isdir(name)]
        return super().cat(path, on_error=on_error, **kwargs)

    def cat_ranges(
        self,
        paths: Sequence[Any],
        starts: int | Sequence[int | None] | None,
        ends: int | Sequence[int | None] | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """One `cat_file` for each path, start and end; ``max_gap`` is of no use on a disk.

        Args:
            on_error: ``return`` puts an error in the place of the bytes, ``raise`` raises the first.
        """
        count = len(paths)
        firsts = [starts] * count if starts is None or isinstance(starts, int) else list(starts)
        lasts = [ends] * count if ends is None or isinstance(ends, int) else list(ends)
        if len(firsts) != count or len(lasts) != count:
            raise InvalidInput(f"{count} paths need as many starts and ends, not {len(firsts)} and {len(lasts)}")
        out: list[Any] = []
        for path, first, last in zip(paths, firsts, lasts, strict=True):
            try:
                out.append(self.cat_file(path, first, last))
            except (OSError, ValueError) as error:
                if on_error != "return":
                    raise
                out.append(error)
        return out

    # -- out to the local disk ----------------------------------------------------------------------------------
    def get_file(
        self, rpath: Any, lpath: Any = None, callback: Callback = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        """Copy a file or a slice out, verified; it appears whole or not at all. A directory is made."""
        _, target, tree = self._locate(rpath)
        answer = self._slice(target) if target.region is not None else None
        entry = self._entry(target, tree)
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if entry.kind == Kind.DIRECTORY:
            os.makedirs(lpath, exist_ok=True)
            return
        progress = FileProgress(callback, answer.size if answer is not None else entry.size)
        if outfile is None and answer is None:
            copy_out(self.lake.repo.shelf.reader(entry.hex), Path(lpath), progress)
        elif outfile is None and answer is not None:
            self.lake.save(answer, Path(lpath))
            progress.advance(os.path.getsize(lpath))
        else:
            for piece in answer.iter_bytes() if answer is not None else self._pieces(entry):
                outfile.write(piece)
                progress.advance(len(piece))

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        reader = self.lake.repo.shelf.reader(entry.hex)
        for offset in range(0, reader.size, PIECE):
            yield reader.read(offset, PIECE)

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy files out, under their own names: ``a%23b`` becomes ``a#b``."""
        from fsspec.implementations.local import LocalFileSystem, make_path_posix

        pairs = plan_pairs(
            self,
            rpath,
            make_path_posix(lpath) if isinstance(lpath, (str, os.PathLike)) else lpath,
            is_pattern=self._is_pattern,
            is_directory=LocalFileSystem().isdir,
            rename=_local_name,
            recursive=recursive,
            maxdepth=maxdepth,
        )
        callback.set_size(len(pairs))
        for source, place in callback.wrap(pairs):
            with callback.branched(source, place) as child:
                self.get_file(source, place, callback=child)


def _local_name(name: str) -> str:
    """A name as the local disk spells it.

    Raises:
        InvalidPath: it would lead out of where it is copied to.
    """
    target = parse_target(name)
    region = f"#{target.region}" if target.region is not None else ""
    return prefix_of(target.ref) + target.path + region
