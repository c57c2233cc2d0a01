"""A journal to read where journal.db cannot be opened: the newest generation of the catalog.

On read-only media SQLite cannot read commits that are still in the write-ahead log, and on a network filesystem it can
neither lock nor share memory with the machine that writes. A generation is a few immutable files instead. It holds the
branch ``main`` as of one commit: paths, objects and where they lie, indexes and tables. It knows neither other
branches, tags and history nor tokens: what needs these, and whatever writes, is refused with the way out. Times are
those of the journal to the microsecond.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lake.chunks import ChunkMap
from lake.digest import Digest
from lake.errors import Conflict, ReadOnly, StorageError, UnsupportedVersion
from lake.journal import refs
from lake.journal.base import Journal
from lake.journal.values import Artifact, Commit, Damage, Difference, Entry, Kind, Mark, ObjectRecord, Scrubbed, View
from lake.stores.base import Location
from lake.stores.filesystem import WAY_OUT
from lake.stores.places import pack_digest, pack_handle, plain_handle

if TYPE_CHECKING:
    from lake.catalog.attached import AttachedGeneration
    from lake.catalog.generations import CatalogFolder, Generation

__all__ = ["GenerationJournal"]

_MAIN = 1
"""Id of the branch ``main`` in every journal."""
_FACTS = "facts."
_PAGE = 1000
_SIBLINGS = 600

_ENTRY = 'path, kind, size, modified, "commit", attributes, digest, format'
_RECORD = "object, digest, size, format, problems, md5, sha256, chunks, pack, start"
_ARTIFACT = "artifact, object, kind, code, inputs, target, body"


class GenerationJournal:
    """The reading half of `lake.journal.base.Journal`, of the branch ``main`` as of a generation.

    A generation that is published meanwhile is seen by whoever resolves a ref again; views of the one before can go on
    being read.

    Raises:
        ReadOnly: there is no whole generation.
        UnsupportedVersion: newer software has made them.
    """

    def __init__(self, root: Path, why: str) -> None:
        """``why`` says why journal.db is not used, as the beginning of a sentence."""
        from lake.catalog.generations import CatalogFolder

        self._root = root
        self._why = why
        self._folder: CatalogFolder = CatalogFolder(root / "catalog")
        self._lock = threading.Lock()
        newest = self._folder.newest()
        if newest is None and (version := self._folder.newer_version()) is not None:
            raise UnsupportedVersion(f"{why}, and its catalog is of version {version}: use a newer regionlake")
        if newest is None:
            raise ReadOnly(
                f"{why}, and the lake has no catalog to read it from: publish one on the machine that has its disk "
                f"('lake catalog publish'), or {WAY_OUT}"
            )
        self._held = [self._attach(newest)]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Whatever else there is in the contract, now or later, writes or needs what only the journal has.
            if name.startswith("_") or not hasattr(Journal, name):
                raise AttributeError(name)
            return self._refuse

    def __repr__(self) -> str:
        return f"GenerationJournal({str(self._folder.path)!r})"

    @property
    def generation(self) -> Generation:
        """The newest one that was read."""
        return self._held[-1].generation

    @property
    def head(self) -> int:
        """Number of the newest commit of ``main`` that was read."""
        return self._held[-1].head

    @property
    def refusal(self) -> str:
        """What to say to who wants more than there is."""
        return (
            f"{self._why}: only main as of commit {self._held[-1].head} can be read there; to write, or for other refs "
            f"and history, {WAY_OUT}"
        )

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ReadOnly(self.refusal)

    def _attach(self, generation: Generation) -> AttachedGeneration:
        from lake.catalog.attached import AttachedGeneration

        return AttachedGeneration(self._folder.path, generation)

    def _newest(self) -> AttachedGeneration:
        """The newest generation, looked for again."""
        with self._lock:
            if self._folder.latest_number() > self._held[-1].generation.number:
                found = self._folder.newest()
                if found is not None and found.number > self._held[-1].generation.number:
                    self._held.append(self._attach(found))
                    # An older one goes with the last call that uses it.
                    del self._held[:-2]
            return self._held[-1]

    def _of(self, view: View) -> AttachedGeneration:
        for held in reversed(self._held):
            if view.branch == _MAIN and view.seq == held.head:
                return held
        raise Conflict(f"{self._root} has moved on since this was asked for: ask again")

    # -- refs ---------------------------------------------------------------------------------------------------
    def resolve(self, ref: str) -> View:
        """As `Journal.resolve`, of ``main`` and the number of its newest commit; ReadOnly for every other ref."""
        parsed = refs.parse(ref)
        head = self._newest().head
        if parsed.steps or parsed.base not in ("main", head):
            self._refuse()
        return View(_MAIN, head, "main" if parsed.base == "main" else None)

    # -- reading ------------------------------------------------------------------------------------------------
    def lookup(self, view: View, path: str) -> Entry | None:
        rows = self._of(view).rows(f"SELECT {_ENTRY} FROM entries WHERE path = ?", [path])
        return Entry._make(rows[0]) if rows else None

    def is_directory(self, view: View, path: str) -> bool:
        if not path:
            return True
        entry = self.lookup(view, path)
        if entry is not None:
            return entry.kind == Kind.DIRECTORY
        below, bounds = _below(path)
        return bool(self._of(view).rows(f"SELECT 1 FROM entries WHERE {below} LIMIT 1", bounds))

    def children(self, view: View, directory: str) -> list[Entry]:
        below, bounds = _below(directory)
        cut = len(directory) + 1 if directory else 0
        rest = f"substr(path, {cut + 1})"
        own = self._of(view).rows(
            f"SELECT {_ENTRY} FROM entries WHERE {below} AND NOT contains({rest}, '/') ORDER BY path", bounds
        )
        found = {row[0]: Entry._make(row) for row in own}
        implied = self._of(view).rows(
            f"SELECT DISTINCT split_part({rest}, '/', 1) FROM entries WHERE {below} AND contains({rest}, '/')", bounds
        )
        for (name,) in implied:
            path = f"{directory}/{name}" if directory else str(name)
            found.setdefault(path, Entry(path, Kind.DIRECTORY, 0, 0, 0, None, None, None))
        return [found[path] for path in sorted(found)]

    def walk(self, view: View, directory: str) -> list[Entry]:
        below, bounds = _below(directory)
        rows = self._of(view).rows(f"SELECT {_ENTRY} FROM entries WHERE {below} ORDER BY path", bounds)
        return [Entry._make(row) for row in rows]

    def log(self, view: View, limit: int | None = None, path: str | None = None) -> list[Commit]:
        if path:
            self._refuse()
        rows = self._of(view).rows(
            "SELECT seq, id, branch, epoch_us(created) * 1000, author, message,"
            " lag(id) OVER (ORDER BY seq) AS parent, changes FROM core.commits WHERE branch = 'main' AND seq <= ?"
            " ORDER BY seq DESC LIMIT ?",
            [view.seq, limit if limit is not None else 1 << 62],
        )
        return [
            Commit(seq, digest, branch, created, author, message, (parent,) if parent is not None else (), changes)
            for seq, digest, branch, created, author, message, parent, changes in rows
        ]

    def diff(self, old: View, new: View, prefix: str = "") -> list[Difference]:
        if self._of(old) is not self._of(new):
            self._refuse()
        return []

    def near(self, view: View, path: str, limit: int = 3) -> list[str]:
        directory, _, name = path.rpartition("/")
        while not self.is_directory(view, directory):
            directory, _, name = directory.rpartition("/")
        names = {entry.path.rpartition("/")[2]: entry.path for entry in self.children(view, directory)[:_SIBLINGS]}
        found = [names[close] for close in difflib.get_close_matches(name, names, limit)]
        last = path.rpartition("/")[2]
        alike = self._of(view).rows(
            "SELECT path FROM entries WHERE path = ? OR suffix(path, ?) ORDER BY path LIMIT ?",
            [last, f"/{last}", limit],
        )
        return list(dict.fromkeys([*found, *(str(each) for (each,) in alike)]))[:limit]

    # -- objects and artifacts ----------------------------------------------------------------------------------
    def object(self, digest: Digest) -> ObjectRecord | None:
        rows = self._held[-1].rows(f"SELECT {_RECORD} FROM objects WHERE digest = ?", [bytes.fromhex(digest)])
        return self._record(self._held[-1], rows[0]) if rows else None

    def _record(self, held: AttachedGeneration, row: Sequence[Any]) -> ObjectRecord:
        number, raw, size, form, problems, md5, sha256, chunks, pack, start = row
        digest = Digest(raw.hex())
        handle = plain_handle(digest) if pack is None else pack_handle(Digest(pack.hex()))
        sums = {name: value for name, value in (("md5", md5), ("sha256", sha256)) if value is not None}
        encoded = None
        if chunks > 1:
            pieces = held.rows("SELECT length, digest FROM chunk_map WHERE object = ? ORDER BY ord", [number])
            lengths = tuple(length for length, _ in pieces)
            encoded = ChunkMap(lengths, b"".join(found for _, found in pieces)).encode()
        return ObjectRecord(digest, size, form, Location(handle, start, size), encoded, tuple(problems or ()), sums)

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        return set(self.locations(digests))

    def locations(self, digests: Sequence[Digest]) -> dict[Digest, Location]:
        found = (self.object(digest) for digest in digests)
        return {record.digest: record.location for record in found if record is not None}

    def objects(self) -> Iterator[ObjectRecord]:
        held, last = self._held[-1], 0
        while True:
            page = held.rows(f"SELECT {_RECORD} FROM objects WHERE object > ? ORDER BY object LIMIT {_PAGE}", [last])
            if not page:
                return
            for row in page:
                yield self._record(held, row)
            last = page[-1][0]

    def with_checksum(self, checksum: str) -> list[Digest]:
        rows = self._held[-1].rows("SELECT digest FROM objects WHERE ? IN (md5, sha256)", [checksum])
        return [Digest(raw.hex()) for (raw,) in rows]

    def paths_of(self, digest: Digest) -> list[tuple[str, str, int]]:
        """As `Journal.paths_of`, as far as ``main`` names the object now."""
        return self._held[-1].rows(
            'SELECT path, \'main\', "commit" FROM core.files WHERE digest = ? ORDER BY "commit" DESC, path',
            [bytes.fromhex(digest)],
        )

    def artifacts(self, digest: Digest) -> list[Artifact]:
        """As `Journal.artifacts`, but for facts, which are made from the file again where they are asked for."""
        held = self._held[-1]
        rows = held.rows(
            f"SELECT {_ARTIFACT} FROM artifact_rows WHERE object IN (SELECT object FROM objects WHERE digest = ?)",
            [bytes.fromhex(digest)],
        )
        found = [_artifact(digest, row) for row in _newest_of(rows)]
        return sorted(found, key=lambda artifact: (artifact.kind, artifact.code, artifact.inputs))

    def artifacts_of(self, kind: str, after: int = 0) -> tuple[int, list[Artifact]]:
        held = self._held[-1]
        reach = held.generation.reach
        if kind.startswith(_FACTS):
            return reach.fact, _facts(held, kind) if after < reach.fact else []
        rows = held.rows(f"SELECT {_ARTIFACT} FROM artifact_rows WHERE kind = ? AND artifact > ?", [kind, after])
        names = dict(held.rows("SELECT object, digest FROM objects"))
        return reach.fact, [_artifact(Digest(names[row[1]].hex()), row) for row in _newest_of(rows) if row[1] in names]

    def damage(self, digest: Digest | None = None) -> list[Damage]:
        """As `Journal.damage`, as of the generation; when it was found is not known."""
        held = self._held[-1]
        which = ("digest = ?", [bytes.fromhex(digest)]) if digest is not None else ("len(damage) > 0", [])
        found = []
        for *row, bad in held.rows(f"SELECT {_RECORD}, damage FROM objects WHERE {which[0]} ORDER BY digest", which[1]):
            record = self._record(held, row)
            spans = ChunkMap.decode(record.chunks, record.size) if record.chunks is not None else None
            for number in bad or ():
                offset, length = spans.span(number) if spans is not None else (0, record.size)
                found.append(Damage(record.digest, number, offset, length, 0))
        return found

    # -- checking -----------------------------------------------------------------------------------------------
    def objects_in(self, handle: str) -> list[ObjectRecord]:
        held, pack = self._held[-1], pack_digest(handle)
        if pack is None:
            found = self.object(Digest(handle.rpartition("/")[2]))
            return [found] if found is not None and found.location.handle == handle else []
        rows = held.rows(f"SELECT {_RECORD} FROM objects WHERE pack = ? ORDER BY start", [pack])
        return [self._record(held, row) for row in rows]

    def derived_from(self, digest: Digest) -> list[tuple[Digest, str]]:
        rows = self._held[-1].rows(
            "SELECT DISTINCT o.digest, a.kind FROM artifact_rows a JOIN objects o USING (object) WHERE a.target = ?",
            [bytes.fromhex(digest)],
        )
        return [(Digest(raw.hex()), kind) for raw, kind in rows]

    def scrubbed(self) -> Iterator[Scrubbed]:
        """As `Journal.scrubbed`; when anything was checked is not known."""
        for record in self.objects():
            yield Scrubbed(record.location.handle, record.size, 0, True)

    def verify(self, *, rows: bool = True) -> list[str]:
        """Nothing: journal.db is not read. The files of the generation were compared with their digests."""
        return []

    def log_problems(self) -> list[str]:
        """Nothing: the log is checked where the journal is."""
        return []

    # -- feed of the catalog ------------------------------------------------------------------------------------
    def identity(self) -> str:
        return self.generation.journal.partition(".")[0]

    def expirations(self) -> int:
        # The catalog knows a journal by both.
        return int(self.generation.journal.partition(".")[2])

    def tip(self) -> Mark:
        return Mark(*self._newest().generation.reach)

    def feed_changed_files(self, old: View, new: View) -> list[tuple[str, tuple[Any, ...] | None]]:
        # The catalog asks for `main` as of the last commit of any branch: nothing of main comes after its own last one.
        if old.seq < self._of(new).head:
            raise self._damaged()
        return []

    def feed_files(self, view: View, after: str, limit: int) -> NoReturn:
        raise self._damaged()

    def feed_objects(self, since: Mark, until: Mark, after: int, limit: int) -> list[tuple[Any, ...]]:
        if since != self._reach():
            raise self._damaged()
        return []

    def feed_commits(self, after: int, until: int, limit: int) -> list[tuple[Any, ...]]:
        return self._held[-1].rows(
            "SELECT seq, id, branch, epoch_us(created) * 1000, author, message, changes FROM core.commits"
            " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            [after, until, limit],
        )

    def feed_artifacts(self, prefix: str, after: int, newest: int, limit: int) -> list[tuple[Any, ...]]:
        if after < self._reach().artifact:
            raise self._damaged()
        return []

    def _reach(self) -> Mark:
        return Mark(*self._held[-1].generation.reach)

    def _damaged(self) -> StorageError:
        """The catalog asks from the generation on that it attached: where it has none, nothing else can tell."""
        return StorageError(
            f"the catalog in {self._folder.path} is damaged, or of other software than this: publish it anew where the "
            "lake can be written ('lake catalog rebuild')"
        )

    # -- what only the journal knows ----------------------------------------------------------------------------
    def token(self, token: str) -> None:
        """None: a generation holds no tokens, so nobody is let in by one."""

    def live_leases(self, kind: str) -> list[str]:
        return []

    def expired_leases(self, kind: str) -> list[str]:
        return []

    def close(self) -> None:
        for held in self._held:
            held.close()


def _below(directory: str) -> tuple[str, list[str]]:
    """A condition on paths below a directory: ``0`` follows ``/``."""
    return ("path >= ? AND path < ?", [f"{directory}/", f"{directory}0"]) if directory else ("true", [])


def _newest_of(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Artifacts without those that others have replaced, oldest first."""
    newest = {row[1:5]: row for row in sorted(rows, key=lambda row: int(row[0]))}
    return sorted(newest.values(), key=lambda row: int(row[0]))


def _artifact(digest: Digest, row: Sequence[Any]) -> Artifact:
    _, _, kind, code, inputs, target, body = row
    return Artifact(digest, kind, code, body, None if target is None else Digest(target.hex()), inputs)


def _facts(held: AttachedGeneration, kind: str) -> list[Artifact]:
    """The tables of a kind as artifacts again; of which code they are is not known any more."""
    from lake.catalog.feed import Family
    from lake.formats.facts.kinds import FACT_KINDS

    known = FACT_KINDS[kind.removeprefix(_FACTS)]
    family = Family(known.name, known.summary, known.schema, known.shared)
    return [Artifact(Digest(digest.hex()), kind, "catalog", body) for digest, body in held.facts(family)]
