"""Servers of lakes: in this process, or live on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from lake.htsget import create_app
from lake.htsget.protocol import PatientProtocol
from lake.lake import Lake

Live = Callable[..., str]
Client = Callable[..., httpx.Client]

WAIT = 20.0
"""Seconds within which a server must have started or stopped, on a busy machine too."""


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake."""
    with Lake.init(tmp_path / "lake") as lake:
        yield lake


@pytest.fixture
def live() -> Iterator[Live]:
    """``live(lake, **settings)`` starts a server on a free port and gives its URL; it stops at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda lake, **settings: stack.enter_context(running(lake.root, **settings))


@contextlib.contextmanager
def running(root: Path, **settings: Any) -> Iterator[str]:
    """A server on a thread of this process."""
    app = create_app({"root": root, **settings})
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=PatientProtocol, ws="none", log_config=None, lifespan="on", timeout_graceful_shutdown=5
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + WAIT
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended while it started"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(WAIT)
        listener.close()
        assert not thread.is_alive(), "the server does not stop"


@pytest.fixture
def client() -> Iterator[Client]:
    """``client(lake, **settings)``: a client of a live server of its own; paths are enough as URLs."""
    with contextlib.ExitStack() as stack:

        def make(lake: Lake, **settings: Any) -> httpx.Client:
            base = stack.enter_context(running(lake.root, **settings))
            return stack.enter_context(httpx.Client(base_url=base, timeout=WAIT, trust_env=False))

        yield make


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client for live servers."""
    with httpx.Client(timeout=WAIT, trust_env=False) as client:
        yield client
