"""Calls to the other servers: ids handed on, errors named after the server, and no call left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from imajin_servers.runtime import status
from imajin_servers.runtime.calls import REQUEST_ID
from imajin_servers.runtime.errors import Cancelled, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
AnswerT = TypeVar("AnswerT", bound=Message)


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


async def stream(server: str, call: grpc.aio.Call) -> AsyncGenerator[Any, None]:
    """The answers of a streaming call, which is cancelled when this generator is closed (design trap 4)."""
    answers: Any = call
    try:
        with answers_of(server):
            async for answer in answers:
                yield answer
    finally:
        call.cancel()


async def single(server: str, call: Awaitable[T]) -> T:
    """The one answer of a call."""
    with answers_of(server):
        return await call


async def wait_for_server(server: str, channel: grpc.aio.Channel, seconds: float) -> None:
    """Returns when the server can be reached. Raises ServerUnavailable after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await channel.channel_ready()
    except TimeoutError as error:
        raise ServerUnavailable(f"the {server} server can't be reached", metadata={"server": server}) from error
