"""The machine: versions, limits of the process."""

from __future__ import annotations

import platform
import resource
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version

from lake.doctor.report import Check, ok, warn

__all__ = ["machine_checks"]

_OPEN_FILES = 512
"""A server and its DuckDB sessions open some hundreds."""
_SERIALIZED = 3
"""`sqlite3.threadsafety` where connections may pass from thread to thread (PEP 249)."""


def machine_checks() -> Iterator[Check]:
    yield ok("versions", ", ".join(f"{name} {number}" for name, number in _versions()))
    if sqlite3.threadsafety != _SERIALIZED:
        yield warn(
            "sqlite threads",
            "this SQLite is not built for use by several threads",
            "use a Python whose sqlite3.threadsafety is 3",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        yield warn(
            "open files", f"a process may open {soft} files", f"raise the limit: 'ulimit -n 4096' (up to {hard})"
        )
    else:
        yield ok(
            "open files", f"a process may open {soft if soft != resource.RLIM_INFINITY else 'any number of'} files"
        )


def _versions() -> Iterator[tuple[str, str]]:
    import duckdb
    from pysam.version import __htslib_version__

    yield "regionlake", version("regionlake")
    yield "Python", platform.python_version()
    yield "SQLite", sqlite3.sqlite_version
    yield "DuckDB", duckdb.__version__
    yield "htslib", __htslib_version__
    yield platform.system(), platform.release()
