"""A family that the engine doesn't know runs whole: with progress, and cancel between its steps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from imajin.common.v1 import image_pb2
from imajin.vram.v1 import vram_lease_pb2
from imajin_servers.diffusion.settings import EMBEDDED

MIB = 1024**2
RAW = image_pb2.IMAGE_FORMAT_RAW_RGB8


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    """The parts of the embedded model in a pipeline of another class."""
    for part in EMBEDDED.iterdir():
        if part.is_dir():
            (tmp_path / part.name).symlink_to(part)
    index = json.loads((EMBEDDED / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionPAGPipeline"}))
    return {"name": "whole", "source": str(tmp_path)}


async def test_it_tells_every_step_and_repeats_by_its_seed(start: Any, model: dict[str, Any]) -> None:
    async with start(models=[model]) as server:
        first, second = await asyncio.gather(
            server.generate(steps=4, width=100, height=64, format=RAW),
            server.generate(steps=4, width=100, height=64, format=RAW),
        )
        assert first.steps[-1] == 4
        assert first.data == second.data
        assert (first.result.width, first.result.height, first.result.model) == (100, 64, "whole")


async def test_cancel_frees_its_place(start: Any, model: dict[str, Any]) -> None:
    async with start(models=[model], max_active=1) as server:
        call = await server.begun(width=64, height=64)
        call.cancel()
        assert (await server.generate(steps=1, width=64, height=64)).result.steps == 1


async def test_asked_back_it_stands_still_between_two_steps_and_goes_on_with_the_same_bits(
    start: Any, card: Any, model: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"model": "whole", "seed": 5, "width": 64, "height": 64, "format": RAW}
    settings = {"models": [model], "embedded": False, "lease": "required"}
    async with card(400 * MIB) as vram, start(vram=vram.address, **settings) as server:
        undisturbed = await server.generate(steps=20, **fields)
        call = server.stub.Generate(server.request(steps=20, **fields))
        data, foreign, second = b"", None, None
        async for event in call:
            if event.progress.denoising.step >= 2 and foreign is None:
                second = asyncio.create_task(server.generate(steps=2, **fields))
                # One that waits for its turn is no reason to lose the first.
                foreign = await vram.client.acquire(300 * MIB, holder="urgent", priority=100)
                leases = await vram.until(lambda leases: True)
                waiting = vram_lease_pb2.LEASE_STATE_WAITING
                assert "diffusion/whole" not in [lease.holder for lease in leases if lease.state != waiting]
                await foreign.release()
            data += event.chunk.data if event.HasField("chunk") else b""
        assert foreign is not None
        assert second is not None
        assert data == undisturbed.data
        assert (await second).result.steps == 2


async def test_cancelled_while_it_stands_still_it_is_gone(start: Any, card: Any, model: dict[str, Any]) -> None:
    settings = {"models": [model], "embedded": False, "lease": "required", "max_active": 1}
    async with card(400 * MIB) as vram, start(vram=vram.address, **settings) as server:
        call = await server.begun(width=64, height=64)
        async with await vram.client.acquire(300 * MIB, holder="urgent", priority=100):
            call.cancel()
            await vram.until(lambda leases: all(lease.holder != "diffusion/whole work" for lease in leases))
        assert (await server.generate(steps=1, width=64, height=64)).result.model == "whole"
