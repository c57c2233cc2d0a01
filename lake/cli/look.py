"""Commands that look: ``ls``, ``stat``, ``path``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from lake.cli.output import digest_text, entry_json, human, open_lake, print_json, table, when
from lake.journal.values import Entry, Kind

__all__ = ["ls", "path", "stat"]


def ls(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        entries = [
            entry
            for name in arguments.paths
            for path in lk.expand(name)
            for entry in lk.ls(path, recursive=arguments.recursive)
        ]
    if arguments.json:
        print_json([entry_json(entry) for entry in entries])
    elif arguments.long:
        table([_long(entry, arguments.human) for entry in entries], right=frozenset([1]))
    else:
        for entry in entries:
            print(_name(entry))
    return 0


def _name(entry: Entry) -> str:
    return entry.path + ("/" if entry.kind == Kind.DIRECTORY else "")


def _long(entry: Entry, humanly: bool) -> list[str]:
    if entry.kind == Kind.DIRECTORY:
        return ["-", "-", "-", "-", _name(entry)]
    size = human(entry.size) if humanly else str(entry.size)
    return [entry.format or "", size, when(entry.modified)[:19] + "Z", digest_text(entry.hex), _name(entry)]


def stat(arguments: argparse.Namespace) -> int:
    answers = []
    with open_lake(arguments) as lk:
        for name in (path for given in arguments.paths for path in lk.expand(given)):
            found = lk.stat(name)
            answer = asdict(found)
            if arguments.chunks and found.digest is not None:
                answer["chunk_map"] = [chunk._asdict() for chunk in lk.reader(name).chunks]
            answers.append(answer)
    if arguments.json:
        print_json(answers)
        return 0
    for answer in answers:
        chunk_map = answer.pop("chunk_map", None)
        for key, value in answer.items():
            if value not in (None, (), {}, ""):
                shown = "; ".join(map(str, value)) if isinstance(value, tuple) else value
                if isinstance(value, dict):
                    shown = ", ".join(f"{name}={item}" for name, item in value.items())
                print(f"{key + ':':12} {shown}")
        if chunk_map is not None:
            rows = [[str(c["ord"]), str(c["offset"]), str(c["length"]), digest_text(c["digest"])] for c in chunk_map]
            table([["chunk", "offset", "length", "digest"], *rows], right=frozenset([0, 1, 2]))
        print()
    return 0


def path(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        for name in (path for given in arguments.paths for path in lk.expand(given)):
            print(lk.local_path(name))
    return 0
