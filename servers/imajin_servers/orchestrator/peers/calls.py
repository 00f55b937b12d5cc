"""Calls to the other servers: ids handed on, errors named after the server, and no call left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog

from imajin_servers.orchestrator.clock import Clock
from imajin_servers.runtime import status
from imajin_servers.runtime.calls import REQUEST_ID
from imajin_servers.runtime.errors import Cancelled, QueueFull, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
RETRY_SECONDS = 1.0


def ids() -> Sequence[tuple[str, str]]:
    """The request id of the call or job that this is done for, as metadata."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return ((REQUEST_ID, str(request_id)),) if request_id else ()


@contextmanager
def answers_of(server: str) -> Iterator[None]:
    """Turns the statuses that `server` answers with into errors of the tree."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        mapped = status.from_call(error, server)
        if type(mapped) is Cancelled:
            # Nobody here cancelled (that is a CancelledError): the server dropped its calls as it stopped.
            mapped = ServerUnavailable(f"the {server} server dropped the call", metadata={"server": server})
        raise mapped from error


async def stream(
    server: str, start: Callable[[], grpc.aio.Call], patience: Clock | None = None
) -> AsyncGenerator[Any, None]:
    """The answers of a streaming call, which is cancelled when this generator is closed (an abandoned one goes on). Read it to its
    end: the server counts a cancellation as a caller who gave up.

    With `patience` a call that finds the server's line full is started again when the server says so.
    """
    while True:
        call: Any = start()
        try:
            with answers_of(server):
                async for answer in call:
                    yield answer
            return
        except QueueFull as full:
            if patience is None:
                raise
            await patience.sleep(full.retry_after or RETRY_SECONDS)
        finally:
            call.cancel()


async def single(server: str, start: Callable[[], Awaitable[T]], patience: Clock | None = None) -> T:
    """The one answer of a call, as `stream` gives many."""
    while True:
        try:
            with answers_of(server):
                return await start()
        except QueueFull as full:
            if patience is None:
                raise
            await patience.sleep(full.retry_after or RETRY_SECONDS)


async def wait_for_server(server: str, channel: grpc.aio.Channel, seconds: float) -> None:
    """Returns when the server can be reached. Raises ServerUnavailable after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await channel.channel_ready()
    except TimeoutError as error:
        raise ServerUnavailable(f"the {server} server can't be reached", metadata={"server": server}) from error
