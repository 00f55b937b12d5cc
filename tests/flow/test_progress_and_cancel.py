"""Progress arrives while the image is made, and cancelling ends the work and frees its lease."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2, vram_lease_pb2_grpc


@pytest.fixture
async def diffusion(suite: Any) -> AsyncIterator[diffusion_pb2_grpc.DiffusionServiceAsyncStub]:
    async with grpc.aio.insecure_channel(suite.addresses["diffusion"]) as channel:
        yield diffusion_pb2_grpc.DiffusionServiceStub(channel)


@pytest.fixture
async def vram(suite: Any) -> AsyncIterator[vram_lease_pb2_grpc.VramLeaseServiceAsyncStub]:
    async with grpc.aio.insecure_channel(suite.addresses["vram"]) as channel:
        yield vram_lease_pb2_grpc.VramLeaseServiceStub(channel)


async def no_lease_but_models(vram: vram_lease_pb2_grpc.VramLeaseServiceAsyncStub) -> None:
    """Returns when no lease of a single generation is held or waited for; the test's timeout is the limit."""
    call = vram.WatchLeases(vram_lease_pb2.WatchLeasesRequest())
    try:
        async for state in call:
            if not [lease for lease in state.leases if lease.holder.startswith("diffusion/") and not lease.preemptible]:
                return
    finally:
        call.cancel()


async def test_every_step_is_told_in_order_with_previews(diffusion: Any) -> None:
    request = diffusion_pb2.GenerateRequest(prompt="a red apple", steps=20, seed=1, preview_interval=2)
    steps, fractions, previews, kinds = [], [], [], []
    async for event in diffusion.Generate(request):
        kinds.append(event.WhichOneof("event"))
        if event.HasField("progress"):
            fractions.append(event.progress.fraction)
            if event.progress.HasField("denoising"):
                steps.append(event.progress.denoising.step)
        elif event.HasField("preview"):
            image = Image.open(io.BytesIO(event.preview.image_data))
            image.load()
            previews.append((image.format, len(event.preview.image_data)))
    assert kinds[0] == "progress"
    assert kinds[-1] == "result"
    assert steps == sorted(set(steps))
    assert steps[-1] == 20
    assert fractions == sorted(fractions)
    assert previews
    assert all(format == "JPEG" and size <= 65536 for format, size in previews)


async def test_cancelling_frees_the_lease_and_the_next_request_works(diffusion: Any, vram: Any) -> None:
    call = diffusion.Generate(diffusion_pb2.GenerateRequest(prompt="a red apple", steps=150, seed=1))
    async for event in call:
        if event.HasField("progress") and event.progress.HasField("denoising") and event.progress.denoising.step >= 2:
            leases = (await vram.ListLeases(vram_lease_pb2.ListLeasesRequest())).leases
            assert any(lease.holder.startswith("diffusion/") for lease in leases)
            break
    call.cancel()
    await asyncio.wait_for(no_lease_but_models(vram), 60)
    last = None
    async for event in diffusion.Generate(diffusion_pb2.GenerateRequest(prompt="a red apple", steps=2, seed=1)):
        last = event
    assert last is not None
    assert last.HasField("result")


async def test_a_deadline_ends_the_work(diffusion: Any, vram: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in diffusion.Generate(diffusion_pb2.GenerateRequest(prompt="a red apple", steps=150), timeout=1):
            pass
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(no_lease_but_models(vram), 60)


async def test_a_seed_gives_the_same_pixels_in_company(diffusion: Any) -> None:
    async def made(prompt: str, seed: int) -> bytes:
        data = b""
        raw = image_pb2.IMAGE_FORMAT_RAW_RGB8
        request = diffusion_pb2.GenerateRequest(prompt=prompt, steps=4, seed=seed, format=raw)
        async for event in diffusion.Generate(request):
            data += event.chunk.data if event.HasField("chunk") else b""
        return data

    alone = await made("a red apple", 11)
    together = await asyncio.gather(made("a red apple", 11), made("a blue car", 12), made("a cat", 13))
    assert together[0] == alone
    assert together[1] != together[2]
