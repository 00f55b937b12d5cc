"""Calls to the servers: one way to run every kind of rpc, cancelled when it is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message

from imajin_gateway.contract import Method
from imajin_gateway.errors import ApiError, from_call
from imajin_gateway.incoming import Incoming

OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this a keepalive ping waits a minute for its answer, whatever keepalive_timeout says.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Channels:
    """A channel to each server. They connect lazily, and again after a break."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.by_server = {
            name: grpc.aio.insecure_channel(address, options=OPTIONS) for name, address in addresses.items()
        }

    def __getitem__(self, server: str) -> grpc.aio.Channel:
        return self.by_server[server]

    async def close(self) -> None:
        """Ends every call and every connection."""
        await asyncio.gather(*(channel.close() for channel in self.by_server.values()))


class Call:
    """One call of one rpc; leaving its context cancels what still runs."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: Method,
        incoming: Incoming,
        metadata: Sequence[tuple[str, str]],
        timeout: float | None,
    ) -> None:
        self.channel = channel
        self.method = method
        self.incoming = incoming
        self.options: dict[str, Any] = {"metadata": metadata, "timeout": timeout}
        self.failure: BaseException | None = None

    async def __aenter__(self) -> Call:
        method = self.method
        kind = f"{'stream' if method.streams_in else 'unary'}_{'stream' if method.streams_out else 'unary'}"
        start = getattr(self.channel, kind)(
            method.path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        if self.incoming.rest is None:
            self.call = start(self.incoming.first, **self.options)
            self.upload: asyncio.Task[None] | None = None
        else:
            self.call = start(**self.options)
            self.upload = asyncio.create_task(self.send(self.incoming.rest))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call.cancel()
        if self.upload is not None:
            self.upload.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.upload

    async def send(self, rest: AsyncIterator[Message]) -> None:
        """Sends the first message and the rest. What the client did wrong meanwhile ends the call."""
        try:
            await self.call.write(self.incoming.first)
            async with contextlib.aclosing(rest):  # type: ignore[type-var]
                async for message in rest:
                    await self.call.write(message)
            await self.call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # The call is over, and whoever reads its answer learns why.
        except Exception as error:
            self.failure = error
            self.call.cancel()

    async def messages(self) -> AsyncIterator[Message]:
        """The answer, message by message. Raises ApiError, or what the upload failed with."""
        try:
            if self.method.streams_out:
                async for message in self.call:
                    yield message
            else:
                yield await self.call
        except grpc.aio.AioRpcError as error:
            raise self.failure or from_call(error, self.method.server) from None
        except asyncio.CancelledError:
            # A cancelled unary call raises this in its awaiter, as a cancelled task would.
            if self.failure is not None:
                raise self.failure from None
            raise

    async def only(self) -> Message:
        """The answer of an rpc that gives one."""
        async for message in self.messages():
            return message
        raise ApiError("INTERNAL", f"the {self.method.server} server gave no answer")
