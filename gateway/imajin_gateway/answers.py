"""Messages of a call -> HTTP answers: JSON, bare bytes, server-sent events, or lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from google.protobuf.message import Message
from starlette.types import Scope, Send

from imajin_gateway.calls import Call
from imajin_gateway.contract import Binding
from imajin_gateway.errors import ApiError
from imajin_gateway.images import Images
from imajin_gateway.incoming import THREAD_BYTES
from imajin_gateway.render import render

T = TypeVar("T")
RECONNECT_MS = 1000
"""How long an EventSource waits before it connects again."""


class Exchange:
    """The sending side of one HTTP exchange."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.send = send
        self.started = False
        self.ended = False

    async def start(self, status: int, media_type: str, headers: dict[str, str]) -> None:
        """Sends the status line and headers."""
        self.started = True
        lines = {"content-type": media_type, "vary": "accept", **headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Sends a piece of the body."""
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last piece of the body."""
        if not self.ended:
            self.ended = True
            await self.send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(self, status: int, media_type: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends an answer whose body is known."""
        await self.start(status, media_type, {"content-length": str(len(data)), **(headers or {})})
        await self.end(b"" if self.scope["method"] == "HEAD" else data)


def compact(value: Any) -> bytes:
    """A JSON value in as few bytes as UTF-8 needs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


async def encode(message: Message) -> bytes:
    """A message as JSON; in a thread where images make it long."""
    if message.ByteSize() > THREAD_BYTES:
        return await asyncio.to_thread(lambda: compact(render(message)))
    return compact(render(message))


async def folded(call: Call, limit: int) -> tuple[Message, Images]:
    """A stream read to its end: its terminal message, and the images that came before."""
    images = Images(limit)
    terminal = call.method.terminal
    assert terminal is not None
    result: Message | None = None
    async for message in call.messages():
        event = message.WhichOneof("event")
        if event == "chunk":
            images.add(message.chunk)  # type: ignore[attr-defined]
        elif event == terminal.name:
            result = getattr(message, event)
    if result is None:
        raise ApiError("INTERNAL", f"the {call.method.server} server ended before its {terminal.name}")
    return result, images


async def as_json(call: Call, binding: Binding, exchange: Exchange, limit: int) -> None:
    """One JSON object: the answer, or what the stream ended with and the bytes of the images that it describes."""
    if call.method.streams_out:
        message, images = await folded(call, limit)
        images.fill(message)
    else:
        message = await call.only()
        if binding.response_body:
            message = getattr(message, binding.response_body)
    await exchange.whole(200, "application/json", await encode(message), {"cache-control": "no-store"})


async def as_image(call: Call, exchange: Exchange, limit: int, known: str) -> None:
    """The bytes of the main image and nothing else; 304 where the client has them by the `known` tags."""
    message, images = await folded(call, limit)
    image = images.main(message)
    headers = {"etag": image.etag, "cache-control": "no-cache"}
    if image.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        await exchange.start(304, image.media_type, headers)
        await exchange.end()
        return
    await exchange.whole(200, image.media_type, bytes(image.data), headers)


async def as_bytes(call: Call, exchange: Exchange) -> None:
    """The data of a stream of HttpBody, as it comes. A failure in the middle breaks the connection: no status can follow."""
    async for message in call.messages():
        body: Any = message
        if not exchange.started:
            await exchange.start(
                200, body.content_type or "application/octet-stream", {"cache-control": "private, no-cache"}
            )
            if exchange.scope["method"] == "HEAD":
                break
        await exchange.write(body.data)
    if not exchange.started:
        raise ApiError("INTERNAL", f"the {call.method.server} server sent nothing")
    await exchange.end()


async def as_events(call: Call, exchange: Exchange, limit: int, idle: float) -> None:
    """Server-sent events: each named as its member of `event`, then `end`, so that an EventSource does not connect again."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    images = Images(limit)
    try:
        async for message in paced(call.messages(), idle):
            if not exchange.started:
                await exchange.start(200, "text/event-stream; charset=utf-8", headers)
                if exchange.scope["method"] == "HEAD":
                    break
            if frame := await event_frame(message, call, images):
                await exchange.write(frame)
        if not exchange.started:
            await exchange.start(200, "text/event-stream; charset=utf-8", headers)
        await exchange.end(b"event: end\ndata: {}\n\n")
    except ApiError as error:
        if not exchange.started:
            raise
        await exchange.end(error_frame(error, call))


async def event_frame(message: Message | None, call: Call, images: Images) -> bytes:
    """One event; a comment for a heartbeat; nothing for a chunk, whose bytes come with the last event."""
    name, member = event_of(message)
    if message is None or name == "heartbeat":
        return b": heartbeat\n\n"
    if name == "chunk":
        images.add(message.chunk)  # type: ignore[attr-defined]
        return b""
    terminal = call.method.terminal
    if terminal is not None and name == terminal.name:
        images.fill(member)
    number = getattr(message, "sequence", 0)
    head = f"id: {number}\n" if number else ""
    if name:
        head += f"event: {name}\n"
    data = await encode(member) if isinstance(member, Message) else compact(member)
    return head.encode() + b"data: " + data + b"\n\n"


def event_of(message: Message | None) -> tuple[str, Any]:
    """Name and value of the event in a message; the message itself where it has no oneof `event`."""
    if message is None:
        return "", None
    if "event" not in message.DESCRIPTOR.oneofs_by_name:
        return "", message
    name = message.WhichOneof("event") or ""
    return name, getattr(message, name) if name else message


def error_frame(error: ApiError, call: Call) -> bytes:
    """The event of an error in the middle of a stream. A watch that can be taken up again is left for the client to do so."""
    resumable = "sequence" in call.method.descriptor.output_type.fields_by_name
    again = resumable and error.code in ("SERVER_UNAVAILABLE", "DRAINING")
    last = f"retry: {RECONNECT_MS}\n\n".encode() if again else b"event: end\ndata: {}\n\n"
    return b"event: error\ndata: " + compact(error.body) + b"\n\n" + last


async def as_lines(call: Call, exchange: Exchange, limit: int) -> None:
    """A JSON object a line for every event, and one for an error in the middle."""
    images = Images(limit)
    terminal = call.method.terminal
    try:
        async for message in call.messages():
            if not exchange.started:
                await exchange.start(200, "application/x-ndjson", {"cache-control": "no-store"})
                if exchange.scope["method"] == "HEAD":
                    break
            name, member = event_of(message)
            if name == "chunk":
                images.add(message.chunk)  # type: ignore[attr-defined]
                continue
            if terminal is not None and name == terminal.name:
                images.fill(member)
            await exchange.write(await encode(message) + b"\n")
        if not exchange.started:
            await exchange.start(200, "application/x-ndjson", {"cache-control": "no-store"})
        await exchange.end()
    except ApiError as error:
        if not exchange.started:
            raise
        await exchange.end(compact({"error": error.body}) + b"\n")


async def paced(items: AsyncIterator[T], seconds: float) -> AsyncIterator[T | None]:
    """`items`, with None whenever nothing came for `seconds`."""
    pending: asyncio.Future[T] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(items))
            done, _ = await asyncio.wait({pending}, timeout=seconds)
            if not done:
                yield None
                continue
            ready, pending = pending, None
            try:
                item = ready.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await pending
