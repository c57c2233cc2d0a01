"""A server as processes on a port."""

from __future__ import annotations

import contextlib
import functools
import gc
import ipaddress
import os
import resource
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from lake.errors import InvalidInput, StorageError
from lake.htsget.app import create_app
from lake.htsget.logs import configuration
from lake.htsget.protocol import PatientProtocol
from lake.htsget.settings import Settings
from lake.htsget.signing import load_secret
from lake.lake import Lake

__all__ = ["admitted", "serve"]

_BACKLOG = 2048
_IDLE_SECONDS = 15
"""How long a connection is kept for a next request."""
_STOP_SECONDS = 30
"""How long requests under way may take once the server is told to stop."""
_START_SECONDS = 60.0


def admitted(settings: Settings, *, authenticate: bool) -> Settings:
    """The settings with it decided who has to say who they are.

    On a loopback address nobody, unless the lake has tokens, an issuer is configured or ``authenticate`` asks for it.

    Raises:
        NotFound: there is no such ref.
        InvalidInput: others could reach the server, nobody could authenticate, and it is not said to be public.
        ReadOnly: the lake is read from its catalog, which knows no tokens: an issuer is needed, or ``public``.
    """
    with Lake.open_at(settings.root, ref=settings.ref, readonly=True) as lk:
        lk.repo.journal.resolve(settings.ref)
        settings = replace(settings, root=lk.root)
        if settings.public:
            return settings
        known = settings.oidc is not None or any(token.live for token in lk.tokens.list())
    if known or authenticate:
        if not known:
            raise InvalidInput("nobody could use this server: make a token ('lake token create --read …') first")
        return replace(settings, open=False)
    if not _is_loopback(settings.host):
        raise InvalidInput(
            f"others can reach {settings.host}, and the lake has no tokens: make one ('lake token create --read …'), "
            "configure an issuer, or say --public to let anybody read everything"
        )
    return replace(settings, open=True)


def _is_loopback(host: str) -> bool:
    found = {str(info[4][0]) for info in _addresses(host, 0)}
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    except OSError as error:
        raise InvalidInput(f"{host} is no address of this machine: {error.strerror}") from error


def serve(settings: Settings, *, access_log: bool = True, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    Args:
        settings: as `admitted` gives them.
        ready: called with the server's URL once all its workers answer.

    Raises:
        InvalidInput, StorageError: it cannot start.
    """
    _raise_limit_of_files()
    assert settings.root is not None
    settings = replace(settings, secret=settings.secret or load_secret(settings.root))
    _check_tls(settings)
    with contextlib.closing(_bound(settings)) as listener, _shared_metrics(settings):
        url = _url_of(settings, listener)
        config = uvicorn.Config(
            functools.partial(_settled_app, settings),
            factory=True,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=configuration(access=access_log),
            access_log=False,
            server_header=False,
            workers=settings.workers,
            backlog=_BACKLOG,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            timeout_worker_healthcheck=int(_START_SECONDS),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=None if settings.tls_key is None else str(settings.tls_key),
        )
        if settings.workers == 1:
            server = _Server(config, functools.partial(ready, url))
            server.run(sockets=[listener])
            started = server.started
        else:
            workers = _Workers(config, [listener], functools.partial(ready, url))
            workers.run()
            started = workers.started
    if not started:
        raise StorageError("the server could not start: its log tells why")


def _settled_app(settings: Settings) -> FastAPI:
    """The application of a process that serves nothing else.

    All that was loaded stays for good: looking through it for garbage again and again would stop the server for a tenth
    of a second each time.
    """
    app = create_app(settings)
    gc.collect()
    gc.freeze()
    return app


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Workers(Multiprocess):
    """Processes that accept from one socket; one that dies is replaced."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._ready = ready
        self.started = False

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS, self.should_exit) for process in self.processes):
            self.started = True
            self._ready()
        else:
            self.should_exit.set()

    def terminate_all(self) -> None:
        # The inherited way also closes the pipes to the workers, whose threads at the other end then fail in the log.
        for process in self.processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)


@contextlib.contextmanager
def _shared_metrics(settings: Settings) -> Iterator[None]:
    """Where the workers count together."""
    if settings.workers == 1 or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="lake-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _bound(settings: Settings) -> socket.socket:
    family, _, _, _, address = _addresses(settings.host, settings.port)[0]
    try:
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error


def _url_of(settings: Settings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return settings.base_url or f"{scheme}://{host}:{listener.getsockname()[1]}"


def _check_tls(settings: Settings) -> None:
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"{settings.tls_cert} and {settings.tls_key} are no certificate and its key (PEM, no password): {error}"
        ) from error


def _raise_limit_of_files() -> None:
    """A connection is a file; the soft limit is small for the sake of old programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
