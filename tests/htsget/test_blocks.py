"""Signed blocks: URLs that are their own permission; and the bodies that all data goes out with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from lake.digest import Digest
from lake.errors import FormatError
from lake.htsget.access import ANONYMOUS
from lake.htsget.blocks import block_url
from lake.htsget.bodies import SegmentResponse
from lake.htsget.ranges import ByteRange
from lake.htsget.representations import cut_segments, respond, slice_representation
from lake.htsget.settings import Settings
from lake.htsget.state import Server
from lake.lake import Lake
from lake.segments import Literal, Segment, Slice, Span, Stream
from tests.htsget.conftest import Live
from tests.lake.samples import NOISE, flip, object_file

SECRET = b"s" * 32
START, LENGTH = 1_000_001, 1_500_000
BLOCK = NOISE[START : START + LENGTH]


@pytest.fixture
def digest(lk: Lake, tmp_path: Path) -> Digest:
    (tmp_path / "noise.bin").write_bytes(NOISE)
    lk.put(tmp_path / "noise.bin", "study1/")
    found = lk.stat("study1/noise.bin").digest
    assert found is not None
    return found


@pytest.fixture
def server(lk: Lake) -> Iterator[Server]:
    made = Server(Settings(lk.root, secret=SECRET))
    yield made
    made.close()


def request_of(method: str = "GET", base: str = "http://127.0.0.1:1", **headers: str) -> Request:
    host = base.removeprefix("http://")
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": host, **headers}.items()]
    scope = {"type": "http", "method": method, "headers": pairs, "scheme": "http", "path": "/", "root_path": ""}
    return Request(scope)


@pytest.fixture
def signed(server: Server, digest: Digest, live: Live, lk: Lake) -> Callable[..., str]:
    """The URL of a block at a live server that asks everybody else for a token."""
    base = live(lk, open=False, secret=SECRET)

    def make(offset: int = START, length: int = LENGTH, seconds: float | None = None) -> str:
        return block_url(server, request_of(base=base), ANONYMOUS, digest, offset, length, seconds)

    return make


def test_h46_a_block_needs_neither_range_nor_token(signed: Callable[..., str], http: httpx.Client, digest: str) -> None:
    answer = http.get(signed())
    assert (answer.status_code, answer.content) == (200, BLOCK)
    assert answer.headers["content-length"] == str(LENGTH)
    assert answer.headers["etag"] == f'"b3-{digest}-{START}-{LENGTH}"'
    assert answer.headers["cache-control"].startswith("private, max-age=3600, ")
    assert "content-encoding" not in answer.headers


def test_h46_a_range_is_relative_to_the_block(signed: Callable[..., str], http: httpx.Client) -> None:
    url = signed()
    answer = http.get(url, headers={"range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, BLOCK[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{LENGTH}"
    assert http.get(url, headers={"range": "bytes=-4"}).content == BLOCK[-4:]
    assert http.get(url, headers={"range": f"bytes={LENGTH}-"}).status_code == 416
    assert http.get(url, headers={"range": "bytes=0-1,4-5"}).headers["content-type"].startswith("multipart/byteranges")


def test_head_of_a_block(signed: Callable[..., str], http: httpx.Client) -> None:
    answer = http.head(signed())
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(LENGTH))


def test_the_whole_object_has_the_tag_of_the_object(
    signed: Callable[..., str], http: httpx.Client, digest: str
) -> None:
    answer = http.get(signed(0, len(NOISE)))
    assert (answer.content, answer.headers["etag"]) == (NOISE, f'"b3-{digest}"')


def test_an_empty_block(signed: Callable[..., str], http: httpx.Client) -> None:
    answer = http.get(signed(5, 0))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_h46_blocks_answer_preflights_of_any_page(signed: Callable[..., str], http: httpx.Client) -> None:
    asked = {"origin": "https://viewer.example", "access-control-request-method": "GET"}
    answer = http.options(signed(), headers={**asked, "access-control-request-headers": "range"})
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"


def test_a_changed_foreign_or_old_signature_is_refused(
    signed: Callable[..., str], http: httpx.Client, server: Server, digest: str
) -> None:
    url = signed()
    base, _, token = url.rpartition("/")
    claims, _, signature = token.partition(".")
    changed = claims[:20] + ("A" if claims[20] != "A" else "B") + claims[21:]
    foreign = server.signer.sign({"d": digest, "o": 0, "n": 5, "route": "slices"}, 60)
    untyped = server.signer.sign({"d": digest, "o": "0", "n": 5}, 60)
    for bad in (f"{changed}.{signature}", f"{claims}.{signature[:-2]}", claims, "x", "a.b.c", "%00", foreign, untyped):
        answer = http.get(f"{base}/{bad}")
        assert (answer.status_code, digest in answer.text) == (403, False), bad
    assert http.get(signed(seconds=-200)).status_code == 403


def test_a_signature_opens_nothing_else(signed: Callable[..., str], http: httpx.Client, digest: str) -> None:
    url = signed()
    assert http.get(url.partition("/blocks/")[0] + f"/objects/{digest}").status_code == 401
    assert http.get(url, params={"o": 0, "n": len(NOISE)}).content == BLOCK


def test_a_block_of_bytes_that_are_not_there(signed: Callable[..., str], http: httpx.Client) -> None:
    assert http.get(signed(len(NOISE) - 5, 6)).status_code == 404


def test_damage_elsewhere_does_not_matter(signed: Callable[..., str], http: httpx.Client, lk: Lake) -> None:
    flip(object_file(lk, "study1/noise.bin"), 3_000_000)
    assert http.get(signed(0, 1000)).content == NOISE[:1000]
    assert http.get(signed(2_999_990, 20)).status_code == 500


# -- bodies -----------------------------------------------------------------------------------------------------------
class Receiver:
    """The server's side of an ASGI response; the client leaves after ``patience`` messages."""

    def __init__(self, patience: int | None = None) -> None:
        self.messages: list[Message] = []
        self._patience = patience
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if self._patience is not None and len(self.messages) >= self._patience:
            self._left.set()
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def complete(self) -> bool:
        return not self.messages[-1].get("more_body", True)

    def take(self, response: SegmentResponse, method: str = "GET") -> None:
        asyncio.run(response({"type": "http", "method": method}, self.receive, self.send))


def test_segments_in_order(server: Server, digest: Digest) -> None:
    segments: list[Segment] = [
        Literal(b"head"),
        Span(digest, 5, 2_500_000),
        Stream(lambda: iter([b"a", b"", b"b" * 100_000])),
        Literal(b""),
        Span(digest, 0, 3),
    ]
    receiver = Receiver()
    receiver.take(SegmentResponse(server, segments, None))
    assert receiver.body == b"head" + NOISE[5:2_500_005] + b"a" + b"b" * 100_000 + NOISE[:3]
    assert receiver.complete


def test_small_pieces_are_gathered(server: Server) -> None:
    receiver = Receiver()
    receiver.take(SegmentResponse(server, [Stream(lambda: (b"12345678" for _ in range(20_000)))], None))
    assert receiver.body == b"12345678" * 20_000
    assert sum(1 for message in receiver.messages if message.get("body")) <= 5


def test_what_fails_first_fails_the_request(server: Server) -> None:
    def broken() -> Iterator[bytes]:
        yield from ()
        raise FormatError("no")

    receiver = Receiver()
    with pytest.raises(FormatError):
        receiver.take(SegmentResponse(server, [Literal(b"header"), Stream(broken)], None))
    assert receiver.messages == []


def test_what_fails_later_is_never_complete(server: Server) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise FormatError("no")

    receiver = Receiver()
    receiver.take(SegmentResponse(server, [Stream(broken)], None))
    assert receiver.body == b"x" * 100_000
    assert not receiver.complete


def test_nothing_is_computed_for_a_client_that_left(server: Server) -> None:
    events: list[str] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                events.append("piece")
                yield b"x" * 100_000
        finally:
            events.append("closed")

    receiver = Receiver(patience=4)
    receiver.take(SegmentResponse(server, [Stream(endless)], None))
    assert events[-1] == "closed"
    assert len(events) < 12


def test_a_cancelled_answer_closes_what_it_reads(server: Server) -> None:
    closed: list[bool] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(True)

    async def cancel() -> None:
        receiver = Receiver()
        response = SegmentResponse(server, [Stream(endless)], None)
        task = asyncio.create_task(response({"type": "http", "method": "GET"}, receiver.receive, receiver.send))
        while len(receiver.messages) < 3:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(cancel())
    assert closed == [True]


def test_head_computes_nothing(server: Server) -> None:
    def never() -> Iterator[bytes]:
        yield from ()
        raise AssertionError

    receiver = Receiver()
    receiver.take(SegmentResponse(server, [Stream(never)], None), "HEAD")
    assert (receiver.body, receiver.complete) == (b"", True)


def test_slices_have_ranges_where_their_size_is_known(server: Server, digest: Digest) -> None:
    data = b"<" + NOISE[100:200] + b">"

    def answer(*segments: Segment) -> Slice:
        return Slice("application/x", segments, "i" * 64, True, lambda span: b"")

    known = slice_representation(answer(Literal(b"<"), Span(digest, 100, 100), Literal(b">")))
    response = respond(server, request_of(range="bytes=0-50"), known)
    assert (response.status_code, response.headers["content-range"]) == (206, "bytes 0-50/102")
    assert response.headers["etag"] == f'"slice-{"i" * 64}"'
    receiver = Receiver()
    assert isinstance(response, SegmentResponse)
    receiver.take(response)
    assert receiver.body == data[:51]
    streamed = slice_representation(answer(Stream(lambda: iter([data]))))
    response = respond(server, request_of(range="bytes=0-50"), streamed)
    assert (response.status_code, response.headers["accept-ranges"]) == (200, "none")
    assert "content-length" not in response.headers


@pytest.mark.parametrize("start", range(0, 12, 3))
@pytest.mark.parametrize("stop", range(1, 14, 4))
def test_cut_segments(start: int, stop: int) -> None:
    name = Digest("0" * 64)
    whole = b"ab" + b"01234567"[2:7] + b"cde" + b"01234567"[:3]
    segments = (Literal(b"ab"), Span(name, 2, 5), Literal(b"cde"), Literal(b""), Span(name, 0, 3))
    part = ByteRange(start, min(stop, len(whole)))
    found = b""
    for segment in cut_segments(segments, part):
        assert not isinstance(segment, Stream)
        found += segment.data if isinstance(segment, Literal) else b"01234567"[segment.offset :][: segment.length]
    assert found == whole[part.start : max(part.start, part.stop)]
