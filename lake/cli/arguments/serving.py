"""The lake over the network: serve, token."""

from __future__ import annotations

from lake.cli.arguments.commands import Commands, bound, take_ref
from lake.cli.arguments.values import positive

__all__ = ["add_server_commands"]


def add_server_commands(commands: Commands) -> None:
    serve = commands.add("serve", "serve:serve", "serve the lake over HTTP: htsget, refget, DRS, files")
    serve.add_argument("--host", metavar="ADDRESS", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", type=int, metavar="N", help="0 takes a free one (8080)")
    serve.add_argument("--workers", type=positive, metavar="N", help="processes that share the port (1)")
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
    serve.add_argument("--url-seconds", type=positive, metavar="N", help="how long signed URLs are good for (3600)")
    serve.add_argument("--rate", type=float, metavar="N", help="requests a second of one client (no limit)")
    serve.add_argument(
        "--sendfile", choices=["X-Accel-Redirect", "X-Sendfile"], help="let the proxy in front send whole objects"
    )
    serve.add_argument("--sendfile-prefix", metavar="PATH", help="what the proxy calls the lake's directory")
    serve.add_argument("--no-access-log", action="store_true", help="no line a request on standard error")
    take_ref(serve)

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
    create.set_defaults(run=bound("token:create"))
    listing = actions.add_parser("list", help="list tokens, without their secrets")
    listing.add_argument("--json", action="store_true", help="the answer as JSON")
    listing.set_defaults(run=bound("token:listing"))
    revoke = actions.add_parser("revoke", help="let tokens be good no more")
    revoke.add_argument("tokens", nargs="+", metavar="ID")
    revoke.set_defaults(run=bound("token:revoke"))
