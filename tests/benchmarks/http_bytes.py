"""A large object over HTTP on the loopback interface, against nginx sending the same file.

    python -m tests.benchmarks.http_bytes                  (nginx and curl on the PATH)

One worker process on each side. Both run at once and are asked in turns, first by one client, then by several; the file
is in the page cache. The first download of a new server checks every chunk, and is given apart.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import lake
from tests.benchmarks.measuring import (
    Contestant,
    Figure,
    arguments_of,
    interleave,
    lake_command,
    present,
    read_through,
    scratch,
)

__all__ = ["main"]

_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", turns=5)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the object")
    parser.add_argument("--clients", type=int, default=4, help="how many ask at once in the second part")
    arguments = parser.parse_args(argv)
    with scratch(arguments.work) as folder:
        file = folder / "object.bin"
        _fill(file, arguments.size)
        with lake.init(folder / "lake") as lk:
            lk.put(file, "object.bin")
            digest = lk.stat("object.bin").digest
        with _nginx(folder) as theirs, _serve(folder / "lake") as base:
            ours = f"{base}/objects/{digest}"
            for place in (file, folder / "lake" / "objects" / f"{digest}"[:2] / f"{digest}"):
                read_through(place)
            figures = [Figure("first download, every chunk checked", _rate(arguments.size, ours), "MB/s")]
            figures += [
                _against(theirs, ours, clients, arguments.turns, arguments.size) for clients in (1, arguments.clients)
            ]
    return present(figures)


def _against(theirs: str, ours: str, clients: int, turns: int, size: int) -> Figure:
    nginx, server = interleave(
        [
            Contestant("nginx", lambda: _download(theirs, clients)),
            Contestant("lake serve", lambda: _download(ours, clients)),
        ],
        turns,
    )
    rate = size * clients / server.median / 1e6
    note = f"{rate:,.0f} MB/s; {server} against {nginx}"
    what = f"throughput / nginx, {clients} client{'s' if clients > 1 else ''}"
    return Figure(what, nginx.median / server.median, "x", at_least=0.8, note=note)


def _rate(size: int, url: str) -> float:
    start = time.perf_counter()
    _download(url, 1)
    return size / (time.perf_counter() - start) / 1e6


def _download(url: str, clients: int) -> None:
    command = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull, url]
    running = [subprocess.Popen(command) for _ in range(clients)]
    for process in running:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)


def _fill(file: Path, size: int) -> None:
    with open(file, "wb") as stream:
        while size > 0:
            size -= stream.write(os.urandom(min(size, 1 << 20)))


@contextlib.contextmanager
def _nginx(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    # Started by root, nginx gives its workers to a user who cannot get at the file.
    user = "user root;" if os.getuid() == 0 else ""
    configuration.write_text(_NGINX.format(folder=folder, port=port, root=folder, user=user))
    process = subprocess.Popen(["nginx", "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield f"http://127.0.0.1:{port}/object.bin"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _serve(root: Path) -> Iterator[str]:
    command = lake_command(root, "serve", "--port", "0", "--no-access-log")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line[line.index("http://") :].split()[0].rstrip("/")
    finally:
        process.terminate()
        process.communicate()


def _await_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError("nginx does not start")


if __name__ == "__main__":
    for tool in ("nginx", "curl"):
        if shutil.which(tool) is None:
            sys.exit(f"skipped: no {tool} to compare with")
    main()
