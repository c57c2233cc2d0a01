"""Tokens in the journal: what lets somebody in over the network. The journal never sees their secrets."""

from __future__ import annotations

import sqlite3

from lake.errors import AlreadyExists, NotFound
from lake.journal.values import Token

__all__ = ["add", "find", "listed", "revoke"]

_COLUMNS = "id, name, hash, grants, created, expires"


def add(sql: sqlite3.Connection, token: Token) -> None:
    if find(sql, token.id) is not None:
        raise AlreadyExists(f"there is a token {token.id} already: make another")
    sql.execute(f"INSERT INTO token({_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?)", token)


def find(sql: sqlite3.Connection, token: str) -> Token | None:
    row = sql.execute(f"SELECT {_COLUMNS} FROM token WHERE id = ?", (token,)).fetchone()
    return None if row is None else Token._make(row)


def listed(sql: sqlite3.Connection) -> list[Token]:
    return [Token._make(row) for row in sql.execute(f"SELECT {_COLUMNS} FROM token ORDER BY created, id")]


def revoke(sql: sqlite3.Connection, token: str) -> None:
    if not sql.execute("DELETE FROM token WHERE id = ?", (token,)).rowcount:
        raise NotFound(f"no token {token!r}: 'lake token list' lists them")
