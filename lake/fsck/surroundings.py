"""Files of a lake beside its objects: journal, log, settings, key, catalog, trash."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lake.catalog.generations import CatalogFolder
from lake.config import load_config
from lake.errors import LakeError
from lake.fsck.findings import Finding, FsckReport
from lake.fsck.scanning import scan
from lake.keyfile import read_key
from lake.repository import Repository

__all__ = ["check_catalog", "check_journal", "check_log", "check_trash", "check_words"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_journal(repo: Repository, *, rows: bool) -> list[Finding]:
    """The journal's own file and, with ``rows``, every row of it."""
    return [Finding("damaged", "journal.db", detail=said) for said in repo.journal.verify(rows=rows)]


def check_words(root: Path) -> list[Finding]:
    """``lake.toml`` and ``server.key``: small texts with a checksum inside."""
    found = []
    try:
        load_config(root)
    except LakeError as error:
        found.append(Finding("damaged", "lake.toml", detail=str(error)))
    try:
        read_key(root / "server.key")
    except LakeError as error:
        found.append(Finding("damaged", "server.key", detail=str(error)))
    return found


def check_catalog(repo: Repository, report: FsckReport) -> None:
    """Generations against their manifests. A damaged one goes out of use: what is asked next reads the journal."""
    catalog = CatalogFolder(repo.root / "catalog")
    report.generations = [*catalog.damaged_manifests(), *(generation.number for generation in catalog.damaged())]
    if not repo.readonly:
        for number in report.generations:
            catalog.discard_manifest(number)
    report.orphans += len(catalog.unnamed())


def check_trash(root: Path, advance: Callable[[int], None]) -> Iterator[Finding]:
    """What was set aside and may come back: each file is named by the digest of its bytes."""
    for folder, _, names in os.walk(root / "trash"):
        for name in sorted(names):
            path = Path(folder, name)
            file = str(path.relative_to(root))
            if _DIGEST.fullmatch(name) is None:
                continue
            try:
                if scan(str(path), [], advance).whole != name:
                    yield Finding("damaged", file, detail="it would not come back as what it was")
            except FileNotFoundError:
                continue  # deleted or brought back since
            except OSError as error:
                yield Finding("damaged", file, detail=f"it cannot be read: {error.strerror}")


def check_log(repo: Repository) -> list[Finding]:
    """The sealed log: every line against the chain of hashes, and against the journal."""
    return [Finding("damaged", "log", detail=said) for said in repo.journal.log_problems()]
