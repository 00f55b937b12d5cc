"""Two models and the jobs of others on a card that has too little for all: they come to their end, and nobody gets in another's way."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest

from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.vram.__main__ import build as build_vram
from imajin_servers.vram.settings import VramSettings

from ...serving import served
from ..conftest import Vram, running
from . import test_a_server_on_the_card as card
from .driver import Nvml
from .memory import Memory

MIB = 1024**2
PICTURES: list[dict[str, Any]] = [
    {**card.SMALL, "prompt": "a red car", "width": width, "height": height, "steps": steps, "seed": 7}
    for width, height, steps in [(64, 64, 2), (96, 64, 4), (128, 96, 3)]
]


class Others:
    """Jobs with leases, that take all they have leased."""

    def __init__(self, memory: Memory, vram: Vram, most: int) -> None:
        self.memory = memory
        self.vram = vram
        self.most = most
        self.done = 0
        self.found_no_room = 0
        self.drawn = asyncio.Semaphore(0)
        """Grows with each picture."""

    async def run(self, dice: random.Random) -> None:
        """Four, one after the other, each after a picture."""
        for _ in range(4):
            await self.drawn.acquire()
            await self.job(
                dice.randrange(self.most // 50, self.most), dice.choice([20, 50, 90]), preemptible=dice.random() < 0.5
            )

    async def job(self, bytes: int, priority: int, *, preemptible: bool) -> None:
        async with await self.vram.client.acquire(
            bytes, holder="another", priority=priority, preemptible=preemptible
        ) as lease:
            with self.memory.lock:
                free = self.memory.capacity - self.memory.foreign - self.memory.reserved
                self.found_no_room += free < bytes
                self.memory.foreign += bytes
            lease.report_used(bytes)
            await self.vram.until(lambda leases: True)
            with self.memory.lock:
                self.memory.foreign -= bytes
        self.done += 1


@pytest.fixture
async def vram(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(memory))
    settings = VramSettings(cards="nvml", watch_seconds=0, poll_seconds=0.01, turn_seconds=1)
    async with served(build_vram(settings, Lifetime())) as there:
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(there.channel)
        yield Vram(there.address, stub, LeaseClient(there.channel))


async def test_all_come_to_their_end(memory: Memory, vram: Vram) -> None:
    async with running(vram=vram.address, lease="required", **card.copies("a", "b")) as server:
        wanted = [(await server.generate(model="a", **picture)).data for picture in PICTURES]
        assert [(await server.generate(model="b", **picture)).data for picture in PICTURES] == wanted
        weights = max(lease.bytes for lease in await vram.until(lambda leases: len(leases) == 2))
        # Most of the card belongs to somebody who has no lease.
        small = 2 * weights + 8 * MIB
        memory.foreign = memory.capacity - small
        others = Others(memory, vram, small)

        async def draw(dice: random.Random) -> None:
            for _ in range(5):
                picture = dice.randrange(len(PICTURES))
                fields = {**PICTURES[picture], "model": dice.choice("ab"), "priority": dice.choice([10, 50, 80])}
                if dice.random() < 0.3:
                    (await server.begun(**{**fields, "steps": 50})).cancel()
                else:
                    assert (await server.generate(**fields)).data == wanted[picture]
                others.drawn.release()

        async with asyncio.TaskGroup() as group:
            for seed in range(4):
                group.create_task(draw(random.Random(seed)))
            for seed in range(2):
                group.create_task(others.run(random.Random(seed)))
        assert others.done == 8
        assert (others.found_no_room, memory.refused) == (0, 0)
    assert memory.reserved == 0
    assert await vram.until(lambda leases: not leases) == []
