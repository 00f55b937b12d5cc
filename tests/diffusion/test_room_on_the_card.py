"""Leases: held while the card is used, waited for, asked back, and gone when a call is."""

from __future__ import annotations

import weakref
from typing import Any

import grpc
import pytest
import torch

from imajin.common.v1 import image_pb2
from imajin.vram.v1.vram_lease_pb2 import LEASE_STATE_HELD
from imajin_servers.diffusion.models import loading, moving
from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.usage import Usage
from imajin_servers.runtime.status import from_call

MIB = 1024**2
RAW = image_pb2.IMAGE_FORMAT_RAW_RGB8
MODEL = "diffusion/embedded"
WORK = "diffusion/embedded work"
LONG: dict[str, Any] = {"steps": 150, "width": 64, "height": 64}
SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}


def holders(leases: list[Any]) -> list[str]:
    return sorted(lease.holder for lease in leases)


async def test_work_is_leased_while_it_lasts_and_the_model_while_it_is_loaded(start: Any, card: Any) -> None:
    async with card(1024 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        call = await server.begun()
        leases = await vram.until(lambda leases: len(leases) == 2)
        assert holders(leases) == [MODEL, WORK]
        assert {lease.holder: lease.preemptible for lease in leases} == {MODEL: True, WORK: False}
        call.cancel()
        assert holders(await vram.until(lambda leases: len(leases) < 2)) == [MODEL]
        await server.generate(steps=1, width=64, height=64)
        assert holders(await vram.until(lambda leases: len(leases) < 2)) == [MODEL]
    # The card is gone with its server; the diffusion server's end released the model before.


async def test_more_than_the_card_has_is_out_of_memory_with_both_figures(start: Any, card: Any) -> None:
    async with card(512 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(width=4096, height=4096)
        error = from_call(refused.value)
        assert (error.reason, error.message) == ("GPU_OOM", "GPU out of memory")
        assert int(error.metadata["requested_bytes"]) > int(error.metadata["available_bytes"]) >= 0
        assert holders(await vram.until(lambda leases: True)) == [MODEL]
        assert (await server.generate(steps=1, width=64, height=64)).result.steps == 1


async def test_a_model_larger_than_the_card_is_out_of_memory(start: Any, card: Any) -> None:
    async with card(16 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate()
        assert from_call(refused.value).reason == "GPU_OOM"
        assert not await vram.until(lambda leases: True)


async def test_waiting_for_room_is_told_and_ends(start: Any, card: Any) -> None:
    async with card(1024 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        foreign = await vram.client.acquire(1000 * MIB, holder="training")
        call = server.stub.Generate(server.request(steps=1))
        phases = []
        async for event in call:
            phase = event.progress.WhichOneof("phase")
            if phase == "waiting_for_vram" and "waiting_for_vram" not in phases:
                waiting = event.progress.waiting_for_vram
                assert waiting.position == 1
                assert waiting.requested_bytes > waiting.available_bytes
                await foreign.release()
            phases.append(phase)
        assert "waiting_for_vram" in phases
        assert "denoising" in phases


async def test_whoever_stops_waiting_leaves_the_line(start: Any, card: Any) -> None:
    async with card(1024 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        foreign = await vram.client.acquire(1000 * MIB, holder="training")
        call = server.stub.Generate(server.request(prompt="a cat"))
        async for event in call:
            if event.progress.HasField("waiting_for_vram"):
                break
        call.cancel()
        assert holders(await vram.until(lambda leases: len(leases) == 1)) == ["training"]
        await foreign.release()


async def test_asked_back_in_the_middle_it_pauses_and_goes_on_with_the_same_bits(start: Any, card: Any) -> None:
    fields: dict[str, Any] = {"prompt": "a red apple", "steps": 30, "seed": 5, "width": 64, "height": 64, "format": RAW}
    async with card(400 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        undisturbed = await server.generate(**fields)
        call = server.stub.Generate(server.request(**fields))
        data, phases, foreign = b"", [], None
        async for event in call:
            if event.HasField("progress"):
                phases.append(event.progress.WhichOneof("phase"))
            if event.progress.HasField("denoising") and event.progress.denoising.step >= 2 and foreign is None:
                foreign = await vram.client.acquire(300 * MIB, holder="urgent", priority=100)
                held = holders([lease for lease in await vram.until(lambda leases: True) if lease.lease_id])
                assert held == ["urgent"]
                await foreign.release()
            data += event.chunk.data if event.HasField("chunk") else b""
        assert foreign is not None
        assert data == undisturbed.data


@pytest.mark.parametrize("priority", [100, 50, 0])
async def test_an_idle_model_makes_room(start: Any, card: Any, priority: int) -> None:
    async with card(400 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        before = await server.generate(steps=2, format=RAW)
        async with await vram.client.acquire(390 * MIB, holder="another", priority=priority):
            assert holders(await vram.until(lambda leases: True)) == ["another"]
            assert not await server.loaded()
        after = await server.generate(steps=2, format=RAW)
        assert after.data == before.data
        assert await server.loaded()


async def test_an_urgent_drawing_does_not_send_its_own_weights_away(start: Any, card: Any) -> None:
    async with card(400 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        await server.generate(**SMALL)
        [weights] = await vram.until(lambda leases: len(leases) == 1)
        foreign = await vram.client.acquire(400 * MIB - weights.bytes, holder="training")
        call = server.stub.Generate(server.request(priority=100, **SMALL))
        async for event in call:
            if event.progress.HasField("waiting_for_vram"):
                held = [lease for lease in await vram.until(lambda leases: len(leases) == 3) if lease.lease_id]
                assert {lease.holder: lease.state for lease in held}[MODEL] == LEASE_STATE_HELD
                await foreign.release()
                break
        assert [event.result.steps async for event in call if event.HasField("result")] == [1]


async def test_what_waits_for_room_waits_for_the_weights_too_after_a_pause(start: Any, card: Any) -> None:
    async with card(1024 * MIB, ageing_seconds=1) as vram, start(vram=vram.address, lease="required") as server:
        first = await server.begun(**LONG)
        weights, work = await vram.until(lambda leases: len(leases) == 2)
        foreign = await vram.client.acquire(1024 * MIB - weights.bytes - work.bytes, holder="training")
        second = server.stub.Generate(server.request(**LONG))
        waiting = await vram.until(lambda leases: any(not lease.lease_id for lease in leases))
        assert [lease.holder for lease in waiting if not lease.lease_id] == [WORK]
        async with await vram.client.acquire(weights.bytes, holder="urgent", priority=100):
            # Nothing but the weights waits now; they would wait for the second drawing, and it for them.
            leases = await vram.until(
                lambda leases: any(lease.holder == MODEL and not lease.lease_id for lease in leases)
            )
            assert [lease.holder for lease in leases if not lease.lease_id] == [MODEL]
            await foreign.release()
        first.cancel()
        async for event in second:
            if event.progress.HasField("denoising"):
                break
        second.cancel()


async def test_the_weights_are_gone_before_their_room_is_given_back(
    start: Any, card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoisers: list[weakref.ref[Any]] = []
    left: list[bool] = []
    read, sweep = loading.load, moving.swept

    def load(*args: Any) -> Any:
        pipe = read(*args)
        denoisers.append(weakref.ref(pipe.unet))
        return pipe

    def swept(device: torch.device) -> None:
        sweep(device)
        left.append(denoisers[-1]() is not None)

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(moving, "swept", swept)
    async with card(400 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        await server.generate(steps=1, preview_interval=1, width=64, height=64)
        async with await vram.client.acquire(390 * MIB, holder="urgent", priority=100):
            assert left == [False]


async def test_a_card_that_the_vram_server_does_not_know_is_any_of_its_cards(card: Any) -> None:
    async with card(64 * MIB) as vram:
        own = Card(vram.client, Usage(), required=True, device_id="GPU-of-another-host")
        lease = await own.acquire(MIB, "tests", 50, lambda *_: None, group="")
        assert lease is not None
        assert lease.device_id == "simulated-0"
        await lease.release()


async def test_without_a_vram_server_it_works_unless_leases_are_required(start: Any) -> None:
    async with start(lease="auto") as server:
        assert (await server.generate(steps=1, width=64, height=64)).result.steps == 1
    async with start(lease="required") as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate()
        assert from_call(refused.value).reason == "SERVER_UNAVAILABLE"
