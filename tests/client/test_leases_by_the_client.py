"""A lease by the client: asked for, kept, taken up again, asked back, lost, given back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2
from imajin_client import AsyncClient, Client, errors

from .answers import granted, third_in_line
from .doubles import Doubles, eventually, hold_open

GIB = 1024**3
WAIT = 10


class Told:
    """What a vram server was told over all streams, and how it answers."""

    def __init__(self, doubles: Doubles) -> None:
        self.streams: list[list[str]] = []
        self.messages: list[Any] = []
        doubles.answers["HoldLease"] = self.hold
        self.interval, self.ttl = 0.02, 30.0
        self.after_grant: list[Any] = []
        self.break_after = 0
        """Messages of the first stream after which it breaks; 0 for never."""

    def hold(self, requests: Any, context: Any) -> Iterator[Any]:
        pb = vram_lease_pb2
        kinds: list[str] = []
        self.streams.append(kinds)
        for request in requests:
            kind = request.WhichOneof("message")
            kinds.append(kind)
            self.messages.append(request)
            match kind:
                case "acquire":
                    yield pb.HoldLeaseResponse(waiting=pb.WaitingInQueue(position=2))
                    yield granted(request.acquire.bytes, interval=self.interval, ttl=self.ttl)
                    yield from self.after_grant
                case "resume":
                    yield granted(GIB, interval=self.interval, ttl=self.ttl)
                case "heartbeat":
                    yield pb.HoldLeaseResponse(heartbeat_ack=pb.HeartbeatAck())
                case "resize":
                    yield pb.HoldLeaseResponse(resized=pb.Resized(bytes=request.resize.bytes))
                case "release":
                    yield pb.HoldLeaseResponse(released=pb.Released(reason=pb.RELEASE_REASON_CLIENT))
                    return
            if len(self.streams) == 1 and self.break_after and len(kinds) >= self.break_after:
                return

    def heard(self, kind: str, times: int = 1) -> bool:
        return sum(stream.count(kind) for stream in self.streams) >= times


@pytest.fixture
def told(doubles: Doubles) -> Told:
    return Told(doubles)


async def until(condition: Any) -> None:
    assert await asyncio.to_thread(eventually, condition)


async def test_a_lease_is_asked_for_kept_and_given_back(told: Told, client: AsyncClient) -> None:
    async with client.vram.lease(
        gib=2, holder="train", priority=70, preemptible=True, max_wait=5, ttl=60, device_id="simulated-0", group="mine"
    ) as lease:
        assert (lease.lease_id, lease.fencing_token, lease.bytes) == ("lease-9", 42, 2 * GIB)
        assert lease.device_id == "simulated-0"
        lease.check()
        lease.report(bytes_used=GIB)
        lease.report(idle=True)
        await until(lambda: told.heard("heartbeat", 3))
        await lease.resize(gib=1)
        assert lease.bytes == GIB
    ask = told.messages[0].acquire
    assert (ask.bytes, ask.holder, ask.priority, ask.preemptible) == (2 * GIB, "train", 70, True)
    assert (ask.max_wait.seconds, ask.ttl.seconds, ask.device_id, ask.group) == (5, 60, "simulated-0", "mine")
    assert any(item.heartbeat.bytes_used == GIB and item.heartbeat.idle for item in told.messages)
    assert told.streams[0][-1] == "release"
    with pytest.raises(errors.LeaseLost):
        lease.check()


async def test_what_a_holder_uses_is_told_at_once_and_unknown_until_then(told: Told, client: AsyncClient) -> None:
    async with client.vram.lease(gib=2):
        await until(lambda: told.heard("heartbeat"))
    [*_, first] = [item.heartbeat for item in told.messages if item.HasField("heartbeat")]
    assert first.bytes_used == 0

    told.interval = 1000.0
    async with client.vram.lease(gib=2) as lease:
        for used in (GIB, 0):
            lease.report(bytes_used=used)
            await until(lambda used=used: told.messages[-1].heartbeat.bytes_used == max(used, 1))
        beats = len(told.messages)
        lease.report(bytes_used=0)
        lease.report(idle=True)
        await until(lambda: told.messages[-1].heartbeat.idle)
        assert len(told.messages) == beats + 1


async def test_an_end_that_races_with_the_first_write_is_asked_about_again(
    doubles: Doubles, client: AsyncClient
) -> None:
    asked = []

    def answer(requests: Any, context: Any) -> Iterator[Any]:
        asked.append(next(requests).WhichOneof("message"))
        if len(asked) == 1:  # as grpc.aio names such an end
            context.abort(grpc.StatusCode.INTERNAL, "Internal error from Core")
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        yield

    doubles.answers["HoldLease"] = answer
    with pytest.raises(errors.Unavailable):
        async with client.vram.lease(gib=1):
            pass
    assert asked == ["acquire", "acquire"]


async def test_a_refused_lease_raises_and_runs_no_block(doubles: Doubles, client: AsyncClient) -> None:
    doubles.fail("HoldLease", "RESOURCE_EXHAUSTED", "GPU_OOM", metadata={"requested": "80GB", "available": "8GB"})
    ran = False
    with pytest.raises(errors.GpuOutOfMemory) as caught:
        async with client.vram.lease(gib=80):
            ran = True
    assert caught.value.details["available"] == "8GB"
    assert not ran


async def test_no_server_is_unavailable_at_once() -> None:
    async with AsyncClient({"vram": "127.0.0.1:1"}) as client:
        with pytest.raises(errors.Unavailable):
            async with client.vram.lease(gib=1):
                raise AssertionError("the block ran")


async def test_a_lease_that_was_never_asked_for_can_be_given_back(doubles: Doubles, client: AsyncClient) -> None:
    lease = client.vram.lease(gib=1)
    await lease.release()
    with pytest.raises(errors.LeaseLost):
        lease.check()
    async with lease:
        lease.check()


async def test_a_wait_that_is_given_up_leaves_the_line(doubles: Doubles, client: AsyncClient) -> None:
    told: list[str] = []
    doubles.answers["HoldLease"] = third_in_line(told)
    lease = client.vram.lease(gib=1)
    task = asyncio.create_task(lease.acquire())
    await until(lambda: lease.position == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["acquire", "release"]


async def test_a_broken_stream_is_taken_up_by_its_token(told: Told, client: AsyncClient) -> None:
    told.break_after = 3
    async with client.vram.lease(gib=1) as lease:
        await until(lambda: told.heard("resume"))
        await until(lambda: len(told.streams) == 2 and told.streams[1].count("heartbeat") >= 2)
        lease.check()
    resume = next(item.resume for item in told.messages if item.HasField("resume"))
    assert (resume.lease_id, resume.fencing_token) == ("lease-9", 42)
    assert told.streams[1][-1] == "release"


async def test_a_revocation_reaches_the_block_which_may_end_in_order(told: Told, client: AsyncClient) -> None:
    pb = vram_lease_pb2
    revoke = pb.Revoke(reason=pb.REVOKE_REASON_PREEMPTED)
    # The server's clock is an hour behind: what counts is the time left.
    revoke.deadline.GetCurrentTime()
    revoke.deadline.seconds -= 3600
    revoke.grace.FromSeconds(20)
    told.after_grant = [pb.HoldLeaseResponse(revoke=revoke)]
    async with client.vram.lease(gib=1, preemptible=True) as lease:
        await asyncio.wait_for(lease.revoked.wait(), WAIT)
        assert lease.revoke is not None
        assert lease.revoke.reason == "preempted"
        assert 15 < lease.revoke.seconds <= 20
        lease.check()
    assert told.streams[0][-1] == "release"


@pytest.mark.parametrize("way", ["told by the server", "no answer before the ttl", "revoked and kept"])
async def test_a_lost_lease_stops_the_block(way: str, told: Told, doubles: Doubles, client: AsyncClient) -> None:
    pb = vram_lease_pb2
    match way:
        case "told by the server":
            told.after_grant = [pb.HoldLeaseResponse(released=pb.Released(reason=pb.RELEASE_REASON_EXPIRED))]
        case "no answer before the ttl":
            doubles.answers["HoldLease"] = lambda requests, context: mute(requests, context)
        case "revoked and kept":
            revoke = pb.Revoke(reason=pb.REVOKE_REASON_DRAINING)
            revoke.deadline.GetCurrentTime()
            revoke.deadline.seconds += 3600
            told.after_grant = [pb.HoldLeaseResponse(revoke=revoke)]
    with pytest.raises(errors.LeaseLost) as caught:
        async with client.vram.lease(gib=1):
            await asyncio.sleep(60)
            raise AssertionError("the block went on")
    assert caught.value.details["lease_id"] == "lease-9"
    # The task is as good as before: nothing of the cancellation is left.
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


def mute(requests: Any, context: Any) -> Iterator[Any]:
    """Grants for a fifth of a second and never answers again."""
    next(requests)
    yield granted(GIB, interval=0.02, ttl=0.2)
    hold_open(context, 5)


async def test_a_cancel_from_outside_stays_a_cancel(told: Told, client: AsyncClient) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with client.vram.lease(gib=1):
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.wait_for(entered.wait(), WAIT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.streams[0][-1] == "release"


async def test_an_amount_is_needed(client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="how much"):
        client.vram.lease(holder="x")


def test_the_blocking_lease_does_the_same(told: Told, doubles: Doubles) -> None:
    with Client(doubles.addresses) as client:
        with client.vram.lease(gib=1, holder="sync") as lease:
            assert (lease.fencing_token, lease.revoked, lease.lost) == (42, False, None)
            assert eventually(lambda: told.heard("heartbeat", 2))
            lease.resize(bytes=5)
            assert lease.bytes == 5
        assert told.streams[0][-1] == "release"
        pb = vram_lease_pb2
        told.after_grant = [pb.HoldLeaseResponse(released=pb.Released(reason=pb.RELEASE_REASON_EXPIRED))]
        with pytest.raises(errors.LeaseLost), client.vram.lease(gib=1) as lease:
            assert eventually(lambda: lease.lost is not None)
            lease.check()
