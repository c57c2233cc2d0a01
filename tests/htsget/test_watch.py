"""Commits as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lake.errors import StorageError
from lake.grants import Grant, Verb
from lake.htsget.access import Principal
from lake.htsget.routes import watch as route
from lake.htsget.watching import Feed, Happening, commit_json, newest, read_happening
from lake.journal.base import Journal
from lake.lake import Lake
from tests.htsget.conftest import WAIT, Client, Live
from tests.htsget.test_uploads import Serving
from tests.lake.samples import make_tree

ANYBODY = Principal("", (Grant(Verb.READ),))


class Watcher:
    """A client that reads events on a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.ids: list[int] = []
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._opened = threading.Event()
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.netloc, timeout=WAIT)
        self._connection.request("GET", f"{address.path}?{address.query}", headers=headers or {})
        self._socket = self._connection.sock
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        assert self._opened.wait(WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, as closing would not
        self._thread.join(WAIT)
        self._connection.close()

    def _read(self) -> None:
        try:
            answer = self._connection.getresponse()
            assert answer.headers["content-type"].startswith("text/event-stream")
            while line := answer.readline():
                self._opened.set()
                name, _, value = line.decode().strip().partition(": ")
                if name == "id":
                    self.ids.append(int(value))
                elif name == "data":
                    self._events.put(json.loads(value))
        except (OSError, http.client.HTTPException):
            pass
        finally:
            self._events.put(None)
            self._opened.set()

    def next(self) -> dict[str, Any]:
        event = self._events.get(timeout=WAIT)
        assert event is not None, "the stream ended"
        return event

    def ends(self) -> bool:
        return self._events.get(timeout=WAIT) is None


Put = Callable[..., None]


@pytest.fixture
def put(lk: Lake) -> Put:
    """``put(path, …, ref=)`` commits files whose content is their name."""

    def make(*paths: str, ref: str | None = None) -> None:
        with lk.commit("put " + " ".join(paths), branch=ref):
            for path in paths:
                with lk.open(path, "wb", ref=ref) as file:
                    file.write(path.encode())

    return make


def test_commits_as_they_happen(lk: Lake, live: Live, put: Put) -> None:
    put("before")
    with Watcher(f"{live(lk)}/watch") as watcher:
        put("a", "b")
        event = watcher.next()
        assert (event["seq"], event["branch"], event["message"]) == (2, "main", "put a b")
        assert [change["path"] for change in event["changes"]] == ["a", "b"]
        assert event["changes"][0]["digest"] == lk.stat("a").digest
        lk.rm("a")
        lk.set_meta("b", {"x": 1})
        assert watcher.next()["changes"][0]["change"] == "removed"
        assert watcher.next()["changes"][0]["change"] == "annotated"
    assert watcher.ids == [1, 2, 3, 4]


def test_nothing_is_lost_in_between(lk: Lake, live: Live, put: Put) -> None:
    url = f"{live(lk)}/watch"
    for number in range(200):
        put(f"f{number}")
    with Watcher(url, {"last-event-id": "50"}) as watcher:
        assert [watcher.next()["seq"] for _ in range(150)] == list(range(51, 201))
    with Watcher(f"{url}?since=0") as watcher:
        assert [watcher.next()["seq"] for _ in range(200)] == list(range(1, 201))
    with Watcher(f"{url}?since=0", {"last-event-id": "199"}) as watcher:
        assert watcher.next()["seq"] == 200


def test_filters(lk: Lake, live: Live, put: Put) -> None:
    url = f"{live(lk)}/watch?since=0"
    put("a/x", "b/x")
    lk.branch("dev")
    put("a/y", ref="dev")
    put("b/y")
    lk.delete_branch("dev")
    with Watcher(f"{url}&prefix=a/") as watcher:
        assert [[change["path"] for change in watcher.next()["changes"]] for _ in range(2)] == [["a/x"], ["a/y"]]
    with Watcher(f"{url}&branch=main") as watcher:
        assert [watcher.next()["seq"] for _ in range(2)] == [1, 3]
    with Watcher(f"{url}&branch=dev") as watcher:
        assert [change["path"] for change in watcher.next()["changes"]] == ["a/y"]


def test_only_what_may_be_seen(lk: Lake, live: Live, put: Put) -> None:
    url = f"{live(lk, open=False)}/watch?since=0"
    assert httpx.get(url, trust_env=False).status_code == 401
    put("secret/x")
    put("secret/y", "shown/y")
    put("shown/z")
    text = lk.tokens.create([Grant(Verb.READ, "shown/*")]).text
    with Watcher(url, {"authorization": f"Bearer {text}"}) as watcher:
        mixed, own = watcher.next(), watcher.next()
    assert (mixed["seq"], mixed["message"], mixed["author"]) == (2, None, None)
    assert [change["path"] for change in mixed["changes"]] == ["shown/y"]
    assert (own["seq"], own["message"]) == (3, "put shown/z")


def test_a_stream_ends_with_the_token(lk: Lake, live: Live, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.htsget.authentication._TOKEN_SECONDS", 0.0)
    url = f"{live(lk, open=False)}/watch"
    issued = lk.tokens.create([Grant(Verb.READ)])
    with Watcher(url, {"authorization": f"Bearer {issued.text}"}) as watcher:
        put("a")
        assert watcher.next()["seq"] == 1
        lk.tokens.revoke(issued.token.id)
        put("b")
        assert watcher.ends()


def test_many_watchers_are_one_poll(lk: Lake, live: Live, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(journal: Journal, seq: int) -> Happening | None:
        asked.append(seq)
        return read_happening(journal, seq)

    monkeypatch.setattr("lake.htsget.watching.read_happening", counted)
    url = f"{live(lk)}/watch"
    watchers = [Watcher(url) for _ in range(20)]
    try:
        for watcher in watchers:
            watcher.__enter__()
        put("a")
        assert {watcher.next()["seq"] for watcher in watchers} == {1}
        assert len(asked) <= 16  # one for each thread that asked before the first had the answer
    finally:
        for watcher in watchers:
            watcher.__exit__()


def test_heartbeats(lk: Lake, live: Live, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("a")
    monkeypatch.setattr(route, "_HEARTBEAT_SECONDS", 0.05)
    with httpx.Client(timeout=WAIT, trust_env=False) as asker, asker.stream("GET", f"{live(lk)}/watch") as answer:
        lines = answer.iter_lines()
        while next(lines) != ": alive":
            pass
        assert next(lines) == "id: 1"


def test_what_is_refused(lk: Lake, client: Client) -> None:
    asker = client(lk)
    assert asker.get("/watch", headers={"last-event-id": "x"}).status_code == 400
    for since in ("-1", "x", "9" * 30):
        assert asker.get(f"/watch?since={since}").status_code == 400


def test_the_server_stops_in_mid_stream(lk: Lake, put: Put) -> None:
    with Serving(lk) as (server, url), Watcher(f"{url}/watch") as watcher:
        put("a")
        assert watcher.next()["seq"] == 1
        os.kill(server.pid, signal.SIGTERM)
        assert watcher.ends()
        assert server.wait(WAIT) in (0, -signal.SIGTERM)


def test_a_very_large_commit_says_what_it_leaves_out(lk: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path / "in", {f"{number:04}": "x" for number in range(1100)})
    lk.put(tmp_path / "in")
    happening = read_happening(lk.repo.journal, 1)
    assert happening is not None
    told = commit_json(happening, ANYBODY, "", None)
    assert told is not None
    assert isinstance(told["changes"], list)
    assert (len(told["changes"]), told["omitted"]) == (1000, 100)


def test_commits_by_number(lk: Lake, put: Put) -> None:
    assert newest(lk.repo.journal) == 0
    assert read_happening(lk.repo.journal, 1) is None
    put("a")
    lk.branch("dev")
    put("b", ref="dev")
    put("c")
    put("a")
    found = [read_happening(lk.repo.journal, seq) for seq in range(1, 5)]
    assert [[change.path for change in each.changes] if each else None for each in found] == [["a"], ["b"], ["c"], []]


def test_a_journal_that_fails_for_a_moment(lk: Lake, put: Put) -> None:
    failures = [StorageError("no"), StorageError("no")]

    async def run(look: Callable[[], int]) -> int:
        if failures:
            raise failures.pop()
        return look()

    async def follow() -> int:
        feed = Feed(lk.repo.journal, run, asyncio.Event())
        with feed.watch():
            return await feed.newer(0, WAIT)

    put("a")
    assert asyncio.run(follow()) == 1
    assert failures == []
