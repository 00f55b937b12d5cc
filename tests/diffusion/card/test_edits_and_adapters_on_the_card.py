"""Adapters, and pictures that are drawn from others, on an emulated card: the CPU's bits, and nothing left there in a pause."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...diffusion import test_adapters_by_request as adapters
from ...diffusion import test_edits_of_images as edits
from ..conftest import Running, Vram, running
from . import test_a_server_on_the_card as card
from .memory import Memory

folder, photo = adapters.folder, edits.photo
vram = card.vram
WISH = [{"name": "ink"}, {"name": "fur", "weight": -0.5}]


@pytest.fixture
def settings(folder: Any) -> dict[str, Any]:
    """Of a server with one model and two adapters."""
    return {
        "loras": [{"name": name, "source": str(folder / f"{name}.safetensors")} for name in ("ink", "fur")],
        **card.copies("a"),
    }


async def drawn(server: Running, photo: Any) -> list[bytes]:
    """Pictures with adapters and without, from nothing and from `photo`."""
    image = edits.encoded(photo)
    return [
        (await server.generate(loras=WISH, **card.SMALL)).data,
        (await server.edit(image, loras=WISH, strength=0.7, format=edits.RAW)).data,
        (await server.edit(image, strength=0.7, format=edits.RAW)).data,
        (await server.generate(**card.SMALL)).data,
    ]


async def test_adapters_and_edits_have_the_bits_of_the_cpu_and_leave_the_card_in_a_pause(
    memory: Memory, vram: Vram, settings: dict[str, Any], photo: Any
) -> None:
    async with running(device="cpu", **settings) as server:
        wanted = await drawn(server, photo)
        slow = await server.edit(edits.encoded(photo), loras=WISH, strength=0.9, steps=120, format=edits.RAW)
    async with running(vram=vram.address, lease="required", **settings) as server:
        assert await drawn(server, photo) == wanted
        work = asyncio.create_task(
            server.edit(edits.encoded(photo), loras=WISH, strength=0.9, steps=120, format=edits.RAW)
        )
        (room,) = [one for one in await vram.until(lambda leases: len(leases) == 2) if "work" in one.holder]
        foreign = await vram.client.acquire(
            memory.capacity - room.bytes - card.MIB, holder="urgent", priority=100, max_wait=60
        )
        assert not work.done()
        assert memory.reserved == 0
        await foreign.release()
        assert (await work).data == slow.data
    assert memory.reserved == 0
