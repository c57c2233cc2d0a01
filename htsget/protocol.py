"""HTTP/1.1 with patience that ends: uvicorn's protocol, and limits on how long and how big what it waits for may be.

Uvicorn itself waits for ever for the end of a request's head, takes any length of it, and keeps an answer for a client
that reads nothing of it for ever.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["PatientProtocol"]

_HEAD_SECONDS = 10.0
"""From the connection, or from the first byte of a further request, to the end of the head."""
_HEAD_BYTES = 64 << 10
_URL_BYTES = 16 << 10
_STALL_SECONDS = 60.0
"""How long a client may take nothing of what waits for it."""


class PatientProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _reading_head = True
    _refused = HTTPStatus.BAD_REQUEST
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel(self._head_timer)
        self._cancel(self._stall_timer)
        super().connection_lost(exc)

    # -- the head of a request ----------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._reading_head and not self.transport.is_closing():
            # A head that comes in one piece with its end is bounded by what is read at a time.
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._refused = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head = True
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._cancel(self._head_timer)
        self._head_timer = None
        self._reading_head = False
        self._head_bytes = 0
        if len(self.url) > _URL_BYTES:
            self._refused = HTTPStatus.REQUEST_URI_TOO_LONG
            raise ValueError(self._refused.phrase)  # the parser hands it on as an error of its own
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        if not self.transport.is_closing():
            self._refused = HTTPStatus.REQUEST_TIMEOUT
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        status = self._refused
        problem = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": "the request cannot be read" if status is HTTPStatus.BAD_REQUEST else status.phrase.lower(),
            "error": "InvalidInput",
        }
        body = json.dumps(problem).encode()
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()

    def shutdown(self) -> None:
        """The server is to stop: tell answers that have no end of their own."""
        if "stopping" in self.app_state:
            self.app_state["stopping"].set()
        super().shutdown()

    # -- the end of an answer -----------------------------------------------------------------------------------
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        self._cancel(self._stall_timer)
        self._stall_timer = None
        super().resume_writing()

    def _watch_writing(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(_STALL_SECONDS, self._look_at_writing, left)

    def _look_at_writing(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._watch_writing()
        else:
            self.transport.abort()  # closing would wait for the client to take the rest

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | Any | None) -> None:
        if timer is not None:
            timer.cancel()
