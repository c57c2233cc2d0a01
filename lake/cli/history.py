"""Commands of history: ``log``, ``branch``, ``tag``, ``diff``."""

from __future__ import annotations

import argparse

from lake.cli.output import entry_json, open_lake, print_json, table, when
from lake.errors import InvalidInput

__all__ = ["branch", "diff", "log", "tag"]

_SIGNS = {"added": "A", "removed": "D", "modified": "M", "annotated": "T"}


def log(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        commits = lk.log(arguments.path, limit=arguments.limit)
    if arguments.json:
        print_json([{**commit._asdict(), "created": when(commit.created)} for commit in commits])
    else:
        table(
            [
                [
                    str(commit.seq),
                    when(commit.created)[:19] + "Z",
                    commit.branch,
                    commit.author,
                    " ".join(commit.message.split()),
                ]
                for commit in commits
            ],
            right=frozenset([0]),
        )
    return 0


def branch(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        if arguments.delete:
            if arguments.name is None:
                raise InvalidInput("branch -d needs the name of a branch")
            lk.delete_branch(arguments.name)
        elif arguments.name is not None:
            made = lk.branch(arguments.name, arguments.start)
            if arguments.json:
                print_json(made._asdict())
        else:
            found = lk.branches()
            if arguments.json:
                print_json([{**one._asdict(), "created": when(one.created)} for one in found])
            else:
                table(
                    [
                        [one.name, f"commit {one.head}", f"from {one.parent}@{one.forked}" if one.parent else ""]
                        for one in found
                    ]
                )
    return 0


def tag(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        if arguments.delete:
            if arguments.name is None:
                raise InvalidInput("tag -d needs the name of a tag")
            lk.delete_tag(arguments.name)
        elif arguments.name is not None:
            made = lk.tag(arguments.name, arguments.target)
            if arguments.json:
                print_json(made._asdict())
        else:
            found = lk.tags()
            if arguments.json:
                print_json([{**one._asdict(), "created": when(one.created)} for one in found])
            else:
                table([[one.name, f"commit {one.seq}", when(one.created)[:19] + "Z"] for one in found])
    return 0


def diff(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        found = lk.diff(arguments.old, arguments.new, arguments.path)
    if arguments.json:
        print_json(
            [
                {
                    "path": one.path,
                    "change": one.change,
                    "old": entry_json(one.old) if one.old is not None else None,
                    "new": entry_json(one.new) if one.new is not None else None,
                }
                for one in found
            ]
        )
    else:
        for one in found:
            print(f"{_SIGNS[one.change]}  {one.path}")
    return 0
