"""The lake as a whole: history, checks, copies, space."""

from __future__ import annotations

from lake.cli.arguments.commands import Commands, bound, take_ref_and_json
from lake.cli.arguments.values import period, positive

__all__ = ["add_care_commands", "add_history_commands", "add_space_commands"]


def add_history_commands(commands: Commands) -> None:
    log = commands.add("log", "history:log", "commits, newest first")
    log.add_argument("path", nargs="?", metavar="PATH", help="only those that changed it")
    log.add_argument("-n", "--limit", type=positive, metavar="N", help="at most so many")
    take_ref_and_json(log)

    branch = commands.add("branch", "history:branch", "list, make or delete branches")
    branch.add_argument("name", nargs="?", metavar="NAME")
    branch.add_argument("start", nargs="?", metavar="REF", help="where it forks (main)")
    branch.add_argument("-d", "--delete", action="store_true", help="delete NAME")
    take_ref_and_json(branch)

    tag = commands.add("tag", "history:tag", "list, make or delete tags")
    tag.add_argument("name", nargs="?", metavar="NAME")
    tag.add_argument("target", nargs="?", metavar="REF", help="what it names (main)")
    tag.add_argument("-d", "--delete", action="store_true", help="delete NAME")
    take_ref_and_json(tag)

    diff = commands.add("diff", "history:diff", "what changed between two refs")
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", nargs="?", metavar="NEW", help="main unless said otherwise")
    diff.add_argument("path", nargs="?", default="", metavar="PATH", help="only below it")
    take_ref_and_json(diff)


def add_care_commands(commands: Commands) -> None:
    fsck = commands.add("fsck", "care:fsck", "check the journal against the objects, and every byte against its digest")
    fsck.add_argument("paths", nargs="*", metavar="PATH", help="files and directories in the lake (everything)")
    fsck.add_argument("--fast", action="store_true", help="presence and sizes only; no bytes are read")
    fsck.add_argument("--percent", type=float, metavar="P", help="only so much: what was unchecked for longest")
    fsck.add_argument("--older-than", type=period, metavar="AGE", help="only what was not checked for 12h, 30d, 8w")
    fsck.add_argument("--restart", action="store_true", help="do not go on with a check that was interrupted")
    fsck.add_argument("--repair", action="store_true", help="heal what is damaged, from the lake itself and --from")
    fsck.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="PLACE",
        help="another lake, a file or a directory that may have the right bytes (again for more)",
    )
    fsck.add_argument("-q", "--quiet", action="store_true", help="say nothing unless something is wrong")
    take_ref_and_json(fsck)

    gc = commands.add("gc", "gc:gc", "take away what no commit names any more: to the trash first, then for good")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument("--grace", type=period, metavar="TIME", help="leave files without a commit alone so long (1d)")
    gc.add_argument("--trash", type=period, metavar="TIME", help="keep what goes to the trash now so long (14d)")
    gc.add_argument("--empty-trash", action="store_true", help="delete all that is in the trash, whatever its time")
    gc.add_argument("--untrash", nargs="*", metavar="b3:DIGEST", help="bring objects back, or all, into lost+found")
    gc.add_argument("--json", action="store_true", help="the answer as JSON")

    catalog = commands.add("catalog", "care:catalog_status", "what of the catalog is published")
    steps = catalog.add_subparsers(title="actions", metavar="ACTION", dest="action")
    catalog.add_argument("--json", action="store_true")
    publish = steps.add_parser("publish", help="publish a generation now; lakes do so by themselves")
    publish.set_defaults(run=bound("care:catalog_publish"))
    rebuild = steps.add_parser("rebuild", help="make the catalog again from journal and facts")
    rebuild.add_argument("--facts", action="store_true", help="make the facts again, too, from the files themselves")
    rebuild.set_defaults(run=bound("care:catalog_rebuild"))

    _add_backup_commands(commands)

    demo = commands.add("demo", "care:demo", "make a small lake, fill it, slice and query it, and show how")
    demo.add_argument("directory", nargs="?", metavar="DIR", help="where (a new directory; else a temporary one)")
    demo.add_argument("--data", nargs="+", default=[], metavar="FILE", help="your own files instead of made ones")


def _add_backup_commands(commands: Commands) -> None:
    backup = commands.add("backup", "backup:backup", "copy the whole lake to another disk, or bring a copy up to date")
    backup.add_argument("directory", metavar="DIR", help="where: a new directory, or a backup of this lake")
    backup.add_argument("--prune", action="store_true", help="remove files from it that the lake no longer needs")
    backup.add_argument("--verify", action="store_true", help="read what it has, and copy again what is damaged")
    backup.add_argument("-q", "--quiet", action="store_true", help="say nothing unless something is wrong")
    backup.add_argument("--json", action="store_true", help="the answer as JSON")

    restore = commands.add("restore-lake", "backup:restore_lake", "make a lake of a backup")
    restore.add_argument("backup", metavar="BACKUP", help="a directory that lake backup has made")
    restore.add_argument("directory", metavar="DIR", help="where: a new directory")
    restore.add_argument("--json", action="store_true", help="the answer as JSON")

    verify = commands.add("verify-backup", "backup:verify_backup", "check every byte and every commit of a backup")
    verify.add_argument("directory", metavar="DIR", help="the backup")
    verify.add_argument("--fast", action="store_true", help="only whether files are there, and their sizes")
    verify.add_argument("--json", action="store_true", help="the answer as JSON")

    doctor = commands.add("doctor", "doctor:doctor", "look at a lake, its disk and this machine, and say what to do")
    doctor.add_argument("directory", nargs="?", metavar="DIR", help="the lake, or where one is to be made")
    doctor.add_argument("--storage", action="store_true", help="try its disk for ten seconds, with several processes")
    doctor.add_argument("--rebuild-journal", action="store_true", help="make journal.db again from the sealed log")
    doctor.add_argument("--json", action="store_true", help="the answer as JSON")


def add_space_commands(commands: Commands) -> None:
    du = commands.add("du", "space:du", "how many bytes files have, and how many are stored for them")
    du.add_argument("path", nargs="?", default="", metavar="PATH", help="only below it")
    du.add_argument(
        "--by",
        choices=["project", "format", "top-level", "branch"],
        help="instead of by directory; project is the attribute of that name",
    )
    du.add_argument("--depth", type=int, default=1, metavar="N", help="levels of directories (1)")
    du.add_argument("--history", action="store_true", help="all that history keeps, of all branches")
    take_ref_and_json(du)

    quota = commands.add("quota", "space:quota_list", "bound the bytes below paths")
    actions = quota.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    limit = actions.add_parser("set", help="bound the bytes of the files below a path, on each branch by itself")
    limit.add_argument("prefix", metavar="PATH", help="/ for all of the lake")
    limit.add_argument("--soft", metavar="SIZE", help="warn beyond: 500G, 1.5T, 2TiB")
    limit.add_argument("--hard", metavar="SIZE", help="refuse commits beyond")
    limit.set_defaults(run=bound("space:quota_set"))
    listing = actions.add_parser("ls", help="list quotas and what lies there")
    listing.add_argument("--json", action="store_true", help="the answer as JSON")
    listing.set_defaults(run=bound("space:quota_list"))
    free = actions.add_parser("rm", help="remove the quota of a path")
    free.add_argument("prefix", metavar="PATH")
    free.set_defaults(run=bound("space:quota_remove"))

    expire = commands.add("expire", "space:expire", "let go of old history; heads and tags always stay")
    expire.add_argument("--keep-last", type=int, default=0, metavar="N", help="the newest N commits of every branch")
    for unit in ("hour", "day", "week", "month", "year"):
        adverb = {"day": "daily"}.get(unit, f"{unit}ly")
        summary = f"the newest commit of each of the newest N {unit}s that have one; -1: of all"
        expire.add_argument(f"--keep-{adverb}", type=int, default=0, metavar="N", help=summary)
    expire.add_argument("--keep-within", metavar="SPAN", help="all in that time before the newest: 1y6m, 2w, 30d12h")
    expire.add_argument("--branch", metavar="NAME", help="only the history of this branch")
    expire.add_argument("-n", "--dry-run", action="store_true", help="show what would happen")
    expire.add_argument("--json", action="store_true", help="the answer as JSON")
