"""One channel a server, and what happens around every call: its error, and its cancellation when it is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import grpc

from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin.job.v1 import job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2_grpc
from imajin.processing.v1 import processing_pb2_grpc
from imajin.prompt.v1 import prompt_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_client import status
from imajin_client.addresses import addresses

T = TypeVar("T")
# grpc's classes are generic for type checkers only.
if TYPE_CHECKING:
    OneAnswer = grpc.aio.UnaryUnaryCall[Any, T] | grpc.aio.StreamUnaryCall[Any, T]
    ManyAnswers = grpc.aio.UnaryStreamCall[Any, T] | grpc.aio.StreamStreamCall[Any, T]

OPTIONS = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this a keepalive ping waits a minute for its answer, whatever keepalive_timeout says.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0)
"""Pauses before a broken watch is taken up again; an event that arrives starts them anew."""

END_SECONDS = 1.0
"""How long the end of a call may take after its last message."""


class Wire:
    """The channels to the servers of a suite, opened when they are first used."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self.addresses = addresses(given)
        self.channels: dict[str, grpc.aio.Channel] = {}
        self.closed = False

    def channel(self, server: str) -> grpc.aio.Channel:
        """The channel to `server`. It connects lazily, and again after a break within 2 seconds."""
        if self.closed:
            raise RuntimeError("the client is closed")
        if server not in self.channels:
            self.channels[server] = grpc.aio.insecure_channel(self.addresses[server], options=OPTIONS)
        return self.channels[server]

    @property
    def prompt(self) -> prompt_pb2_grpc.PromptServiceAsyncStub:
        """Stub of PromptService."""
        return prompt_pb2_grpc.PromptServiceStub(self.channel("prompt"))

    @property
    def diffusion(self) -> diffusion_pb2_grpc.DiffusionServiceAsyncStub:
        """Stub of DiffusionService."""
        return diffusion_pb2_grpc.DiffusionServiceStub(self.channel("diffusion"))

    @property
    def processing(self) -> processing_pb2_grpc.ProcessingServiceAsyncStub:
        """Stub of ProcessingService."""
        return processing_pb2_grpc.ProcessingServiceStub(self.channel("processing"))

    @property
    def vram(self) -> vram_lease_pb2_grpc.VramLeaseServiceAsyncStub:
        """Stub of VramLeaseService."""
        return vram_lease_pb2_grpc.VramLeaseServiceStub(self.channel("vram"))

    @property
    def orchestrator(self) -> orchestrator_pb2_grpc.OrchestratorServiceAsyncStub:
        """Stub of OrchestratorService."""
        return orchestrator_pb2_grpc.OrchestratorServiceStub(self.channel("orchestrator"))

    @property
    def jobs(self) -> job_pb2_grpc.JobServiceAsyncStub:
        """Stub of JobService, which the orchestrator serves."""
        return job_pb2_grpc.JobServiceStub(self.channel("orchestrator"))

    async def one(self, server: str, call: OneAnswer[T]) -> T:
        """The answer of `call`. Raises a member of the error tree."""
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise status.from_call(error, server, self.addresses[server]) from None
        finally:
            cancel(call)

    @asynccontextmanager
    async def many(self, server: str, call: ManyAnswers[T]) -> AsyncIterator[AsyncIterator[T]]:
        """The answers of `call`, which is over when the block is left: read to its end, or cancelled where the block is left by an
        exception. Raises a member of the error tree.
        """
        answers = call.__aiter__()
        try:
            yield answers
            # The block has all that it wants, and the end follows at once. The server counts a cancellation as a caller who gave up.
            with suppress(TimeoutError, grpc.aio.AioRpcError):
                async with asyncio.timeout(END_SECONDS):
                    async for _ in answers:
                        pass
        except grpc.aio.AioRpcError as error:
            raise status.from_call(error, server, self.addresses[server]) from None
        finally:
            # An abandoned call of grpc.aio goes on for ever since 1.83: nobody else cancels it.
            cancel(call)

    async def close(self) -> None:
        """Closes every channel; calls under way are cancelled."""
        self.closed = True
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            await channel.close()


class Calls:
    """Base of every face of the client: calls that go over the channels of one suite."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire


def cancel(call: OneAnswer[T] | ManyAnswers[T]) -> None:
    """Cancels `call`; nothing happens to one that is over. The stubs don't know that calls are RpcContexts."""
    context: grpc.aio.RpcContext = call
    context.cancel()


class Stream(Generic[T]):
    """Events as they come. Leaving the loop, closing the stream or cancelling its task cancels the call and its work.

    A stream that is kept in a variable after `break` should be closed, best by `async with`.
    """

    def __init__(self, events: AsyncGenerator[T, None]) -> None:
        self.events = events

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T:
        """The next event."""
        return await self.events.__anext__()

    async def aclose(self) -> None:
        """Cancels the call."""
        await self.events.aclose()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancels the call."""
        await self.aclose()
