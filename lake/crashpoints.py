"""Named steps of what writes to a lake at which a test can kill the process, to see that a crash there loses nothing.

`REGIONLAKE_CRASHPOINT=<name>` in the environment makes the process kill itself (SIGKILL, so that no clean-up
runs) when it first comes to that step. Without the variable a step costs one comparison.
"""

from __future__ import annotations

import os
import signal

__all__ = [
    "BACKUP_STEPS",
    "COMMIT_STEPS",
    "CRASH_POINTS",
    "EXPIRE_STEPS",
    "GC_STEPS",
    "LOG_STEPS",
    "PUBLISH_STEPS",
    "REBUILD_STEPS",
    "REPAIR_STEPS",
    "RESTORE_STEPS",
    "UNTRASH_STEPS",
    "arm",
    "crash_point",
]

CRASH_POINTS: dict[str, str] = {
    "staging-made": "the batch's staging directory exists, nothing is in it",
    "staging-written": "a staging file has bytes that are not registered with the batch",
    "staged": "a file is staged and hashed",
    "source-linked": "a moved source has its second name in staging",
    "probed": "the claims of gc are settled, nothing has its name",
    "data-synced": "the bytes of every staged file and pack are durable, no name is",
    "renamed": "the first file or pack has its name, the others have not",
    "names-made": "every file and pack has its name, directories are not durable",
    "published": "objects and names are durable, no commit names them",
    "source-removed": "after the commit: the first moved source is gone",
}
"""Every step, in the order in which a put, and whatever comes below it, gets to them."""

COMMIT_STEPS: dict[str, str] = {
    "commit-written": "everything that a commit changes is written inside its transaction, nothing is committed",
    "committed": "the journal has the commit, nobody has been told",
}
"""The steps of a commit, between those of a put: after ``published``, before ``source-removed``."""

PUBLISH_STEPS: dict[str, str] = {
    "generation-built": "the files of a generation are written and closed, none has its name",
    "generation-file-named": "the first file has its name, no manifest names it",
    "generation-files-durable": "all files have their names, durably; the manifest is not written",
    "generation-manifest-written": "the manifest is durable under the name of something unfinished",
    "generation-manifest-named": "the manifest has its name, its folder is not durable",
    "generation-published": "the generation is durable, older ones are still there",
}
"""The steps in which a generation of the catalog is published."""

BACKUP_STEPS: dict[str, str] = {
    "backup-journal-copied": "the journal is copied, under no name that counts",
    "backup-staged": "the first file is copied into the backup's staging",
    "backup-files-copied": "every file that the new journal needs is durable",
    "backup-manifest-written": "the manifest knows the new journal, the old one is in place",
    "backup-journal-named": "the new journal is in place, durably; the log is not copied",
    "backup-log-copied": "the log is copied, nothing is pruned",
    "backup-pruned": "the first file that nothing needs is gone",
}
"""The steps of a backup; files come to their names by those of a put from ``data-synced`` to ``published``."""

RESTORE_STEPS: dict[str, str] = {
    "restore-files-copied": "every file and the journal are copied, the journal has no name",
    "restore-journal-named": "all is in place but lake.toml",
}
"""The steps in which a lake is made of a backup."""

LOG_STEPS: dict[str, str] = {
    "unsealed": "the journal has a commit or another event, the log does not",
    "log-written": "the log's lines are written, not durable",
    "sealed": "the log has the event, durably; nobody has been told",
}
"""The steps in which the log is written: after every commit of the journal, before ``committed``."""

REBUILD_STEPS: dict[str, str] = {
    "journal-rebuilt": "the new journal is whole and durable under a name of its own",
    "journal-aside": "the old journal is in quarantine, there is none",
    "journal-named": "the new journal has its name, the log does not know",
}
"""The steps in which a journal is made again from its log."""

REPAIR_STEPS: dict[str, str] = {
    "scrub-recorded": "what a part of a check has found is in the journal",
    "healed-written": "the healed file is written in staging, its bytes are not durable",
    "healed-durable": "the healed file is durable in staging",
    "damaged-set-aside": "the damaged file has a second name in quarantine",
    "healed-named": "the healed file has its name, its folder is not durable",
    "healed": "the healed file is in place, the journal still tells of damage",
}
"""The steps in which a check is recorded and a damaged file is healed."""

GC_STEPS: dict[str, str] = {
    "marked": "what is to go is known, nothing is written",
    "claimed": "the journal has let the first objects go, their files are in their places",
    "moved-first": "the first file of a batch is in the trash",
    "moved": "all files of a batch are in the trash, durably; the journal does not know yet",
    "recorded": "the journal knows that they are there",
    "purge-rows": "the journal has forgotten objects of the trash, their files are there",
    "purged": "their files are gone",
}
"""The steps of gc."""

UNTRASH_STEPS: dict[str, str] = {
    "given-back": "files are back in their places, durably; the journal still has them in the trash",
}
"""The steps in which objects come back from the trash."""

EXPIRE_STEPS: dict[str, str] = {
    "commits-expired": "the first commits are no refs any more, the versions that only they saw are there",
    "history-swept": "versions that no commit sees are gone, deleted branches are there",
    "branches-dropped": "nothing is left to do but to publish the catalog",
}
"""The steps in which history is thinned."""

_armed = os.environ.get("REGIONLAKE_CRASHPOINT")


def arm(name: str | None) -> None:
    """Let this process die at the step ``name``, as the variable does from the start; None: at no step."""
    global _armed
    _armed = name


def crash_point(name: str) -> None:
    """Kill this process if it was told to die at the step ``name``."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
