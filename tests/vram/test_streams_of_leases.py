"""The stream that a lease is held by: broken and taken up again, malformed, or never read."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient

from .proxy import Proxy

MIB = 1024**2


async def test_a_broken_stream_is_resumed_with_the_same_token(start: Any) -> None:
    async with start() as vram:
        proxy = await Proxy.open(vram.address)
        channel = connect(proxy.address)
        lease = await LeaseClient(channel).acquire(60 * MIB, holder="steady", ttl=60)
        proxy.cut()
        await proxy.connected_again.wait()
        await lease.resize(50 * MIB)
        assert [(held.fencing_token, held.bytes) for held in await vram.leases()] == [(lease.fencing_token, 50 * MIB)]
        assert lease.held
        await lease.release()
        assert await vram.leases() == []
        await channel.close()
        await proxy.close()


async def test_what_became_idle_while_the_stream_was_broken_is_said_with_the_resume(start: Any) -> None:
    async with start() as vram:
        proxy = await Proxy.open(vram.address)
        channel = connect(proxy.address)
        lease = await LeaseClient(channel).acquire(60 * MIB, holder="steady", ttl=3600)
        proxy.cut()
        lease.report_idle(True)
        assert (await vram.until(lambda leases: leases[0].idle))[0].fencing_token == lease.fencing_token
        proxy.cut()
        lease.report_idle(False)
        await vram.until(lambda leases: not leases[0].idle)
        await lease.release()
        await channel.close()
        await proxy.close()


async def test_a_revoke_that_was_missed_comes_with_the_resume(vram: Any) -> None:
    call = vram.stub.HoldLease()
    await call.write(request(acquire=pb.Acquire(bytes=60 * MIB, holder="low", priority=1, preemptible=True)))
    granted = (await call.read()).granted
    call.cancel()
    high = asyncio.create_task(vram.client.acquire(60 * MIB, holder="high", priority=2))
    await vram.until(lambda leases: any(lease.state == pb.LEASE_STATE_REVOKING for lease in leases))
    again = vram.stub.HoldLease()
    await again.write(
        request(resume=pb.Resume(lease_id=granted.lease_id, fencing_token=granted.fencing_token)),
    )
    assert (await again.read()).granted == granted
    assert (await again.read()).revoke.reason == pb.REVOKE_REASON_PREEMPTED
    await again.write(request(release=pb.Release()))
    assert (await again.read()).released.reason == pb.RELEASE_REASON_CLIENT
    assert await again.read() is grpc.aio.EOF
    await (await high).release()


async def test_a_lease_outlives_its_stream_until_its_ttl(vram: Any) -> None:
    call = vram.stub.HoldLease()
    await call.write(request(acquire=pb.Acquire(bytes=60 * MIB, holder="silent")))
    assert (await call.read()).HasField("granted")
    call.cancel()
    waiting = asyncio.create_task(vram.client.acquire(60 * MIB, holder="next"))
    await vram.until(lambda leases: len(leases) == 2)
    assert [lease.holder for lease in await vram.leases()] == ["silent", "next"]
    vram.clock.advance(15)
    await (await waiting).release()


async def test_a_token_that_is_not_held_is_refused(vram: Any) -> None:
    async with await vram.client.acquire(MIB, holder="real") as lease:
        for lease_id, token in [(lease.lease_id, lease.fencing_token + 1), ("nobody", lease.fencing_token)]:
            call = vram.stub.HoldLease()
            await call.write(request(resume=pb.Resume(lease_id=lease_id, fencing_token=token)))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.ABORTED


async def test_a_stream_must_begin_with_acquire_or_resume(vram: Any) -> None:
    call = vram.stub.HoldLease()
    await call.write(request(heartbeat=pb.Heartbeat()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_holder_that_never_reads_is_held_up_and_not_the_server(vram: Any) -> None:
    call = vram.stub.HoldLease()
    await call.write(request(acquire=pb.Acquire(bytes=MIB, holder="deaf")))
    writing = asyncio.create_task(shout(call))
    await asyncio.wait({writing}, timeout=0.2)
    async with await vram.client.acquire(MIB, holder="polite") as lease:
        lease.check()
    writing.cancel()
    call.cancel()


async def shout(call: Any) -> None:
    while True:
        await call.write(request(heartbeat=pb.Heartbeat(bytes_used=1)))


def request(**message: Any) -> pb.HoldLeaseRequest:
    return pb.HoldLeaseRequest(**message)
