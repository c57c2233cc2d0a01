"""``lake token``."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.lake import Lake
from tests.cli.conftest import Run


def test_a_token_is_shown_once(run: Run, root: Path) -> None:
    made = run("token", "create", "--read", "study1/*", "--region", "s.bam=chr17", "--name", "ann", "--expires", "2w")
    (text,) = made.works().lines
    with Lake.open_at(root) as lk:
        token = lk.tokens.verify(text)
    assert token is not None
    listed = run("token", "list").works()
    assert listed.text.split()[0] == token.id
    assert "read study1/*; read s.bam=chr17" in listed.text
    assert text.split("_")[2] not in listed.text + run("token", "list", "--json").works().text
    run("token", "revoke", token.id).works()
    assert run("token", "list").works().text == ""
    assert token.id in run("token", "revoke", token.id).fails()


def test_tokens_as_json(run: Run) -> None:
    made = run("token", "create", "--write", "inbox/*", "--sql", "--admin", "--expires", "never", "--json").works().json
    text = made.pop("token")
    assert text.startswith(f"lake_{made['id']}_")
    assert made["grants"] == [
        {"verb": "write", "pattern": "inbox/*"},
        {"verb": "sql", "pattern": "*"},
        {"verb": "admin", "pattern": "*"},
    ]
    assert made["expires"] is None
    assert run("token", "list", "--json").works().json == [made]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--read"),
        (["--read", "x", "--expires", "soon"], "30d"),
        (["--read", "x", "--expires", "0d"], "30d"),
        (["--read", "x", "--expires", "999999999w"], "30d"),
        (["--region", "chr17"], "s1.bam=chr17"),
        (["--read", "/"], "pattern"),
        (["--read", "x", "--name", "a\nb"], "one line"),
    ],
)
def test_tokens_that_are_not_made(run: Run, arguments: list[str], told: str) -> None:
    assert told in run("token", "create", *arguments).fails()
    assert run("token", "list").works().text == ""
