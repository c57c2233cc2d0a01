"""How a command is declared, and the options that many of them have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["Commands", "bound", "take_answer", "take_ref", "take_ref_and_json"]


def bound(name: str) -> Callable[[argparse.Namespace], int]:
    module, _, function = name.partition(":")

    def run(arguments: argparse.Namespace) -> int:
        status: int = getattr(import_module(f"lake.cli.{module}"), function)(arguments)
        return status

    return run


class Commands:
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._actions = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def add(self, name: str, run: str, summary: str, **options: Any) -> argparse.ArgumentParser:
        command = self._actions.add_parser(name, help=summary, description=summary, **options)
        command.set_defaults(run=bound(run))
        return command


def take_ref(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ref", metavar="REF", help="read or write at this branch (or read at any ref) instead of main"
    )


def take_ref_and_json(command: argparse.ArgumentParser) -> None:
    take_ref(command)
    command.add_argument("--json", action="store_true", help="the answer as JSON")


def take_answer(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format",
        choices=["table", "csv", "json", "jsonl", "arrow", "parquet"],
        help="of the answer (else that of the suffix of FILE, else table)",
    )
    command.add_argument("-o", "--output", metavar="FILE", help="write the answer to a file, whole or not at all")
