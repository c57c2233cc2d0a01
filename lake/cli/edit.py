"""Commands that change entries: ``mkdir``, ``mv``, ``cp``, ``rm``, ``restore``, ``meta``."""

from __future__ import annotations

import argparse
import posixpath
from collections.abc import Callable

from lake.cli.output import attributes, open_lake, print_json
from lake.errors import InvalidInput, NotDirectory, NotFound
from lake.journal.values import Json
from lake.lake import Lake
from lake.paths import split_ref

__all__ = ["cp", "meta_get", "meta_rm", "meta_set", "mkdir", "mv", "restore", "rm"]


def mkdir(arguments: argparse.Namespace) -> int:
    branch, _ = split_ref(arguments.paths[0])
    with open_lake(arguments) as lk, lk.commit(f"mkdir {' '.join(arguments.paths)}", branch=branch):
        for path in arguments.paths:
            lk.mkdir(path, exist_ok=arguments.parents)
    return 0


def mv(arguments: argparse.Namespace) -> int:
    def step(lk: Lake, source: str, destination: str) -> None:
        lk.mv(source, destination)

    return _each(arguments, "mv", step)


def cp(arguments: argparse.Namespace) -> int:
    def step(lk: Lake, source: str, destination: str) -> None:
        lk.cp(source, destination, recursive=arguments.recursive)

    return _each(arguments, "cp", step)


def _each(arguments: argparse.Namespace, verb: str, step: Callable[[Lake, str, str], None]) -> int:
    """Several sources go into a directory; all of it is one commit, on the branch of the destination."""
    with open_lake(arguments) as lk:
        *given, destination = (_at_ref(path, lk.ref) for path in arguments.paths)
        sources = [path for name in given for path in lk.expand(name)]
        if not sources:
            raise InvalidInput(f"{verb} needs a source and a destination")
        if len(sources) > 1 and not destination.endswith("/"):
            if not lk.exists(destination) or lk.stat(destination).kind != "directory":
                raise NotDirectory(f"{destination} is not a directory: several files need one (or a / at the end)")
            destination += "/"
        with lk.commit(f"{verb} {' '.join(arguments.paths)}", branch=split_ref(destination)[0]):
            for source in sources:
                name = posixpath.basename(source.rstrip("/"))
                step(lk, source, destination + name if len(sources) > 1 else destination)
    return 0


def _at_ref(path: str, ref: str) -> str:
    """A path that says its ref, so that it means the same inside a commit to another branch."""
    return path if path.startswith("@") else f"@{ref}/{path}"


def rm(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        lk.rm([path for name in arguments.paths for path in lk.expand(name)], recursive=arguments.recursive)
    return 0


def restore(arguments: argparse.Namespace) -> int:
    branch, _ = split_ref(arguments.paths[0])
    message = f"restore {' '.join(arguments.paths)} from {arguments.source}"
    with open_lake(arguments) as lk, lk.commit(message, branch=branch):
        for path in arguments.paths:
            lk.restore(path, arguments.source)
    return 0


def meta_get(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        found = lk.meta(arguments.path)
    if arguments.key is not None:
        if arguments.key not in found:
            raise NotFound(
                f"{arguments.path} has no attribute {arguments.key!r}; it has {', '.join(sorted(found)) or 'none'}"
            )
        _show(found[arguments.key]) if not arguments.json else print_json(found[arguments.key])
    elif arguments.json:
        print_json(found)
    else:
        for key, value in sorted(found.items()):
            print(f"{key}=", end="")
            _show(value)
    return 0


def _show(value: Json) -> None:
    print(value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else value)


def meta_set(arguments: argparse.Namespace) -> int:
    pairs = [argument for argument in arguments.arguments if "=" in argument]
    names = [argument for argument in arguments.arguments if "=" not in argument]
    if not pairs or not names:
        raise InvalidInput("meta set needs paths, then KEY=VALUE")
    with open_lake(arguments) as lk:
        lk.set_meta([path for name in names for path in lk.expand(name)], attributes(pairs))
    return 0


def meta_rm(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        lk.set_meta(arguments.path, dict.fromkeys(arguments.keys))
    return 0
