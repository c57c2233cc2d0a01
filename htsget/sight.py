"""What somebody may see of objects that are asked for by their content."""

from __future__ import annotations

from lake.digest import Digest
from lake.grants import Verb
from lake.htsget.access import Principal, object_regions, refusal
from lake.htsget.errors import Problem, missing
from lake.lake import Lake

__all__ = ["not_found", "readable_whole", "seen_names"]


def readable_whole(principal: Principal, lake: Lake, digest: Digest) -> bool:
    """Whether every byte of an object may be read, under one of the names that it has or had. Blocking."""
    try:
        return object_regions(principal, lake, digest) is None
    except Problem:
        return False


def seen_names(principal: Principal, lake: Lake, digest: Digest) -> list[tuple[str, int]]:
    """Paths that name an object, or did, and that may be read as a whole; with the commit, newest first. Blocking."""
    names = lake.repo.journal.paths_of(digest)
    return [
        (path, commit)
        for path, _, commit in names
        if principal.may(Verb.READ, path) and principal.regions(path) is None
    ]


def not_found(principal: Principal) -> Problem:
    """The answer to who asks for what does not exist, or what they may not see."""
    return refusal() if principal.anonymous and not principal.grants else missing()
