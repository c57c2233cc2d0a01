"""What can be typed after ``lake``. Commands are bound by name, so that help needs none of their modules."""

from __future__ import annotations

import argparse
from importlib.metadata import version

from lake.cli.arguments.commands import Commands
from lake.cli.arguments.contents import add_edit_commands, add_look_commands, add_store_commands
from lake.cli.arguments.queries import add_query_commands, add_spectra_commands
from lake.cli.arguments.serving import add_server_commands
from lake.cli.arguments.upkeep import add_care_commands, add_history_commands, add_space_commands

__all__ = ["make_parser"]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lake",
        description="A data lake for scientific files that answers a region of a file with a small, exact file.",
        epilog="Paths in the lake may start with @REF/ (a branch, a tag, a commit number, main~2, main@{2026-11-20}).",
    )
    parser.add_argument("-C", dest="root", metavar="DIR", help="the lake (else LAKE_ROOT, else the nearest one upward)")
    parser.add_argument("--version", action="version", version=f"regionlake {version('regionlake')}")
    commands = Commands(parser)
    add_store_commands(commands)
    add_look_commands(commands)
    add_query_commands(commands)
    add_spectra_commands(commands)
    add_edit_commands(commands)
    add_history_commands(commands)
    add_care_commands(commands)
    add_space_commands(commands)
    add_server_commands(commands)
    return parser
