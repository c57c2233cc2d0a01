"""Bodies of answers: spans of stored objects, literals and computed streams, sent in bounded memory.

Bytes go as plain ASGI messages, a large piece at a time. With 512 KiB, reading on a thread and writing on the event
loop keep up with a server that lets the kernel send files (tests/benchmarks/http_bytes.py), and the same code serves
TLS and every ASGI runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lake.errors import LakeError
from lake.htsget.errors import Problem
from lake.htsget.state import Server
from lake.segments import Literal, Segment, Span, Stream

__all__ = ["SegmentResponse"]

_LARGEST = 1 << 19
_SMALLEST = 1 << 15
_BUDGET = 8 << 20
"""Bytes that the bodies of this process share: few get large pieces, which are fast, and many get small ones."""

_READERS = ThreadPoolExecutor(4, "lake-bytes")
"""Read stored bytes, so that these never wait for what is computed. Few, since each thread keeps memory of its own."""

_MAKERS = ThreadPoolExecutor(4, "lake-make")
"""Compute what is made when it is fetched: tickets and listings must not wait for conversions."""
_MOST_DECODED = 32
"""Bodies that decoders make at a time: each holds some 5 MB of buffers for as long as its client takes."""

_LOG = logging.getLogger("lake.htsget")

_under_way: set[SegmentResponse] = set()


def _piece_size() -> int:
    share = _BUDGET // max(1, len(_under_way))
    # Powers of two: memory that one piece leaves fits another.
    return min(_LARGEST, max(_SMALLEST, 1 << (share.bit_length() - 1)))


class SegmentResponse(Response):
    """The bytes of segments, in order, as they are read, never ahead of the client.

    What fails before the first byte fails the request. What fails later cuts the connection, so that nobody takes a
    part for the whole: the length is stated, or the last chunk (RFC 9112, section 7.1) is missing.
    """

    def __init__(
        self,
        server: Server,
        segments: Sequence[Segment],
        size: int | None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        decoded: bool = False,
    ) -> None:
        """
        Args:
            server: holds the objects.
            segments: what to send.
            size: bytes of all segments; None where a stream makes that unknown.
            status_code: of the answer.
            headers: all of them, but for the length.
            decoded: whether a decoder makes the bytes: of these, only so many are sent at a time.
        """
        self.status_code = status_code
        self.background = None
        self.init_headers(headers)
        if size is not None:
            self.headers["content-length"] = str(size)
        computed = any(isinstance(segment, Stream) for segment in segments)
        self._pool: Executor = _MAKERS if computed else _READERS
        self._decoded = decoded
        self._shelf = server.lake.repo.shelf
        self._segments = segments
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if self._decoded and sum(other._decoded for other in _under_way) >= _MOST_DECODED:
            raise Problem(503, "Unavailable", "too many conversions are under way: try again", {"Retry-After": "5"})
        pieces = _gathered(self._pieces())
        _under_way.add(self)
        try:
            first = await self._pull(pieces) or b""
            more = len(first) != self._size
            await send(start)
            await send({"type": "http.response.body", "body": first, "more_body": more})
            if more:
                await self._send_rest(pieces, receive, send)
        finally:
            _under_way.discard(self)
            await asyncio.get_running_loop().run_in_executor(self._pool, pieces.close)

    async def _send_rest(self, pieces: Iterator[bytes], receive: Receive, send: Send) -> None:
        # Servers drop silently what is sent to a client that has gone: without this, all would be read for nobody.
        gone = asyncio.create_task(_gone(receive))
        try:
            while not gone.done():
                # Nothing is read before there is room for it: what waits for a slow client is one piece.
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                piece = await self._pull(pieces)
                await send({"type": "http.response.body", "body": piece or b"", "more_body": piece is not None})
                if piece is None:
                    return
        except LakeError as error:
            # Without the last message, the server ends the connection before the answer is whole.
            _LOG.error("an answer was cut off: %s", error)
        finally:
            gone.cancel()

    async def _pull(self, pieces: Iterator[bytes]) -> bytes | None:
        """The next piece, read on a thread; None at the end."""
        reading = asyncio.get_running_loop().run_in_executor(self._pool, next, pieces, None)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])  # a generator cannot be closed while it runs
            raise

    def _pieces(self) -> Generator[bytes, None, None]:
        for segment in self._segments:
            match segment:
                case Literal(data):
                    yield data
                case Stream(pieces):
                    yield from pieces()
                case Span(source, offset, length):
                    reader = self._shelf.reader(source)
                    stop = offset + length
                    while offset < stop:
                        wanted = min(_piece_size(), stop - offset)
                        yield reader.read(offset, wanted)
                        offset += wanted


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _gathered(pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """The same bytes in pieces that are worth a change of threads."""
    held: list[bytes] = []
    size = 0
    with contextlib.closing(pieces):
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= _SMALLEST:
                yield b"".join(held) if len(held) > 1 else piece
                held, size = [], 0
    if held:
        yield b"".join(held)
