"""The body of an HTTP request, within a limit, and whether its sender is still there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from imajin_gateway.errors import ApiError

LINGER_SECONDS = 5.0
LINGER_PAUSE_SECONDS = 0.5
LINGER_BODIES = 4
"""How long, and how many times the largest body, a refused one is read on."""


class ClientGone(Exception):
    """The client closed its connection."""


class Budget:
    """Bytes that all bodies together may take while they are held in memory whole."""

    def __init__(self, limit: int) -> None:
        self.free = limit

    def take(self, size: int) -> None:
        """Reserves `size` bytes. Raises ApiError where there are not as many."""
        if size > self.free:
            raise ApiError("QUEUE_FULL", "too many large bodies are being read already", retry_after=1.0)
        self.free -= size

    def give_back(self, size: int) -> None:
        """Returns what was taken."""
        self.free += size


class Body:
    """One body. `limit` is in bytes, `code` what the error of a larger one is called, `patience` the longest pause in seconds."""

    def __init__(
        self, receive: Receive, headers: Headers, budget: Budget, limit: int, code: str, patience: float
    ) -> None:
        self.receive = receive
        self.budget = budget
        self.held = 0
        self.limit = limit
        self.code = code
        self.patience = patience
        self.declared = int(length) if (length := headers.get("content-length", "")).isdigit() else 0
        self.waits_for_go_ahead = "100-continue" in headers.get("expect", "").lower()
        self.size = 0
        self.read_to_end = asyncio.Event()

    async def next_message(self) -> Message:
        """The next message of the body, for parsers that speak ASGI; counts its bytes."""
        if max(self.declared, self.size) > self.limit:
            raise self.too_large()
        try:
            async with asyncio.timeout(self.patience):
                message = await self.receive()
        except TimeoutError:
            raise ApiError(
                "BODY_TIMEOUT",
                f"nothing came of the body for {self.patience:g} seconds",
                headers={"connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.size += len(message.get("body", b""))
        if self.size > self.limit:
            raise self.too_large()
        if not message.get("more_body", False):
            self.read_to_end.set()
        return message

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes as they come. Raises ApiError above the limit, ClientGone when the client left."""
        while not self.read_to_end.is_set():
            yield (await self.next_message()).get("body", b"")

    async def read(self) -> bytes:
        """All bytes; they count against the budget until `release`."""
        pieces: list[bytes] = []
        async for piece in self.stream():
            self.budget.take(len(piece))
            self.held += len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    async def drop_rest(self) -> None:
        """Reads on and keeps nothing, for a while: a connection that closes on unread bytes is reset, and its client hears no answer."""
        if self.waits_for_go_ahead:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.read_to_end.is_set() and self.size < LINGER_BODIES * self.limit:
                    async with asyncio.timeout(LINGER_PAUSE_SECONDS):
                        message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    self.size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        self.read_to_end.set()

    def release(self) -> None:
        """Says that the bytes are no longer held."""
        self.budget.give_back(self.held)
        self.held = 0

    async def gone(self) -> None:
        """Waits until the client is gone. What reads the body notices that itself, so this begins after its end."""
        await self.read_to_end.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def too_large(self) -> ApiError:
        """The error of a body above the limit. The rest of it is not read, so the connection must end."""
        actual = max(self.declared, self.size)
        details = {"what": "bytes", "limit": str(self.limit), "actual": str(actual)}
        return ApiError(
            self.code,
            f"the body has {actual} bytes or more, the limit is {self.limit}",
            details=details,
            headers={"connection": "close"},
        )
