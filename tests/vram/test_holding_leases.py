"""HeldLease and the vram server, over real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin_servers.runtime import errors
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient

MIB = 1024**2


async def test_a_lease_is_held_until_it_is_released(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="diffusion/embedded", priority=70) as lease:
        [held] = await vram.leases()
        assert (held.lease_id, held.fencing_token) == (lease.lease_id, lease.fencing_token)
        assert (held.holder, held.bytes, held.priority) == ("diffusion/embedded", 60 * MIB, 70)
        assert held.state == pb.LEASE_STATE_HELD
        assert lease.device_id == "simulated-0"
        lease.check()
        devices = (await vram.stub.ListDevices(pb.ListDevicesRequest())).devices
        assert [(card.total_bytes, card.leased_bytes, card.available_bytes) for card in devices] == [
            (100 * MIB, 60 * MIB, 40 * MIB)
        ]
    assert await vram.leases() == []
    assert not lease.held
    with pytest.raises(errors.LeaseLost):
        lease.check()


async def test_the_next_in_line_gets_what_is_released(vram: Any) -> None:
    first = await vram.client.acquire(60 * MIB, holder="first")
    places: list[tuple[int, int, int]] = []
    second = asyncio.create_task(
        vram.client.acquire(60 * MIB, holder="second", on_waiting=lambda *place: places.append(place))
    )
    await vram.until(lambda leases: len(leases) == 2)
    await first.release()
    lease = await second
    assert places == [(1, 60 * MIB, 40 * MIB)]
    assert lease.fencing_token > first.fencing_token
    await lease.release()


async def test_what_is_said_to_be_idle_makes_room_for_its_equal(vram: Any) -> None:
    model = await vram.client.acquire(60 * MIB, holder="model", preemptible=True)
    asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="other"))
    await vram.until(lambda leases: len(leases) == 2)
    assert not model.revoked.is_set()
    model.report_idle(True)
    await model.revoked.wait()
    assert model.revoke_reason == "PREEMPTED"
    [held] = [lease for lease in await vram.leases() if lease.lease_id]
    assert held.idle
    await model.release()
    await (await asking).release()


async def test_what_is_needed_makes_room_for_its_equal_when_its_turn_is_over(vram: Any) -> None:
    model = await vram.client.acquire(60 * MIB, holder="model", preemptible=True, ttl=3600)
    model.report_idle(True)
    await vram.until(lambda leases: leases[0].idle)
    model.report_idle(False)
    await vram.until(lambda leases: not leases[0].idle)
    asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="other"))
    await vram.until(lambda leases: len(leases) == 2)
    vram.clock.advance(119)
    assert not model.revoked.is_set()
    vram.clock.advance(1)
    await model.revoked.wait()
    await model.release()
    await (await asking).release()


async def test_a_group_that_can_never_fit_is_out_of_memory_at_once(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="weights", preemptible=True, group="model") as weights:
        with pytest.raises(errors.GpuOutOfMemory):
            await vram.client.acquire(50 * MIB, holder="work", priority=100, group="model")
        assert not weights.revoked.is_set()
        [lease] = await vram.leases()
        assert lease.group == "model"


async def test_more_than_a_card_has_is_out_of_memory_at_once(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="resident"):
        with pytest.raises(errors.GpuOutOfMemory) as caught:
            await vram.client.acquire(101 * MIB, holder="greedy")
        assert caught.value.metadata["requested"] == "101MB"
        assert caught.value.metadata["available"] == "40MB"


async def test_waiting_too_long_is_out_of_memory(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="resident", ttl=3600):
        asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="impatient", max_wait=5))
        await vram.until(lambda leases: len(leases) == 2)
        vram.clock.advance(5)
        with pytest.raises(errors.GpuOutOfMemory):
            await asking


async def test_a_cancelled_request_leaves_the_line(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="resident"):
        asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="gone"))
        await vram.until(lambda leases: len(leases) == 2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [lease.holder for lease in await vram.leases()] == ["resident"]


async def test_a_request_cancelled_at_any_moment_leaves_nothing(vram: Any) -> None:
    for turns in range(30):
        asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="gone"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await asking).release()
        assert await vram.leases() == []


async def test_an_unknown_card_and_a_full_line(start: Any) -> None:
    async with start(max_waiting=1) as vram:
        with pytest.raises(errors.NotFound):
            await vram.client.acquire(MIB, holder="lost", device_id="simulated-9")
        async with await vram.client.acquire(100 * MIB, holder="resident"):
            waiting = asyncio.create_task(vram.client.acquire(MIB, holder="waits"))
            await vram.until(lambda leases: len(leases) == 2)
            with pytest.raises(errors.QueueFull) as caught:
                await vram.client.acquire(MIB, holder="too many")
            assert caught.value.retry_after == 5.0
        await (await waiting).release()


@pytest.mark.parametrize("wrong", [{"bytes": 0}, {"bytes": 1, "holder": ""}, {"bytes": 1, "holder": "a\nb"}])
async def test_a_wrong_request_names_its_field(vram: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await vram.client.acquire(wrong["bytes"], holder=wrong.get("holder", "someone"))


async def test_no_server_is_unavailable() -> None:
    channel = connect("127.0.0.1:1")
    with pytest.raises(errors.ServerUnavailable):
        await LeaseClient(channel).acquire(MIB, holder="alone")
    await channel.close()


async def test_that_memory_is_in_use_is_said_at_once(vram: Any) -> None:
    # A heartbeat is due in twenty minutes: until the first, nothing of a lease counts as what the driver shows already.
    lease = await vram.client.acquire(60 * MIB, holder="model", ttl=3600)
    for used in (50 * MIB, 0):
        lease.report_used(used)
        await vram.until(lambda leases, used=used: leases[0].bytes_used == used)
    await lease.release()


async def test_progress_is_said_by_the_next_heartbeat_and_its_end_at_once(vram: Any) -> None:
    lease = await vram.client.acquire(60 * MIB, holder="model", ttl=3600)
    lease.report_used(50 * MIB, at_once=False)
    lease.report_used(60 * MIB, at_once=False)
    lease.report_used(60 * MIB)
    await vram.until(lambda leases: leases[0].bytes_used == 60 * MIB)
    await lease.release()


async def test_heartbeats_keep_a_lease_and_silence_ends_it(vram: Any) -> None:
    lease = await vram.client.acquire(60 * MIB, holder="lively", ttl=3)
    for used in (7 * MIB, 8 * MIB):
        lease.report_used(used)
        # Heartbeats go by the real clock; the server's goes on by less than the TTL between two of them.
        await vram.until(lambda leases, used=used: leases[0].bytes_used == used)
        vram.clock.advance(2)
    assert lease.held
    vram.clock.advance(3)
    await lease.lost.wait()
    assert await vram.leases() == []
    with pytest.raises(errors.LeaseLost):
        lease.check()
    await lease.release()


async def test_a_resize_down_is_at_once_and_up_waits(vram: Any) -> None:
    async with (
        await vram.client.acquire(60 * MIB, holder="grows") as lease,
        await vram.client.acquire(40 * MIB, holder="other") as other,
    ):
        growing = asyncio.create_task(lease.resize(80 * MIB))
        await asyncio.sleep(0)
        await other.resize(20 * MIB)
        await growing
        assert [(held.holder, held.bytes) for held in await vram.leases()] == [("grows", 80 * MIB), ("other", 20 * MIB)]
        with pytest.raises(errors.GpuOutOfMemory):
            await lease.resize(101 * MIB)
        lease.check()
        await lease.resize(10 * MIB)
        assert (await vram.leases())[0].fencing_token == lease.fencing_token


async def test_a_cancelled_resize_leaves_the_old_amount(vram: Any) -> None:
    async with await vram.client.acquire(60 * MIB, holder="grows") as lease:
        other = await vram.client.acquire(40 * MIB, holder="other")
        in_line = asyncio.Event()
        growing = asyncio.create_task(lease.resize(80 * MIB, on_waiting=lambda *_: in_line.set()))
        await in_line.wait()
        growing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await growing
        await other.release()
        assert lease.bytes == 60 * MIB
        await lease.resize(61 * MIB)
        assert [held.bytes for held in await vram.leases()] == [61 * MIB]


async def test_a_lease_of_lower_priority_is_revoked(vram: Any) -> None:
    low = await vram.client.acquire(60 * MIB, holder="low", priority=10, preemptible=True)
    asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="high", priority=90))
    await low.revoked.wait()
    assert low.revoke_reason == "PREEMPTED"
    assert 25 < low.seconds_to_revoke() <= 30
    low.check()
    await low.release()
    await (await asking).release()


async def test_a_revoked_lease_that_is_not_given_back_is_lost(vram: Any) -> None:
    low = await vram.client.acquire(60 * MIB, holder="low", priority=10, preemptible=True, ttl=3600)
    asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="high", priority=90))
    await low.revoked.wait()
    vram.clock.advance(30)
    await low.lost.wait()
    lease = await asking
    assert lease.fencing_token > low.fencing_token
    await lease.release()


async def test_draining_asks_everything_back_and_refuses_the_rest(vram: Any) -> None:
    lease = await vram.client.acquire(60 * MIB, holder="resident")
    waiting = asyncio.create_task(vram.client.acquire(60 * MIB, holder="waits"))
    await vram.until(lambda leases: len(leases) == 2)
    watch = vram.stub.WatchLeases(pb.WatchLeasesRequest())
    await watch.read()
    vram.lifetime.draining.set()
    await lease.revoked.wait()
    assert lease.revoke_reason == "DRAINING"
    with pytest.raises(errors.Draining):
        await waiting
    with pytest.raises(errors.Draining):
        await vram.client.acquire(MIB, holder="late")
    while await watch.read() is not grpc.aio.EOF:
        pass
    await lease.release()


async def test_a_watch_starts_with_what_is_and_puts_changes_together(start: Any) -> None:
    async with start(watch_seconds=0.1) as vram:
        call = vram.stub.WatchLeases(pb.WatchLeasesRequest())
        first = await call.read()
        assert list(first.leases) == []
        assert first.devices[0].available_bytes == 100 * MIB
        one = await vram.client.acquire(60 * MIB, holder="one")
        two = await vram.client.acquire(10 * MIB, holder="two")
        vram.clock.advance(0.1)
        second = await call.read()
        assert [held.holder for held in second.leases] == ["one", "two"]
        assert second.devices[0].available_bytes == 30 * MIB
        call.cancel()
        await one.release()
        await two.release()
