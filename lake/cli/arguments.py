"""What can be typed after ``lake``. Commands are bound by name, so that help needs none of their modules."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

__all__ = ["make_parser"]


def _bound(name: str) -> Callable[[argparse.Namespace], int]:
    module, _, function = name.partition(":")

    def run(arguments: argparse.Namespace) -> int:
        status: int = getattr(import_module(f"lake.cli.{module}"), function)(arguments)
        return status

    return run


class _Commands:
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._actions = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def add(self, name: str, run: str, summary: str, **options: Any) -> argparse.ArgumentParser:
        command = self._actions.add_parser(name, help=summary, description=summary, **options)
        command.set_defaults(run=_bound(run))
        return command


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lake",
        description="A data lake for scientific files that answers a region of a file with a small, exact file.",
        epilog="Paths in the lake may start with @REF/ (a branch, a tag, a commit number, main~2, main@{2026-11-20}).",
    )
    parser.add_argument("-C", dest="root", metavar="DIR", help="the lake (else LAKE_ROOT, else the nearest one upward)")
    parser.add_argument("--version", action="version", version=f"regionlake {version('regionlake')}")
    commands = _Commands(parser)
    _add_store_commands(commands)
    _add_look_commands(commands)
    _add_query_commands(commands)
    _add_spectra_commands(commands)
    _add_edit_commands(commands)
    _add_history_commands(commands)
    _add_care_commands(commands)
    _add_space_commands(commands)
    _add_server_commands(commands)
    return parser


def _add_store_commands(commands: _Commands) -> None:
    init = commands.add("init", "store:init", "make a new lake")
    init.add_argument("directory", nargs="?", metavar="DIR", help="where (here)")
    init.add_argument("--shared", action="store_true", help="for all of the directory's group, not for you alone")

    put = commands.add("put", "store:put", "store files, directories or standard input (-) as one commit, like cp -r")
    put.add_argument("paths", nargs="+", metavar="PATH", help="local files; the last is the destination in the lake")
    put.add_argument(
        "--meta", action="append", default=[], metavar="KEY=VALUE", help="attribute for every file (again for more)"
    )
    how = put.add_mutually_exclusive_group()
    how.add_argument(
        "--move", action="store_const", dest="method", const="move", help="take the files themselves; the sources go"
    )
    how.add_argument(
        "--reflink", action="store_const", dest="method", const="reflink", help="share blocks where the filesystem can"
    )
    put.add_argument("--no-index", action="store_true", help="put off building missing indexes until first use")
    put.add_argument("--points", action="store_true", help="sort all points of runs by m/z, as index --points does")
    put.add_argument("--strict", action="store_true", help="refuse unknown formats, damage and misleading names")
    put.add_argument("--all-or-nothing", action="store_true", help="store nothing unless every file can be stored")
    put.add_argument("--checksums", action="store_true", help="keep md5 and sha256 too")
    put.add_argument("--manifest", metavar="FILE", help="check contents against a file of md5sum or sha256sum")
    put.add_argument("-m", "--message", metavar="TEXT", help="message of the commit")
    put.add_argument("-v", "--verbose", action="store_true", help="a line a file")
    _ref_and_json(put)

    get = commands.add("get", "store:get", "copy files or directories out, verified, like cp -r")
    get.add_argument("paths", nargs="+", metavar="PATH", help="paths in the lake; the last is the local destination")
    get.add_argument(
        "--link",
        choices=["hard", "sym", "reflink"],
        help="names without copies; hard: whoever owns the name can still rewrite the lake's object",
    )
    _ref_and_json(get)

    cat = commands.add("cat", "store:cat", "write files to standard output, verified")
    cat.add_argument("paths", nargs="+", metavar="PATH")
    _ref(cat)

    cut = commands.add("slice", "store:cut", "cut regions out of files: same records as samtools view, bytes untouched")
    cut.add_argument(
        "arguments",
        nargs="+",
        metavar="PATH… REGION",
        help="files in the lake, then regions: chr1 chr1:1,000-2,000 '*'",
    )
    cut.add_argument("-L", "--targets", metavar="BED", help="regions of a BED file")
    cut.add_argument(
        "-o", "--output", default="-", metavar="FILE|-|DIR/", help="where to; several files need a directory"
    )
    cut.add_argument("--write-index", action="store_true", help="index every file written")
    _add_decode_options(cut)
    _ref(cut)

    index = commands.add("index", "store:index", "make the indexes and tables that regions profit from")
    index.add_argument("paths", nargs="+", metavar="PATH")
    index.add_argument("--names", action="store_true", help="also an index of the read names of a FASTQ, for name=READ")
    index.add_argument("--points", action="store_true", help="also all points of a run, for chromatograms in no time")
    _ref(index)


def _add_decode_options(cut: argparse.ArgumentParser) -> None:
    """Options for which records are decoded: the answer is not verbatim then."""
    options = cut.add_argument_group("options that decode records")
    options.add_argument(
        "-f", "--include-flags", type=_flags, default=0, metavar="INT", help="only reads with all of these flags"
    )
    options.add_argument(
        "-F", "--exclude-flags", type=_flags, default=0, metavar="INT", help="only reads with none of these flags"
    )
    options.add_argument("-q", "--min-quality", type=int, default=0, metavar="INT", help="only reads mapped so well")
    options.add_argument("--mates", action="store_true", help="the mates of the reads too, wherever they lie")
    options.add_argument("--samples", type=_names, metavar="A,B", help="columns of a VCF or BCF")
    options.add_argument("--fields", type=_names, metavar="QNAME,…", help="fields of reads to keep")
    options.add_argument("--tags", type=_names, metavar="NM,…", help="tags of reads to keep; empty: none")
    options.add_argument("--notags", type=_names, default=(), metavar="OQ,…", help="tags of reads to leave out")
    options.add_argument(
        "--output-format",
        choices=["SAM", "BAM", "CRAM", "VCF", "VCFTEXT", "BCF", "MZML-PLAIN"],
        help="VCF is BGZF, VCFTEXT plain; MZML-PLAIN has no index, and its spectra as they stand in the file",
    )
    options.add_argument("--reference", metavar="FASTA", help="sequences that a CRAM needs and the lake does not have")


def _flags(text: str) -> int:
    """A number as samtools takes it: decimal, 0x…, 0…."""
    return int(text, 8) if text.startswith("0") and text.isdigit() else int(text, 0)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _add_look_commands(commands: _Commands) -> None:
    ls = commands.add("ls", "look:ls", "list paths")
    ls.add_argument("paths", nargs="*", default=[""], metavar="PATH")
    ls.add_argument("-l", "--long", action="store_true", help="format, size, time, digest")
    ls.add_argument("-R", "--recursive", action="store_true", help="everything below")
    ls.add_argument("-H", "--human", action="store_true", help="sizes in kB, MB, GB")
    _ref_and_json(ls)

    stat = commands.add("stat", "look:stat", "everything known of a path")
    stat.add_argument("paths", nargs="+", metavar="PATH")
    stat.add_argument("--chunks", action="store_true", help="the chunk map too")
    _ref_and_json(stat)

    path = commands.add(
        "path", "look:path", "print the plain local file that holds a path's bytes (read it, never write it)"
    )
    path.add_argument("paths", nargs="+", metavar="PATH")
    _ref(path)


def _add_query_commands(commands: _Commands) -> None:
    sql = commands.add("sql", "sql:sql", "ask the whole lake in SQL; without a query on a terminal: a prompt")
    query = sql.add_mutually_exclusive_group()
    query.add_argument("query", nargs="?", metavar="QUERY", help="one query; - or nothing in a pipe: standard input")
    query.add_argument("-f", "--file", metavar="FILE", help="read the query from a file")
    sql.add_argument(
        "--format",
        choices=["table", "csv", "json", "jsonl", "arrow", "parquet"],
        help="of the answer (else that of the suffix of FILE, else table)",
    )
    sql.add_argument("-o", "--output", metavar="FILE", help="write the answer to a file, whole or not at all")
    sql.add_argument("--at", metavar="REF", help="ask the lake as it is or was there: a branch, v1, 17, main~2")
    sql.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of $NAME in the query (again for more)",
    )
    sql.add_argument("--memory-limit", type=_memory, metavar="SIZE", help="memory for the query: 2GB")
    sql.add_argument("--timeout", type=_duration, metavar="TIME", help="stop the query after 30s, 5m, 1h")
    sql.add_argument("--threads", type=_positive, metavar="N", help="processors for the query")

    find = commands.add("find", "find:find", "which files cover a region, or have to do with some words")
    find.add_argument("terms", nargs="*", metavar="REGION|TEXT", help="chr17:41196312-41277500, or words")
    find.add_argument("--sample", action="append", default=[], metavar="NAME", help="only this sample (again: or)")
    find.add_argument("--format", action="append", default=[], metavar="NAME", help="only this format (again: or)")
    find.add_argument(
        "--attribute", action="append", default=[], metavar="KEY[=VALUE]", help="only files that have it (again: and)"
    )
    find.add_argument("--under", default="", metavar="DIR", help="only below this directory")
    _ref_and_json(find)


def _add_spectra_commands(commands: _Commands) -> None:
    peaks = commands.add("peaks", "spectra:peaks", "points of spectra: m/z, intensity, and whose they are")
    peaks.add_argument("path", metavar="PATH", help="a run")
    peaks.add_argument("regions", nargs="*", metavar="REGION", help="which spectra: 'rt=600-720&ms_level=2'; none: all")
    peaks.add_argument("--mz", type=_range, metavar="LOW-HIGH", help="only points in this range, bounds included")
    peaks.add_argument("--columns", type=_names, metavar="A,B", help="some columns, in this order")
    peaks.add_argument("--ragged", action="store_true", help="a row a spectrum, with lists of points")
    _answer(peaks)
    _ref(peaks)

    xic = commands.add("xic", "spectra:xic", "extracted ion chromatograms: intensity at an m/z over the retention time")
    xic.add_argument("paths", nargs="+", metavar="PATH", help="runs")
    xic.add_argument("--mz", type=float, action="append", required=True, metavar="MZ", help="the ion (again for more)")
    _chromatogram(xic)
    xic.add_argument("--ms-level", type=int, default=1, metavar="N", help="level of the spectra (1); 0: all")
    xic.add_argument("--max", action="store_true", help="the highest point of a spectrum instead of the sum")
    _answer(xic)
    _ref(xic)

    plot = commands.add("plot", "spectra:plot", "a picture of a spectrum, of two face to face, or of a chromatogram")
    plot.add_argument("what", choices=["spectrum", "mirror", "xic", "tic"])
    plot.add_argument(
        "arguments",
        nargs="+",
        metavar="PATH …",
        help="runs; for a spectrum PATH scan=17 (index=0, id=…) or a USI; for mirror two of these",
    )
    plot.add_argument("--mz", type=float, action="append", metavar="MZ", help="the ion of xic (again for more)")
    _chromatogram(plot)
    plot.add_argument("-o", "--output", default="-", metavar="FILE", help="FILE.png or FILE.svg (SVG in a pipe)")
    _ref(plot)


def _chromatogram(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ppm", type=float, default=10, metavar="PPM", help="tolerance to both sides (10)")
    command.add_argument("--rt", type=_range, metavar="FROM-TO", help="only spectra between these times, in seconds")


def _answer(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format",
        choices=["table", "csv", "json", "jsonl", "arrow", "parquet"],
        help="of the answer (else that of the suffix of FILE, else table)",
    )
    command.add_argument("-o", "--output", metavar="FILE", help="write the answer to a file, whole or not at all")


def _range(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    if not dash:
        raise ValueError
    return float(low), float(high)


_range.__name__ = "range, such as 400-410.5"


def _memory(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B", text, re.IGNORECASE) is None:
        raise ValueError
    return text


_memory.__name__ = "amount of memory, such as 2GB"


def _duration(text: str) -> float:
    """Seconds."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|min|h)?", text)
    if found is None or float(found[1]) == 0:
        raise ValueError
    return float(found[1]) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[found[2]]


_duration.__name__ = "duration, such as 30s"


def _period(text: str) -> float:
    """Seconds; 0 is one."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|min|h|d|w)?", text)
    if found is None or (found[2] is None and float(found[1])):
        raise ValueError
    return float(found[1]) * {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[found[2]]


_period.__name__ = "time, such as 12h or 14d"


def _age(text: str) -> float:
    """Seconds."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdwy])", text)
    if found is None:
        raise ValueError
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_557_600}[found[2]]


_age.__name__ = "age, such as 30d"


def _add_edit_commands(commands: _Commands) -> None:
    mkdir = commands.add("mkdir", "edit:mkdir", "make directories that exist without files")
    mkdir.add_argument("paths", nargs="+", metavar="PATH")
    mkdir.add_argument("-p", "--parents", action="store_true", help="no error when it exists")
    _ref(mkdir)

    mv = commands.add("mv", "edit:mv", "rename; attributes go along")
    mv.add_argument("paths", nargs="+", metavar="PATH")
    _ref(mv)

    cp = commands.add("cp", "edit:cp", "copy inside the lake; no bytes are copied")
    cp.add_argument("paths", nargs="+", metavar="PATH")
    cp.add_argument("-r", "-R", "--recursive", action="store_true", help="directories too")
    _ref(cp)

    rm = commands.add("rm", "edit:rm", "remove; history keeps what was there")
    rm.add_argument("paths", nargs="+", metavar="PATH")
    rm.add_argument("-r", "-R", "--recursive", action="store_true", help="directories too")
    _ref(rm)

    restore = commands.add("restore", "edit:restore", "make paths what they were")
    restore.add_argument("paths", nargs="+", metavar="PATH")
    restore.add_argument(
        "--from", dest="source", required=True, metavar="REF", help="main~1, v1, 17, main@{2026-11-20}"
    )
    _ref(restore)

    meta = commands.add("meta", "edit:meta_get", "attributes of paths")
    actions = meta.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    show = actions.add_parser("get", help="print attributes")
    show.add_argument("path", metavar="PATH")
    show.add_argument("key", nargs="?", metavar="KEY")
    show.set_defaults(run=_bound("edit:meta_get"))
    _ref_and_json(show)
    change = actions.add_parser("set", help="set attributes")
    change.add_argument(
        "arguments", nargs="+", metavar="PATH… KEY=VALUE", help="VALUE is typed by its look; KEY:str=7 says so"
    )
    change.set_defaults(run=_bound("edit:meta_set"))
    _ref(change)
    _add_meta_exchange(actions)
    drop = actions.add_parser("rm", help="remove attributes")
    drop.add_argument("path", metavar="PATH")
    drop.add_argument("keys", nargs="+", metavar="KEY")
    drop.set_defaults(run=_bound("edit:meta_rm"))
    _ref(drop)


def _add_meta_exchange(actions: Any) -> None:
    """``meta import`` and ``meta export``."""
    summary = "set attributes from a sample sheet (CSV, TSV, JSON Lines, Parquet) or from ro-crate-metadata.json"
    take = actions.add_parser("import", help=summary, description=summary)
    take.add_argument("file", metavar="FILE", help="a local file")
    take.add_argument(
        "--prefix", default="", metavar="DIR", help="the directory that paths are relative to; nothing else is touched"
    )
    take.add_argument("--by", choices=["path", "digest", "sample"], help="what names files (else the headings tell)")
    take.add_argument("--key", metavar="COLUMN", help="the column that names files")
    take.add_argument(
        "--na", action="append", default=[], metavar="TEXT", help="a cell with this text is empty (again for more)"
    )
    take.add_argument("--clear-empty", action="store_true", help="an empty cell removes the attribute")
    take.add_argument(
        "--skip-conflicts", action="store_true", help="leave files alone of which rows contradict each other"
    )
    take.add_argument("--dry-run", action="store_true", help="show what would change")
    take.add_argument("--strict", action="store_true", help="change nothing if there is any warning")
    take.add_argument("-m", "--message", metavar="TEXT", help="message of the commit")
    take.set_defaults(run=_bound("exchange:meta_import"))
    _ref_and_json(take)

    summary = "write the metadata of a directory as RO-Crate (ro-crate-metadata.json)"
    give = actions.add_parser("export", help=summary, description=summary)
    give.add_argument("path", nargs="?", default="", metavar="DIR", help="a directory in the lake (all of it)")
    give.add_argument("-o", "--output", default="-", metavar="FILE|-", help="where to")
    give.set_defaults(run=_bound("exchange:meta_export"))
    _ref(give)


def _add_history_commands(commands: _Commands) -> None:
    log = commands.add("log", "history:log", "commits, newest first")
    log.add_argument("path", nargs="?", metavar="PATH", help="only those that changed it")
    log.add_argument("-n", "--limit", type=_positive, metavar="N", help="at most so many")
    _ref_and_json(log)

    branch = commands.add("branch", "history:branch", "list, make or delete branches")
    branch.add_argument("name", nargs="?", metavar="NAME")
    branch.add_argument("start", nargs="?", metavar="REF", help="where it forks (main)")
    branch.add_argument("-d", "--delete", action="store_true", help="delete NAME")
    _ref_and_json(branch)

    tag = commands.add("tag", "history:tag", "list, make or delete tags")
    tag.add_argument("name", nargs="?", metavar="NAME")
    tag.add_argument("target", nargs="?", metavar="REF", help="what it names (main)")
    tag.add_argument("-d", "--delete", action="store_true", help="delete NAME")
    _ref_and_json(tag)

    diff = commands.add("diff", "history:diff", "what changed between two refs")
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", nargs="?", metavar="NEW", help="main unless said otherwise")
    diff.add_argument("path", nargs="?", default="", metavar="PATH", help="only below it")
    _ref_and_json(diff)


def _add_care_commands(commands: _Commands) -> None:
    fsck = commands.add("fsck", "care:fsck", "check the journal against the objects, and every byte against its digest")
    fsck.add_argument("paths", nargs="*", metavar="PATH", help="files and directories in the lake (everything)")
    fsck.add_argument("--fast", action="store_true", help="presence and sizes only; no bytes are read")
    fsck.add_argument("--percent", type=float, metavar="P", help="only so much: what was unchecked for longest")
    fsck.add_argument("--older-than", type=_age, metavar="AGE", help="only what was not checked for 12h, 30d, 8w")
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
    _ref_and_json(fsck)

    gc = commands.add("gc", "gc:gc", "take away what no commit names any more: to the trash first, then for good")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument("--grace", type=_period, metavar="TIME", help="leave files without a commit alone so long (1d)")
    gc.add_argument("--trash", type=_period, metavar="TIME", help="keep what goes to the trash now so long (14d)")
    gc.add_argument("--empty-trash", action="store_true", help="delete all that is in the trash, whatever its time")
    gc.add_argument("--untrash", nargs="*", metavar="b3:DIGEST", help="bring objects back, or all, into lost+found")
    gc.add_argument("--json", action="store_true", help="the answer as JSON")

    catalog = commands.add("catalog", "care:catalog_status", "what of the catalog is published")
    steps = catalog.add_subparsers(title="actions", metavar="ACTION", dest="action")
    catalog.add_argument("--json", action="store_true")
    publish = steps.add_parser("publish", help="publish a generation now; lakes do so by themselves")
    publish.set_defaults(run=_bound("care:catalog_publish"))
    rebuild = steps.add_parser("rebuild", help="make the catalog again from journal and facts")
    rebuild.add_argument("--facts", action="store_true", help="make the facts again, too, from the files themselves")
    rebuild.set_defaults(run=_bound("care:catalog_rebuild"))

    _add_backup_commands(commands)

    demo = commands.add("demo", "care:demo", "make a small lake, fill it, slice and query it, and show how")
    demo.add_argument("directory", nargs="?", metavar="DIR", help="where (a new directory; else a temporary one)")
    demo.add_argument("--data", nargs="+", default=[], metavar="FILE", help="your own files instead of made ones")


def _add_backup_commands(commands: _Commands) -> None:
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


def _add_space_commands(commands: _Commands) -> None:
    du = commands.add("du", "space:du", "how many bytes files have, and how many are stored for them")
    du.add_argument("path", nargs="?", default="", metavar="PATH", help="only below it")
    du.add_argument(
        "--by",
        choices=["project", "format", "top-level", "branch"],
        help="instead of by directory; project is the attribute of that name",
    )
    du.add_argument("--depth", type=int, default=1, metavar="N", help="levels of directories (1)")
    du.add_argument("--history", action="store_true", help="all that history keeps, of all branches")
    _ref_and_json(du)

    quota = commands.add("quota", "space:quota_list", "bound the bytes below paths")
    actions = quota.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    bound = actions.add_parser("set", help="bound the bytes of the files below a path, on each branch by itself")
    bound.add_argument("prefix", metavar="PATH", help="/ for all of the lake")
    bound.add_argument("--soft", metavar="SIZE", help="warn beyond: 500G, 1.5T, 2TiB")
    bound.add_argument("--hard", metavar="SIZE", help="refuse commits beyond")
    bound.set_defaults(run=_bound("space:quota_set"))
    listing = actions.add_parser("ls", help="list quotas and what lies there")
    listing.add_argument("--json", action="store_true", help="the answer as JSON")
    listing.set_defaults(run=_bound("space:quota_list"))
    free = actions.add_parser("rm", help="remove the quota of a path")
    free.add_argument("prefix", metavar="PATH")
    free.set_defaults(run=_bound("space:quota_remove"))

    expire = commands.add("expire", "space:expire", "let go of old history; heads and tags always stay")
    expire.add_argument("--keep-last", type=int, default=0, metavar="N", help="the newest N commits of every branch")
    for period in ("hour", "day", "week", "month", "year"):
        adverb = {"day": "daily"}.get(period, f"{period}ly")
        summary = f"the newest commit of each of the newest N {period}s that have one; -1: of all"
        expire.add_argument(f"--keep-{adverb}", type=int, default=0, metavar="N", help=summary)
    expire.add_argument("--keep-within", metavar="SPAN", help="all in that time before the newest: 1y6m, 2w, 30d12h")
    expire.add_argument("--branch", metavar="NAME", help="only the history of this branch")
    expire.add_argument("-n", "--dry-run", action="store_true", help="show what would happen")
    expire.add_argument("--json", action="store_true", help="the answer as JSON")


def _add_server_commands(commands: _Commands) -> None:
    serve = commands.add("serve", "serve:serve", "serve the lake over HTTP: htsget, refget, DRS, files")
    serve.add_argument("--host", metavar="ADDRESS", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", type=int, metavar="N", help="0 takes a free one (8080)")
    serve.add_argument("--workers", type=_positive, metavar="N", help="processes that share the port (1)")
    serve.add_argument("--config", metavar="TOML", help="a file with settings, and the issuer whose tokens count")
    serve.add_argument("--base-url", metavar="URL", help="what clients call this server, behind a proxy")
    serve.add_argument("--tls-cert", metavar="PEM", help="certificate, with those that lead to its authority")
    serve.add_argument("--tls-key", metavar="PEM", help="its key")
    who = serve.add_mutually_exclusive_group()
    who.add_argument("--public", action="store_true", default=None, help="anybody may read everything, nobody write")
    who.add_argument("--authenticate", action="store_true", help="ask for tokens on this machine's own address too")
    serve.add_argument("--sql", action="store_true", default=None, help="answer queries")
    serve.add_argument("--no-upload", action="store_true", help="take no files")
    serve.add_argument(
        "--cors-origin", action="append", metavar="ORIGIN", help="web pages that may read answers (again for more; *)"
    )
    serve.add_argument("--url-seconds", type=_positive, metavar="N", help="how long signed URLs are good for (3600)")
    serve.add_argument("--rate", type=float, metavar="N", help="requests a second of one client (no limit)")
    serve.add_argument(
        "--sendfile", choices=["X-Accel-Redirect", "X-Sendfile"], help="let the proxy in front send whole objects"
    )
    serve.add_argument("--sendfile-prefix", metavar="PATH", help="what the proxy calls the lake's directory")
    serve.add_argument("--no-access-log", action="store_true", help="no line a request on standard error")
    _ref(serve)

    token = commands.add("token", "token:listing", "who may use the lake over the network")
    actions = token.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    create = actions.add_parser("create", help="make a token; it is shown this once")
    for verb in ("read", "write"):
        create.add_argument(
            f"--{verb}", action="append", default=[], metavar="PATTERN", help=f"{verb} these paths: 'study1/*'"
        )
    create.add_argument(
        "--region", action="append", default=[], metavar="PATTERN=REGION", help="read that region of these files only"
    )
    create.add_argument("--sql", action="store_true", help="send queries, which see the whole lake")
    create.add_argument("--admin", action="store_true", help="see figures of the server")
    create.add_argument("--expires", default="30d", metavar="SPAN", help="30d, 12h, 2w, never (30d)")
    create.add_argument("--name", default="", metavar="TEXT", help="whose it is, or what for")
    create.add_argument("--json", action="store_true", help="the answer as JSON")
    create.set_defaults(run=_bound("token:create"))
    listing = actions.add_parser("list", help="list tokens, without their secrets")
    listing.add_argument("--json", action="store_true", help="the answer as JSON")
    listing.set_defaults(run=_bound("token:listing"))
    revoke = actions.add_parser("revoke", help="let tokens be good no more")
    revoke.add_argument("tokens", nargs="+", metavar="ID")
    revoke.set_defaults(run=_bound("token:revoke"))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "positive number"
"""What argparse calls a value that is none."""


def _ref(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ref", metavar="REF", help="read or write at this branch (or read at any ref) instead of main"
    )


def _ref_and_json(command: argparse.ArgumentParser) -> None:
    _ref(command)
    command.add_argument("--json", action="store_true", help="the answer as JSON")
