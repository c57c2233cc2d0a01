"""``lake token``: who may use the lake over the network."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

from lake.cli.output import open_lake, print_json, table, when
from lake.errors import InvalidInput
from lake.grants import Grant, Verb, region_grant
from lake.journal.values import Token
from lake.tokens import granted

__all__ = ["create", "listing", "revoke"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def create(arguments: argparse.Namespace) -> int:
    grants = [
        *(Grant(Verb.READ, pattern) for pattern in arguments.read),
        *(Grant(Verb.WRITE, pattern) for pattern in arguments.write),
        *(region_grant(text) for text in arguments.region),
        *([Grant(Verb.SQL)] if arguments.sql else []),
        *([Grant(Verb.ADMIN)] if arguments.admin else []),
    ]
    with open_lake(arguments) as lk:
        issued = lk.tokens.create(grants, name=arguments.name, expires=_duration(arguments.expires))
    if arguments.json:
        print_json({**_described(issued.token), "token": issued.text})
    else:
        print(issued.text)
    return 0


def listing(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        tokens = lk.tokens.list()
    if arguments.json:
        print_json([_described(token) for token in tokens])
    else:
        table([[token.id, _ends(token), "; ".join(map(_said, granted(token))), token.name] for token in tokens])
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    with open_lake(arguments) as lk:
        for token in arguments.tokens:
            lk.tokens.revoke(token)
    return 0


def _described(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "grants": [grant.data() for grant in granted(token)],
        "created": when(token.created),
        "expires": None if token.expires is None else when(token.expires),
        "expired": not token.live,
    }


def _ends(token: Token) -> str:
    if token.expires is None:
        return "never expires"
    return f"{'until' if token.live else 'expired'} {when(token.expires)[:19]}Z"


def _said(grant: Grant) -> str:
    regions = "" if grant.regions is None else f"={','.join(grant.regions)}"
    return f"{grant.verb} {grant.pattern}{regions}"


def _duration(text: str) -> timedelta | None:
    """``30d``, ``12h``, ``2w``; ``never`` is None."""
    if text == "never":
        return None
    parsed = re.fullmatch(r"([1-9]\d{0,8})([smhdw])", text)
    try:
        if parsed is not None:
            return timedelta(**{_UNITS[parsed[2]]: int(parsed[1])})
    except OverflowError:
        pass
    raise InvalidInput(f"{text!r} is no time span: write 30d, 12h, 2w or never")
