"""The diffusion server on an emulated card, the vram server beside it with that card's driver."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from imajin.common.v1 import image_pb2
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.diffusion.settings import EMBEDDED, ModerationSettings
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.runtime.status import from_call
from imajin_servers.vram.__main__ import build as build_vram
from imajin_servers.vram.settings import VramSettings

from ...serving import served
from ..conftest import Vram, running
from .driver import Nvml
from .memory import Memory

MIB = 1024**2
SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 6, "format": image_pb2.IMAGE_FORMAT_RAW_RGB8}
QUIET = ModerationSettings(level="off", classifier="off")


def copies(*names: str) -> dict[str, Any]:
    models = [{"name": name, "source": str(EMBEDDED), "dtype": "float32"} for name in names]
    return {"embedded": False, "models": models, "moderation": QUIET}


def all_but(memory: Memory, work: Any) -> int:
    """Bytes for which the weights must go, and nothing else."""
    return memory.capacity - int(work.bytes) - MIB


@pytest.fixture
async def vram(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vram]:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(memory))
    settings = VramSettings(cards="nvml", watch_seconds=0, poll_seconds=0.01, ageing_seconds=0)
    async with served(build_vram(settings, Lifetime())) as there:
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(there.channel)
        yield Vram(there.address, stub, LeaseClient(there.channel))


async def test_asked_back_it_leaves_all_of_the_card_and_goes_on_with_the_same_bits(memory: Memory, vram: Vram) -> None:
    async with running(device="cpu", **copies("a")) as server:
        wanted = await server.generate(**SMALL)
    async with running(vram=vram.address, lease="required", **copies("a")) as server:
        first = await server.generate(preview_interval=1, **SMALL)
        assert first.sha256 == wanted.sha256
        assert first.previews
        (model,) = await vram.until(lambda leases: len(leases) == 1)
        assert model.device_id == "GPU-emulated-0"
        # What drawing took was given back with its lease, but for some tensors of the run that go a moment later.
        assert memory.kept.total() < (memory.peak - memory.allocated) / 4
        call = server.stub.Generate(server.request(preview_interval=1, **SMALL))
        data, foreign = b"", None
        async for event in call:
            if event.progress.HasField("denoising") and event.progress.denoising.step >= 2 and foreign is None:
                (work,) = [one for one in await vram.until(lambda leases: len(leases) == 2) if "work" in one.holder]
                # The driver must show it before it is granted.
                foreign = await vram.client.acquire(all_but(memory, work), holder="urgent", priority=100, max_wait=60)
                assert memory.reserved == 0
                # Nor does a paused model keep room from others.
                assert not drawn(await vram.until(lambda leases: True))
                await foreign.release()
            data += event.chunk.data if event.HasField("chunk") else b""
        assert foreign is not None
        assert data == wanted.data
    assert memory.reserved == 0


def drawn(leases: list[Any]) -> list[Any]:
    return [lease for lease in leases if "work" in lease.holder]


def used(lease: Any) -> int:
    return int(lease.bytes_used)


async def test_what_drawings_use_is_told_and_kept_for_those_that_go_on(memory: Memory, vram: Vram) -> None:
    async with running(vram=vram.address, lease="required", **copies("a")) as server:
        await server.generate(**SMALL)
        [weights] = await vram.until(lambda leases: [one.bytes_used for one in leases] == [one.bytes for one in leases])
        emptied = memory.emptied

        first, *rest = [server.stub.Generate(server.request(**{**SMALL, "steps": 20})) for _ in range(4)]
        leases = drawn(await vram.until(lambda leases: len(drawn(leases)) == 4 and any(map(used, drawn(leases)))))
        assert 0 < sum(map(used, leases)) <= memory.reserved - weights.bytes
        assert all(lease.bytes_used < lease.bytes for lease in leases)
        async for _ in first:
            pass
        leases = drawn(await vram.until(lambda leases: len(drawn(leases)) == 3))
        assert 0 < sum(map(used, leases)) <= memory.reserved - weights.bytes
        # The others would have to ask the driver for it again at their next step.
        assert memory.emptied == emptied
        for call in rest:
            call.cancel()
        await vram.until(lambda leases: not drawn(leases))
        assert memory.emptied > emptied


async def test_out_of_memory_in_the_middle_is_an_error_with_figures_and_leaves_nothing(
    memory: Memory, vram: Vram
) -> None:
    async with running(vram=vram.address, lease="required", **copies("a")) as server:
        wanted = await server.generate(**SMALL)
        weights = memory.allocated
        call = server.stub.Generate(server.request(**SMALL))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for event in call:
                if event.progress.HasField("denoising") and event.progress.denoising.step == 1:
                    memory.refuse = lambda wanted: True
        error = from_call(refused.value)
        assert error.reason == "GPU_OOM"
        assert int(error.metadata["requested_bytes"]) > 0
        assert int(error.metadata["available_bytes"]) > 0
        assert len(await vram.until(lambda leases: len(leases) == 1)) == 1
        assert memory.reserved - weights < (memory.peak - weights) / 4
        memory.refuse = lambda wanted: False
        assert (await server.generate(**SMALL)).sha256 == wanted.sha256


async def test_models_take_turns_on_a_card_for_one_of_them(memory: Memory, vram: Vram) -> None:
    async with running(vram=vram.address, lease="required", max_loaded=1, **copies("a", "b")) as server:
        await server.generate(model="a", **SMALL)
        weights = memory.reserved
        memory.refuse = lambda wanted: memory.allocated > weights // 2
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(model="b", **SMALL)
        assert from_call(refused.value).reason == "GPU_OOM"
        # Half of b was there.
        assert memory.reserved == 0
        assert await vram.until(lambda leases: True) == []
        memory.refuse = lambda wanted: False
        memory.reset_peak()
        await server.generate(model="b", **SMALL)
        assert abs(memory.reserved - weights) < MIB
        await server.generate(model="a", **SMALL)
        assert memory.peak < 2 * weights
    assert memory.reserved == 0


async def test_no_memory_on_the_way_back_from_a_pause_ends_those_who_wait_and_leaves_nothing(
    memory: Memory, vram: Vram
) -> None:
    async with running(vram=vram.address, lease="required", **copies("a")) as server:
        call = await server.begun(model="a", width=64, height=64)
        (work,) = [one for one in await vram.until(lambda leases: len(leases) == 2) if "work" in one.holder]
        foreign = await vram.client.acquire(all_but(memory, work), holder="urgent", priority=100)
        memory.refuse = lambda wanted: memory.allocated > MIB
        await foreign.release()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in call:
                pass
        assert from_call(refused.value).reason == "GPU_OOM"
        assert await vram.until(lambda leases: not leases) == []
        assert memory.reserved < MIB
        memory.refuse = lambda wanted: False
        assert (await server.generate(**SMALL)).result.steps == 6
