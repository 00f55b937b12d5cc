"""Where a call ends while its client writes, grpc.aio hides the server's status: holders of leases ask again instead of believing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin_servers.runtime import errors, status
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient

Answer = Callable[["Double", Any, Any], AsyncIterator[pb.HoldLeaseResponse]]
GRANTED = pb.Granted(lease_id="one", fencing_token=7, device_id="card", bytes=100)
GRANTED.ttl.FromSeconds(3600)
GRANTED.heartbeat_interval.FromSeconds(1200)


async def hide(context: Any) -> None:
    """Ends a call as grpc.aio reports an end that raced with a write."""
    await context.abort(grpc.StatusCode.INTERNAL, "Internal error from Core")


class Double:
    """A vram server that answers each call of HoldLease by the next function it was given."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []

    async def hear(self, requests: Any) -> pb.HoldLeaseRequest:
        request: pb.HoldLeaseRequest = await anext(requests)
        self.heard.append(str(request.WhichOneof("message")))
        return request

    async def HoldLease(self, requests: Any, context: Any) -> AsyncIterator[pb.HoldLeaseResponse]:
        async for message in self.answers.pop(0)(self, aiter(requests), context):
            yield message


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    running: list[Any] = []

    async def started(double: Double) -> LeaseClient:
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            double.HoldLease, pb.HoldLeaseRequest.FromString, pb.HoldLeaseResponse.SerializeToString
        )
        handlers = {"HoldLease": handler}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("imajin.vram.v1.VramLeaseService", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = connect(f"127.0.0.1:{port}")
        running.append((channel, server))
        return LeaseClient(channel)

    yield started
    for channel, server in running:
        await channel.close()
        await server.stop(0)


async def hidden(double: Double, requests: Any, context: Any) -> AsyncIterator[pb.HoldLeaseResponse]:
    await double.hear(requests)
    await hide(context)
    yield pb.HoldLeaseResponse()


async def refused(double: Double, requests: Any, context: Any) -> AsyncIterator[pb.HoldLeaseResponse]:
    await double.hear(requests)
    await status.abort(context, errors.QueueFull("64 claims wait already", retry_after=5))
    yield pb.HoldLeaseResponse()


async def granted(double: Double, requests: Any, context: Any) -> AsyncIterator[pb.HoldLeaseResponse]:
    await double.hear(requests)
    yield pb.HoldLeaseResponse(granted=GRANTED)
    async for request in requests:
        double.heard.append(str(request.WhichOneof("message")))
        if request.HasField("resize"):
            yield pb.HoldLeaseResponse(resized=pb.Resized(bytes=request.resize.bytes))
        if request.HasField("release"):
            yield pb.HoldLeaseResponse(released=pb.Released(reason=pb.RELEASE_REASON_CLIENT))
            return


async def test_the_servers_reason_comes_with_a_second_try(serve: Any) -> None:
    double = Double(hidden, refused)
    client = await serve(double)
    with pytest.raises(errors.QueueFull) as caught:
        await client.acquire(100, holder="asks")
    assert caught.value.retry_after == 5
    assert double.heard == ["acquire", "acquire"]


async def test_a_lease_that_can_be_had_is_had(serve: Any) -> None:
    client = await serve(Double(hidden, granted))
    async with await client.acquire(100, holder="asks") as lease:
        assert lease.fencing_token == 7


async def test_it_is_asked_twice_and_no_more(serve: Any) -> None:
    double = Double(hidden, hidden, granted)
    client = await serve(double)
    with pytest.raises(errors.Internal):
        await client.acquire(100, holder="asks")
    assert double.heard == ["acquire", "acquire"]


async def test_a_resize_survives_it(serve: Any) -> None:
    async def hides_at_the_resize(double: Double, requests: Any, context: Any) -> AsyncIterator[pb.HoldLeaseResponse]:
        await double.hear(requests)
        yield pb.HoldLeaseResponse(granted=GRANTED)
        await double.hear(requests)
        await hide(context)

    double = Double(hides_at_the_resize, granted)
    client = await serve(double)
    async with await client.acquire(100, holder="grows") as lease:
        async with asyncio.timeout(30):
            await lease.resize(150)
        assert lease.bytes == 150
        assert lease.held
    assert double.heard == ["acquire", "resize", "resume", "heartbeat", "resize", "release"]
