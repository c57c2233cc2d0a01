"""Files and what is said of them: put, get, slice, ls, mv, meta and their like."""

from __future__ import annotations

import argparse
from typing import Any

from lake.cli.arguments.commands import Commands, bound, take_ref, take_ref_and_json
from lake.cli.arguments.values import flags, names

__all__ = ["add_edit_commands", "add_look_commands", "add_store_commands"]


def add_store_commands(commands: Commands) -> None:
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
    take_ref_and_json(put)

    get = commands.add("get", "store:get", "copy files or directories out, verified, like cp -r")
    get.add_argument("paths", nargs="+", metavar="PATH", help="paths in the lake; the last is the local destination")
    get.add_argument(
        "--link",
        choices=["hard", "sym", "reflink"],
        help="names without copies; hard: whoever owns the name can still rewrite the lake's object",
    )
    take_ref_and_json(get)

    cat = commands.add("cat", "store:cat", "write files to standard output, verified")
    cat.add_argument("paths", nargs="+", metavar="PATH")
    take_ref(cat)

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
    take_ref(cut)

    index = commands.add("index", "store:index", "make the indexes and tables that regions profit from")
    index.add_argument("paths", nargs="+", metavar="PATH")
    index.add_argument("--names", action="store_true", help="also an index of the read names of a FASTQ, for name=READ")
    index.add_argument("--points", action="store_true", help="also all points of a run, for chromatograms in no time")
    take_ref(index)


def _add_decode_options(cut: argparse.ArgumentParser) -> None:
    """Options for which records are decoded: the answer is not verbatim then."""
    options = cut.add_argument_group("options that decode records")
    options.add_argument(
        "-f", "--include-flags", type=flags, default=0, metavar="INT", help="only reads with all of these flags"
    )
    options.add_argument(
        "-F", "--exclude-flags", type=flags, default=0, metavar="INT", help="only reads with none of these flags"
    )
    options.add_argument("-q", "--min-quality", type=int, default=0, metavar="INT", help="only reads mapped so well")
    options.add_argument("--mates", action="store_true", help="the mates of the reads too, wherever they lie")
    options.add_argument("--samples", type=names, metavar="A,B", help="columns of a VCF or BCF")
    options.add_argument("--fields", type=names, metavar="QNAME,…", help="fields of reads to keep")
    options.add_argument("--tags", type=names, metavar="NM,…", help="tags of reads to keep; empty: none")
    options.add_argument("--notags", type=names, default=(), metavar="OQ,…", help="tags of reads to leave out")
    options.add_argument(
        "--output-format",
        choices=["SAM", "BAM", "CRAM", "VCF", "VCFTEXT", "BCF", "MZML-PLAIN"],
        help="VCF is BGZF, VCFTEXT plain; MZML-PLAIN has no index, and its spectra as they stand in the file",
    )
    options.add_argument("--reference", metavar="FASTA", help="sequences that a CRAM needs and the lake does not have")


def add_look_commands(commands: Commands) -> None:
    ls = commands.add("ls", "look:ls", "list paths")
    ls.add_argument("paths", nargs="*", default=[""], metavar="PATH")
    ls.add_argument("-l", "--long", action="store_true", help="format, size, time, digest")
    ls.add_argument("-R", "--recursive", action="store_true", help="everything below")
    ls.add_argument("-H", "--human", action="store_true", help="sizes in kB, MB, GB")
    take_ref_and_json(ls)

    stat = commands.add("stat", "look:stat", "everything known of a path")
    stat.add_argument("paths", nargs="+", metavar="PATH")
    stat.add_argument("--chunks", action="store_true", help="the chunk map too")
    take_ref_and_json(stat)

    path = commands.add(
        "path", "look:path", "print the plain local file that holds a path's bytes (read it, never write it)"
    )
    path.add_argument("paths", nargs="+", metavar="PATH")
    take_ref(path)


def add_edit_commands(commands: Commands) -> None:
    mkdir = commands.add("mkdir", "edit:mkdir", "make directories that exist without files")
    mkdir.add_argument("paths", nargs="+", metavar="PATH")
    mkdir.add_argument("-p", "--parents", action="store_true", help="no error when it exists")
    take_ref(mkdir)

    mv = commands.add("mv", "edit:mv", "rename; attributes go along")
    mv.add_argument("paths", nargs="+", metavar="PATH")
    take_ref(mv)

    cp = commands.add("cp", "edit:cp", "copy inside the lake; no bytes are copied")
    cp.add_argument("paths", nargs="+", metavar="PATH")
    cp.add_argument("-r", "-R", "--recursive", action="store_true", help="directories too")
    take_ref(cp)

    rm = commands.add("rm", "edit:rm", "remove; history keeps what was there")
    rm.add_argument("paths", nargs="+", metavar="PATH")
    rm.add_argument("-r", "-R", "--recursive", action="store_true", help="directories too")
    take_ref(rm)

    restore = commands.add("restore", "edit:restore", "make paths what they were")
    restore.add_argument("paths", nargs="+", metavar="PATH")
    restore.add_argument(
        "--from", dest="source", required=True, metavar="REF", help="main~1, v1, 17, main@{2026-11-20}"
    )
    take_ref(restore)

    meta = commands.add("meta", "edit:meta_get", "attributes of paths")
    actions = meta.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    show = actions.add_parser("get", help="print attributes")
    show.add_argument("path", metavar="PATH")
    show.add_argument("key", nargs="?", metavar="KEY")
    show.set_defaults(run=bound("edit:meta_get"))
    take_ref_and_json(show)
    change = actions.add_parser("set", help="set attributes")
    change.add_argument(
        "arguments", nargs="+", metavar="PATH… KEY=VALUE", help="VALUE is typed by its look; KEY:str=7 says so"
    )
    change.set_defaults(run=bound("edit:meta_set"))
    take_ref(change)
    _add_meta_exchange(actions)
    drop = actions.add_parser("rm", help="remove attributes")
    drop.add_argument("path", metavar="PATH")
    drop.add_argument("keys", nargs="+", metavar="KEY")
    drop.set_defaults(run=bound("edit:meta_rm"))
    take_ref(drop)


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
    take.set_defaults(run=bound("exchange:meta_import"))
    take_ref_and_json(take)

    summary = "write the metadata of a directory as RO-Crate (ro-crate-metadata.json)"
    give = actions.add_parser("export", help=summary, description=summary)
    give.add_argument("path", nargs="?", default="", metavar="DIR", help="a directory in the lake (all of it)")
    give.add_argument("-o", "--output", default="-", metavar="FILE|-", help="where to")
    give.set_defaults(run=bound("exchange:meta_export"))
    take_ref(give)
