"""``lake serve``: the lake over HTTP."""

from __future__ import annotations

import argparse
from pathlib import Path

from lake.errors import Unsupported

__all__ = ["serve"]

_NAMED = (
    "ref", "host", "port", "workers", "base_url", "tls_cert", "tls_key", "public", "sql", "url_seconds", "rate",
    "sendfile", "sendfile_prefix",
)  # fmt: skip
"""Options that are settings of the same name; where they are not given, the file or the default counts."""


def serve(arguments: argparse.Namespace) -> int:
    try:
        from lake.htsget.configuration import load_settings
        from lake.htsget.serving import admitted
        from lake.htsget.serving import serve as run
    except ModuleNotFoundError as error:
        raise Unsupported(f"a server needs {error.name}: pip install 'regionlake[server]'") from error
    given = {name: value for name in _NAMED if (value := getattr(arguments, name)) is not None}
    if arguments.no_upload:
        given["upload"] = False
    if arguments.cors_origin:
        given["cors_origins"] = tuple(arguments.cors_origin)
    if arguments.root is not None:
        given["root"] = Path(arguments.root)
    config = None if arguments.config is None else Path(arguments.config)
    settings = admitted(load_settings(config, given), authenticate=arguments.authenticate)
    run(settings, access_log=not arguments.no_access_log, ready=lambda url: print(url, flush=True))
    return 0
