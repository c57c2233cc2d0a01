"""``lake serve`` as people start it: a process, a port, an end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lake.errors import InvalidInput
from lake.grants import Grant, Verb
from lake.htsget.serving import admitted
from lake.htsget.settings import Oidc, Settings
from lake.lake import Lake
from tests.cli.conftest import LAKE
from tests.htsget.conftest import WAIT

Serve = Callable[..., tuple[str, "subprocess.Popen[str]"]]
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if k != "LAKE_ROOT"}, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def serve(lk: Lake) -> Iterator[Serve]:
    """``serve("--workers", "2")`` → its URL and its process."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> tuple[str, subprocess.Popen[str]]:
            process = stack.enter_context(
                subprocess.Popen(
                    [LAKE, "-C", str(lk.root), "serve", "--port", "0", *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=ENVIRONMENT,
                )
            )
            stack.callback(stop, process)
            assert process.stdout is not None
            return process.stdout.readline().strip(), process

        yield start


def stop(process: subprocess.Popen[str]) -> str:
    """Ask it to end; what it logged."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.communicate(timeout=2 * WAIT)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def together(http: httpx.Client, url: str, wanted: int) -> float:
    """Requests for figures that the figures of all workers tell of, once there were enough; each connects anew."""
    deadline, told = time.monotonic() + WAIT, 0.0
    while told < wanted and time.monotonic() < deadline:
        text = http.get(f"{url}/metrics", headers={"Connection": "close"}).text
        found = re.search(r'lake_http_requests_total\{method="GET",route="/metrics",status="200"\} (\S+)', text)
        told = 0.0 if found is None else float(found[1])
    return told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_where_it_is_answers_and_stops(serve: Serve, http: httpx.Client, workers: str) -> None:
    url, process = serve("--workers", workers)
    assert http.get(f"{url}/healthz").json() == {"status": "ok"}
    assert together(http, url, 10) >= 10
    log = stop(process)
    assert process.returncode in (0, -signal.SIGTERM)
    assert '"route": "/healthz", "status": 200' in log
    assert "Traceback" not in log


def test_no_lines_of_requests_where_none_are_wanted(serve: Serve, http: httpx.Client) -> None:
    url, process = serve("--no-access-log", "--no-upload")
    assert http.get(f"{url}/healthz").status_code == 200
    assert stop(process) == ""


def test_tls(serve: Serve, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    url, process = serve("--tls-cert", str(cert), "--tls-key", str(key))
    assert url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(cert))
    with httpx.Client(verify=trusting, trust_env=False) as client:
        assert client.get(f"{url}/healthz").status_code == 200
    stop(process)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "--public"),
        (["--host", "::"], "--public"),
        (["--authenticate"], "lake token create"),
        (["--host", "no.such.host.invalid"], "no address of this machine"),
        (["--port", "70000"], "port"),
        (["--tls-cert", "x.pem"], "key"),
        (["--tls-cert", "x.pem", "--tls-key", "y.pem"], "certificate"),
        (["--config", "none.toml"], "none.toml"),
        (["--ref", "nosuch"], "nosuch"),
    ],
)
def test_why_it_does_not_start(lk: Lake, arguments: list[str], told: str) -> None:
    done = subprocess.run(
        [LAKE, "-C", str(lk.root), "serve", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lake: error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_port_that_is_taken(lk: Lake, serve: Serve) -> None:
    url, _ = serve()
    port = url.rpartition(":")[2]
    done = subprocess.run(
        [LAKE, "-C", str(lk.root), "serve", "--port", port], capture_output=True, text=True, timeout=WAIT
    )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr


def test_who_is_asked_for_a_token(lk: Lake) -> None:
    here, elsewhere = Settings(lk.root), Settings(lk.root, host="0.0.0.0")
    assert admitted(here, authenticate=False).open
    with pytest.raises(InvalidInput):
        admitted(here, authenticate=True)
    with pytest.raises(InvalidInput):
        admitted(elsewhere, authenticate=False)
    issuer = Settings(lk.root, host="0.0.0.0", oidc=Oidc("https://i", "a", "keys.json"))
    assert not admitted(issuer, authenticate=False).open
    public = admitted(Settings(lk.root, host="0.0.0.0", public=True), authenticate=False)
    assert (public.open, public.public, public.upload) == (False, True, False)
    token = lk.tokens.create([Grant(Verb.READ)])
    for settings in (here, elsewhere):
        assert not admitted(settings, authenticate=False).open
    lk.tokens.revoke(token.token.id)
    assert admitted(here, authenticate=False).open
